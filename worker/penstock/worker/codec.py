"""Between bytes and Python: payloads in, results out; JSON through pydantic, or raw bytes."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from penstock.broker import Content
from penstock.worker.errors import HandlerDefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_RESULT_BYTES", "PayloadCodec", "PayloadInvalid", "ResultCodec", "ResultInvalid"]

MAX_RESULT_BYTES: Final = 1024 * 1024
JSON: Final = "application/json"
RAW: Final = "application/octet-stream"
_ERRORS_SHOWN: Final = 10


class PayloadInvalid(Exception):  # noqa: N818 - says what is wrong; its name is shown to callers.
    """A payload is not of the type that the handler is annotated with. Trying again is no use."""


class ResultInvalid(Exception):  # noqa: N818 - as above.
    """What a handler returned cannot be stored as a result. Trying again is no use."""


@dataclass(frozen=True, slots=True)
class PayloadCodec:
    """How a handler takes its payload.

    Attributes:
        kind: json is validated; raw is handed over as bytes; none is not handed over at all.
        parameter: name of the parameter that takes it.
        adapter: of the parameter's type, for json.
        optional: the parameter has a default, which stands for an empty payload.
        schema: JSON schema of what is accepted; {} is anything.
    """

    kind: Literal["json", "raw", "none"]
    parameter: str
    adapter: TypeAdapter[Any] | None
    optional: bool
    schema: Mapping[str, Any]

    @classmethod
    def of(
        cls, where: str, parameter: inspect.Parameter | None, hints: Mapping[str, Any]
    ) -> PayloadCodec:
        """The codec for a function's payload parameter; None if it has none.

        Raises:
            HandlerDefinitionError: its type has no JSON schema.
        """
        if parameter is None:
            return cls("none", "", None, optional=True, schema={})
        optional = parameter.default is not inspect.Parameter.empty
        hint = hints.get(parameter.name, Any)
        if hint is bytes:
            return cls("raw", parameter.name, None, optional, schema={})
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(hint)
            with warnings.catch_warnings():
                # Of defaults that have no JSON form; the schema is sound without them.
                warnings.simplefilter("ignore")
                schema = adapter.json_schema(mode="validation")
        except PydanticUserError as error:
            raise HandlerDefinitionError(
                f"{where}: the type of {parameter.name} cannot be described as JSON: "
                f"{error.message}"
            ) from error
        return cls("json", parameter.name, adapter, optional, schema)

    def decode(self, content: Content) -> dict[str, Any]:
        """The arguments that the payload makes.

        Raises:
            PayloadInvalid: it is not of the handler's type.
        """
        if self.kind == "none" or (self.optional and not content.data):
            return {}
        if self.kind == "raw" or self.adapter is None:
            return {self.parameter: content.data}
        if content.content_type and not _is_json(content.content_type):
            raise PayloadInvalid(f"the handler takes JSON, and the payload is {_shown(content)}")
        try:
            # An empty payload is one that was not given.
            value = self.adapter.validate_json(content.data or b"null", strict=True)
        except ValidationError as error:
            raise PayloadInvalid(_explained(error)) from None
        return {self.parameter: value}


@dataclass(frozen=True, slots=True)
class ResultCodec:
    """How a handler's return value is stored.

    Attributes:
        adapter: of the return annotation; anything goes where there is none.
    """

    adapter: TypeAdapter[Any]

    @classmethod
    def of(cls, where: str, hint: Any) -> ResultCodec:  # noqa: ANN401 - any annotation.
        """The codec for a return annotation. Raises HandlerDefinitionError if it is unusable."""
        try:
            return cls(TypeAdapter(hint))
        except PydanticUserError as error:
            raise HandlerDefinitionError(
                f"{where}: the returned type cannot be written as JSON: {error.message}"
            ) from error

    def encode(self, value: Any) -> Content:  # noqa: ANN401 - whatever a handler returns.
        """The content that stands for a value: bytes as they are, all else as JSON.

        Raises:
            ResultInvalid: it is not of the annotated type, has no JSON form, or is too large.
        """
        if value is None:
            return _NULL
        if isinstance(value, bytes):
            content = Content(value, RAW)
        else:
            try:
                content = Content(self.adapter.dump_json(value, warnings="error"))
            except (PydanticSerializationError, ValueError, RecursionError) as error:
                raise ResultInvalid(f"the result cannot be written as JSON: {error}") from error
        if len(content.data) > MAX_RESULT_BYTES:
            raise ResultInvalid(
                f"the result has {len(content.data):,} bytes, and at most {MAX_RESULT_BYTES:,} are "
                "kept: emit() it in chunks, or store it elsewhere and return where"
            )
        return content


_NULL: Final = Content(b"null")


def _is_json(content_type: str) -> bool:
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON or essence.endswith("+json")


def _shown(content: Content) -> str:
    return content.content_type[:64]


def _explained(error: ValidationError) -> str:
    """Every error with its place, without the input: payloads may hold secrets."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'payload'}: {problem['msg']}"
        for problem in problems[:_ERRORS_SHOWN]
    ]
    if len(problems) > _ERRORS_SHOWN:
        lines.append(f"and {len(problems) - _ERRORS_SHOWN} more")
    return "; ".join(lines)
