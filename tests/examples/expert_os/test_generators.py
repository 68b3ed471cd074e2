"""Writing with an endpoint that speaks OpenAI's protocol: over real HTTP, good days and bad."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.expert_os.generators import ChatEndpoint, EndpointError, Offline
from examples.expert_os.tasks import GENERATE_CONTENT, QUEUE, GenerateContent, GeneratedContent
from penstock.client import Backoff, ChunkEvent, Client, FailureReason, JobState
from tests.examples.expert_os.faults import STRANGE
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.harness.stack import Stack
    from penstock.client import Job, JobHandle

KEY = "secret-of-the-endpoint"
TOKENS = 12


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    key = {"EXPERT_OS_LLM_KEY": KEY}
    _, url = stack.start_web("endpoint", "tests.examples.expert_os.faults:faults", settings=key)
    model = {"EXPERT_OS_LLM_URL": f"{url}/v1/", "EXPERT_OS_LLM_MODEL": "m", **key}
    stack.start_worker("worker", "examples.expert_os.worker:app", settings=model)
    with Client(stack.address) as client:
        yield client


def write(client: Client, prompt: str) -> JobHandle:
    wish = GenerateContent(prompt=prompt, max_tokens=TOKENS)
    return client.submit(
        GENERATE_CONTENT.name,
        wish,
        queue=QUEUE,
        backoff=Backoff(initial=0.05),
        max_attempts=2,
        allow_unregistered=True,
    )


def ended(job: JobHandle) -> tuple[Job, list[str]]:
    """How a job ended, and the tokens of its last attempt."""
    chunks = [event for event in job.watch() if isinstance(event, ChunkEvent)]
    last = job.status()
    return last, [chunk.text for chunk in chunks if chunk.attempt == last.attempt]


def test_each_token_is_passed_on(client: Client) -> None:
    job, tokens = ended(write(client, "A story."))
    assert len(tokens) == TOKENS
    written = job.result_as(GeneratedContent)
    assert (written.text, written.tokens) == ("".join(tokens), TOKENS)
    assert written.model == "m"


def test_whatever_is_in_a_token_arrives(client: Client) -> None:
    job, tokens = ended(write(client, "strange:"))
    assert tokens == list(STRANGE)
    assert job.result["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("busy", "429: too many requests"),
        ("broken", "500: out of memory"),
        ("hang up", "hung up"),
        ("error", "the model crashed"),
        ("nonsense", "Invalid JSON"),
        ("page", "text/event-stream"),
    ],
)
def test_an_attempt_that_came_to_nothing_is_repeated(client: Client, fault: str, said: str) -> None:
    job, tokens = ended(write(client, f"{fault}: once"))
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert job.failure is not None
    assert said in job.failure.message
    assert job.result["text"] == "".join(tokens)


def test_what_the_endpoint_refuses_is_not_repeated(client: Client) -> None:
    job, _ = ended(write(client, "too long:"))
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert job.failure is not None
    assert job.failure.reason is FailureReason.NON_RETRYABLE
    assert "the prompt has too many tokens" in job.failure.message


def test_a_text_without_end_is_cut(client: Client) -> None:
    job, _ = ended(write(client, "endless:"))
    assert len(job.result["text"]) == 200_000
    assert job.result["finish_reason"] == "length"


async def test_a_wrong_key_is_told_and_not_shown(stack: Stack) -> None:
    settings = {"EXPERT_OS_LLM_KEY": "the right key"}
    _, url = stack.start_web("strict", "examples.expert_os.endpoint:endpoint", settings=settings)
    endpoint = ChatEndpoint(f"{url}/v1", "m", KEY)
    with pytest.raises(EndpointError, match="401: the key is wrong") as caught:
        [delta async for delta in endpoint.write(GenerateContent(prompt="Hello."))]
    assert KEY not in str(caught.value)


async def test_an_endpoint_that_is_away_is_named() -> None:
    endpoint = ChatEndpoint(f"http://127.0.0.1:{free_port()}/v1", "m")
    with pytest.raises(EndpointError, match="/v1/chat/completions: ConnectError"):
        [delta async for delta in endpoint.write(GenerateContent(prompt="Hello."))]


async def test_the_offline_generator_writes_the_same_for_the_same_prompt() -> None:
    async def text(prompt: str, most: int = 50) -> tuple[str, str]:
        wish = GenerateContent(prompt=prompt, max_tokens=most)
        deltas = [delta async for delta in Offline().write(wish)]
        assert len(deltas) <= most + 1
        return "".join(delta.text for delta in deltas), deltas[-1].finish_reason

    first, _ = await text("one")
    assert (await text("one"))[0] == first
    assert (await text("two"))[0] != first
    assert (await text("one", most=3))[1] == "length"
    assert (await text("one", most=4096))[1] == "stop"
