"""Reads through the cache and writes that empty it, clean-up, queues, and trouble."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from examples.watchparty.jobs import CLEANUP, READS, Sweep
from penstock.runtime.embedded import EmbeddedServer
from tests.support.processes import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from examples.harness.stack import Stack
    from examples.watchparty.deployment import Deployment
    from penstock.client import Client
    from tests.examples.conftest import EndToEnd
    from tests.examples.watchparty.conftest import NewViewer, Viewer

DAY_S = 24 * 3600
FRESH = {"cache-control": "no-cache"}


def open_room(viewer: Viewer, name: str = "Nook") -> int:
    opened = viewer.post("/api/rooms", json={"name": name, "movie_id": 1})
    assert opened.status_code == 201, opened.text
    return int(opened.json()["room_id"])


def told(viewer: httpx.Client, address: str) -> tuple[Any, bool]:
    answer = viewer.get(address).raise_for_status().json()
    return answer["data"], answer["cached"]


@pytest.mark.parametrize(
    "address",
    [
        "/api/rooms?limit=7",
        "/api/rooms/1",
        "/api/movies?limit=7",
        "/api/movies/1",
        "/api/chat/1/messages",
        "/api/auth/profile",
    ],
)
def test_a_read_is_cached_and_says_so(viewer: Viewer, deployment: Deployment, address: str) -> None:
    read = viewer.get(address, headers=FRESH).json()
    assert read["cached"] is False
    assert told(viewer, address) == (read["data"], True)
    log = (deployment.stack.folder / "api.log").read_text()
    assert "MISS read." in log
    assert "HIT read." in log


def test_reads_are_joins_of_what_is_there(viewer: Viewer) -> None:
    rooms, _ = told(viewer, "/api/rooms?limit=5")
    assert rooms[0].keys() == {"id", "name", "host", "movie", "viewers", "messages_today"}
    assert [room["viewers"] for room in rooms] == sorted(
        (room["viewers"] for room in rooms), reverse=True
    )
    movies, _ = told(viewer, "/api/movies?limit=5")
    assert all(1 <= movie["stars"] <= 5 and movie["ratings"] > 0 for movie in movies)
    assert told(viewer, "/api/rooms?limit=5&page=2")[0] != rooms


def test_a_write_is_seen_by_the_next_read(viewer: Viewer) -> None:
    told(viewer, "/api/rooms?limit=100")
    room_id = open_room(viewer)
    rooms, cached = told(viewer, "/api/rooms?limit=100")
    assert not cached
    assert room_id in [room["id"] for room in rooms]
    told(viewer, f"/api/chat/{room_id}/messages")
    viewer.post(f"/api/chat/{room_id}/messages", json={"text": "What a scene!"})
    messages, _ = told(viewer, f"/api/chat/{room_id}/messages")
    assert [message["text"] for message in messages] == ["What a scene!"]
    wanted = {"name": "Attic", "movie_id": 2}
    assert viewer.put(f"/api/rooms/{room_id}", json=wanted).status_code == 200
    assert told(viewer, f"/api/rooms/{room_id}")[0]["name"] == "Attic"
    assert viewer.put("/api/auth/profile", json={"username": "Anna"}).status_code == 200
    assert told(viewer, "/api/auth/profile")[0]["username"] == "Anna"
    assert told(viewer, f"/api/rooms/{room_id}")[0]["host"] == "Anna"
    assert viewer.delete(f"/api/rooms/{room_id}").status_code == 200
    assert viewer.get(f"/api/rooms/{room_id}").status_code == 404


def test_a_write_leaves_alone_what_it_does_not_change(viewer: Viewer) -> None:
    room_id = open_room(viewer)
    told(viewer, "/api/chat/1/messages")
    told(viewer, "/api/movies")
    viewer.post(f"/api/chat/{room_id}/messages", json={"text": "Hush!"})
    assert told(viewer, "/api/chat/1/messages")[1]
    assert told(viewer, "/api/movies")[1]


def test_many_who_ask_at_once_are_one_query(viewer: Viewer, jobs: Client) -> None:
    open_room(viewer)
    before = jobs.queue_stats(READS)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: told(viewer, "/api/movies?limit=13"), range(20)))
    after = jobs.queue_stats(READS)
    assert all(answer == answers[0][0] for answer, _ in answers)
    assert after.cache_misses - before.cache_misses == 1


def test_what_is_not_there_or_not_ones_own_is_told(viewer: Viewer, new_viewer: NewViewer) -> None:
    room_id = open_room(viewer)
    other = new_viewer()
    wanted = {"name": "Mine now", "movie_id": 1}
    assert other.put(f"/api/rooms/{room_id}", json=wanted).status_code == 403
    assert other.delete(f"/api/rooms/{room_id}").status_code == 403
    assert viewer.put("/api/rooms/999999", json=wanted).status_code == 404
    assert viewer.post("/api/rooms", json={"name": "x", "movie_id": 999999}).status_code == 404
    assert viewer.post("/api/rooms/999999/join").status_code == 404
    assert viewer.post("/api/chat/999999/messages", json={"text": "x"}).status_code == 404
    assert viewer.get("/api/rooms?limit=1000").status_code == 422
    assert viewer.get("/api/movies/0").status_code == 404


def test_only_administrators_add_movies(viewer: Viewer, administrator: Viewer) -> None:
    wanted = {"title": "Newest", "year": 2026, "genre_id": 1}
    told(viewer, "/api/movies?limit=100")
    assert viewer.post("/api/movies", json=wanted).status_code == 403
    added = administrator.post("/api/movies", json=wanted)
    assert added.status_code == 201
    assert told(viewer, f"/api/movies/{added.json()['movie_id']}")[0]["title"] == "Newest"
    assert administrator.post("/api/movies", json={**wanted, "genre_id": 99}).status_code == 404


def age(deployment: Deployment, statement: str, *values: int) -> None:
    """Lets time pass, in the database."""
    path = deployment.settings["WATCHPARTY_DATABASE_URL"].removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=30)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_old_rooms_go_by_hand(
    viewer: Viewer, administrator: Viewer, deployment: Deployment, jobs: Client
) -> None:
    kept, gone = open_room(viewer, "Kept"), open_room(viewer, "Gone")
    for room_id in (kept, gone):
        viewer.post(f"/api/chat/{room_id}/messages", json={"text": "First!"})
        told(viewer, f"/api/chat/{room_id}/messages")
    now = int(time.time())
    age(deployment, "UPDATE rooms SET active_at = ? WHERE id = ?", now - 8 * DAY_S, gone)
    age(
        deployment,
        "UPDATE messages SET created_at = ? WHERE room_id = ?",
        *(now - 91 * DAY_S, kept),
    )
    age(
        deployment,
        "UPDATE participants SET seen_at = ? WHERE room_id = ?",
        *(now - 25 * 3600, kept),
    )
    told(viewer, f"/api/rooms/{gone}")
    address = "/api/queues/cleanup"
    assert viewer.post(address).status_code == 403
    assert administrator.post(address, json={"daysInactive": 0}).status_code == 422
    asked = administrator.post(address, json={"daysInactive": 7})
    job_id = asked.json()["job_id"]
    done = jobs.wait(job_id, timeout=30)
    assert done.state == "SUCCEEDED", done.failure
    assert all(done.result[what] >= 1 for what in ("rooms", "messages", "participants"))
    assert viewer.get(f"/api/rooms/{gone}").status_code == 404
    assert told(viewer, f"/api/rooms/{kept}")[0]["viewers"] == 0
    assert told(viewer, f"/api/chat/{kept}/messages")[0] == []
    shown = administrator.get(f"/api/queues/jobs/{job_id}").json()["data"]
    assert shown["state"] == "succeeded"
    assert "rooms" in shown["message"]
    assert jobs.status(job_id, include_payload=True).payload == Sweep(days_inactive=7).model_dump()


def test_old_rooms_go_by_the_clock(viewer: Viewer, deployment: Deployment, jobs: Client) -> None:
    room_id = open_room(viewer, "Forgotten")
    old = int(time.time()) - 31 * DAY_S
    age(deployment, "UPDATE rooms SET active_at = ? WHERE id = ?", old, room_id)
    try:
        deployment.keep_schedule("* * * * * *")
        wait_until(
            lambda: viewer.get(f"/api/rooms/{room_id}", headers=FRESH).status_code == 404,
            "the schedule sweeps the room",
            within_s=20,
        )
        swept = next(iter(jobs.list(CLEANUP, states=["SUCCEEDED"])))
        assert swept.schedule_id == "watchparty.sweep"
        deployment.keep_schedule("0 4 * * *")  # Told other times, it keeps to those.
        assert jobs.get_schedule("watchparty.sweep").schedule.cron == "0 4 * * *"
    finally:
        jobs.delete_schedule("watchparty.sweep")


def test_a_sweep_has_all_forgotten_that_one_before_it_deleted_and_died(
    viewer: Viewer, administrator: Viewer, deployment: Deployment, jobs: Client
) -> None:
    address = "/api/queues/cleanup"
    jobs.result(administrator.post(address).json()["job_id"], timeout=30)
    room_id = open_room(viewer, "Half swept")
    told(viewer, f"/api/rooms/{room_id}")
    age(deployment, "DELETE FROM rooms WHERE id = ?", room_id)
    assert told(viewer, f"/api/rooms/{room_id}")[1], "so far nobody knows"
    swept = jobs.result(administrator.post(address).json()["job_id"], timeout=30)
    assert sum(swept.values()) == 0
    assert viewer.get(f"/api/rooms/{room_id}").status_code == 404


def test_two_sweeps_run_one_after_the_other(administrator: Viewer, jobs: Client) -> None:
    ids = [administrator.post("/api/queues/cleanup").json()["job_id"] for _ in range(2)]
    ended = [jobs.wait(job_id, timeout=30) for job_id in ids]
    first, second = sorted(ended, key=lambda job: str(job.start_time))
    assert first.finish_time
    assert second.start_time
    assert first.finish_time <= second.start_time


def test_a_report_is_made(administrator: Viewer, jobs: Client) -> None:
    job_id = administrator.post("/api/queues/report").json()["job_id"]
    report = jobs.result(job_id, timeout=20)
    assert report["rooms"] > 0
    assert report["busiest"][0].keys() == {"id", "name", "title", "messages"}


def test_counts_of_the_queues_are_for_administrators(
    viewer: Viewer, administrator: Viewer, jobs: Client
) -> None:
    jobs.wait(viewer.mail_job_id, timeout=20)
    address = "/api/queues/stats"
    refused = httpx.get(f"{viewer.base_url}{address}")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    forged = {"authorization": viewer.headers["authorization"][:-1] + "x"}
    assert viewer.get(address, headers=forged).status_code == 401
    assert viewer.get(address).status_code == 403
    told(viewer, "/api/rooms")
    told(viewer, "/api/rooms")
    data = administrator.get(address).json()["data"]
    assert list(data) == ["email", "imageProcessing", "roomCleanup", "reads"]
    email = data["email"]
    assert email["completed"] >= 1
    names = ("waiting", "active", "completed", "failed", "delayed")
    assert email["total"] == sum(email[name] for name in names)
    assert data["reads"]["hits"] >= 1


def test_a_gateway_that_is_away_is_told_and_waited_for(
    stack: Stack, deployment: Deployment, viewer: Viewer
) -> None:
    port = free_port()
    url = deployment.start_api("lonely-api", PENSTOCK_ADDRESS=f"127.0.0.1:{port}")
    body = {"email": "early@mail.example", "username": "Early", "password": "correct horse"}
    headers = {"authorization": viewer.headers["authorization"]}
    with httpx.Client(base_url=url, timeout=30, headers=headers) as api:
        assert api.get("/api/health").json()["redis"] == "unknown"
        rooms, cached = told(api, "/api/rooms/1")
        assert (rooms["id"], cached) == (1, False), "reads go on, past the cache"
        refused = api.post("/api/auth/register", json=body)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        told(viewer, "/api/auth/profile")
        assert api.put("/api/auth/profile", json={"username": "Late"}).status_code == 200
        stack.start_gateway(f"127.0.0.1:{port}")
        wait_until(
            lambda: api.get("/api/health").json()["redis"] == "connected",
            "the API recovers",
            within_s=20,
        )
        assert api.post("/api/auth/register", json=body).status_code == 201, "nothing was kept"
        wait_until(lambda: told(api, "/api/movies/1")[1], "reads are cached again", within_s=20)
        assert told(viewer, "/api/auth/profile")[0]["username"] == "Late", "forgotten by now"


def test_health_tells_of_redis(stack: Stack, deployment: Deployment, server_binary: Path) -> None:
    with EmbeddedServer(binary=server_binary, port=0) as server:
        gateway = stack.start(
            "other-gateway",
            "penstock.cli",
            *("server", "--json", "--stop-with-parent", "--listen", "127.0.0.1:0"),
            settings={"PENSTOCK_REDIS_URL": server.url},
            read_output=True,
        )
        address = gateway.first_line(30).split('"address":')[1].split('"')[1]
        url = deployment.start_api("other-api", PENSTOCK_ADDRESS=address)
        with httpx.Client(base_url=url, timeout=30) as api:
            assert api.get("/api/health").json()["redis"] == "connected"
            server.kill()
            wait_until(
                lambda: api.get("/api/health").json()["redis"] == "disconnected",
                "Redis is missed",
                within_s=20,
            )
            assert api.get("/api/rooms").status_code == 200
            server.start()
            wait_until(
                lambda: api.get("/api/health").json()["redis"] == "connected",
                "Redis is back",
                within_s=30,
            )
        gateway.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_run_comes_out_as_planned(end_to_end: EndToEnd) -> None:
    report = end_to_end("watchparty")
    assert report["failed_as_planned"] == 3
    assert report["succeeded"] + 3 == report["jobs"]
