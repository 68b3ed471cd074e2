"""WatchParty end to end: ``make examples ARGS=watchparty``, or ``python -m examples.watchparty``.

Mail server, a database of 1.4 million rows, two workers, and the API twice: once with the cache,
and once without, to compare them. Users register and get mail, upload pictures, read and write;
old rooms are swept by hand and by the clock.
"""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, Any, Final

import httpx
from PIL import Image

from examples.harness.checks import Check
from examples.harness.report import Report
from examples.harness.run import run
from examples.watchparty.deployment import ADMINISTRATOR, Deployment
from examples.watchparty.jobs import CLEANUP, EMAIL, IMAGES, READS
from examples.watchparty.measuring import compare
from penstock.client import AsyncClient

if TYPE_CHECKING:
    from rich.console import Console

    from examples.harness.stack import Stack

MESSAGES: Final = 1_000_000
VIEWERS: Final = 20
ASKING: Final = 50
_PASSWORD: Final = "of a run alone"  # noqa: S105 - and of nobody.


async def play(stack: Stack, console: Console) -> Report:
    """The scenario."""
    deployment = await asyncio.to_thread(Deployment.start, stack, messages=MESSAGES, workers=2)
    direct_url = await asyncio.to_thread(deployment.start_api, "direct-api", WATCHPARTY_CACHE="off")
    await stack.workers_are_up(EMAIL, 2)
    console.print(f"{deployment.rows}; API {deployment.url}, two workers")
    async with (
        httpx.AsyncClient(base_url=deployment.url, timeout=60) as api,
        httpx.AsyncClient(base_url=direct_url, timeout=60) as direct,
        AsyncClient(stack.address) as jobs,
    ):
        checks = await _mail(deployment, api, jobs)
        console.print(f"{len(deployment.mails)} mails")
        checks += await _images(deployment, api, jobs)
        console.print(f"{len(deployment.avatars)} files of avatars")
        checks += await _reads(api)
        direct.headers["authorization"] = api.headers["authorization"]
        comparisons = [await compare(api, direct, *each) for each in _COMPARED]
        for each in comparisons:
            console.print(f"{each.name}: {each.told}")
        checks += await _clean_up(deployment, api, jobs)
        checks += await _queues(api)
        counts = [await jobs.queue_stats(queue) for queue in (EMAIL, IMAGES, CLEANUP, READS)]
    succeeded = sum(each.succeeded for each in counts)
    failed = sum(each.failed for each in counts)
    checks += [
        Check("what was meant to fail did, and nothing else", 3, failed),
        Check.that("every cached read says so", true=all(each.all_hits for each in comparisons)),
        Check.that("and is what was read last", true=all(each.equal for each in comparisons)),
    ]
    figures = {"database": deployment.rows} | {each.name: each.told for each in comparisons}
    return Report(succeeded + failed, succeeded, failed, checks, figures)


_COMPARED: Final = (
    ("rooms", "/api/rooms"),
    ("one room", "/api/rooms/5"),
    ("movies", "/api/movies"),
    ("one movie", "/api/movies/5"),
    ("messages", "/api/chat/5/messages"),
    ("profile", "/api/auth/profile"),
)


async def _mail(deployment: Deployment, api: httpx.AsyncClient, jobs: AsyncClient) -> list[Check]:
    """Everybody registers at once; one mailbox is busy at first, and one does not exist."""
    names = [f"viewer-{n}@run.example" for n in range(VIEWERS)]
    emails = [ADMINISTRATOR, *names, "busy@run.example", "nobody@run.example"]
    made = await asyncio.gather(*(_register(api, email) for email in emails))
    api.headers["authorization"] = f"Bearer {made[0]['token']}"
    forgotten = await api.post("/api/auth/forgot-password", json={"email": names[0]})
    room = (await api.post("/api/rooms", json={"name": "Nook", "movie_id": 1})).json()["room_id"]
    asked = await api.post(f"/api/rooms/{room}/invitations", json={"email": "friend@run.example"})
    ended = await asyncio.gather(
        *(jobs.wait(each["mail_job_id"], timeout=60) for each in [*made, asked.json()])
    )
    busy, nobody = ended[-3], ended[-2]
    goal = len(emails) + 1  # Without nobody's, with the link and the invitation.
    async with asyncio.timeout(60):
        while len(deployment.mails) < goal:  # noqa: ASYNC110 - elsewhere.
            await asyncio.sleep(0.05)
    return [
        Check("who forgot a password is sent a link", 202, forgotten.status_code),
        Check("everybody gets their mail, once", goal, len(deployment.mails)),
        Check("a busy mailbox is tried again", ("SUCCEEDED", 3), (busy.state, busy.attempt)),
        Check("one that does not exist is not", ("FAILED", 1), (nobody.state, nobody.attempt)),
    ]


