"""Values become bytes, and bytes values again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.client import (
    Content,
    InvalidRequest,
    JobState,
    Priority,
    Progress,
    ResultMismatch,
)
from penstock.client.content import encode

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_what_json_can_say_comes_back(value: object) -> None:
    assert encode(value).decode() == value


@given(st.binary())
def test_bytes_come_back(value: bytes) -> None:
    assert encode(value).decode() == value
    assert encode(bytearray(value)).data == value


def test_nan_is_sent_for_the_gateway_to_refuse_and_not_made_null_unseen() -> None:
    assert encode([float("nan")]).data == b"[NaN]"


def test_an_endless_payload_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        encode(endless)


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "Application/JSON; charset=utf-8"]
)
def test_json_goes_by_several_names(content_type: str) -> None:
    assert Content(b"[1]", content_type).decode() == [1]
    assert Content(b"[1]", content_type).decode_as(tuple[int]) == (1,)


def test_what_is_no_json_says_so() -> None:
    with pytest.raises(ResultMismatch):
        Content(b"{").decode()
    with pytest.raises(ResultMismatch):
        Content(b"\x00", "application/octet-stream").decode_as(int)


def test_names_are_taken_in_any_case() -> None:
    assert JobState("running") is JobState.RUNNING
    assert Priority("High") is Priority.HIGH
    with pytest.raises(ValueError, match="urgent"):
        Priority("urgent")


def test_progress_knows_how_much_is_done() -> None:
    assert Progress(1, 4).fraction == 0.25
    assert Progress(5, 4).fraction == 1.0
    assert Progress(1, 0).fraction is None
