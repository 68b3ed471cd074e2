"""Runs one scenario in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import traceback
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from tests.chaos.result import Refuted, Violation
from tests.chaos.scenario import Run, Skipped
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.result import Result
    from tests.chaos.scenario import Scenario

__all__ = ["commit", "run_scenario"]


async def run_scenario(
    scenario: type[Scenario],
    result: Result,
    *,
    scale: float,
    server: Path,
    folder: Path,
    keep: bool = False,
    say: Callable[[str], None] = lambda _text: None,
    faults: frozenset[str] = frozenset(),
) -> Result:
    """Runs it, and returns what it found.

    Args:
        scenario: to run.
        result: to be filled in; its seed decides everything that is left to chance.
        scale: see `Run`.
        server: the binary.
        folder: made for the run, and removed unless something was violated.
        keep: keep it in any case.
        say: is told how it goes.
        faults: see `Run`.
    """
    run = Run(result.seed, folder, server, scale, result, say, faults)
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs yet.
    began = time.monotonic()
    result.version, result.commit = version("penstock"), commit()
    result.date = datetime.now(UTC).date().isoformat()
    try:
        await scenario().run(run)
    except Skipped as reason:
        result.skipped = str(reason)
    except Refuted:
        pass
    except Exception as error:  # noqa: BLE001 - a scenario that breaks off has shown nothing.
        trace = traceback.format_exception(error)
        text = f"the scenario broke off: {error!r}"
        result.violations.append(Violation("harness", text, tuple(trace)))
    # Recovery times mean little on a machine that has much else to do.
    waiting, cores = os.getloadavg()[1], os.cpu_count()
    result.figures["load of the machine"] = f"{waiting:.1f} on {cores} cores over the last 5 min"
    result.seconds = round(time.monotonic() - began, 1)
    if not (keep or result.violations):
        shutil.rmtree(folder)
    return result


def commit() -> str:
    """Of the tree that is tried; "" outside of a checkout, or without git."""
    git = shutil.which("git")
    if git is None:
        return ""
    told = subprocess.run(
        [git, "describe", "--always", "--dirty", "--exclude", "*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()
