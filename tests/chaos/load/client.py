"""A client process: sessions that submit, follow, cancel and retry jobs, each of its own mind.

Beside them, where they are asked for, those who publish messages and who make schedules.

``python -m tests.chaos.load.client``, with its settings as JSON in CHAOS_CLIENT. SIGTERM makes it
begin nothing new, follow to their end the jobs that it follows, and exit.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from penstock.client import AsyncClient, PenstockError
from tests.chaos.history.journal import Journal
from tests.chaos.load.planner import Planner
from tests.chaos.load.publisher import Guest, Publisher
from tests.chaos.load.recorder import Recorder
from tests.chaos.load.schedule_calls import ScheduleCalls
from tests.chaos.load.session import Session
from tests.chaos.load.topic_calls import GUESTS, TopicCalls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ClientSettings"]

#: Connections of a process, which its sessions share.
_CHANNELS: Final = 3
#: How far behind its rate it may fall and still catch up (s).
_BURST_S: Final = 3.0
_SETTINGS: Final = "CHAOS_CLIENT"


@dataclass(frozen=True)
class ClientSettings:
    """What a client process is given.

    Attributes:
        targets: the gateways, host:port with commas between them.
        seed: of all that is left to chance.
        rate: jobs a second, of all its sessions.
        sessions: how many there are.
        publishers: likewise; where there are any, a guest subscribes now and then.
        planners: likewise, each of whom has one schedule at a time.
        timeout_s: of a call, its repetitions included.
        finish_s: how long it goes on following once it is told to stop.
    """

    targets: str
    seed: int
    rate: float = 50.0
    sessions: int = 24
    publishers: int = 0
    planners: int = 0
    timeout_s: float = 10.0
    finish_s: float = 120.0


class Pace:
    """Lets jobs pass at a rate, whoever submits them.

    Args:
        rate: jobs a second.
    """

    def __init__(self, rate: float) -> None:
        self._gap_s = 1 / rate
        self._next = time.monotonic()

    async def take(self, jobs: int) -> None:
        """Waits until so many jobs may be submitted."""
        now = time.monotonic()
        self._next = max(self._next, now - _BURST_S) + jobs * self._gap_s
        await asyncio.sleep(max(0.0, self._next - now))


async def _main(settings: ClientSettings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    name = os.environ["CHAOS_NAME"]
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(Path(os.environ["CHAOS_JOURNALS"]), name))
        clients = [
            await stack.enter_async_context(
                AsyncClient(f"ipv4:{settings.targets}", timeout=settings.timeout_s)
            )
            for _ in range(_CHANNELS)
        ]
        # So that dates and times can be compared.
        journal.write("date", date_ns=time.time_ns())
        people = _people(settings, name, clients, journal, stopping)
        tasks = [asyncio.create_task(person.run()) for person in people]
        await stopping.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.finish_s):
                await asyncio.gather(*tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _people(
    settings: ClientSettings,
    name: str,
    clients: list[AsyncClient],
    journal: Journal,
    stopping: asyncio.Event,
) -> Iterator[Session | Publisher | Guest | Planner]:
    """All who do something in this process."""
    numbers, pace = itertools.count(1), Pace(settings.rate)

    def chance(who: object) -> random.Random:
        return random.Random(f"{settings.seed}:{name}:{who}")  # noqa: S311 - no secret.

    for number in range(settings.sessions):
        calls = Recorder(clients[number % _CHANNELS], journal, numbers)
        yield Session(calls, pace.take, stopping, f"{name}:{number}", chance(number))
    topics = TopicCalls(clients[0], journal, numbers)
    for place in range(settings.publishers):
        who = f"{name}:publisher-{place}"
        yield Publisher(topics, pace.take, stopping, who, chance(who))
    # Who comes after a client that was killed takes its place.
    guest = f"chaos.guest.{name.partition('.')[0].rpartition('-')[2]}"
    if settings.publishers and guest in GUESTS:
        yield Guest(topics, stopping, (guest, GUESTS[guest]), chance("guest"))
    schedules = ScheduleCalls(clients[0], journal, numbers)
    for place in range(settings.planners):
        who = f"{name}:planner-{place}"
        yield Planner(schedules, stopping, who, chance(who))


if __name__ == "__main__":
    with suppress(PenstockError):
        uvloop.run(_main(ClientSettings(**json.loads(os.environ[_SETTINGS]))))
