"""What makes work equal for the cache: keys of payloads, and those that callers give."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import CachePolicy, Content, NewJob, caller_key, payload_key
from penstock.broker.cache_keys import fields_for

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def key_of(text: str) -> str:
    return payload_key(Content(text.encode()), is_json=True)


@given(values)
def test_order_of_keys_and_space_make_no_difference(value: object) -> None:
    def turned(inner: object) -> object:
        if isinstance(inner, dict):
            return {key: turned(inner[key]) for key in reversed(inner)}
        return [turned(each) for each in inner] if isinstance(inner, list) else inner

    plain = json.dumps(value)
    other = json.dumps(turned(value), indent=3, ensure_ascii=False, separators=(" , ", " :\n"))
    assert key_of(plain) == key_of(other)


@given(values, values)
def test_what_differs_has_another_key(one: object, two: object) -> None:
    texts = [json.dumps(each, sort_keys=True) for each in (one, two)]
    assert (key_of(texts[0]) == key_of(texts[1])) == (texts[0] == texts[1])


@pytest.mark.parametrize(
    ("one", "two"),
    [("1", "1.0"), ("1", '"1"'), ("0", "-0"), ("1e2", "100"), ("1e999", "1e998"), ("[]", "{}")],
)
def test_numbers_count_as_they_are_written(one: str, two: str) -> None:
    assert key_of(one) != key_of(two)


def test_other_payloads_count_as_they_are_and_no_callers_key_is_taken_for_one() -> None:
    kinds = {
        payload_key(Content(data, kind), is_json=False)
        for data in (b"{}", b"{ }")
        for kind in ("text/plain", "text/html")
    }
    assert len(kinds) == 4
    payload = payload_key(Content(b"{}"), is_json=True)
    assert caller_key(payload) != payload


def test_what_is_no_json_still_has_a_key() -> None:
    assert len({key_of(text) for text in ("{", "[" * 100_000, "\ufeff{}", "nan")}) == 4


def test_a_policy_places_a_job_by_type_and_key() -> None:
    key = caller_key("the work")
    fields = fields_for("work", CachePolicy(1_000, key, ("b", "a")))
    assert [field[0] for field in fields] == ["t", "k", "g", "g"]
    assert fields == fields_for("work", CachePolicy(1_000, key, ("a", "b")))
    assert NewJob("work", "q", "r").cache is None
