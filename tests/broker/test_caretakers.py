"""Who visits which slot, and when: two caretakers each, found without any agreement."""

from __future__ import annotations

import re
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import Broker, BrokerOptions, Janitor
from penstock.broker.agenda import HINT_GRAIN_S, VISIT_EVERY_S, Agenda
from penstock.broker.housekeeper import LOOK
from penstock.broker.info import parse_info
from penstock.broker.observer import WatchedClock
from penstock.broker.rota import CARETAKERS, SILENT_S, Rota
from tests.broker.rig import pairs
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker.chores import Chore
    from penstock.broker.keys import Slot
    from tests.broker.rig import Rig

SLOTS: Final = 20


class Keeper:
    """One process' view of the rota, with a clock that the test moves."""

    def __init__(self, broker: Broker) -> None:
        self.clock = WatchedClock()
        self.rota = Rota(broker.engine, self.clock)

    def cares_for(self, slots: list[Slot]) -> set[Slot]:
        return {slot for slot in slots if self.rota.rank(slot) < CARETAKERS}


@pytest.fixture
def slots(broker: Broker) -> list[Slot]:
    return [broker.engine.slot("q0000000", number) for number in range(SLOTS)]


async def assembled(broker: Broker, count: int) -> list[Keeper]:
    """Keepers who know of each other."""
    keepers = [Keeper(broker) for _ in range(count)]
    for _ in range(2):
        for keeper in keepers:
            await keeper.rota.beat()
    return keepers


async def after_silence(keepers: list[Keeper]) -> None:
    """Time passes in which only these beat."""
    for _ in range(3):
        for keeper in keepers:
            keeper.clock.now_s += SILENT_S / 2
            await keeper.rota.beat()
    for keeper in keepers:
        await keeper.rota.beat()


@pytest.mark.foreign_hands
async def test_a_flushed_server_is_noticed_without_a_reconnect(rig: Rig, other: Broker) -> None:
    """Else a gateway would store jobs in a queue that nobody else knows, or keeps house in."""
    await rig.submit()

    async def is_known() -> bool:
        await rig.submit()
        queues = await other.engine.queues()
        return bool(queues) and rig.slot in await other.activity.slots()

    async with Janitor(rig.broker.housekeeper):
        await eventually(lambda: rig.call("EXISTS", rig.broker.engine.names.keepers()), "a beat")
        await rig.call("FLUSHALL")
        await eventually(is_known, "the queue and its slot are known again")


# The rota.


@pytest.mark.parametrize("count", [1, 2, 3, 10])
async def test_each_slot_has_two_caretakers_if_there_are_two(
    broker: Broker, slots: list[Slot], count: int
) -> None:
    keepers = await assembled(broker, count)
    for slot in slots:
        ranks = sorted(keeper.rota.rank(slot) for keeper in keepers)
        assert ranks == [0, 1, *[CARETAKERS] * (count - 2)][:count]
    assert all(keeper.rota.others == count - 1 for keeper in keepers)


async def test_slots_are_shared_out_among_all(broker: Broker) -> None:
    slots = [broker.engine.slot("q0000000", number) for number in range(400)]
    keepers = await assembled(broker, 8)
    shares = [len(keeper.cares_for(slots)) for keeper in keepers]
    assert sum(shares) == CARETAKERS * len(slots)
    assert min(shares) > 50  # 100 each, on average.


async def test_who_falls_silent_is_replaced_and_nobody_else_moves(
    broker: Broker, slots: list[Slot]
) -> None:
    *keepers, lost = await assembled(broker, 5)
    before = [keeper.cares_for(slots) for keeper in keepers]
    orphaned = lost.cares_for(slots)
    await after_silence(keepers)
    after = [keeper.cares_for(slots) for keeper in keepers]
    assert sum(map(len, after)) == CARETAKERS * SLOTS
    for had, has in zip(before, after, strict=True):
        assert had <= has
        assert has - had <= orphaned
    assert await broker.link.call("HLEN", broker.engine.names.keepers()) == len(keepers)


