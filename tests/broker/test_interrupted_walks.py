"""Walks over all records that an outage cuts in two."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from penstock.broker import ReplyError, Unavailable, housekeeper, ids, reconciler
from penstock.broker.reconciler import REPAIR, WEIGH
from penstock.broker.repairer import Repairer
from tests.broker.rig import Rig, tail_of
from tests.broker.scheduling import ID, created

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.broker import Broker
    from penstock.broker.pipeline import Arg, Reply
    from penstock.broker.reconciler import _Course
    from penstock.broker.script import Script

    Act = Callable[[Script, tuple[Arg, ...]], Awaitable[None]]

JOBS = 100


@pytest.fixture(autouse=True)
def every_visit_looks_at_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeper, "BOOKS_EVERY_S", 0.0)


@pytest.fixture
async def visited(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs in the order in which walks visit them, in small steps: all of them are delayed."""
    monkeypatch.setattr(reconciler, "KEYS_PER_STEP", 10)
    for _ in range(JOBS):
        await rig.submit(delay_ms=3_600_000)
    visited = list[str]()

    async def note(script: Script, args: tuple[Arg, ...]) -> None:
        if script is REPAIR:
            visited.extend(str(tail) for tail in args)

    around_scripts(rig, monkeypatch, before=note)
    return visited


async def nothing(_script: Script, _args: tuple[Arg, ...]) -> None:
    pass


def around_scripts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, before: Act = nothing, after: Act = nothing
) -> None:
    """Has something done before and after each script that the broker runs."""
    run = rig.broker.engine.run

    async def act_and_run(script: Script, keys: list[bytes], *args: Arg, **options: float) -> Reply:
        await before(script, args)
        reply = await run(script, keys, *args, **options)
        await after(script, args)
        return reply

    monkeypatch.setattr(rig.broker.engine, "run", act_and_run)


async def interrupt(rig: Rig, visited: list[str]) -> None:
    """An outage ends a walk when it has done about half of its way."""

    async def fail(_script: Script, _args: tuple[Arg, ...]) -> None:
        if len(visited) > JOBS / 2:
            raise Unavailable("the server is away")

    with pytest.MonkeyPatch.context() as patch:
        around_scripts(rig, patch, before=fail)
        with pytest.raises(Unavailable):
            await rig.broker.reconciler.walk()
    assert JOBS / 2 < len(visited) < JOBS


async def lose_answer(rig: Rig, wanted: Script) -> None:
    """A walk ends with the answer to such a script, which never comes."""

    async def fail(script: Script, _args: tuple[Arg, ...]) -> None:
        if script is wanted:
            raise Unavailable("the server is away")

    with pytest.MonkeyPatch.context() as patch:
        around_scripts(rig, patch, after=fail)
        with pytest.raises(Unavailable):
            await rig.broker.reconciler.walk()


def repeat_once(rig: Rig, monkeypatch: pytest.MonkeyPatch, wanted: Script) -> None:
    """The first answer to such a script is lost with its connection, and the script repeated."""
    run, link, lost = rig.broker.engine.run, rig.broker.link, list[str]()

    async def repeat(script: Script, keys: list[bytes], *args: Arg, **options: float) -> Reply:
        if script is wanted and not lost:
            lost.append(script.name)
            await run(script, keys, *args, **options)
            link.renew("it was lost")
            await link.ready(10)
        return await run(script, keys, *args, **options)

    monkeypatch.setattr(rig.broker.engine, "run", repeat)


async def is_walk_wanted(rig: Rig) -> bool:
    """Whether one is, after a visit of the slot."""
    await rig.broker.housekeeper.visit(rig.slot)
    return rig.broker.reconciler.wanted


async def mark_of(rig: Rig) -> bytes | None:
    mark: bytes | None = await rig.call("GET", rig.broker.engine.names.walk())
    return mark


async def test_it_goes_on_where_it_was(rig: Rig, visited: list[str]) -> None:
    await rig.call("DEL", rig.slot.due())
    await interrupt(rig, visited)
    assert rig.broker.reconciler.wanted
    assert await rig.broker.reconciler.walk() == JOBS
    assert len(set(visited)) == JOBS
    assert len(visited) < JOBS * 1.5
    assert not rig.broker.reconciler.wanted


