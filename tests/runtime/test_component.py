"""A component is started, loops and is stopped; it is never silently dead."""

import asyncio

import pytest
from structlog.testing import capture_logs

from penstock.runtime import Backoff, Component, Group, Periodic
from tests.support.waiting import eventually

SOON = Backoff(initial_s=0.001, max_s=0.01)


class Recorder(Component):
    """Writes down what happens to it."""

    def __init__(self, *, journal: list[str] | None = None, name: str = "recorder") -> None:
        super().__init__(name=name, stop_grace_s=0.05, restarts=SOON)
        self.journal = journal if journal is not None else []

    async def setup(self) -> None:
        self.journal.append(f"{self.name} set up")

    async def run(self) -> None:
        self.journal.append(f"{self.name} runs")
        await self.stopping.wait()
        self.journal.append(f"{self.name} saw the stop")

    async def teardown(self) -> None:
        self.journal.append(f"{self.name} torn down")


class Stubborn(Recorder):
    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.journal.append("cancelled")


class Crashing(Recorder):
    def __init__(self, *crashes: BaseException) -> None:
        super().__init__()
        self.left = list(crashes)

    async def run(self) -> None:
        if self.left:
            raise self.left.pop(0)
        await super().run()


async def test_a_component_goes_through_its_stages_in_order() -> None:
    component = Recorder()
    async with component:
        await eventually(lambda: "recorder runs" in component.journal, "the component runs")
        assert component.running
    assert component.journal == [
        "recorder set up",
        "recorder runs",
        "recorder saw the stop",
        "recorder torn down",
    ]


async def test_start_and_stop_are_idempotent_and_may_be_repeated() -> None:
    component = Recorder()
    await component.stop()
    for _ in range(2):
        await asyncio.gather(component.start(), component.start())
        await component.start()
        await asyncio.gather(component.stop(), component.stop())
        await component.stop()
    assert component.journal.count("recorder set up") == 2
    assert component.journal.count("recorder torn down") == 2


async def test_a_component_stopped_while_it_starts_is_stopped() -> None:
    component = Recorder()
    starting = asyncio.create_task(component.start())
    await asyncio.sleep(0)
    await component.stop()
    await starting
    assert not component.running


async def test_a_crash_is_logged_and_the_loop_runs_again() -> None:
    component = Crashing(ValueError("one"), OSError("two"))
    with capture_logs() as logged:
        async with component:
            await eventually(lambda: "recorder runs" in component.journal, "it runs at last")
            assert component.crashes == 2
            assert component.running
    assert [entry["exc_info"].args for entry in logged] == [("one",), ("two",)]
    assert {entry["log_level"] for entry in logged} == {"error"}


async def test_a_cancellation_from_within_is_a_crash_and_no_end() -> None:
    component = Crashing(asyncio.CancelledError())
    async with component:
        await eventually(lambda: "recorder runs" in component.journal, "it runs after the crash")
    assert component.crashes == 1


async def test_stop_does_not_wait_for_the_restart_of_a_crashed_loop() -> None:
    component = Crashing(ValueError())
    component._restarts = Backoff(initial_s=30, max_s=30)
    await component.start()
    await eventually(lambda: component.crashes == 1, "the component crashed")
    async with asyncio.timeout(5):
        await component.stop()


async def test_a_loop_that_does_not_return_is_cancelled_after_its_grace() -> None:
    component = Stubborn()
    await component.start()
    await asyncio.sleep(0)
    await component.stop()
    assert component.journal[-2:] == ["cancelled", "recorder torn down"]


@pytest.mark.parametrize(("expendable", "warnings"), [(False, 1), (True, 0)])
async def test_what_may_be_cut_short_is_cancelled_without_a_word(
    *, expendable: bool, warnings: int
) -> None:
    component = Stubborn()
    component._expendable = expendable
    await component.start()
    await asyncio.sleep(0)
    with capture_logs() as lines:
        await component.stop()
    assert component.journal[-2:] == ["cancelled", "recorder torn down"]
    assert len([line for line in lines if line["log_level"] == "warning"]) == warnings


