"""An endpoint of chat completions that has bad days: what it does first, the prompt says.

Asked again for the same, it does as it should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Header
from fastapi.responses import Response, StreamingResponse

from examples.expert_os.endpoint import Completion, completions, event, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["STRANGE", "faults"]

STRANGE = ("line\u2028separator ", "new\nline ", 'a "quote" ', "\N{GRINNING FACE}\x85")

faults = FastAPI()
_met: set[str] = set()


@faults.post("/v1/chat/completions")
async def answer(wanted: Completion, authorization: Annotated[str, Header()] = "") -> Response:
    prompt = wanted.messages[-1].content
    fault, _, _ = prompt.partition(":")
    if prompt in _met:
        fault = ""
    _met.add(prompt)
    match fault:
        case "busy":
            return refusal(429, "too many requests", **{"retry-after": "1"})
        case "broken":
            return refusal(500, "out of memory")
        case "too long":
            return refusal(400, "the prompt has too many tokens")
        case "hang up" | "error" | "nonsense" | "endless" | "strange":
            return StreamingResponse(_part(fault), media_type="text/event-stream")
        case "page":
            return Response("<p>Welcome!</p>", media_type="text/html")
    return await completions(wanted, authorization)


def _part(fault: str) -> Iterator[str]:
    if fault == "strange":
        yield ": a comment\r\n\r\n"
        yield from (event("m", {"content": text}) for text in STRANGE)
        yield 'data: {"choices": [], "usage": {"total_tokens": 4}}\n\n'
        yield event("m", {}, "stop")
        yield "data: [DONE]\n\n"
    yield event("m", {"content": "Once upon "})
    match fault:
        case "error":
            yield 'data: {"error": {"message": "the model crashed"}}\n\n'
        case "nonsense":
            yield "data: {\n\n"
        case "endless":
            while True:
                yield event("m", {"content": "a time " * 5000})
