"""Names: keys, slots and ids; that Python and Lua agree on them, and that none can be forged."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import JobState, Priority, ids
from penstock.broker.keys import NamespaceKeys, Slot
from penstock.broker.link import RedisLink
from penstock.broker.script import Script, load_script
from tests.broker.audit import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.runtime.embedded import EmbeddedServer

TAIL: Final = "0123456789abcdefghjkmnpqrs"
SLOT: Final = Slot(ids.namespace_code("default"), ids.queue_code("default", "q"), 7)
NAMES: Final = NamespaceKeys("default")

#: Each name in keys.py with the expression for it in lib/slot.lua.
MIRROR: Final[dict[str, tuple[str, Callable[[Slot], bytes]]]] = {
    "base": ("slot", lambda slot: slot.base),
    "record": ("record_key(ARGV[1])", lambda slot: slot.record(TAIL)),
    "payload": ("payload_key(ARGV[1])", lambda slot: slot.payload(TAIL)),
    "result": ("result_key(ARGV[1])", lambda slot: slot.result(TAIL)),
    "checkpoint": ("checkpoint_key(ARGV[1])", lambda slot: slot.checkpoint(TAIL)),
    "log": ("log_key(ARGV[1])", lambda slot: slot.log(TAIL)),
    "stream": ("stream_key('h')", lambda slot: slot.stream(Priority.HIGH)),
    "due": ("due_key", lambda slot: slot.due()),
    "leases": ("leases_key", lambda slot: slot.leases()),
    "deadlines": ("deadlines_key", lambda slot: slot.deadlines()),
    "ended": ("ended_key('F')", lambda slot: slot.ended(JobState.FAILED)),
    "idempotency": ("idempotency_key(ARGV[1])", lambda slot: slot.idempotency(TAIL)),
    "cache": ("cache_key(ARGV[1])", lambda slot: slot.cache(TAIL)),
    "finished": ("finished_key(42)", lambda slot: slot.finished(42)),
    "schedule": ("schedule_key(ARGV[1])", lambda slot: slot.schedule(TAIL)),
    "schedules": ("schedules_key", lambda slot: slot.schedules()),
    "buried": ("buried_key(ARGV[1])", lambda slot: slot.buried(TAIL)),
    "limits": ("limits_key", lambda slot: slot.limits()),
    "gate": ("gate_key(ARGV[1])", lambda slot: slot.gate(TAIL)),
    "parked": ("parked_key(ARGV[1])", lambda slot: slot.parked(TAIL)),
    "held": ("held_key", lambda slot: slot.held()),
    "kept": ("kept_key(ARGV[1], 'D')", lambda slot: slot.kept(TAIL, JobState.SUCCEEDED)),
    "paused": ("paused_key", lambda slot: slot.paused()),
    "channel": ("channel_of(ARGV[1])", lambda slot: slot.channel(TAIL)),
}


def public_names(cls: type) -> set[str]:
    return {
        name
        for name, member in inspect.getmembers(cls)
        if not name.startswith("_") and (callable(member) or name == "base")
    }


async def test_lua_and_python_derive_the_same_names(redis_url: str) -> None:
    library = load_script("read").source.partition("local id = ARGV[1]")[0]
    expressions = ", ".join(expression for expression, _ in MIRROR.values())
    probe = Script("probe", f"{library}return {{{expressions}}}\n")
    async with RedisLink(redis_url) as link:
        derived = await probe.run(link, [SLOT.base], [TAIL])
    assert derived == [name(SLOT) for _, name in MIRROR.values()]


def test_every_name_of_a_slot_is_compared_and_every_name_in_lua(redis_url: str) -> None:
    assert redis_url
    assert set(MIRROR) == public_names(Slot) - {"job_id"}
    library = load_script("read").source.partition("-- The server's clock")[0]
    in_lua = {line.split("(")[0].split()[-1] for line in library.splitlines() if "_key(" in line}
    compared = {expression.split("(")[0] for expression, _ in MIRROR.values()}
    assert in_lua <= compared


def test_every_name_is_in_the_stated_list_of_keys() -> None:
    listed = {
        pattern.rpartition("}")[2].split(":")[1] if ":" in pattern.rpartition("}")[2] else ""
        for pattern in KEYS
    }
    of_slot = [name(SLOT) for key, (_, name) in MIRROR.items() if key != "channel"]
    of_namespace = [
        NAMES.queues(), NAMES.types(), NAMES.schemas(), NAMES.workers(), NAMES.active(),
        NAMES.walk(), NAMES.probe(), NAMES.worker("w"), NAMES.bell("w"), NAMES.idle("c"),
        NAMES.subscriptions(), NAMES.topics(), NAMES.keepers(),
        NAMES.generations(), NAMES.schedules(), NAMES.policies(),
    ]  # fmt: skip
    assert len(of_namespace) == len(public_names(NamespaceKeys) - {"base", "code"})
    found = {
        (key.decode().rpartition("}")[2] + ":").split(":")[1] for key in of_slot + of_namespace
    }
    assert found == listed


async def test_all_keys_of_a_queue_are_in_one_slot_and_those_of_a_namespace_in_another(
    cluster_server: EmbeddedServer,
) -> None:
    async with RedisLink(cluster_server.start().url) as link:

        async def slots(keys: list[bytes]) -> set[int]:
            return {await link.call("CLUSTER", "KEYSLOT", key) for key in keys}

        of_queue = await slots([name(SLOT) for _, name in MIRROR.values()])
        of_namespace = await slots(
            [NAMES.base, NAMES.queues(), NAMES.bell("w{x}"), NAMES.idle("c")]
        )
        assert len(of_queue) == len(of_namespace) == 1
        assert of_queue != of_namespace


# Ids.

text = st.text(max_size=40)
codes = st.text(ids.ALPHABET, min_size=ids.CODE_LENGTH, max_size=ids.CODE_LENGTH)
tails = st.text(ids.ALPHABET, min_size=ids.TAIL_LENGTH, max_size=ids.TAIL_LENGTH)


@given(st.integers(0, ids.MAX_PARTITIONS - 1), codes, tails)
def test_an_id_leads_back_to_its_parts(partition: int, code: str, tail: str) -> None:
    job_id = ids.join(partition, code, tail)
    assert len(job_id) == ids.JOB_ID_LENGTH
    assert ids.split(job_id) == (partition, code, tail)


@given(st.text(max_size=60))
def test_whatever_is_not_an_id_is_malformed(job_id: str) -> None:
    if len(job_id) != ids.JOB_ID_LENGTH or set(job_id) - set(ids.ALPHABET):
        assert ids.split(job_id) is None


@pytest.mark.parametrize(
    "job_id",
    [
        "", "0", "0" * 35, "0" * 37, "0" * 35 + "\n", "0" * 35 + "O", "0" * 35 + "A",
        "0" * 35 + "٣", "0" * 35 + "}", "*" * 36, "\x00" * 36, "{" + "0" * 35, " " + "0" * 35,
    ],
)  # fmt: skip
def test_a_malformed_id_is_told_from_a_good_one(job_id: str) -> None:
    assert ids.split("0" * 36) is not None
    assert ids.split(job_id) is None


@given(text, text, text, text, text, text)
def test_different_requests_are_different_jobs(  # noqa: PLR0917 - three names, twice.
    namespace: str, queue: str, request: str, namespace2: str, queue2: str, request2: str
) -> None:
    first, second = (namespace, queue, request), (namespace2, queue2, request2)
    assert (ids.job_tail(*first) == ids.job_tail(*second)) == (first == second)


def test_names_cannot_be_shifted_into_each_other() -> None:
    assert ids.job_tail("a", "bc", "d") != ids.job_tail("a", "b", "cd")
    assert ids.queue_code("ab", "c") != ids.queue_code("a", "bc")


@given(text, text, st.integers(1, 64))
def test_names_of_callers_never_appear_in_keys(namespace: str, name: str, partitions: int) -> None:
    slot = Slot(
        ids.namespace_code(namespace),
        ids.queue_code(namespace, name),
        ids.partition_of(name, partitions),
    )
    for key in (
        slot.record(ids.job_tail(namespace, name, name)),
        slot.idempotency(ids.key_digest(name)),
    ):
        assert set(key.decode()) <= set(ids.ALPHABET + "ps{}:i")
        assert len(key) < 60


@given(text, st.integers(1, ids.MAX_PARTITIONS))
def test_a_partition_is_one_of_those_there_are_and_always_the_same(key: str, count: int) -> None:
    partition = ids.partition_of(key, count)
    assert 0 <= partition < count
    assert partition == ids.partition_of(key, count)


def test_partitions_are_used_evenly() -> None:
    counts = [0] * 8
    for number in range(8_000):
        counts[ids.partition_of(f"request-{number}", 8)] += 1
    assert min(counts) > 800
