"""The API of OPAD: work is taken at once, followed live, and refused clearly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from httpx_sse import connect_sse

from penstock.client import Client
from tests.support.processes import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from examples.harness.stack import Stack
    from tests.examples.conftest import EndToEnd

WISHES = {"topic": "Rivers", "length": 4}


def create(api: httpx.Client, wishes: dict[str, Any] = WISHES) -> str:
    return str(api.post("/articles", json=wishes).raise_for_status().json()["article_id"])


def generate(api: httpx.Client, article_id: str, **headers: str) -> str:
    answer = api.post(f"/articles/{article_id}/generate", headers=headers)
    assert answer.status_code == 202
    assert answer.json()["article_id"] == article_id
    return str(answer.json()["job_id"])


def follow(api: httpx.Client, job_id: str, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
    headers = {"last-event-id": str(after)}
    with connect_sse(api, "GET", f"/jobs/{job_id}/events", headers=headers) as source:
        return [(int(event.id), json.loads(event.data)) for event in source.iter_sse()]


def test_an_article_is_written_and_followed_live(api: httpx.Client) -> None:
    article_id = create(api)
    assert api.get(f"/articles/{article_id}").json()["text"] == ""
    job_id = generate(api, article_id)
    events = follow(api, job_id)
    assert events[-1][1]["status"] == "succeeded"
    assert events[-1][1]["progress"] == 100
    assert "writing paragraph" in " ".join(event.get("message") or "" for _, event in events)
    article = api.get(f"/articles/{article_id}").json()
    assert article["job_id"] == job_id
    assert article["text"].startswith("# Rivers (B1)")
    assert article["text"].count("\n\n") == 4


def test_the_status_of_a_job_is_kept(api: httpx.Client) -> None:
    job_id = generate(api, create(api))
    follow(api, job_id)
    status = api.get(f"/jobs/{job_id}").json()
    assert (status["status"], status["progress"], status["attempt"]) == ("succeeded", 100, 1)
    assert status["result"]["words"] > 10


def test_a_browser_that_reconnects_sees_what_it_missed_and_no_more(api: httpx.Client) -> None:
    job_id = generate(api, create(api))
    events = follow(api, job_id)
    seen = events[2][0]
    again = follow(api, job_id, after=seen)
    assert [number for number, _ in again[1:]] == [n for n, _ in events if n > seen]


def test_a_repeated_request_is_one_job(api: httpx.Client) -> None:
    article_id = create(api)
    keys = {"idempotency-key": "click-1"}
    first = generate(api, article_id, **keys)
    assert generate(api, article_id, **keys) == first
    assert generate(api, article_id, **{"idempotency-key": "click-2"}) != first


@pytest.mark.parametrize(
    "wishes",
    [{}, {"topic": ""}, {"topic": "x", "level": "Z9"}, {"topic": "x", "length": 0}, {"extra": 1}],
)
def test_bad_wishes_are_refused(api: httpx.Client, wishes: dict[str, Any]) -> None:
    assert api.post("/articles", json=wishes).status_code == 422


def test_what_is_not_there_is_not_found(api: httpx.Client) -> None:
    assert api.get("/articles/none").status_code == 404
    assert api.post("/articles/none/generate").status_code == 404
    job_id = generate(api, create(api))
    other = job_id[:-1] + ("0" if job_id[-1] != "0" else "1")
    assert api.get(f"/jobs/{other}").status_code == 404
    assert api.get(f"/jobs/{other}/events").status_code == 404
    assert api.get("/jobs/nonsense").status_code == 400


def test_a_gateway_that_is_away_is_told_and_waited_for(
    stack: Stack, settings: dict[str, str]
) -> None:
    port = free_port()
    address = {"PENSTOCK_ADDRESS": f"127.0.0.1:{port}", **settings}
    _, url = stack.start_web("lonely-api", "examples.opad.api:api", settings=address)
    with httpx.Client(base_url=url, timeout=30) as api:
        article_id = create(api)  # The database is there, after all.
        refused = api.post(f"/articles/{article_id}/generate")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "try again" in refused.json()["detail"]
        assert api.get("/health").json() == {"status": "ok", "jobs": "unavailable"}
        stack.start_gateway(f"127.0.0.1:{port}")
        wait_until(
            lambda: api.get("/health").json()["jobs"] == "ok", "the API recovers", within_s=20
        )
        assert follow(api, generate(api, article_id))[-1][1]["status"] == "succeeded"


def test_the_worker_may_come_later(stack: Stack, api: httpx.Client) -> None:
    """Jobs are taken whether or not anybody is there to run them; none of them is lost."""
    with Client(stack.address) as client:
        client.pause_queue("opad")
        job_id = generate(api, create(api))
        assert api.get(f"/jobs/{job_id}").json()["message"] == "waiting for a worker"
        client.resume_queue("opad")
    assert follow(api, job_id)[-1][1]["status"] == "succeeded"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_run_comes_out_as_planned(end_to_end: EndToEnd) -> None:
    report = end_to_end("opad")
    assert report["jobs"] == report["succeeded"]
