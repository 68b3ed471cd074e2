"""The tasks end to end: ``make examples ARGS=expert_os``, or ``python -m examples.expert_os``.

Documents of three kinds are read and texts are written, by a worker with the offline generator
and then by one with an endpoint. In between Redis is killed: the web application says so, stays,
and goes on once it is back.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx
from httpx_sse import aconnect_sse

from examples.expert_os.samples import brochure, home_page
from examples.expert_os.tasks import GENERATE_CONTENT, PROCESS_DOCUMENT, QUEUE, GenerateContent
from examples.harness.checks import Check
from examples.harness.report import Report
from examples.harness.run import run
from examples.harness.stack import REPOSITORY
from penstock.client import AsyncClient, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from examples.harness.stack import Stack

PAGES: Final = 24
MODEL: Final = "small-model"
KEY: Final = "a key of the endpoint"
TOKENS: Final = 60

_WORKER: Final = "examples.expert_os.worker:app"
_RECOVERS_WITHIN_S: Final = 30


@dataclass(slots=True)
class _Task:
    """A task that was followed to its end."""

    ended: dict[str, Any] = field(default_factory=dict)
    steps: set[int] = field(default_factory=set)
    tokens: list[str] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.ended["result"] or {}
        return result


async def play(stack: Stack, console: Console) -> Report:
    """The scenario."""
    store = {"EXPERT_OS_DOCUMENTS": str(stack.folder / "documents")}
    _, url = stack.start_web("web", "examples.expert_os.web:web", settings=store)
    worker = stack.start_worker("worker", _WORKER, settings=store)
    await stack.workers_are_up(QUEUE, 1)
    console.print(f"web {url}, a worker with the offline generator")
    async with httpx.AsyncClient(base_url=url, timeout=30) as web:
        checks, documents = await _read_documents(web, console)
        checks += await _refused(stack, web)
        first_token_ms, written = await _write(web)
        checks += [_is_streamed("offline", written)]
        worker.stop()
        away, waiting = await _redis_goes_away(stack, web, console)
        checks += away
        _, endpoint = stack.start_web(
            "endpoint", "examples.expert_os.endpoint:endpoint", settings={"EXPERT_OS_LLM_KEY": KEY}
        )
        model = {
            "EXPERT_OS_LLM_URL": f"{endpoint}/v1",
            "EXPERT_OS_LLM_MODEL": MODEL,
            "EXPERT_OS_LLM_KEY": KEY,
        }
        stack.start_worker("worker-with-endpoint", _WORKER, settings=store | model)
        console.print(f"a worker that writes with the endpoint {endpoint}/v1")
        later = [await _follow(web, job_id) for job_id in waiting]
        checks += [
            Check("what was accepted before and after is done", 2, sum(map(_succeeded, later))),
            _is_streamed(MODEL, later[-1]),
        ]
    succeeded = sum(map(_succeeded, [*documents, written, *later]))
    figures = {
        "documents read": f"{sum(map(_succeeded, documents))}",
        "words in them": f"{sum(each.result.get('words', 0) for each in documents):,}",
        "first token after": f"{first_token_ms:.0f} ms",
    }
    return Report(len(documents) + 1 + len(later), succeeded, 1, checks, figures)


async def _read_documents(
    web: httpx.AsyncClient, console: Console
) -> tuple[list[Check], list[_Task]]:
    """Has real documents read, and one that is broken."""
    handed_in = {f"{path.name}": path.read_bytes() for path in sorted(REPOSITORY.glob("docs/*.md"))}
    handed_in |= {"brochure.pdf": brochure(PAGES), "home.html": home_page()}
    handed_in["broken.pdf"] = handed_in["brochure.pdf"][:2000]
    answers = [
        (await web.post("/documents", params={"name": name}, content=data))
        .raise_for_status()
        .json()
        for name, data in handed_in.items()
    ]
    tasks = await asyncio.gather(*(_follow(web, answer["job_id"]) for answer in answers))
    by_name = dict(zip(handed_in, tasks, strict=True))
    for name, task in by_name.items():
        terms = ", ".join(term["term"] for term in task.result.get("key_terms", [])[:4])
        console.print(f"  {name}: {task.ended['status']}, {terms or task.ended['message']}")
    pdf, broken = by_name["brochure.pdf"], by_name["broken.pdf"]
    about = " ".join(term["term"] for term in pdf.result["key_terms"])
    text = await web.get(
        f"/documents/{answers[list(handed_in).index('home.html')]['document_id']}/text"
    )
    checks = [
        Check("every sound document is read", len(tasks) - 1, sum(map(_succeeded, tasks))),
        Check("a PDF is read page by page", PAGES, pdf.result["pages"]),
        Check.that("... with progress on its way", true=len(pdf.steps) > 1),
        Check.that("... and it is known what it is about", true="fencing token" in about),
        Check.that("of a page in HTML the text is kept", true=text.text.startswith("Home")),
        Check.that("... without its scripts", true="script" not in text.text),
        Check("a broken PDF fails at its first attempt", ("failed", 1), _end(broken)),
    ]
    return checks, list(tasks)


async def _refused(stack: Stack, web: httpx.AsyncClient) -> list[Check]:
    """Hands in what is wrong: to the web application, and past it to the gateway."""
    task = {"type": GENERATE_CONTENT.name, "data": {"prompt": "", "max_tokens": "many"}}
    answer = await web.post("/tasks", json=task)
    violations = 0
    async with AsyncClient(stack.address) as client:
        try:
            wrong = GenerateContent(prompt="This is no document.")
            await client.submit(PROCESS_DOCUMENT.name, wrong, queue=QUEUE)
        except InvalidRequest as error:
            violations = len(error.violations)
    return [
        Check("the web application refuses wrong data", 422, answer.status_code),
        Check.that("... and so does the gateway", true=violations > 0),
    ]


async def _write(web: httpx.AsyncClient) -> tuple[float, _Task]:
    """Has a text written; returns when its first token came, in ms, and how it went."""
    began = time.perf_counter()
    first: list[float] = []
    job_id = await _ask(web, "Tell me about queues.")
    written = await _follow(web, job_id, lambda: first.append(time.perf_counter()))
    return 1000 * (first[0] - began), written


async def _redis_goes_away(
    stack: Stack, web: httpx.AsyncClient, console: Console
) -> tuple[list[Check], list[str]]:
    """Kills Redis and brings it back; returns two jobs, accepted before and after."""
    before = await _ask(web, "Before.")
    stack.server.kill()
    began = time.perf_counter()
    task = {"type": GENERATE_CONTENT.name, "data": {"prompt": "Meanwhile.", "max_tokens": TOKENS}}
    refused = await web.post("/tasks", json=task)
    took_s = time.perf_counter() - began
    console.print(f"Redis is down: {refused.status_code} after {took_s:.1f} s: {refused.text}")
    health = (await web.get("/health")).json()
    stack.server.start()
    async with asyncio.timeout(_RECOVERS_WITHIN_S):
        while (await web.get("/health")).json()["tasks"] != "ok":  # noqa: ASYNC110 - elsewhere.
            await asyncio.sleep(0.1)
    after = await _ask(web, "After.")
    checks = [
        Check("while Redis is down tasks are refused", 503, refused.status_code),
        Check.that("... with the time to come again", true="retry-after" in refused.headers),
        Check.that("... within 10 s", true=took_s < 10),  # noqa: PLR2004 - as it says.
        Check("the site stays up", {"status": "ok", "tasks": "unavailable"}, health),
    ]
    return checks, [before, after]


async def _ask(web: httpx.AsyncClient, prompt: str) -> str:
    task = {"type": GENERATE_CONTENT.name, "data": {"prompt": prompt, "max_tokens": TOKENS}}
    return str((await web.post("/tasks", json=task)).raise_for_status().json()["job_id"])


async def _follow(
    web: httpx.AsyncClient, job_id: str, on_token: Callable[[], None] = lambda: None
) -> _Task:
    """Follows a task live, to its end."""
    task = _Task()
    while True:
        async with aconnect_sse(web, "GET", f"/tasks/{job_id}/events", timeout=60) as source:
            if source.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                await asyncio.sleep(float(source.response.headers["Retry-After"]))
                continue
            async for event in source.aiter_sse():
                told = json.loads(event.data)
                if "token" in told:
                    on_token()
                    task.tokens.append(told["token"])
                elif "progress" in told:
                    task.steps.add(told["progress"])
                    task.ended = told
            return task


def _succeeded(task: _Task) -> bool:
    return bool(task.ended["status"] == "succeeded")


def _end(task: _Task) -> tuple[str, int]:
    return task.ended["status"], task.ended["attempt"]


def _is_streamed(model: str, task: _Task) -> Check:
    seen = (task.result["model"], task.result["tokens"], task.result["text"])
    return Check(f"{model} sends each token", (model, len(task.tokens), "".join(task.tokens)), seen)


if __name__ == "__main__":
    sys.exit(run("expert_os", "Documents are read and texts written, by jobs.", play))
