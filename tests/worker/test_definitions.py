"""What may be a handler, and what is said of what may not."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field

from penstock.broker import Content
from penstock.worker import (
    AppNotFoundError,
    Context,
    HandlerDefinitionError,
    PayloadInvalid,
    ResultInvalid,
    Retry,
    SyncContext,
    Worker,
    load_app,
)
from penstock.worker.checkpoints import decode, encode
from penstock.worker.handler import Handler
from penstock.worker.names import check_job_type, check_queue
from penstock.worker.targets import resolve, target_of
from penstock.worker.text import cut
from tests.worker import apps

if TYPE_CHECKING:
    from decimal import Decimal


class Size(BaseModel):
    width: Annotated[int, Field(ge=1)]
    name: str = ""


@dataclass
class Point:
    x: float
    y: float


class Level(enum.Enum):
    LOW = "low"


def define(function: Callable[..., Any], mode: Any = "auto") -> Handler:  # noqa: ANN401 - or none.
    return Handler.define("a.job", function, mode=mode)


def plain() -> None: ...


async def coroutine() -> None: ...


def test_modes_follow_the_kind_of_function() -> None:
    assert define(coroutine).mode == "async"
    assert define(plain).mode == "thread"
    assert define(plain, "process").mode == "process"


def test_the_context_is_found_by_type_or_by_name() -> None:
    def by_type(first: SyncContext, payload: int) -> None: ...
    def by_name(payload, ctx): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    async def last(payload: int, context: Context) -> None: ...

    assert [define(f).context_parameter for f in (by_type, by_name, last, plain)] == [
        *("first", "ctx", "context"),
        None,
    ]
    assert [define(f).payload.parameter for f in (by_type, by_name, last, plain)] == [
        *("payload",) * 3,
        "",
    ]


def takes_two(one: int, two: int) -> None: ...
def takes_any(*payloads: int) -> None: ...
def by_position(payload: int, /) -> None: ...
def yields() -> Any:  # noqa: ANN401 - a generator by mistake.
    yield 1


async def yields_later() -> Any:  # noqa: ANN401 - a generator by mistake.
    yield 1


def wrong_context(ctx: Context) -> None: ...
async def wrong_context_later(ctx: SyncContext) -> None: ...
def hidden_type(payload: "Decimal") -> None: ...
def no_schema(payload: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "mode", "words"),
    [
        (takes_two, "auto", "one payload"),
        (takes_any, "auto", "by name"),
        (by_position, "auto", "by name"),
        (yields, "auto", "ctx.emit"),
        (yields_later, "auto", "ctx.emit"),
        (wrong_context, "auto", "SyncContext"),
        (wrong_context_later, "auto", "is a Context"),
        (hidden_type, "auto", "TYPE_CHECKING"),
        (no_schema, "auto", "JSON"),
        (plain, "async", "mode async"),
        (coroutine, "thread", "mode async only"),
        (coroutine, "process", "mode async only"),
        (plain, "fork", "auto, async, thread or process"),
        (lambda: None, "process", "a module's top"),
    ],
)
def test_what_cannot_be_a_handler(function: Callable[..., Any], mode: str, words: str) -> None:
    with pytest.raises(HandlerDefinitionError, match=words):
        define(function, mode)


@pytest.mark.parametrize("name", ["", "a b", "a{b}", "a*", ".a", "a.", "a\0", "x" * 129, "über"])
def test_what_is_no_name(name: str) -> None:
    for check in (check_job_type, check_queue):
        with pytest.raises(ValueError, match="is no name"):
            check(name)
    with pytest.raises(HandlerDefinitionError):
        Handler.define(name, plain)


def test_a_worker_refuses_what_makes_no_sense() -> None:
    app = Worker()
    app.job("a.job")(plain)
    with pytest.raises(HandlerDefinitionError, match="already"):
        app.job("a.job")(coroutine)
    with pytest.raises(HandlerDefinitionError, match="timeout"):
        app.job("other", timeout=0)(plain)
    for queues in ("", "a b", ["a", "*"], []):
        with pytest.raises(ValueError, match=r"no name|at least one"):
            Worker(queues)
    with pytest.raises(ValueError, match="at least one"):
        Worker(slots=0)
    with pytest.raises(ValueError, match="finite"):
        Retry(after=-1)


def test_a_handler_stays_a_function() -> None:
    app = Worker("one")
    assert app.job("a.job", timeout=timedelta(minutes=1))(plain) is plain
    assert app.handlers["a.job"].timeout_s == 60
    assert app.queues == ("one",)


def test_the_schema_says_what_the_payload_s_type_takes() -> None:
    async def sized(payload: Size) -> None: ...
    async def raw(payload: bytes) -> None: ...

    schema = define(sized).payload.schema
    assert schema["required"] == ["width"]
    assert schema["properties"]["width"]["minimum"] == 1
    assert define(raw).payload.schema == define(plain).payload.schema == {}


def test_payloads_are_decoded_strictly() -> None:
    async def many(payload: list[Point | Level | None]) -> None: ...
    async def optional(payload: int = 5) -> None: ...
    async def anything(payload) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
    async def nothing() -> None: ...

    content = Content(b'[{"x": 1, "y": 2.5}, "low", null]', "application/problem+json; v=1")
    assert define(many).payload.decode(content) == {"payload": [Point(1, 2.5), Level.LOW, None]}
    assert define(optional).payload.decode(Content()) == {}
    assert define(anything).payload.decode(Content()) == {"payload": None}
    assert define(nothing).payload.decode(Content(b"\xff", "image/png")) == {}
    codec = define(many).payload
    for data in (b"", b"{}", b'[{"x": "1", "y": 2}]', b"[nan]", b"\xff", b"[" * 10_000):
        with pytest.raises(PayloadInvalid):
            codec.decode(Content(data))
    with pytest.raises(PayloadInvalid, match="text/csv"):
        codec.decode(Content(b"[]", "text/csv"))


def test_errors_of_a_payload_name_places_and_no_values() -> None:
    async def many(payload: list[int]) -> None: ...

    secrets = b"[" + b",".join([b'"secret"'] * 20) + b"]"
    with pytest.raises(PayloadInvalid) as caught:
        define(many).payload.decode(Content(secrets))
    assert str(caught.value).startswith("0: ")
    assert str(caught.value).endswith("and 10 more")
    assert "secret" not in str(caught.value)


def test_results_are_encoded_as_annotated() -> None:
    async def typed() -> list[Point]: ...  # type: ignore[empty-body]
    async def untyped(): ...  # type: ignore[no-untyped-def]  # noqa: ANN202

    assert define(typed).result.encode([Point(1, 2)]) == Content(b'[{"x":1.0,"y":2.0}]')
    assert define(untyped).result.encode(None) == Content(b"null")
    assert define(untyped).result.encode({"a": (1, 2)}) == Content(b'{"a":[1,2]}')
    assert define(untyped).result.encode(b"raw") == Content(b"raw", "application/octet-stream")
    endless: list[Any] = []
    endless.append(endless)
    for value in (object(), endless, float, {1, object()}):
        with pytest.raises(ResultInvalid):
            define(untyped).result.encode(value)
    with pytest.raises(ResultInvalid):
        define(typed).result.encode({"not": "a list"})


def test_checkpoints_come_back_as_they_were_given() -> None:
    for data in (b"", b"\x00\xff", "text", 5, [1, {"a": None}], None):
        assert decode(encode(data)) == data
    assert decode(None) is None
    assert decode(b"?written by a later version") is None
    for bad in (object(), bytes(1024 * 1024)):
        with pytest.raises(ValueError, match="checkpoint"):
            encode(bad)


def test_text_is_cut_at_whole_characters() -> None:
    assert cut("plain", 10) == "plain"
    assert cut("äöü", 3) == "ä"
    assert cut("a\udc80b", 10) == "a?b"


def test_an_app_is_found_by_its_path() -> None:
    assert load_app("tests.worker.apps:app") is apps.app
    for path, words in (
        ("apps", "form module:variable"),
        (":app", "form module:variable"),
        ("tests.worker.apps:double", "no Worker named double"),
        ("tests.worker.apps:absent", "no Worker named absent"),
        ("tests.absent.apps:app", "no module tests.absent"),
    ):
        with pytest.raises(AppNotFoundError, match=words):
            load_app(path)


def test_a_function_is_found_where_it_was_defined() -> None:
    assert target_of(apps.double) == ["tests.worker.apps", "double"]
    assert resolve(["tests.worker.apps", "double"]) is apps.double
    with pytest.raises(AttributeError):
        resolve(["tests.worker.apps", "absent"])
