"""What a client can do to a gateway that no client should: each attack is one coroutine.

They come from a process of their own, ``python -m tests.chaos.load.attacks NAME ...``, so that
nobody else is late because of the work that they are for the attacker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import h2.exceptions

from tests.chaos.load import malformed
from tests.chaos.load.attacker import Attack, listed, status_name
from tests.chaos.waiting import PATIENCE_S
from tests.support.http2 import framed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["ATTACKS", "MOST_STREAMS", "strike"]

#: Of one caller, as the gateway is set up for this.
MOST_STREAMS: Final = 200
GET: Final = "/penstock.v1.JobService/GetStatus"
WATCH: Final = "/penstock.v1.JobService/StreamProgress"
#: How long whatever was sent is left to work (s).
HOLD_S: Final = 1.0
_ENHANCE_YOUR_CALM: Final = 11


async def connections(attack: Attack) -> tuple[str, bool]:
    """1000 connections, half of which never say a word."""
    mute: list[asyncio.StreamWriter] = []
    try:
        for _ in attack.many(500):
            mute += [(await attack.open())[1]]
        async with attack.peers(len(mute)) as peers:
            await asyncio.sleep(HOLD_S)
            lost = sum(peer.closed.is_set() for peer in peers)
        return f"{len(mute) * 2} held, {lost} of them closed", True
    finally:
        for writer in mute:
            writer.transport.abort()


async def streams(attack: Attack) -> tuple[str, bool]:
    """Three times as many streams as one caller may have."""
    told: Counter[str] = Counter()
    pushed_back = 0
    async with attack.peers(3) as peers:
        numbers = [(peer, peer.call(WATCH, attack.watch)) for _ in range(200) for peer in peers]
        for peer, number in numbers:
            await peer.answered(number, PATIENCE_S)
        await asyncio.sleep(HOLD_S)
        for peer, number in numbers:
            stream = peer.streams[number]
            told[status_name(stream.status)] += 1
            pushed_back += "grpc-retry-pushback-ms" in stream.headers
    beyond = len(numbers) - MOST_STREAMS
    return (
        f"{listed(told)}; {pushed_back} told when to come back",
        told["RESOURCE_EXHAUSTED"] == beyond == pushed_back,
    )


async def calls(attack: Attack) -> tuple[str, bool]:
    """4000 calls at once, twice as many as the gateway works on."""
    told: Counter[str] = Counter()
    async with attack.peers(5) as peers:
        numbers = [(peer, peer.call(GET, attack.get)) for _ in attack.many(800) for peer in peers]
        for peer, number in numbers:
            told[status_name(await peer.status_of(number, PATIENCE_S))] += 1
    return listed(told), set(told) <= {"OK", "RESOURCE_EXHAUSTED"}


async def resets(attack: Attack) -> tuple[str, bool]:
    """Streams are opened and reset at once, over and over (rapid reset)."""
    opened = sent_away = 0
    for _ in attack.many(20):
        async with attack.peers(2) as peers:
            for _ in range(250):
                for peer in peers:
                    with contextlib.suppress(h2.exceptions.ProtocolError):
                        peer.reset(peer.call(WATCH, attack.watch))
                        opened += 1
                await asyncio.sleep(0)
            sent_away += sum(peer.goaway is not None for peer in peers)
    return f"{opened} streams, {sent_away} connections sent away", True


async def pings(attack: Attack) -> tuple[str, bool]:
    """Pings without end."""
    sent = 0
    async with attack.peers(1) as (peer,):
        give_up = time.monotonic() + PATIENCE_S
        while peer.goaway is None and not peer.closed.is_set() and time.monotonic() < give_up:
            peer.ping()
            sent += 1
            await asyncio.sleep(0.01)
    calm = peer.goaway == _ENHANCE_YOUR_CALM
    return f"GOAWAY {peer.goaway} after {sent} pings", calm


async def large_message(attack: Attack) -> tuple[str, bool]:
    """A message of 16 MB."""
    told = await attack.answer(GET, struct.pack(">BI", 0, 16 << 20) + b"\0" * 60_000)
    return told, told == "RESOURCE_EXHAUSTED"


async def bomb(attack: Attack) -> tuple[str, bool]:
    """300 MB of nothing, which gzip makes small."""
    packed = await asyncio.to_thread(malformed.bomb)
    told = await attack.answer(GET, framed(packed, compressed=True), ("grpc-encoding", "gzip"))
    return f"{told} to {len(packed) // 1024} KB", told in {"UNIMPLEMENTED", "RESOURCE_EXHAUSTED"}


async def metadata(attack: Attack) -> tuple[str, bool]:
    """20 KB of metadata."""
    told = await attack.answer(GET, attack.get, ("x-filler", "x" * 20_000))
    return told, told == "RESOURCE_EXHAUSTED"


async def malformed_messages(attack: Attack) -> tuple[str, bool]:
    """Requests that are no messages of their type, and frames that are none."""
    told: Counter[str] = Counter()
    for _ in attack.many(50):
        noise = attack.chance.randbytes(attack.chance.randint(1, 200)) + b"\xff"
        told[await attack.answer(GET, framed(noise))] += 1
    return listed(told), set(told) == {"INVALID_ARGUMENT"}


async def malformed_http(attack: Attack) -> tuple[str, bool]:
    """Bytes that are no HTTP/2, or hardly."""
    closed = 0
    noises = malformed.noises(attack.chance)
    for noise in noises:
        reader, writer = await attack.open()
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(noise)
            async with asyncio.timeout(HOLD_S):
                await reader.read()
            closed += 1
        writer.transport.abort()
    return f"{closed} of {len(noises)} connections closed at once", True


async def half_calls(attack: Attack) -> tuple[str, bool]:
    """Calls that begin, and whose requests never come to an end."""
    async with attack.peers(2) as peers:
        # 5 bytes too few, so that each stays open.
        begun = struct.pack(">BI", 0, 1_000) + b"\0" * 100
        for _ in attack.many(500):
            for peer in peers:
                peer.call(GET, begun)
        await asyncio.sleep(HOLD_S)
    return f"{len(attack.many(500)) * 2} held", True


async def untaken_answers(attack: Attack) -> tuple[str, bool]:
    """Calls with large answers, which are never taken (a window of 0)."""
    async with attack.peers(2, window=0) as peers:
        for _ in attack.many(150):
            for peer in peers:
                peer.call(GET, attack.get_all)
        await asyncio.sleep(3 * HOLD_S)
    return f"{len(attack.many(150)) * 2} answers of 100 KB left", True


#: By their names in the record.
ATTACKS: Final[dict[str, Callable[[Attack], Awaitable[tuple[str, bool]]]]] = {
    "connection flood": connections,
    "stream flood": streams,
    "call flood": calls,
    "rapid reset": resets,
    "keepalive abuse": pings,
    "message of 16 MB": large_message,
    "gzip bomb": bomb,
    "20 KB of metadata": metadata,
    "malformed messages": malformed_messages,
    "malformed HTTP/2": malformed_http,
    "calls without an end": half_calls,
    "answers that nobody takes": untaken_answers,
}


async def strike(name: str, port: int, job_id: str, seed: int, scale: float) -> tuple[str, bool]:
    """Does it from a process of its own. Returns what came of it, and whether that is right."""
    words = [name, str(port), job_id, str(seed), str(scale)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.load.attacks", *words, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    answered, is_right = json.loads(told or '["it broke off", false]')
    return answered, is_right


def main(name: str, port: str, job_id: str, seed: str, scale: str) -> None:
    """One attack."""
    chance = random.Random(int(seed))  # noqa: S311 - no secret.
    attack = Attack(int(port), job_id, chance, float(scale))
    sys.stdout.write(json.dumps(asyncio.run(ATTACKS[name](attack))))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
