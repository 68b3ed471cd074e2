"""A small server that speaks the protocol of OpenAI's chat completions, for runs without a model.

It wants the key of EXPERT_OS_LLM_KEY, if that is set, and streams what the offline generator
writes.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from examples.expert_os.generators import Offline
from examples.expert_os.tasks import GenerateContent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Completion", "completions", "endpoint", "event", "refusal"]

endpoint = FastAPI(title="Chat completions")


class Message(BaseModel):
    """One of a conversation."""

    role: str
    content: str


class Completion(BaseModel):
    """What is asked for."""

    model: str
    messages: list[Message]
    max_tokens: int = 200
    stream: Literal[True]


@endpoint.post("/v1/chat/completions")
async def completions(wanted: Completion, authorization: Annotated[str, Header()] = "") -> Response:
    """Continues a conversation, as a stream."""
    key = os.environ.get("EXPERT_OS_LLM_KEY")
    if key and authorization != f"Bearer {key}":
        return refusal(401, "the key is wrong")
    return StreamingResponse(_written(wanted), media_type="text/event-stream")


async def _written(wanted: Completion) -> AsyncIterator[str]:
    wish = GenerateContent(prompt=wanted.messages[-1].content, max_tokens=wanted.max_tokens)
    yield event(wanted.model, {"role": "assistant", "content": ""})
    async for delta in Offline().write(wish):
        yield event(wanted.model, {"content": delta.text}, delta.finish_reason or None)
    yield "data: [DONE]\n\n"


def event(model: str, delta: dict[str, str], finish_reason: str | None = None) -> str:
    """A part of an answer, as it goes over the wire."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk: dict[str, Any] = {"object": "chat.completion.chunk", "model": model, "choices": [choice]}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def refusal(status: int, message: str, **headers: str) -> JSONResponse:
    """An answer that is none."""
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)
