"""What the gateway's log tells of the cache: a line for each submit, or batch, that used it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import SubmitOutcome, Submitted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.broker import NewJob, PenstockError

__all__ = ["log_all", "log_one"]

_WORDS: Final = {
    SubmitOutcome.CACHED: "hit",
    SubmitOutcome.JOINED: "joined",
    SubmitOutcome.CREATED: "miss",
}

_log = structlog.get_logger(__name__)


def log_one(job: NewJob, receipt: Submitted) -> None:
    """Tells how a submit fared: hit, joined, miss, or skipped where it was not to look."""
    word = _word_of(job, receipt)
    if word:
        _log.info("cache", outcome=word, type=job.type, queue=job.queue, job_id=receipt.job_id)


def log_all(outcomes: Iterable[tuple[NewJob, Submitted | PenstockError]]) -> None:
    """Tells how the submits of a batch fared, by type, in one line a type."""
    counts: dict[str, Counter[str]] = {}
    for job, receipt in outcomes:
        word = _word_of(job, receipt) if isinstance(receipt, Submitted) else ""
        if word:
            counts.setdefault(job.type, Counter())[word] += 1
    for job_type, words in counts.items():
        _log.info("cache", type=job_type, **words)


def _word_of(job: NewJob, receipt: Submitted) -> str:
    """'' where the cache was not asked, or the submit was only repeated."""
    if job.cache is None:
        return ""
    if receipt.outcome is SubmitOutcome.CREATED and not job.cache.reads:
        return "skipped"
    return _WORDS.get(receipt.outcome, "")