async def test_a_cancelled_stop_leaves_nothing_running() -> None:
    component = Stubborn()
    component._stop_grace_s = 60
    await component.start()
    await asyncio.sleep(0)
    stopping = asyncio.create_task(component.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert component.journal[-2:] == ["cancelled", "recorder torn down"]
    assert not component.running


async def test_a_failed_setup_fails_start_and_is_torn_down() -> None:
    class Failing(Recorder):
        async def setup(self) -> None:
            raise OSError("no connection")

    component = Failing()
    with pytest.raises(OSError, match="no connection"):
        await component.start()
    assert component.journal == ["recorder torn down"]
    assert not component.running


async def test_a_loop_that_returns_is_done() -> None:
    class Brief(Recorder):
        async def run(self) -> None:
            self.journal.append("done")

    component = Brief()
    async with component:
        await eventually(lambda: not component.running, "the loop returned")
    assert component.journal.count("done") == 1


class Counter(Periodic):
    def __init__(self, *, interval_s: float, delay_s: float | None = None) -> None:
        super().__init__(interval_s=interval_s, restarts=SOON)
        self.ticks = 0
        self.delay_s = delay_s

    async def tick(self) -> float | None:
        self.ticks += 1
        return self.delay_s


async def test_a_periodic_component_ticks_at_once_and_at_its_interval() -> None:
    async with Counter(interval_s=0.001) as counter:
        await eventually(lambda: counter.ticks >= 5, "five ticks")


async def test_a_tick_chooses_the_next_delay() -> None:
    async with Counter(interval_s=60, delay_s=0) as counter:
        await eventually(lambda: counter.ticks >= 5, "five ticks")


async def test_wake_brings_the_next_tick_forward_once() -> None:
    async with Counter(interval_s=60) as counter:
        await eventually(lambda: counter.ticks == 1, "the first tick")
        counter.wake()
        counter.wake()
        await eventually(lambda: counter.ticks == 2, "the tick it was woken for")
        for _ in range(20):
            await asyncio.sleep(0)
        assert counter.ticks == 2


async def test_a_wake_during_a_tick_is_not_lost() -> None:
    class SelfWaking(Counter):
        async def tick(self) -> float | None:
            if self.ticks == 0:
                self.wake()
            return await super().tick()

    async with SelfWaking(interval_s=60) as counter:
        await eventually(lambda: counter.ticks == 2, "the tick it was woken for")


async def test_a_group_starts_in_order_and_stops_in_reverse() -> None:
    journal: list[str] = []
    async with Group(*(Recorder(journal=journal, name=name) for name in "abc")):
        pass
    stages = [entry for entry in journal if entry.endswith(("set up", "torn down"))]
    assert stages == [
        *("a set up", "b set up", "c set up"),
        *("c torn down", "b torn down", "a torn down"),
    ]


async def test_a_group_whose_member_fails_to_start_stops_the_others() -> None:
    class Failing(Recorder):
        async def setup(self) -> None:
            raise OSError("no connection")

    journal: list[str] = []
    first, last = Recorder(journal=journal, name="a"), Recorder(journal=journal, name="c")
    with pytest.raises(OSError, match="no connection"):
        await Group(first, Failing(), last).start()
    assert "a torn down" in journal
    assert "c set up" not in journal


async def test_a_group_stops_every_member_whatever_one_raises() -> None:
    class Failing(Recorder):
        async def teardown(self) -> None:
            raise OSError("broken pipe")

    first = Recorder()
    group = Group(first, Failing())
    await group.start()
    with pytest.raises(ExceptionGroup, match="failed to stop") as caught:
        await group.stop()
    assert caught.group_contains(OSError, match="broken pipe")
    assert not first.running
