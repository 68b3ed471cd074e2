"""A trial: whether a run of the harness sees that something is wrong with a tree."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from tests.chaos.mutants.mutant import Tree

__all__ = ["LIVES", "SIMULATION", "Verdict", "command_of", "try_out"]

#: The run that is no scenario.
SIMULATION: Final = "simulation"
#: Lives that the simulation has for a mutant; nearly all are caught in the first few.
LIVES: Final = 100
#: How long `mixed` rages (minutes), and the seed of all runs of the harness.
MINUTES: Final = 1.0
SEED: Final = 1
#: How much of the short run other scenarios get.
SCALE: Final = 0.5
#: A run that takes longer hangs, which proves nothing (s).
PATIENCE_S: Final = 1_800.0
#: What says that a run broke off, and not that a promise was broken.
_BROKE_OFF: Final = frozenset({"harness", "life"})
_SEEN: Final = re.compile(r"^seed (\d+): ([^:]+): (.*)")


@dataclass(frozen=True)
class Verdict:
    """What a run said.

    Attributes:
        caught: it saw a promise broken.
        invariant: the first that it saw broken, and by which life; '' if none.
        text: what it said of it.
        seconds: how long it took.
        broke_off: it could not be carried out, for the reason that text gives.
    """

    caught: bool
    invariant: str
    text: str
    seconds: float
    broke_off: bool = False


def command_of(run: str, server: Path | None, life: int = 0) -> list[str]:
    """The command line of a run; life is the first that is simulated."""
    options = ["--server", str(server)] if server else []
    if run == SIMULATION:
        lives = ["--lives", str(LIVES), "--seed", str(life)]
        return ["-m", "tests.simulation", *lives, "--no-account", *options]
    length = ["--minutes", str(MINUTES)] if run == "mixed" else ["--scale", str(SCALE)]
    how = ["--seed", str(SEED), "--fail-fast", "--json", *length]
    return ["-m", "tests.chaos", "run", run, *how, *options]


def try_out(tree: Tree, run: str, server: Path | None = None, life: int = 0) -> Verdict:
    """Runs one on a tree, in processes of its own; life is the first that is simulated."""
    began_s = time.monotonic()
    done = _run([sys.executable, *command_of(run, server, life)], tree.folder, tree.environment)
    seconds = time.monotonic() - began_s
    seen = _simulated(done.stdout) if run == SIMULATION else _brought_about(done.stdout)
    told = [violation for violation in seen if violation[0].split()[0] not in _BROKE_OFF]
    if told:
        invariant, text = told[0]
        return Verdict(True, invariant, text, seconds)  # noqa: FBT003 - as in the class.
    if done.returncode or seen:
        text = seen[0][1] if seen else (done.stderr or done.stdout)[-2000:]
        return Verdict(False, "", text, seconds, broke_off=True)  # noqa: FBT003 - as above.
    return Verdict(False, "", "", seconds)  # noqa: FBT003 - as above.


def _run(
    command: list[str], folder: Path, environment: dict[str, str] | os._Environ[str]
) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            # Asked first, so that it ends the processes that it has started.
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30.0)
            process.kill()
            out, err = process.communicate()
            err += f"\nit took more than {PATIENCE_S:g} s"
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _simulated(out: str) -> list[tuple[str, str]]:
    matches = [found for line in out.splitlines() if (found := _SEEN.match(line))]
    return [(f"{found[2]} (life {found[1]})", found[3]) for found in matches]


def _brought_about(out: str) -> list[tuple[str, str]]:
    try:
        results = json.loads(out)
    except ValueError:
        return []
    return [
        (violation["invariant"], violation["text"])
        for result in results
        for violation in result["violations"]
    ]