async def test_who_comes_back_takes_up_what_was_his(broker: Broker, slots: list[Slot]) -> None:
    *keepers, suspended = await assembled(broker, 4)
    his = suspended.cares_for(slots)
    await after_silence(keepers)
    await suspended.rota.beat()
    for keeper in keepers:
        await keeper.rota.beat()
    assert suspended.cares_for(slots) == his
    assert sum(len(keeper.cares_for(slots)) for keeper in (*keepers, suspended)) == 2 * SLOTS


async def test_who_leaves_is_missed_at_the_next_beat(broker: Broker) -> None:
    first, second, third = await assembled(broker, 3)
    await third.rota.leave()
    for keeper in (first, second):
        await keeper.rota.beat()
        assert keeper.rota.others == 1


async def test_an_outage_silences_nobody(broker: Broker) -> None:
    first, second = await assembled(broker, 2)
    first.clock.now_s += SILENT_S
    first.rota.forget()
    await first.rota.beat()
    assert first.rota.others == 1
    await after_silence([second])
    assert second.rota.others == 0


@pytest.mark.foreign_hands
@pytest.mark.parametrize("fate", ["lost", "broken"])
async def test_without_a_list_everybody_takes_care_of_everything_until_it_is_back(
    broker: Broker, slots: list[Slot], fate: str
) -> None:
    keepers = await assembled(broker, 4)
    key = broker.engine.names.keepers()
    await broker.link.call("DEL", key)
    if fate == "broken":
        await broker.link.call("SET", key, "not a hash")
        for keeper in keepers:
            await keeper.rota.beat()
            assert keeper.cares_for(slots) == set(slots)
        await broker.link.call("DEL", key)
    for _ in range(2):
        for keeper in keepers:
            await keeper.rota.beat()
    assert sum(len(keeper.cares_for(slots)) for keeper in keepers) == CARETAKERS * SLOTS


# The agenda.


async def test_a_hint_brings_a_visit_forward_once(slots: list[Slot]) -> None:
    agenda, woken = Agenda(), []
    slot, other = slots[:2]
    agenda.wake = lambda: woken.append(True)
    for each in (slot, other):
        agenda.plan(each, 60.0)
    assert agenda.pause_s(60.0) > 59
    agenda.expect(slot, 0.02)
    agenda.expect(slot, 0.02)
    assert woken
    assert agenda.pause_s(60.0) <= 0.02 + HINT_GRAIN_S
    assert agenda.due() == []

    def visited() -> bool:
        return agenda.due() == [slot]

    await eventually(visited, "the hint is due")
    assert agenda.due() == []
    assert agenda.pause_s(60.0) > 50


async def test_hints_are_only_for_what_nobody_would_see_in_time(slots: list[Slot]) -> None:
    agenda = Agenda()
    agenda.expect(slots[0], 0.0)  # Nobody follows it.
    agenda.wake = lambda: pytest.fail("nothing is due soon")
    agenda.expect(slots[0], VISIT_EVERY_S)
    assert agenda.pause_s(60.0) == pytest.approx(60.0)


async def test_the_longest_due_come_first_and_dropped_slots_have_no_turn(
    slots: list[Slot],
) -> None:
    agenda = Agenda()
    late, early, gone = slots[:3]
    agenda.plan(late, -1.0)
    agenda.plan(early, -2.0)
    agenda.plan(gone, -3.0)
    assert agenda.keep_only([early, late, slots[4]]) == {gone}
    assert agenda.due() == [early, late]
    agenda.hasten(early, -0.5)
    agenda.hasten(late, -5.0)
    assert agenda.due() == [late, early]


@pytest.mark.parametrize("how", ["delay", "retry", "release"])
async def test_a_short_delay_is_hinted_to_whoever_keeps_house_here(rig: Rig, how: str) -> None:
    agenda = rig.broker.activity.agenda
    grant = await rig.granted()
    agenda.wake = lambda: None
    agenda.plan(rig.slot, 60.0)
    match how:
        case "delay":
            await rig.submit(delay_ms=30)
        case "retry":
            await rig.fail(grant, retry_after_ms=30)
        case _:
            await rig.release(grant, pause_ms=30)

    async def queued() -> bool:
        for slot in agenda.due():
            await rig.broker.housekeeper.visit(slot)
        return len(await rig.waiting_tails()) == 1

    await eventually(queued, "the job is queued by the visit that was hinted at")


