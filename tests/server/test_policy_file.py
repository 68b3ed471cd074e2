"""Policies from a file: what it says, what it may not say, and who wins."""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import Backoff, Keep, Policy, PolicyKey, Priority
from penstock.runtime import ConfigurationError
from penstock.server import Gateway, ServerSettings, policy_file
from penstock.server.policy_file import PolicyFile, read_policies
from penstock.v1 import queue_service_pb2 as pb
from tests.server.rig import rig_on
from tests.support.processes import ROOT
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.runtime.embedded import EmbeddedServer

WHOLE: Final = """
    [queue.mail]
    max_attempts = 5
    backoff = { initial_s = 0.5, max_s = 60, multiplier = 3, jitter = 0 }
    timeout_s = 30
    priority = "high"
    concurrency = 10
    succeeded = { age_s = 0, count = 100 }
    failed = { count = 1000 }

    [queue.mail.type."mail.welcome"]
    priority = "low"

    [queue.images.type."image.resize"]
    concurrency = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policies.toml"


def write(file: Path, text: str) -> Path:
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return file


def test_a_file_says_what_a_policy_can(file: Path) -> None:
    assert read_policies(write(file, WHOLE)) == {
        PolicyKey("mail"): Policy(
            max_attempts=5,
            backoff=Backoff(500, 60_000, 3.0, 0.0),
            timeout_ms=30_000,
            priority=Priority.HIGH,
            concurrency=10,
            succeeded=Keep(0, 100),
            failed=Keep(None, 1_000),
        ),
        PolicyKey("mail", "mail.welcome"): Policy(priority=Priority.LOW),
        PolicyKey("images", "image.resize"): Policy(concurrency=2),
    }
    assert read_policies(write(file, "")) == {}


BAD: Final = [
    ("[queue.mail]\nmax_attempts = 101", "queue.mail.max_attempts"),
    ("[queue.mail]\nmax_attempts = '5'", "queue.mail.max_attempts"),
    ("[queue.mail]\nconcurrency = 2.5", "queue.mail.concurrency"),
    ("[queue.mail]\nconcurrency = -1", "queue.mail.concurrency"),
    ("[queue.mail]\nconcurrency = 0", "queue.mail.concurrency"),
    ("[queue.mail]\nmax_waiting = 0", "queue.mail.max_waiting"),
    ('[queue.mail.type."a.b"]\nmax_waiting = 1', 'queue.mail.type."a.b".max_waiting'),
    ("[queue.mail.type.'a.b']\nmax_attempts = 0", 'queue.mail.type."a.b".max_attempts'),
    ("[queue.mail]\nmax_attempt = 5", "queue.mail.max_attempt"),
    ("[queue.mail]\ncolour = 'red'", "queue.mail.colour"),
    ("[queue.mail]\npriority = 'urgent'", "queue.mail.priority"),
    ("[queue.mail]\ntimeout_s = 0", "queue.mail.timeout_s"),
    ("[queue.mail]\ntimeout_s = nan", "queue.mail.timeout_s"),
    ("[queue.mail]\nbackoff = { multiplier = 0.5 }", "queue.mail.backoff.multiplier"),
    ("[queue.mail]\nbackoff = { max_s = 1e8 }", "queue.mail.backoff.max_s"),
    ("[queue.mail]\nfailed = { count = -1 }", "queue.mail.failed.count"),
    ("[queue.mail]\nsucceeded = { age_s = -1 }", "queue.mail.succeeded.age_s"),
    ("[queue.mail.type.'a.b']\nmax_attempts = -1", 'queue.mail.type."a.b".max_attempts'),
    ("[queue.'a b']\nmax_attempts = 1", "queue.a b"),
    ("[queue.a.type.'*']\nmax_attempts = 1", "queue.a.type.*"),
    ("[queues.mail]\nmax_attempts = 1", "queues"),
    ("max_attempts = ", "it is no TOML"),
]


@pytest.mark.parametrize(("text", "field"), BAD)
def test_a_file_that_breaks_a_rule_is_refused_with_the_field(
    file: Path, text: str, field: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_policies(write(file, text))
    assert f"  {field}: " in str(refused.value)
    assert refused.value.fields == ("policy_file",)


def test_all_that_is_wrong_with_a_file_is_told_at_once(file: Path) -> None:
    text = "[queue.a]\nmax_attempts = 101\n[queue.b]\nconcurrency = -1"
    with pytest.raises(ConfigurationError, match=r"(?s)queue\.a\.max_attempts.*queue\.b\.conc"):
        read_policies(write(file, text))


def test_a_file_has_no_more_policies_than_can_be_set(file: Path) -> None:
    types = "\n".join(f"type.t{number}.concurrency = 1" for number in range(101))
    with pytest.raises(ConfigurationError, match=r"queue\.mail\.type: .*100"):
        read_policies(write(file, f"[queue.mail]\n{types}"))
    queues = "\n".join(f"q{number}.concurrency = 1" for number in range(1_001))
    with pytest.raises(ConfigurationError, match=r"queue: .*1000"):
        read_policies(write(file, f"[queue]\n{queues}"))


def test_a_gateway_does_not_start_with_a_file_that_is_not_there(file: Path) -> None:
    settings = ServerSettings.load(redis_url="redis://127.0.0.1:1", policy_file=file)
    with pytest.raises(ConfigurationError, match="No such file"):
        Gateway(settings)


async def test_what_the_file_says_holds_from_the_first_submit_on(
    redis_url: str, file: Path
) -> None:
    write(file, "[queue.default]\nmax_attempts = 7")
    async with rig_on(redis_url, policy_file=file) as rig:
        assert (await rig.job((await rig.submit()).job_id)).max_attempts == 7
        listed = await rig.queues.ListQueuePolicies(pb.ListQueuePoliciesRequest())
        assert [each.source for each in listed.policies] == [pb.POLICY_SOURCE_FILE]


async def test_what_is_set_covers_the_file_and_what_is_taken_back_uncovers_it(
    redis_url: str, file: Path
) -> None:
    write(file, "[queue.default]\nmax_attempts = 7\nconcurrency = 3")
    async with rig_on(redis_url, policy_file=file) as rig:
        request = pb.SetQueuePolicyRequest(queue="default", policy=pb.Policy(max_attempts=9))
        await rig.queues.SetQueuePolicy(request)
        got = await rig.queues.GetQueuePolicy(pb.GetQueuePolicyRequest())
        assert (got.effective.max_attempts, got.effective.concurrency) == (9, 0)
        listed = await rig.queues.ListQueuePolicies(pb.ListQueuePoliciesRequest())
        assert [each.source for each in listed.policies] == [
            pb.POLICY_SOURCE_SET,
            pb.POLICY_SOURCE_FILE,
        ]
        await rig.queues.DeleteQueuePolicy(pb.DeleteQueuePolicyRequest(queue="default"))
        got = await rig.queues.GetQueuePolicy(pb.GetQueuePolicyRequest())
        assert (got.effective.max_attempts, got.effective.concurrency) == (7, 3)


async def test_the_file_of_the_gateway_that_started_last_holds_for_the_fleet(
    redis_url: str, file: Path
) -> None:
    write(file, "[queue.default]\nmax_attempts = 7")
    async with rig_on(redis_url, policy_file=file) as rig:
        write(file, "[queue.default]\nmax_attempts = 8")
        async with rig_on(redis_url, policy_file=file):

            async def applied() -> bool:
                return (await rig.job((await rig.submit()).job_id)).max_attempts == 8

            await eventually(applied, "the first gateway goes by the newer file")


async def test_an_older_gateway_leaves_the_newer_file_in_place(redis_url: str, file: Path) -> None:
    async with rig_on(redis_url) as rig:
        held = rig.broker.policies
        older = PolicyFile(rig.broker, {PolicyKey("default"): Policy(max_attempts=7)})
        await older.setup()
        assert [entry.policy.max_attempts for entry in held.entries()] == [7]
        async with rig_on(redis_url, policy_file=write(file, "")):
            pass
        await held.refresh()
        await older.tick()
        assert held.entries() == []


async def test_a_gateway_with_a_file_serves_without_redis_as_soon_as_one_without(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_file, "PUBLISH_WITHIN_S", 50.0)
    write(file, "[queue.default]\nmax_attempts = 7")
    settings = ServerSettings.load(
        redis_url="redis://127.0.0.1:1",
        listen="127.0.0.1:0",
        startup_wait_s=0.1,
        shutdown_grace_s=0.1,
        policy_file=file,
    )
    gateway = Gateway(settings)
    async with asyncio.timeout(20):
        await gateway.start()
    await gateway.stop()


async def test_a_server_that_lost_its_data_gets_the_policies_back(
    redis_server: EmbeddedServer, redis_url: str, file: Path
) -> None:
    write(file, "[queue.default]\nmax_attempts = 7")
    async with rig_on(redis_url, policy_file=file) as rig:
        await rig.broker.link.call("FLUSHALL")
        await asyncio.to_thread(redis_server.kill)
        await asyncio.to_thread(redis_server.start)

        async def applied() -> bool:
            request = pb.GetQueuePolicyRequest()
            return (await rig.queues.GetQueuePolicy(request)).effective.max_attempts == 7

        await eventually(applied, "the file is published again", within_s=15)


def test_the_file_of_the_documents_can_be_used() -> None:
    document = (ROOT / "docs/policies.md").read_text()
    sample = ROOT / "examples/quickstart/policies.toml"
    assert sample.read_text() in document
    assert [key.type for key in read_policies(sample)] == ["", "mail.welcome"]
