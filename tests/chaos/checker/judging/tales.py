"""Histories in which every promise is kept, each with other things that may happen to a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.chaos.checker.judging.told import (
    Tale,
    chunk,
    envelope,
    progress,
    shown,
    spec,
    state,
    view,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GOOD", "plain", "published", "retried", "scheduled"]


def plain() -> Tale:
    """A job that was submitted, ran, and was seen to succeed."""
    tale = Tale().submitted().seen(state="QUEUED", token=0, attempt=0, sequence=1)
    tale.start(1).seen(state="RUNNING", sequence=2).end(1)
    tale.seen().seen("wait")
    tale.watch(
        {"snapshot": view(), "first": 0, "last": 0},
        state(1, "QUEUED"),
        state(2, "RUNNING", 1),
        state(3, "SUCCEEDED", 1) | {"view": view()},
    )
    return tale.final()


def retried() -> Tale:
    """One whose worker was killed, which then failed, and succeeded at last."""
    tale = Tale().submitted(max_attempts=3)
    tale.start(1).effect(1, "resumed", None)
    tale.effect(1, "checkpoint", {"token": 1, "step": 1})
    tale.effect(1, "saved", {"token": 1, "step": 1})
    tale.effect(1, "chunk", "1/1 ").effect(1, "chunk", "1/2 ")
    tale.line("nemesis", "strike", fault="a worker is killed", strike=1, target="worker-1")
    tale.start(3, 2).effect(3, "resumed", {"token": 1, "step": 1})
    tale.effect(3, "chunk", "3/1 ").end(3, "raise")
    tale.start(4, 3).effect(4, "resumed", {"token": 1, "step": 1})
    tale.effect(4, "chunk", "4/1 ").effect(4, "progress", 1).end(4)
    end: dict[str, Any] = {"token": 4, "attempt": 3, "crashes": 1, "sequence": 12}
    tale.watch(
        state(1, "QUEUED"),
        state(2, "RUNNING", 1),
        chunk(3, "1/1 "),
        state(4, "QUEUED", 1),
        state(5, "RUNNING", 2),
        chunk(6, "3/1 ", 2),
        state(7, "SCHEDULED", 2),
        state(8, "QUEUED", 2),
        state(9, "RUNNING", 3),
        chunk(10, "4/1 ", 3),
        progress(11, 11),
        state(12, "SUCCEEDED", 3) | {"view": view(**end)},
    )
    return tale.seen(**end).final(**end)


def by_key() -> Tale:
    """Two submits under one key, a third with other work, one that nobody answered."""
    tale = plain()
    op = tale.submit("k", request="r-1", key="key")
    again = tale.submit("k", request="r-2", key="key")
    tale.receipt(op, "k").receipt(again, "k", outcome="JOINED")
    tale.error(tale.submit("other", request="r-3", key="key"), "ALREADY_EXISTS", sure=True)
    tale.error(tale.submit("lost", request="r-4"), "UNAVAILABLE")
    tale.start(2, job="k", work="k").end(2, job="k")
    tale.start(3, job="lost", work="lost").end(3, job="lost")
    tale.final(job="k", work="k", token=2, result={"work": "k", "token": 2})
    return tale.final(job="lost", work="lost", token=3, result={"work": "lost", "token": 3})


def cancelled() -> Tale:
    """One that was asked to stop, and one that had not begun."""
    tale = Tale().submitted("a", "a").submitted("b", "b")
    tale.start(1, job="a", work="a")
    tale.seen("cancel", state="RUNNING", job="a", cancel=True, sequence=2)
    tale.end(1, "stopped", job="a")
    end: dict[str, Any] = {
        "state": "CANCELLED",
        "token": 0,
        "attempt": 0,
        "sequence": 2,
        "job": "b",
    }
    tale.seen("cancel", **end).final(work="b", **end)
    return tale.final(work="a", state="CANCELLED", job="a")


def ended_otherwise() -> Tale:
    """Given up, quarantined, expired, and retried by a caller."""
    tale = Tale()
    tale.submitted("f", "f", ends=["FAILED:EXHAUSTED"], max_attempts=1)
    tale.start(1, job="f", work="f").end(1, "raise", job="f")
    tale.final(job="f", work="f", state="FAILED", reason="EXHAUSTED")
    op = tale.call("retry", job="f", request="r-again")
    tale.answer(op, job="g", state="QUEUED", outcome="CREATED", durability="ALWAYS")
    tale.start(2, job="g", work="f").end(2, "raise", job="g")
    tale.final(job="g", work="f", state="FAILED", reason="EXHAUSTED", token=2)
    tale.submitted("q", "q")
    for token, attempt in ((3, 1), (5, 2), (7, 3)):
        tale.start(token, attempt, job="q", work="q")
    end: dict[str, Any] = {"token": 8, "attempt": 3, "crashes": 3, "sequence": 9}
    tale.final(job="q", work="q", state="FAILED", reason="QUARANTINED", **end)
    tale.submitted("x", "x", ends=[], deadline_ms=100, delay_ms=500).later(100)
    return tale.final(job="x", work="x", state="EXPIRED", token=0, attempt=0, sequence=2)


def cached() -> Tale:
    """A submit that joined, and one that was answered with the result of another."""
    tale = plain()
    first = tale.submit("c", request="r-1", cache_ms=1000)
    tale.receipt(first, "c")
    tale.receipt(tale.submit("c", request="r-2", cache_ms=1000), "c", outcome="JOINED")
    tale.start(2, job="c", work="c").end(2, job="c")
    result = {"work": "c", "token": 2}
    tale.receipt(
        tale.submit("c", request="r-3", cache_ms=1000), "d", outcome="CACHED", state="SUCCEEDED"
    )
    tale.final(job="c", work="c", token=2, result=result)
    hit: dict[str, Any] = {
        "token": 0,
        "attempt": 0,
        "sequence": 1,
        "cached_from": "c",
        "result": result,
    }
    return tale.final(job="d", work="c", **hit)


def published() -> Tale:
    """A message for two subscriptions, sent twice, one that nobody wants, and one refused."""
    tale = Tale()
    tale.asked("subscribe", subscription="all", pattern="news.**")
    tale.asked("subscribe", subscription="local", pattern="news.*.local")
    origin = envelope("m", "news.city.local")
    tale.delivered(tale.publish("m", "news.city.local"), all="a", local="b")
    tale.delivered(tale.publish("m", "news.city.local"), "REPEATED", all="a", local="b")
    tale.delivered(tale.publish("n", "weather"))
    tale.error(tale.publish("m", "news.city.local", "other"), "ALREADY_EXISTS", sure=True)
    tale.heard(1, "all", "a", origin).heard(2, "local", "b", origin)
    tale.asked("unsubscribe", subscription="local")
    tale.delivered(tale.publish("o", "news.town.local"), all="c")
    return tale.heard(3, "all", "c", envelope("o", "news.town.local"))


def scheduled() -> Tale:
    """A schedule that fires, is paused, goes on as another, runs by hand, and is deleted."""
    tale = Tale()
    tale.asked("create", schedule="s", spec=spec(), told=shown(1000, 0))
    tale.at(1005).fired(1000).at(2001).fired(2000)
    tale.asked("get", schedule="s", told=shown(3000, 2))
    tale.at(2500).asked("pause", schedule="s", told=shown(None, 2))
    tale.at(4500).asked("resume", schedule="s", told=shown(5000, 2))
    tale.asked("update", schedule="s", spec=spec("v"), told=shown(5000, 2))
    op = tale.call("trigger", schedule="s", request="r")
    tale.fired(None, job="h", work="v")
    tale.answer(op, job="h", state="QUEUED", outcome="CREATED", durability="ALWAYS")
    tale.at(5001).fired(5000, work="v")
    tale.asked("get", schedule="s", told=shown(6000, 3, triggered=1))
    tale.asked("delete", schedule="s", told={"deleted": True})
    return tale.error(tale.call("get", schedule="s"), "NOT_FOUND", sure=True)


GOOD: dict[str, Callable[[], Tale]] = {
    tale.__name__: tale
    for tale in (
        plain,
        retried,
        by_key,
        cancelled,
        ended_otherwise,
        cached,
        published,
        scheduled,
    )
}
