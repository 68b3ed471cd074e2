"""What writes: a generator that needs no network, or any endpoint that speaks OpenAI's protocol.

================== ==========================================================================
EXPERT_OS_LLM_URL   of the endpoint, such as http://127.0.0.1:11434/v1; unset is the offline one
EXPERT_OS_LLM_MODEL the model to ask for
EXPERT_OS_LLM_KEY   its key, if it wants one
EXPERT_OS_TOKEN_S   pause after each token of the offline generator, in seconds
================== ==========================================================================
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

import httpx
from httpx_sse import SSEError, aconnect_sse
from pydantic import BaseModel, ValidationError

from examples.demo.prose import Chain
from examples.demo.sources import docstrings, files_of
from penstock.worker import PayloadInvalid, Retry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from examples.expert_os.tasks import GenerateContent

__all__ = ["ChatEndpoint", "Delta", "EndpointError", "Generator", "Offline", "configured"]

_READ: Final = ("asyncio", "concurrent", "email", "json", "logging")
"""Packages of the standard library whose documentation the offline generator has read."""

_TIMEOUT: Final = httpx.Timeout(60, connect=5)
_REFUSED: Final = frozenset({400, 413, 422})
_BUSY: Final = frozenset({429, 503})
_QUOTED: Final = 300


@dataclass(frozen=True, slots=True)
class Delta:
    """What comes next: text, or in the end why there is no more ('stop' or 'length')."""

    text: str = ""
    finish_reason: str = ""


class Generator(Protocol):
    """Writes a text."""

    @property
    def model(self) -> str:
        """Its name."""

    def write(self, wish: GenerateContent) -> AsyncIterator[Delta]:
        """Writes token by token; the last delta has a finish reason."""


def configured() -> Generator:
    """The generator of the environment."""
    url = os.environ.get("EXPERT_OS_LLM_URL")
    if not url:
        return Offline(float(os.environ.get("EXPERT_OS_TOKEN_S", "0.03")))
    model = os.environ.get("EXPERT_OS_LLM_MODEL", "default")
    return ChatEndpoint(url, model, os.environ.get("EXPERT_OS_LLM_KEY", ""))


class Offline:
    """Strings words together as the documentation of Python does. The same prompt, the same text.

    Args:
        pause_s: After each token, for the pace of a language model, in seconds.
    """

    model = "offline"

    def __init__(self, pause_s: float = 0) -> None:
        self._pause_s = pause_s

    async def write(self, wish: GenerateContent) -> AsyncIterator[Delta]:
        """See `Generator`."""
        chain = await asyncio.to_thread(_chain)
        seed = int.from_bytes(wish.prompt.encode()[:64])
        words = list(chain.write(words=min(wish.max_tokens, 120), seed=seed))
        for word in words[: wish.max_tokens]:
            yield Delta(word)
            await asyncio.sleep(self._pause_s)
        yield Delta(finish_reason="length" if len(words) > wish.max_tokens else "stop")


@cache
def _chain() -> Chain:
    chain = Chain()
    chain.read(docstrings([path for name in _READ for path in files_of(name)]))
    return chain


class EndpointError(Exception):
    """An endpoint did not do what was asked; another attempt may help."""


class ChatEndpoint:
    """An endpoint of chat completions, as OpenAI's: asked for a stream of server-sent events.

    Args:
        url: Of the API, up to and including its version.
        model: To ask for.
        key: '' sends none.
    """

    def __init__(self, url: str, model: str, key: str = "") -> None:
        self.model: Final = model
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def write(self, wish: GenerateContent) -> AsyncIterator[Delta]:
        """See `Generator`.

        Raises:
            PayloadInvalid: It refuses the wish: no attempt would help.
            Retry: It is busy, and says when it will not be.
            EndpointError: Anything else that keeps the text from being complete.
        """
        finish_reason = ""
        try:
            async for chunk in self._chunks(wish):
                for choice in chunk.choices[:1]:
                    finish_reason = choice.finish_reason or finish_reason
                    if choice.delta.content:
                        yield Delta(choice.delta.content)
        except (httpx.HTTPError, SSEError, ValidationError) as error:
            raise EndpointError(f"{self._url}: {type(error).__name__}: {error}") from error
        if not finish_reason:
            raise EndpointError(f"{self._url} hung up before the text was complete")
        yield Delta(finish_reason=finish_reason)

    async def _chunks(self, wish: GenerateContent) -> AsyncIterator[_Chunk]:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": wish.prompt}],
            "max_tokens": wish.max_tokens,
            "stream": True,
        }
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT) as http,
            aconnect_sse(http, "POST", self._url, json=body, headers=self._headers) as source,
        ):
            await _check(source.response)
            async for event in source.aiter_sse():
                if event.data == "[DONE]":
                    return
                chunk = _Chunk.model_validate_json(event.data)
                if chunk.error:
                    raise EndpointError(f"{self._url}: {chunk.error.message[:_QUOTED]}")
                yield chunk


class _Content(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Content = _Content()
    finish_reason: str | None = None


class _Error(BaseModel):
    message: str = "an error without a message"


class _Chunk(BaseModel):
    choices: list[_Choice] = []
    error: _Error | None = None


async def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        error = _Chunk.model_validate_json(await response.aread()).error or _Error()
    except ValidationError:
        error = _Error()
    said = f"the endpoint answered {response.status_code}: {error.message[:_QUOTED]}"
    if response.status_code in _REFUSED:
        raise PayloadInvalid(said)
    again = response.headers.get("retry-after", "")
    if response.status_code in _BUSY and again.isdecimal():
        raise Retry(after=int(again), message=said)
    raise EndpointError(said)