async def test_it_goes_on_after_an_outage_that_lasts(rig: Rig, visited: list[str]) -> None:
    """Tries to go on fail too, until the server is back."""
    await interrupt(rig, visited)

    async def fail(_script: Script, _args: tuple[Arg, ...]) -> None:
        raise Unavailable("the server is away")

    with pytest.MonkeyPatch.context() as patch:
        around_scripts(rig, patch, before=fail)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await rig.broker.reconciler.walk()
    await rig.broker.reconciler.walk()
    assert len(set(visited)) == JOBS
    assert len(visited) < JOBS * 1.5


async def test_it_begins_anew_on_another_server(
    rig: Rig, visited: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gave the cursor is gone, and to the next process it may mean a place further on."""
    await interrupt(rig, visited)
    visited.clear()
    monkeypatch.setattr(reconciler, "history_of", lambda _: "restarted")
    await rig.broker.reconciler.walk()
    assert len(set(visited)) == JOBS


async def test_it_begins_anew_if_the_server_restarts_meanwhile(
    rig: Rig, visited: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "history_of", lambda _: f"restarted: {bool(visited)}")
    await rig.broker.reconciler.walk()
    assert len(visited) >= 2 * JOBS
    assert len(set(visited)) == JOBS


async def test_it_begins_anew_after_some_minutes(
    rig: Rig, visited: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await interrupt(rig, visited)
    visited.clear()
    monkeypatch.setattr(reconciler, "COURSE_S", 0.0)
    await rig.broker.reconciler.walk()
    assert len(set(visited)) == JOBS


async def test_a_schedule_that_another_server_has_not_is_taken_off_the_list(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await created(rig)
    tail = ids.schedule_tail("default", ID)

    async def fail(_: _Course) -> None:
        raise Unavailable("the server is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.broker.reconciler, "_strike_dead", fail)
        with pytest.raises(Unavailable):
            await rig.broker.reconciler.walk()
    await rig.call("DEL", rig.slot.schedule(tail))
    await rig.call("ZREM", rig.slot.schedules(), tail)
    monkeypatch.setattr(reconciler, "history_of", lambda _: "restarted")
    await rig.broker.reconciler.walk()
    assert await rig.call("HEXISTS", rig.broker.engine.names.schedules(), ID) == 0


async def test_what_was_lost_behind_it_is_asked_for_at_once(rig: Rig, visited: list[str]) -> None:
    await interrupt(rig, visited)
    assert await rig.call("ZREM", rig.slot.due(), visited[0]) == 1
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 0
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 1


@pytest.mark.parametrize("is_outage_short", [False, True])
async def test_it_gives_nothing_up(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    is_outage_short: bool,  # noqa: FBT001 - of pytest.
) -> None:
    """It put one back, never heard of it, and another was lost behind it: as many are missing."""
    walk_on, walker = rig.broker.reconciler._walk, rig.broker.reconciler
    grant = await rig.granted()
    await rig.call("ZREM", rig.slot.leases(), tail_of(grant.job_id))
    assert await is_walk_wanted(rig)

    async def walk_that_comes_too_late(_: _Course) -> None:
        await rig.complete(grant)
        await delete_entry(rig, await rig.submit())

    monkeypatch.setattr(walker, "_walk", walk_that_comes_too_late)
    assert await walker.walk() == 0  # It leaves a doubt.
    monkeypatch.setattr(walker, "_walk", walk_on)
    assert await is_walk_wanted(rig)
    await some_time_passes(rig)
    lost_behind = await rig.submit()
    if is_outage_short:
        repeat_once(rig, monkeypatch, REPAIR)
    else:
        await lose_answer(rig, REPAIR)

    async def walk_on_while_one_is_lost(course: _Course) -> None:
        await walk_on(course)
        await delete_entry(rig, lost_behind)

    monkeypatch.setattr(walker, "_walk", walk_on_while_one_is_lost)
    assert await walker.walk() == 0
    monkeypatch.setattr(walker, "_walk", walk_on)
    assert await is_walk_wanted(rig)
    await some_time_passes(rig)
    assert await walker.walk() == 1


async def some_time_passes(rig: Rig) -> None:
    """Since the last walk, but less than a minute."""
    await rig.call("SET", rig.broker.engine.names.walk(), "walked", "PX", 50_000)


async def delete_entry(rig: Rig, job_id: str) -> None:
    entry = (await rig.record(job_id))[b"x"]
    assert await rig.call("XDEL", rig.slot.base + b":s:d", entry) == 1


async def test_what_was_wanted_is_so_still(rig: Rig) -> None:
    await rig.submit(delay_ms=3_600_000)
    await rig.call("DEL", rig.slot.due())
    assert await is_walk_wanted(rig)
    await lose_answer(rig, WEIGH)
    assert rig.broker.reconciler.wanted
    assert await rig.broker.reconciler.walk() == 1


async def test_a_worker_goes_on_with_it(rig: Rig, visited: list[str]) -> None:
    await interrupt(rig, visited)
    await Repairer(rig.broker, unasked=False).tick()
    assert len(set(visited)) == JOBS


async def test_one_that_another_has_made_meanwhile_is_dropped(
    rig: Rig, other: Broker, visited: list[str]
) -> None:
    await interrupt(rig, visited)
    await rig.call("DEL", rig.slot.due())
    assert await other.reconciler.walk() == JOBS
    assert await rig.broker.reconciler.walk() == 0
    assert not rig.broker.reconciler.wanted


async def test_it_waits_for_one_that_is_under_way(rig: Rig, visited: list[str]) -> None:
    await interrupt(rig, visited)
    mark = rig.broker.engine.names.walk()
    await rig.call("SET", mark, "walking another", "PX", 15_000)
    await rig.broker.reconciler.walk()
    assert len(set(visited)) < JOBS
    await rig.call("DEL", mark)
    await rig.broker.reconciler.walk()
    assert len(set(visited)) == JOBS


@pytest.mark.parametrize("its_mark", [b"walking another", b"walked"])
@pytest.mark.parametrize("is_interrupted", [False, True])
async def test_the_mark_of_another_is_left_alone(
    rig: Rig,
    visited: list[str],
    its_mark: bytes,
    is_interrupted: bool,  # noqa: FBT001 - of pytest.
) -> None:
    mark = rig.broker.engine.names.walk()

    async def stand_still(script: Script, _args: tuple[Arg, ...]) -> None:
        if script is REPAIR and len(visited) < JOBS / 2:
            await rig.call("SET", mark, its_mark, "PX", 60_000)
        elif script is REPAIR and is_interrupted:
            raise Unavailable("for too long")

    with pytest.MonkeyPatch.context() as patch:
        around_scripts(rig, patch, after=stand_still)
        with pytest.raises(Unavailable) if is_interrupted else nullcontext():
            await rig.broker.reconciler.walk()
    assert await mark_of(rig) == its_mark
    assert await rig.call("PTTL", mark) > 15_000


@pytest.mark.foreign_hands
async def test_a_lasting_fault_ends_no_later_walk(rig: Rig) -> None:
    """A foreign key at the list of schedules: walks fail at their end, and repair all the same."""
    schedules = rig.broker.engine.names.schedules()
    await rig.call("SET", schedules, "foreign")
    with pytest.raises(ReplyError):
        await rig.broker.reconciler.walk()
    await rig.submit(delay_ms=3_600_000)
    await rig.call("DEL", rig.slot.due())
    with pytest.raises(ReplyError):
        await rig.broker.reconciler.walk()
    assert await rig.call("ZCARD", rig.slot.due()) == 1
    await rig.call("DEL", schedules)


async def test_it_is_not_held_off_by_a_mark_that_it_could_not_take_away(
    rig: Rig, other: Broker, visited: list[str]
) -> None:
    await interrupt(rig, visited)
    own = b"walking " + rig.broker.reconciler._name.encode()
    await rig.call("SET", rig.broker.engine.names.walk(), own, "PX", 15_000)
    await other.reconciler.walk()
    await rig.broker.reconciler.walk()
    assert len(set(visited)) == JOBS


async def test_a_walk_over_a_full_server_is_marked_too(rig: Rig, visited: list[str]) -> None:
    await rig.call("CONFIG", "SET", "maxmemory", 1)
    try:
        await rig.broker.reconciler.walk()
        await rig.broker.reconciler.walk()
    finally:
        await rig.call("CONFIG", "SET", "maxmemory", 0)
    assert len(visited) < 2 * JOBS
    assert await mark_of(rig) == b"walked"
