"""What a client can do to a gateway that no client should: each attack is one coroutine.

They come from another address of loopback than good clients do, which the gateway counts apart; and
from a process of their own, ``python -m tests.chaos.load.attacks NAME ...``, so that nobody else is
late because of the work that they are for the attacker.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import struct
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import h2.exceptions

from penstock.v1 import job_service_pb2 as pb
from tests.support.http2 import Peer, framed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

__all__ = ["ATTACKS", "MOST_STREAMS", "strike"]

SOURCE: Final = "127.0.0.2"
PATIENCE_S: Final = 60.0
#: Of one caller, as the gateway is set up for this.
MOST_STREAMS: Final = 200
GET: Final = "/penstock.v1.JobService/GetStatus"
WATCH: Final = "/penstock.v1.JobService/StreamProgress"
#: How long whatever was sent is left to work (s).
HOLD_S: Final = 1.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ENHANCE_YOUR_CALM: Final = 11


class Attack:
    """What attacks are given.

    Args:
        port: of the gateway, on loopback.
        job_id: of a job that waits, and has a large payload.
        chance: decides what is left to chance.
        scale: how much of it, 1 is enough to tell.
    """

    def __init__(self, port: int, job_id: str, chance: random.Random, scale: float) -> None:
        self.port = port
        self.chance = chance
        self._scale = scale
        self.get = framed(pb.GetStatusRequest(job_id=job_id).SerializeToString())
        self.get_all = framed(
            pb.GetStatusRequest(job_id=job_id, include_payload=True).SerializeToString()
        )
        self.watch = framed(pb.StreamProgressRequest(job_id=job_id).SerializeToString())

    def many(self, count: int) -> range:
        """So many, at scale 1."""
        return range(max(1, round(count * self._scale)))

    @contextlib.asynccontextmanager
    async def peers(self, count: int, window: int = 65_535) -> AsyncIterator[list[Peer]]:
        """So many connections, for as long as the block lasts."""
        peers = [Peer(self.port, window=window, source=SOURCE) for _ in range(count)]
        try:
            for peer in peers:
                await peer.__aenter__()
            yield peers
        finally:
            for peer in peers:
                peer.hang_up()

    async def answer(self, path: str, message: bytes, *headers: tuple[str, str]) -> str:
        """What one call is answered with."""
        async with self.peers(1) as (peer,):
            number = peer.call(path, message, headers)
            status = await peer.status_of(number, PATIENCE_S)
            return _told(status)


async def connections(attack: Attack) -> tuple[str, bool]:
    """1000 connections, half of which never say a word."""
    mute: list[asyncio.StreamWriter] = []
    try:
        for _ in attack.many(500):
            mute += [(await _open(attack.port))[1]]
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
            told[_told(stream.status)] += 1
            pushed_back += "grpc-retry-pushback-ms" in stream.headers
    beyond = len(numbers) - MOST_STREAMS
    return (
        f"{_listed(told)}; {pushed_back} told when to come back",
        told["RESOURCE_EXHAUSTED"] == beyond == pushed_back,
    )


async def calls(attack: Attack) -> tuple[str, bool]:
    """4000 calls at once, twice as many as the gateway works on."""
    told: Counter[str] = Counter()
    async with attack.peers(5) as peers:
        numbers = [(peer, peer.call(GET, attack.get)) for _ in attack.many(800) for peer in peers]
        for peer, number in numbers:
            told[_told(await peer.status_of(number, PATIENCE_S))] += 1
    return _listed(told), set(told) <= {"OK", "RESOURCE_EXHAUSTED"}


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
    packed = await asyncio.to_thread(_bomb)
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
    return _listed(told), set(told) == {"INVALID_ARGUMENT"}


async def malformed_http(attack: Attack) -> tuple[str, bool]:
    """Bytes that are no HTTP/2, or hardly."""
    closed = 0
    noises = _noises(attack.chance)
    for noise in noises:
        reader, writer = await _open(attack.port)
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


def _bomb() -> bytes:
    return gzip.compress(b"\0" * (300 << 20), 6)


def _noises(chance: random.Random) -> Sequence[bytes]:
    def frame(kind: int, flags: int, stream: int, body: bytes, length: int = -1) -> bytes:
        size = len(body) if length < 0 else length
        return size.to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body

    hello = _PREFACE + frame(4, 0, 0, b"")
    return [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
        *(chance.randbytes(2_000) for _ in range(10)),
        *(hello + chance.randbytes(2_000) for _ in range(10)),
        hello + frame(0, 0, 0, b"data on stream 0"),
        hello + frame(0, 0, 7, b"data on an idle stream"),
        hello + frame(1, 4, 0, b"headers on stream 0"),
        hello + frame(1, 4, 1, b"\xff" * 400),
        hello + frame(9, 4, 1, b"a continuation of nothing"),
        hello + frame(5, 4, 1, b"\0\0\0\2a push by a client"),
        hello + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
        hello + frame(4, 0, 0, b"odd settings"[:7]),
        hello + frame(0, 0, 1, b"", length=(1 << 24) - 1) + b"\0" * 100_000,
        hello + frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"),
        hello + frame(4, 0, 0, b"\0\4\0\0\0\0") * 5_000,
        hello + frame(1, 0, 1, b"\0" * 16_000) + frame(9, 0, 1, b"\0" * 16_000) * 200,
        hello + frame(3, 0, 1, b"\0\0\0\0") * 1_000,
        hello + frame(6, 0, 0, os.urandom(8)) * 5_000,
    ]


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(SOURCE, 0))


def _told(status: int | None) -> str:
    return "nothing" if status is None else _NAMES.get(status, str(status))


_NAMES: Final = {
    0: "OK",
    3: "INVALID_ARGUMENT",
    8: "RESOURCE_EXHAUSTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
}


def _listed(told: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in told.most_common())


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
