"""What the checker says of messages that somebody did not get, or got though nobody sent them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker.judging.tales import published
from tests.chaos.checker.judging.told import Tale, envelope, found, refuted

ORIGIN = envelope("m", "news.city")


def subscribed(**patterns: str) -> Tale:
    """To ``all`` news."""
    tale = Tale()
    for name, pattern in {"all": "news.**", **patterns}.items():
        tale.asked("subscribe", subscription=name, pattern=pattern)
    return tale


def test_a_subscription_that_is_left_out() -> None:
    tale = subscribed(city="news.city")
    tale.delivered(tale.publish("m", "news.city"), all="a")
    (violation,) = found(tale.heard(1, "all", "a", ORIGIN))
    assert (violation.invariant, violation.text) == (
        "topics",
        "message m was acknowledged without a job for city",
    )
    assert [" ".join(line.split()[5:6]) for line in violation.witness] == ["subscribe", "publish"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("news.*", True),
        ("*.city", True),
        ("**", True),
        ("news.city", True),
        ("news.city.**", False),
        ("news", False),
        ("*", False),
        ("newsXcity", False),
    ],
)
def test_patterns(pattern: str, wanted: bool) -> None:  # noqa: FBT001 - of the table.
    tale = subscribed(other=pattern)
    without = tale.delivered(tale.publish("m", "news.city"), all="a").heard(1, "all", "a", ORIGIN)
    assert refuted(without) == ({"topics"} if wanted else set())
    tale = subscribed(other=pattern)
    told = tale.delivered(tale.publish("m", "news.city"), all="a", other="b")
    told.heard(1, "all", "a", ORIGIN).heard(2, "other", "b", ORIGIN)
    assert refuted(told) == (set() if wanted else {"topics"})


def test_what_was_put_or_ended_meanwhile_may_have_been_so_or_not() -> None:
    for rpc in ("subscribe", "unsubscribe"):
        for jobs in ({"all": "a"}, {"all": "a", "city": "b"}):
            tale = subscribed(**({"city": "news.city"} if rpc == "unsubscribe" else {}))
            put = tale.call(rpc, subscription="city", pattern="news.city")
            tale.delivered(tale.publish("m", "news.city"), **jobs).answer(put)
            for token, (name, job) in enumerate(jobs.items(), 1):
                tale.heard(token, name, job, ORIGIN)
            assert refuted(tale) == set(), (rpc, jobs)


def test_who_has_left_gets_nothing() -> None:
    tale = subscribed().asked("unsubscribe", subscription="all")
    tale.delivered(tale.publish("m", "news.city"), all="a")
    assert refuted(tale.heard(1, "all", "a", ORIGIN)) == {"topics"}


def test_a_subscription_that_was_refused_is_none() -> None:
    tale = subscribed()
    tale.error(
        tale.call("subscribe", subscription="b", pattern="**"), "INVALID_ARGUMENT", sure=True
    )
    tale.delivered(tale.publish("m", "news.city"), all="a").heard(1, "all", "a", ORIGIN)
    assert refuted(tale, codes=frozenset({"INVALID_ARGUMENT"})) == set()


def test_a_call_that_was_never_answered_is_done_late_but_not_for_ever() -> None:
    tale = subscribed()
    tale.error(tale.call("unsubscribe", subscription="all"), "UNAVAILABLE")
    tale.asked("subscribe", subscription="all", pattern="news.**")
    tale.later(1000).delivered(tale.publish("m", "news.city"))
    assert refuted(tale) == set()
    tale.later(100_000).asked("subscribe", subscription="all", pattern="news.**")
    assert refuted(tale.delivered(tale.publish("n", "news.city"))) == {"topics"}


def test_two_jobs_for_one() -> None:
    tale = subscribed()
    receipt = {
        "subscription": "all",
        "state": "QUEUED",
        "outcome": "CREATED",
        "durability": "ALWAYS",
    }
    tale.answer(tale.publish("m", "news.city"), jobs=[{**receipt, "job": job} for job in "ab"])
    tale.heard(1, "all", "a", ORIGIN).heard(2, "all", "b", ORIGIN)
    assert refuted(tale) >= {"topics"}


def test_other_jobs_when_it_is_published_again() -> None:
    tale = subscribed()
    tale.delivered(tale.publish("m", "news.city"), all="a").heard(1, "all", "a", ORIGIN)
    tale.delivered(tale.publish("m", "news.city"), all="b").heard(2, "all", "b", ORIGIN)
    assert refuted(tale) == {"I3"}


def test_made_again_when_it_is_published_again() -> None:
    tale = subscribed()
    for _ in range(2):
        tale.delivered(tale.publish("m", "news.city"), all="a")
    assert refuted(tale.heard(1, "all", "a", ORIGIN)) == {"I3"}


def test_a_job_of_no_answer_may_be_there_but_once() -> None:
    tale = subscribed()
    tale.error(tale.publish("m", "news.city"), "UNAVAILABLE")
    assert refuted(tale) == set()
    assert refuted(tale.heard(1, "all", "a", ORIGIN)) == set()
    assert refuted(tale.heard(2, "all", "b", ORIGIN)) == {"I3"}


def test_a_job_that_is_lost() -> None:
    tale = subscribed()
    assert refuted(tale.delivered(tale.publish("m", "news.city"), all="a")) == {"I1"}


def test_a_message_that_was_never_published() -> None:
    assert refuted(subscribed().heard(1, "all", "a", ORIGIN)) == {"I2"}


@pytest.mark.parametrize("part", ["id", "topic", "source", "time_ms"])
def test_another_envelope(part: str) -> None:
    tale = subscribed()
    tale.delivered(tale.publish("m", "news.city"), all="a")
    assert refuted(tale.heard(1, "all", "a", {**ORIGIN, part: "other"})) == {"I2"}


def test_a_subscription_of_another_name() -> None:
    tale = subscribed()
    tale.delivered(tale.publish("m", "news.city"), all="a")
    assert refuted(tale.heard(1, "city", "a", ORIGIN)) == {"I2"}


def test_refused_for_no_reason() -> None:
    tale = published()
    op = tale.publish("new", "news.city")
    (violation,) = found(tale.error(op, "ALREADY_EXISTS", sure=True))
    assert violation.invariant == "topics"
    assert len(violation.witness) == 1


@pytest.mark.parametrize("other", [{"topic": "news.town"}, {"work": "other"}])
def test_one_id_for_two_messages(other: dict[str, Any]) -> None:
    tale = subscribed()
    tale.delivered(tale.publish("m", "news.city"), all="a").heard(1, "all", "a", ORIGIN)
    asked = {"topic": "news.city", **other}
    refused = tale.publish("m", **asked)
    assert refuted(tale.error(refused, "ALREADY_EXISTS", sure=True)) == set()
    accepted = tale.publish("m", **asked)
    assert refuted(tale.delivered(accepted, "REPEATED", "SUCCEEDED", all="a")) == {"I3"}