# All of it.


def test_every_chore_that_a_look_may_name_is_known(redis_url: str) -> None:
    named = re.findall(r"^(?:if .* then )?note\('(\w+)'", LOOK.source, re.MULTILINE)
    assert len(named) >= 3
    assert set(named) == set(Broker(redis_url).housekeeper.chores)


class Stumbling:
    """Promotes everywhere but in one slot, where it fails as no chore should."""

    def __init__(self, chore: Chore, where: Slot) -> None:
        self._chore = chore
        self._where = where

    async def do(self, slot: Slot) -> float | None:
        if slot == self._where:
            raise RuntimeError("a bug")
        return await self._chore.do(slot)


async def test_a_chore_that_crashes_does_not_keep_other_slots_waiting(rig: Rig) -> None:
    await rig.come_due(await rig.submit(delay_ms=60_000))
    await rig.broker.jobs.submit(replace(rig.new_job(delay_ms=1), queue="other"))
    keeper = rig.broker.housekeeper
    keeper.chores["promote"] = Stumbling(keeper.chores["promote"], rig.slot)
    crashes = 0

    async def queued() -> bool:
        nonlocal crashes
        try:
            await keeper.sweep()
        except RuntimeError:
            crashes += 1
        stats = await rig.broker.queues.stats("other")
        return stats.scheduled == 0 and crashes > 1

    await eventually(queued, "the job in the other slot is queued")
    assert await rig.promote() == 1  # By nobody else, until now.


async def rounds(broker: Broker, keepers: int, count: int) -> None:
    """Returns when so many keepers have beaten so many times more."""

    async def beats() -> dict[bytes, int]:
        flat = await broker.link.call("HGETALL", broker.engine.names.keepers())
        return {keeper: int(beat) for keeper, beat in pairs(flat).items()}

    async def all_here() -> bool:
        return len(await beats()) == keepers

    await eventually(all_here, "all keepers have beaten")
    since = await beats()

    async def all_beaten() -> bool:
        now = await beats()
        return all(now[keeper] >= beat + count for keeper, beat in since.items())

    await eventually(all_beaten, "all keepers have beaten again", within_s=30)


async def scripts_per_s(broker: Broker, keepers: int) -> float:
    """How many scripts the server runs in a second, over a few beats of all keepers."""

    async def scripts() -> int:
        stats = parse_info(await broker.link.call("INFO", "commandstats"))
        calls = re.search(r"calls=(\d+)", stats["cmdstat_evalsha"])
        assert calls
        return int(calls[1])

    before, since = await scripts(), time.monotonic()
    await rounds(broker, keepers, 3)
    return (await scripts() - before) / (time.monotonic() - since)


async def test_three_times_the_keepers_run_far_less_than_three_times_the_scripts(
    redis_url: str,
) -> None:
    async with AsyncExitStack() as stack:
        brokers = [
            await stack.enter_async_context(Broker(redis_url, BrokerOptions(partitions=SLOTS)))
            for _ in range(6)
        ]
        queue = await brokers[0].engine.ensure_queue("wide")
        for slot in brokers[0].engine.slots(queue):
            await brokers[0].activity.mark(slot)
        found: list[float] = []
        for newcomers in (brokers[:2], brokers[2:]):
            for broker in newcomers:
                await stack.enter_async_context(Janitor(broker.housekeeper))
            keepers = 6 if found else 2
            await rounds(brokers[0], keepers, 2)  # Whoever comes looks at everything once.
            found.append(await scripts_per_s(brokers[0], keepers))
    two, six = found
    assert two < 1.5 * CARETAKERS * SLOTS / VISIT_EVERY_S
    assert six < 1.7 * two
