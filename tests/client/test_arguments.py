"""Arguments of a wrong type: the error names the argument, and what it takes."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.client import CachePolicy, NewJob
from penstock.client.batch import chunks


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("backoff", 2, "Backoff"),
        ("cache", 60, "CachePolicy"),
        ("cache.ttl", CachePolicy("1m"), "timedelta"),  # type: ignore[arg-type]
        ("cache.key", CachePolicy(60, key=b"k"), "string"),  # type: ignore[arg-type]
        ("cache_ttl", "1m", "timedelta"),
        ("delay", "1s", "timedelta"),
        ("metadata", {"a": 1}, "strings to strings"),
        ("metadata", "a=1", "mapping"),
        ("queue", None, "string"),
        ("run_at", 5, "datetime"),
    ],
)
def test_the_argument_is_named(name: str, value: object, takes: str) -> None:
    options: dict[str, Any] = {name.partition(".")[0]: value}
    with pytest.raises(TypeError, match=f"{name} takes .*{takes}"):
        NewJob("echo", **options).check()


def test_a_batch_takes_jobs() -> None:
    jobs: list[Any] = [{"type": "echo"}]
    with pytest.raises(TypeError, match="NewJob"):
        list(chunks(jobs))
