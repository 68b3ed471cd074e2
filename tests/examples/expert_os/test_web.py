"""The web application: it accepts tasks at once, shows them live, and stays up whatever happens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from httpx_sse import connect_sse

from examples.expert_os.documents import MAX_BYTES
from examples.expert_os.producer import TaskQueue
from examples.expert_os.samples import brochure
from examples.expert_os.tasks import (
    GENERATE_CONTENT,
    PROCESS_DOCUMENT,
    QUEUE,
    DocumentReport,
    GenerateContent,
)
from penstock.client import AsyncClient, Client, InvalidRequest
from tests.support.processes import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from examples.harness.stack import Stack
    from tests.examples.conftest import EndToEnd

GENERATE = {"type": "GENERATE_CONTENT", "data": {"prompt": "Tell me.", "max_tokens": 20}}


def accepted(answer: httpx.Response) -> str:
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def generate(web: httpx.Client, **headers: str) -> str:
    return accepted(web.post("/tasks", json=GENERATE, headers=headers))


def follow(web: httpx.Client, job_id: str, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
    headers = {"last-event-id": str(after)}
    with connect_sse(web, "GET", f"/tasks/{job_id}/events", headers=headers) as source:
        return [(int(event.id), json.loads(event.data)) for event in source.iter_sse()]


def is_ready(web: httpx.Client) -> bool:
    return bool(web.get("/health").json()["tasks"] == "ok")


def test_a_text_is_written_token_by_token(web: httpx.Client) -> None:
    events = [event for _, event in follow(web, generate(web))]
    tokens = [event["token"] for event in events if "token" in event]
    assert 15 < len(tokens) <= 20
    assert events[-1]["status"] == "succeeded"
    assert events[-1]["result"]["text"] == "".join(tokens)
    assert events[-1]["result"]["model"] == "offline"


def test_who_reconnects_misses_no_token(web: httpx.Client) -> None:
    job_id = generate(web)
    events = follow(web, job_id)
    seen = events[len(events) // 2][0]
    again = follow(web, job_id, after=seen)
    assert again[1:] == [event for event in events if event[0] > seen]


def test_a_document_is_read_page_by_page(web: httpx.Client) -> None:
    answer = web.post("/documents", params={"name": "Brochure.PDF"}, content=brochure(12))
    job_id, document_id = accepted(answer), answer.json()["document_id"]
    events = [event for _, event in follow(web, job_id)]
    assert events[-1]["status"] == "succeeded"
    report = DocumentReport.model_validate(events[-1]["result"])
    assert (report.title, report.pages) == ("The penstock, explained", 12)
    assert report.words > 5_000
    assert "fencing token" in [term.term for term in report.key_terms]
    messages = {event.get("message") for event in events}
    assert "page 12 of 12" in messages
    assert web.get(f"/documents/{document_id}/text").text.count("Chapter") == 12


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("text/markdown; charset=utf-8", ""),
        ("application/octet-stream", "a.md"),
        ("", "a.markdown"),
    ],
)
def test_what_a_document_is_says_its_type_or_its_name(
    web: httpx.Client, content_type: str, name: str
) -> None:
    answer = web.post(
        "/documents",
        params={"name": name},
        headers={"content-type": content_type},
        content=b"# Hello\n\nto all.",
    )
    result = follow(web, accepted(answer))[-1][1]["result"]
    assert (result["title"], result["words"]) == ("Hello", 3)


def test_a_broken_document_fails_once_and_says_why(web: httpx.Client) -> None:
    answer = web.post("/documents?name=broken.pdf", content=brochure(2)[:500])
    last = follow(web, accepted(answer))[-1][1]
    assert (last["status"], last["attempt"]) == ("failed", 1)
    assert "no PDF that can be read" in last["message"]


def test_documents_that_are_not_accepted(web: httpx.Client) -> None:
    assert web.post("/documents?name=a.docx", content=b"PK").status_code == 415
    too_large = (bytes(1024 * 1024) for _ in range(MAX_BYTES // 1024**2 + 1))
    assert web.post("/documents?name=a.pdf", content=too_large).status_code == 413
    assert web.post("/documents?name=" + "a" * 201, content=b"").status_code == 422


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"type": "SEND_MAIL", "data": {}},
        {"type": "GENERATE_CONTENT"},
        {"type": "GENERATE_CONTENT", "data": {}},
        {"type": "GENERATE_CONTENT", "data": {"prompt": "x", "max_tokens": "7"}},
        {"type": "GENERATE_CONTENT", "data": {"prompt": "x", "tone": "kind"}},
        {"type": "PROCESS_DOCUMENT", "data": {"prompt": "x"}},
        {"type": "PROCESS_DOCUMENT", "data": {"document_id": "../etc/passwd", "format": "pdf"}},
    ],
)
def test_a_wrong_task_is_refused(web: httpx.Client, task: dict[str, Any]) -> None:
    answer = web.post("/tasks", json=task)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("type", "data", "fields"),
    [
        (PROCESS_DOCUMENT.name, {"prompt": "Hello."}, {"", "/prompt"}),
        (GENERATE_CONTENT.name, {"prompt": 7}, {"/prompt"}),
        (GENERATE_CONTENT.name, {"prompt": "x", "max_tokens": 10**6}, {"/max_tokens"}),
        (GENERATE_CONTENT.name, {"prompt": ""}, {"/prompt"}),
        (PROCESS_DOCUMENT.name, {"document_id": "../../etc", "format": "pdf"}, {"/document_id"}),
    ],
)
async def test_what_is_wrong_does_not_pass_the_gate(
    stack: Stack, web: httpx.Client, type: str, data: dict[str, Any], fields: set[str]
) -> None:
    follow(web, generate(web))  # The worker has published the types.
    async with AsyncClient(stack.address) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.submit(type, data, queue=QUEUE)
    wrong = {each.field.removeprefix("job.payload.data") for each in caught.value.violations}
    assert wrong & fields, wrong


async def test_who_looks_away_is_refused_at_the_gate(stack: Stack, web: httpx.Client) -> None:
    follow(web, generate(web))
    async with AsyncClient(stack.address) as client:
        text = GenerateContent(prompt="Hello.")
        with pytest.raises(InvalidRequest):
            await TaskQueue(client).add_job_to_queue(PROCESS_DOCUMENT, text)  # type: ignore[misc]


def test_a_repeated_request_is_one_task(web: httpx.Client) -> None:
    keys = {"idempotency-key": "click-1"}
    first = generate(web, **keys)
    assert generate(web, **keys) == first
    assert generate(web) != first
    other = GENERATE | {"data": {"prompt": "Another."}}
    assert web.post("/tasks", json=other, headers=keys).status_code == 409


def test_what_is_not_there_is_not_found(web: httpx.Client) -> None:
    job_id = generate(web)
    other = job_id[:-1] + ("0" if job_id[-1] != "0" else "1")
    assert web.get(f"/tasks/{other}").status_code == 404
    assert web.get(f"/tasks/{other}/events").status_code == 404
    assert web.get("/tasks/nonsense").status_code == 422
    assert web.get(f"/documents/{'0' * 64}/text").status_code == 404
    assert web.get("/documents/..%2f..%2fetc%2fpasswd/text").status_code == 404


def test_the_worker_may_come_later(stack: Stack, web: httpx.Client) -> None:
    with Client(stack.address) as client:
        client.pause_queue(QUEUE)
        job_id = generate(web)
        assert web.get(f"/tasks/{job_id}").json()["message"] == "waiting for a worker"
        client.resume_queue(QUEUE)
    assert follow(web, job_id)[-1][1]["status"] == "succeeded"


def test_redis_that_is_down_is_told_and_survived(stack: Stack, web: httpx.Client) -> None:
    before = generate(web)
    stack.server.kill()
    try:
        began = time.monotonic()
        for refused in (web.post("/tasks", json=GENERATE), web.get(f"/tasks/{before}")):
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert "Try again in" in refused.json()["detail"]
        assert time.monotonic() - began < 10, "nobody waits for long"
        assert web.get("/health").json() == {"status": "ok", "tasks": "unavailable"}
        assert web.post("/tasks", json={}).status_code == 422, "it is the site that says this"
    finally:
        stack.server.start()
    wait_until(lambda: is_ready(web), "the site recovers", within_s=20)
    for job_id in (before, generate(web)):
        assert follow(web, job_id)[-1][1]["status"] == "succeeded"


def test_a_gateway_that_is_down_is_told_and_survived(
    stack: Stack, settings: dict[str, str]
) -> None:
    port = free_port()
    address = {"PENSTOCK_ADDRESS": f"127.0.0.1:{port}", **settings}
    _, url = stack.start_web("lonely-web", "examples.expert_os.web:web", settings=address)
    stack.start_worker("another-worker", "examples.expert_os.worker:app")
    with httpx.Client(base_url=url, timeout=30) as web:
        refused = web.post("/documents?name=a.md", content=b"# Hello")
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert web.get("/health").json() == {"status": "ok", "tasks": "unavailable"}
        stack.start_gateway(f"127.0.0.1:{port}")
        wait_until(lambda: is_ready(web), "the site recovers", within_s=20)
        assert follow(web, generate(web))[-1][1]["status"] == "succeeded"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_run_comes_out_as_planned(end_to_end: EndToEnd) -> None:
    report = end_to_end("expert_os")
    assert report["jobs"] == report["succeeded"] + report["failed_as_planned"]
