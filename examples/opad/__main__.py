"""OPAD end to end: ``make examples ARGS=opad``, or ``python -m examples.opad [--json] [--keep]``.

Web, API and two workers as processes of their own. While 100 long jobs run, articles are asked for
and the answers timed; then a worker is killed in the middle of an article, and another one goes on
from its checkpoint, while the API goes on answering.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import httpx
from httpx_sse import aconnect_sse

from examples.harness.checks import Check
from examples.harness.report import Report
from examples.harness.run import run
from examples.harness.waiting import until
from examples.opad.articles import QUEUE
from penstock.client import AsyncClient

if TYPE_CHECKING:
    from rich.console import Console

    from examples.harness.process import Process
    from examples.harness.stack import Stack

LONG_JOBS: Final = 100
PARAGRAPHS: Final = 12
TIMED: Final = 200
P99_GOAL_MS: Final = 50
KILL_AT: Final = 40
"""How far the article is when its worker is killed, in percent."""

_SETTINGS: Final = {"OPAD_STEP_S": "0.5", "PENSTOCK_LEASE_S": "2"}


async def play(stack: Stack, console: Console) -> Report:
    """The scenario."""
    database = {"OPAD_DATABASE_URL": f"sqlite:///{stack.folder}/opad.sqlite3"}
    _, api_url = stack.start_web("api", "examples.opad.api:api", settings=database)
    _, web_url = stack.start_web("web", "examples.opad.web:web", settings={"OPAD_API_URL": api_url})
    workers = [
        stack.start_worker(f"worker-{number}", "examples.opad.worker:app", settings=database)
        for number in (1, 2)
    ]
    await stack.workers_are_up(QUEUE, 2)
    console.print(f"API {api_url}, web {web_url}, two workers")
    async with httpx.AsyncClient(base_url=api_url, timeout=30) as api:
        long = [await _generate(api, PARAGRAPHS) for _ in range(LONG_JOBS)]
        running = await _running(stack)
        times_ms = [await _timed(api) for _ in range(TIMED)]
        p99_ms = statistics.quantiles(times_ms, n=100)[98]
        console.print(f"{TIMED} jobs taken while {running} ran, p99 {p99_ms:.1f} ms")
        resumed = await _kill_half_way(stack, api, workers, console)
        ended = await _all_ended(stack, [*long, resumed["job_id"]])
        page = await _page(web_url)
        text = (await api.get(f"/articles/{resumed['article_id']}")).json()["text"]
        refused = await api.post("/articles", json={"topic": "", "level": "Z9"})
    checks = [
        Check("all long jobs run while more articles are asked for", LONG_JOBS, running),
        Check("web and API answer while a worker is dead", (200, 200), (page, resumed["health"])),
        Check("a killed worker's article is written by the other one", 1, resumed["crashes"]),
        Check.that("... from its checkpoint, not anew", true=resumed["resumed_at"] > 0),
        Check.that("... with progress that is live", true=resumed["events"] >= PARAGRAPHS),
        Check("... and is stored whole", PARAGRAPHS, text.count("\n\n")),
        Check("an article without topic is refused", 422, refused.status_code),
        Check("all jobs succeed", LONG_JOBS + 1, ended),
    ]
    figures = {
        "POST generate while long jobs run, p50": f"{statistics.median(times_ms):.1f} ms",
        f"... p99 (goal: under {P99_GOAL_MS} ms)": f"{p99_ms:.1f} ms",
    }
    jobs = LONG_JOBS + TIMED + 1
    return Report(jobs, await _succeeded(stack, jobs), 0, checks, figures)


async def _generate(api: httpx.AsyncClient, paragraphs: int) -> str:
    wishes = {"topic": "Rivers", "length": paragraphs}
    article = (await api.post("/articles", json=wishes)).raise_for_status().json()
    answer = await api.post(f"/articles/{article['article_id']}/generate")
    return str(answer.raise_for_status().json()["job_id"])


async def _timed(api: httpx.AsyncClient) -> float:
    """How long the API takes to take a job in, in ms."""
    article = (await api.post("/articles", json={"topic": "Speed", "length": 1})).json()
    began = time.perf_counter()
    (await api.post(f"/articles/{article['article_id']}/generate")).raise_for_status()
    return 1000 * (time.perf_counter() - began)


async def _running(stack: Stack) -> int:
    async with AsyncClient(stack.address) as client:
        return (await client.queue_stats(QUEUE)).running


async def _kill_half_way(
    stack: Stack, api: httpx.AsyncClient, workers: list[Process], console: Console
) -> dict[str, Any]:
    """Has an article written, and kills its worker half-way; returns how that went."""
    wishes = {"topic": "Bridges", "length": PARAGRAPHS}
    article_id = (await api.post("/articles", json=wishes)).json()["article_id"]
    job_id = (await api.post(f"/articles/{article_id}/generate")).json()["job_id"]
    seen: dict[str, Any] = {"job_id": job_id, "article_id": article_id, "events": 0}
    killed = False
    async with (
        AsyncClient(stack.address) as client,
        aconnect_sse(api, "GET", f"/jobs/{job_id}/events", timeout=60) as source,
    ):
        async for event in source.aiter_sse():
            told = json.loads(event.data)
            seen["events"] += 1
            if not killed and told["status"] == "running" and told.get("progress", 0) >= KILL_AT:
                killed = True
                job = await client.status(job_id)
                pids = {each.worker_id: each.pid for each in await client.workers(QUEUE)}
                victim = next(each for each in workers if each.pid == pids[job.worker_id])
                victim.kill()
                console.print(f"killed {victim.name} at {told['progress']} %")
                seen["health"] = (await api.get("/health")).status_code
        job = await client.status(job_id)
    return seen | {"crashes": job.crashes, "resumed_at": job.result["resumed_at"]}


async def _all_ended(stack: Stack, job_ids: list[str]) -> int:
    """Waits for jobs; returns how many succeeded."""
    async with AsyncClient(stack.address) as client:
        jobs = await asyncio.gather(*(client.wait(job_id, timeout=60) for job_id in job_ids))
    return sum(job.state == "SUCCEEDED" for job in jobs)


async def _succeeded(stack: Stack, jobs: int) -> int:
    """Waits until none is left; returns how many succeeded."""
    async with AsyncClient(stack.address) as client:

        async def count() -> int:
            return (await client.queue_stats(QUEUE)).succeeded

        return await until("all jobs succeed", count, at_least=jobs)


async def _page(url: str) -> int:
    async with httpx.AsyncClient() as web:
        return (await web.get(url)).status_code


if __name__ == "__main__":
    sys.exit(run("opad", "Articles, written by jobs.", play, _SETTINGS))
