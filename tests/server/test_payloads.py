"""What JSON a payload may be."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from penstock.server.payloads import MAX_DEPTH, MAX_VIOLATIONS, is_json, judge

PATH = "job.payload.data"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"[1,]",
        b"01",
        b"'a'",
        b'{"a":1}{',
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf1",
        '"ü"'.encode("utf-16"),
        b'"a\nb"',
        b"9" * 10_000,
        b"[" * 100_000,
    ],
)
def test_what_is_not_strict_json_is_refused(data: bytes) -> None:
    [(path, text)] = judge(PATH, data, [])
    assert path == PATH
    assert "JSON" in text


@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_depth_is_bounded(pair: str) -> None:
    def nested(levels: int) -> bytes:
        inner = '{"a":' if pair == "{}" else "["
        return (inner * levels + "1" + pair[1] * levels).encode()

    assert judge(PATH, nested(MAX_DEPTH), []) == []
    [(_, text)] = judge(PATH, nested(MAX_DEPTH + 1), [])
    assert "64 levels" in text


def test_brackets_in_strings_are_not_levels() -> None:
    assert judge(PATH, json.dumps(["[{" * 1_000, '\\"[[' * 1_000, "\\"]).encode(), []) == []


def test_many_shallow_brackets_are_fine() -> None:
    assert judge(PATH, json.dumps([[{}]] * 1_000).encode(), []) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**63),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_json_dumps_writes_is_accepted(value: object) -> None:
    assert judge(PATH, json.dumps(value).encode(), []) == []


@given(st.binary())
def test_no_bytes_break_the_judge(data: bytes) -> None:
    judge(PATH, data, [validator_for({"type": "object"})])


@pytest.mark.parametrize("data", [b"1e999", b"[-1e999]", b"123456789012345678901234567890", b"-0"])
def test_odd_numbers_do_not_break_the_judge(data: bytes) -> None:
    judge(PATH, data, [validator_for({"type": "number", "multipleOf": 0.1, "maximum": 5})])


def test_hostile_text_takes_linear_time() -> None:
    quotes = b"[" * 65 + b'"' + b'\\"' * 500_000
    began = time.monotonic()
    judge(PATH, quotes, [])
    judge(PATH, b"[" + b'"\\"",' * 200_000 + b"[" * 64 + b"]" * 64 + b"]", [])
    assert time.monotonic() - began < 2.0


def test_each_error_is_a_violation_with_its_pointer() -> None:
    validator = validator_for(
        {
            "properties": {"a/b": {"items": {"type": "integer"}}, "~": {"type": "string"}},
            "required": ["c"],
        }
    )
    found = judge(PATH, b'{"a/b": [1, "x"], "~": 1}', [validator])
    assert {path for path, _ in found} == {f"{PATH}/a~1b/1", f"{PATH}/~0", PATH}


def test_violations_are_bounded() -> None:
    validator = validator_for({"items": {"type": "integer"}})
    assert len(judge(PATH, json.dumps(["x"] * 1_000).encode(), [validator])) == MAX_VIOLATIONS


def test_any_version_may_accept() -> None:
    old, new = validator_for({"required": ["a", "b"]}), validator_for({"required": ["c"]})
    assert judge(PATH, b'{"c": 1}', [old, new]) == []
    assert judge(PATH, b'{"a": 1, "b": 1}', [old, new]) == []
    # Told is what the closest version objects to.
    assert len(judge(PATH, b"{}", [old, new])) == 1


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", True),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/jsonl", False),
        ("application/vnd.x+json", False),
        ("text/plain", False),
    ],
)
def test_which_media_types_are_json(content_type: str, *, expected: bool) -> None:
    assert is_json(content_type) is expected