async def _images(deployment: Deployment, api: httpx.AsyncClient, jobs: AsyncClient) -> list[Check]:
    """Two avatars, of which the second stays; then what is broken, and what is huge."""
    pictures = (
        _picture(Image.effect_noise((1600, 1200), 90).convert("RGB"), "JPEG"),
        _picture(Image.new("RGBA", (900, 900), (200, 30, 60, 128)), "PNG"),
        b"\xff\xd8\xff, and nothing of a picture after that",
        _picture(Image.new("1", (8000, 8000)), "PNG"),
    )
    ended = []
    for data in pictures:
        files = {"profilePicture": ("me", data)}
        taken = (await api.post("/api/auth/upload-profile-picture", files=files)).json()
        ended.append(await jobs.wait(taken["job_id"], timeout=60))
    second = ended[1].result["files"]
    return [
        Check(
            "of two avatars the second is shown, in two sizes and formats",
            (4, set(second)),
            (len(second), deployment.avatars),
        ),
        Check(
            "what is broken or huge fails at once",
            [("FAILED", 1)] * 2,
            [(job.state, job.attempt) for job in ended[2:]],
        ),
        Check("and nothing of it is kept", set(), deployment.uploads),
    ]


async def _reads(api: httpx.AsyncClient) -> list[Check]:
    """A write is seen by the next read; equal reads at once are one query."""
    before = (await api.get("/api/queues/stats")).json()["data"]["reads"]
    opened = await api.post("/api/rooms", json={"name": "Attic", "movie_id": 2})
    rooms = (await api.get("/api/rooms", params={"limit": 100})).json()
    await api.post("/api/rooms", json={"name": "Cellar", "movie_id": 3})  # Movies change by it.
    answers = await asyncio.gather(*(api.get("/api/movies") for _ in range(ASKING)))
    after = (await api.get("/api/queues/stats")).json()["data"]["reads"]
    path = f"/api/rooms/{opened.json()['room_id']}"
    return [
        Check(
            "a room that is opened can be read",
            "Attic",
            (await api.get(path)).json()["data"]["name"],
        ),
        Check.that("a read after a write is not from the cache", true=not rooms["cached"]),
        Check(f"{ASKING} equal reads at once are one query", 2, after["misses"] - before["misses"]),
        Check("and one answer", 1, len({str(each.json()["data"]) for each in answers})),
    ]


async def _clean_up(
    deployment: Deployment, api: httpx.AsyncClient, jobs: AsyncClient
) -> list[Check]:
    """Old rooms go by hand, then what is left of them by the clock."""
    before = await _rooms(api, jobs)
    asked = await api.post("/api/queues/cleanup", json={"daysInactive": 31})
    by_hand = await jobs.wait(asked.json()["job_id"], timeout=120)
    await asyncio.to_thread(deployment.keep_schedule, "* * * * * *")
    async with asyncio.timeout(60):
        while not (info := await jobs.get_schedule("watchparty.sweep")).last_job_id:  # noqa: ASYNC110 - elsewhere.
            await asyncio.sleep(0.1)
    await asyncio.to_thread(deployment.keep_schedule, "")
    by_clock = await jobs.wait(info.last_job_id, timeout=120)
    after = await _rooms(api, jobs)
    deleted = by_clock.result["rooms"] + by_hand.result["rooms"]
    return [
        Check.that("a sweep by hand deletes what is old", true=by_hand.result["messages"] > 0),
        Check("one by the clock follows", "SUCCEEDED", by_clock.state),
        Check.that("with its own idea of old", true=by_clock.result["rooms"] > 0),
        Check("rooms are gone, those and no others", before - deleted, after),
    ]


async def _rooms(api: httpx.AsyncClient, jobs: AsyncClient) -> int:
    """How many there are, by the report."""
    asked = await api.post("/api/queues/report")
    report = await jobs.result(asked.json()["job_id"], timeout=60)
    return int(report["rooms"])


async def _queues(api: httpx.AsyncClient) -> list[Check]:
    """Counts are for administrators; health is for everybody."""
    stranger = await api.get("/api/queues/stats", headers={"authorization": ""})
    stats = (await api.get("/api/queues/stats")).json()["data"]
    health = (await api.get("/api/health")).json()
    return [
        Check("strangers are told no counts", 401, stranger.status_code),
        Check("no mail waits", 0, stats["email"]["waiting"] + stats["email"]["delayed"]),
        Check.that("hits and misses are counted", true=stats["reads"]["hits"] > 0),
        Check("health tells of Redis", "connected", health["redis"]),
    ]


async def _register(api: httpx.AsyncClient, email: str) -> dict[str, Any]:
    body = {"email": email, "username": "Ann <b>of the run</b>", "password": _PASSWORD}
    made: dict[str, Any] = (await api.post("/api/auth/register", json=body)).json()
    return made


def _picture(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(run("watchparty", "Mail, images, clean-up and cached reads.", play))
