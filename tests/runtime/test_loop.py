"""The event loop that was asked for, and the signals that end a process."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from penstock.runtime import ConfigurationError, EventLoop, run
from tests.support.waiting import wait_until

# Ends in peace on the first signal if the argument says so, else waits to be forced.
PROGRAM = """
import asyncio, sys
from penstock.runtime import run, stop_signals

async def main():
    try:
        async with stop_signals() as stopping:
            print("ready", flush=True)
            await stopping.wait()
            print("stopping", flush=True)
            if sys.argv[2] == "stubborn":
                await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)

run(main, event_loop=sys.argv[1])
"""

LOOPS: list[EventLoop] = ["asyncio", "uvloop"]


class Program:
    def __init__(self, event_loop: str, manner: str, output: Path) -> None:
        self.output = output
        with output.open("wb") as stdout:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, event_loop, manner], stdout=stdout
            )

    def says(self, line: str) -> None:
        wait_until(lambda: line in self.said(), f"the program says {line!r}", within_s=20)

    def said(self) -> list[str]:
        return self.output.read_text().splitlines()


@pytest.fixture(params=LOOPS)
def event_loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["willing", "stubborn"])
def program(request: pytest.FixtureRequest, event_loop: str, tmp_path: Path) -> Iterator[Program]:
    program = Program(event_loop, request.param, tmp_path / "output")
    yield program
    program.process.kill()
    program.process.wait()


@pytest.mark.parametrize("program", ["willing"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_ends_a_process_in_peace(program: Program, number: int) -> None:
    program.says("ready")
    program.process.send_signal(number)
    assert program.process.wait(20) == 0
    assert program.said() == ["ready", "stopping", "cleaned up"]


@pytest.mark.parametrize("program", ["stubborn"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_forces_the_end(program: Program, number: int) -> None:
    program.says("ready")
    program.process.send_signal(signal.SIGTERM)
    program.says("stopping")
    program.process.send_signal(number)
    assert program.process.wait(20) == 128 + number
    assert program.said() == ["ready", "stopping", "cleaned up"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("asyncio", asyncio.SelectorEventLoop), ("uvloop", uvloop.Loop), ("auto", uvloop.Loop)],
)
def test_the_loop_is_the_one_that_was_asked_for(
    asked: EventLoop, expected: type[asyncio.AbstractEventLoop]
) -> None:
    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert isinstance(run(running_loop, event_loop=asked), expected)


def test_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert isinstance(run(running_loop), asyncio.SelectorEventLoop)
    with pytest.raises(ConfigurationError, match="pip install uvloop"):
        run(running_loop, event_loop="uvloop")
