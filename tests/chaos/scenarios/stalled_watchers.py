"""Watchers that stop reading, beside others that do not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import AsyncClient, ChunkEvent
from tests.chaos.handlers.chatter import Chatter, said_at
from tests.chaos.load.stalled import StalledWatcher
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.chaos.scenario import Run
    from tests.chaos.worlds.observed_gateway import ObservedGateway

__all__ = ["StalledWatchers"]

STALLED: Final = 500
GOOD: Final = 20
#: Bytes that they take before they stop: nothing, or the snapshot and not much more.
WINDOWS: Final = (0, 1_000, 4_000)
#: Some of them do not even take what is no message, such as pings.
DEAF_SHARE: Final = 0.5
JOBS: Final = 10
EVERY_S: Final = 0.1
CHUNK: Final = 2_000
#: Calm and stalled, in turn. What else goes on on the machine disturbs some of them, so the
#: quietest ones are compared.
ROUNDS: Final = 4
SAMPLE_S: Final = 2.5
STALL_S: Final = 15.0
#: What a stalled stream is allowed beyond it: to be told its end, and to be reset.
LAST_WORDS_S: Final = 30.0
#: How much is said while hundreds of watchers take nothing.
GUSHES: Final = 8
GUSH_CHUNKS: Final = 64
GUSH_CHUNK: Final = 65_536
#: How much the gateway may grow by for so many stalled watchers (MB).
MOST_MB: Final = 256
#: Timers on a machine that others use, too, may move a p99 by so much (s).
NOISE_S: Final = 0.025
_CONNECT_AT_ONCE: Final = 50


class StalledWatchers(Scenario):
    """500 watchers open streams and stop reading (HTTP/2 windows of 0 to 4 KB), beside 20 others.

    Half of them do not even read their sockets. First of jobs that speak steadily, in turn with
    phases of calm; then of jobs that say 4 MB each as fast as they can; and at last of these jobs'
    logs from the start.
    """

    name: ClassVar = "stalled_watchers"
    rows: ClassVar = (29,)
    expects: ClassVar = (
        "the gateway's memory is bounded, other watchers are told as soon as before, and those who "
        "stall are sent away, with all that they held"
    )
    seconds: ClassVar = 90.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run) as stage:
            gateway = await stage.start_observed_gateway(stream_stall_s=STALL_S)
            stage.start_worker("tests.chaos.handlers.chatter:app")
            async with stage.connect() as client:
                await stage.registered(client)
                await _Siege(run, gateway, client).lay()
            await _check_freed(run, gateway)


class _Siege:
    """The phases, in order."""

    def __init__(self, run: Run, gateway: ObservedGateway, client: AsyncClient) -> None:
        self._run = run
        self._gateway = gateway
        self._client = client
        self._late_s: list[float] = []
        self._told = 0
        self._since = 0

    async def lay(self) -> None:
        """All of it."""
        self._jobs = [
            await self._submit(Chatter(count=100_000, size=CHUNK, every_s=EVERY_S))
            for _ in range(JOBS)
        ]
        readers = [asyncio.create_task(self._read(self._jobs[n % JOBS])) for n in range(GOOD)]
        try:
            await when(lambda: self._told >= GOOD, "the jobs speak")
            await self._compare()
            await self._overflow()
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        for job_id in self._jobs:
            await self._client.cancel(job_id)

    async def _compare(self) -> None:
        """How late events are, with and without those who stall."""
        calm: list[list[float]] = []
        stalled: list[list[float]] = []
        before = await self._gateway.look()
        peak_kb = 0
        rounds = self._run.scaled(ROUNDS, at_least=3)
        for number in range(rounds):
            calm.append(await self._sample())
            async with self._crowd(self._jobs) as crowd:
                stalled.append(await self._sample())
                during = await self._gateway.look()
                peak_kb = max(peak_kb, during.rss_kb)
                self._run.result.expect(
                    during.followed >= GOOD + STALLED and not any(p.took_more for p in crowd),
                    "stalled",
                    f"only {during.followed} streams were open: the run proves nothing",
                )
            self._run.say(f"{number + 1} of {rounds} rounds of {STALLED} stalled watchers")
        figures = self._run.result.figures
        figures["gateway's memory before"] = f"{before.rss_kb / 1024:.0f} MB"
        figures[f"with {STALLED} stalled watchers"] = f"{peak_kb / 1024:.0f} MB"
        calm_p99_s, stalled_p99_s = min(map(_p99, calm)), min(map(_p99, stalled))
        ratio = stalled_p99_s / calm_p99_s
        figures["events reach others after (p99 of the quietest round)"] = (
            f"{calm_p99_s * 1000:.1f} ms without, {stalled_p99_s * 1000:.1f} ms with them: "
            f"{ratio:.2f} times ({sum(map(len, calm))} and {sum(map(len, stalled))} events)"
        )
        figures["median of all"] = (
            f"{_median_ms(calm):.1f} ms without, {_median_ms(stalled):.1f} ms with them"
        )
        self._run.result.expect(
            ratio < 2 or stalled_p99_s - calm_p99_s < NOISE_S,
            "stalled",
            f"stalled watchers make events {ratio:.1f} times as late for others",
        )

    async def _overflow(self) -> None:
        """Much is said to those who take nothing; and they are sent away."""
        gushes = [
            await self._submit(Chatter(count=GUSH_CHUNKS, size=GUSH_CHUNK, last_s=STALL_S * 2))
            for _ in range(GUSHES)
        ]
        before = await self._gateway.look()
        async with self._crowd(gushes) as early:
            peak_kb = await self._outwait(early, "while much was said")
        # Now the logs are full, and each of them begins with a page of its own.
        async with self._crowd(gushes) as late:
            peak_kb = max(peak_kb, await self._outwait(late, "from the start of a long log"))
        grown_mb = (peak_kb - before.rss_kb) / 1024
        self._run.result.figures[f"{STALLED} stalled on {GUSHES * 4} MB of output"] = (
            f"{peak_kb / 1024:.0f} MB at most, {grown_mb:.0f} MB more than before"
        )
        self._run.result.expect(
            grown_mb < MOST_MB,
            "stalled",
            f"the gateway grew by {grown_mb:.0f} MB for {STALLED} watchers that take nothing",
        )

    async def _outwait(self, crowd: Sequence[StalledWatcher], what: str) -> int:
        """Returns the most memory (kB) until all of a crowd were sent away."""
        began, peak_kb = time.monotonic(), 0
        self._run.say(f"{len(crowd)} take nothing {what}")
        while (vitals := await self._gateway.look()).streams > GOOD:
            peak_kb = max(peak_kb, vitals.rss_kb)
            if time.monotonic() - began > STALL_S + LAST_WORDS_S:
                break
            await asyncio.sleep(0.2)
        took_s = time.monotonic() - began
        tally = self._run.result.tally("a watcher takes nothing", StalledWatchers.rows)
        tally.strikes += len(crowd)
        left = vitals.streams - GOOD
        self._run.result.expect(
            left <= 0,
            "stalled",
            f"{took_s:.0f} s after they had stalled, {left} watchers were still held",
        )
        told = sum(each.was_told for each in crowd)
        listening = sum(not each.deaf for each in crowd)
        self._run.result.expect(
            told == listening,
            "stalled",
            f"of {listening} stalled watchers that still read their sockets only {told} were told",
        )
        self._run.result.figures[f"sent away {what}"] = f"all within {took_s:.1f} s"
        return peak_kb

    @contextlib.asynccontextmanager
    async def _crowd(self, jobs: Sequence[str]) -> AsyncIterator[list[StalledWatcher]]:
        """Stalled watchers, spread over jobs, for as long as the block lasts."""
        deaf = round(STALLED * DEAF_SHARE)
        crowd = [
            StalledWatcher(
                self._gateway.port,
                jobs[number % len(jobs)],
                self._run.chance.choice(WINDOWS),
                deaf=number < deaf,
            )
            for number in range(STALLED)
        ]
        try:
            for begin in range(0, STALLED, _CONNECT_AT_ONCE):
                await asyncio.gather(
                    *(each.watch() for each in crowd[begin : begin + _CONNECT_AT_ONCE])
                )
            yield crowd
        finally:
            for each in crowd:
                each.peer.hang_up()
            await when(self._are_gone, "those who left are forgotten")

    async def _sample(self) -> list[float]:
        """How late the events of the next seconds are."""
        sample: list[float] = []
        self._late_s = sample
        self._since = time.monotonic_ns()
        await asyncio.sleep(SAMPLE_S)
        self._late_s = []
        return sample

    async def _are_gone(self) -> bool:
        return (await self._gateway.look()).streams <= GOOD

    async def _read(self, job_id: str) -> None:
        async for event in self._client.watch(job_id):
            if isinstance(event, ChunkEvent):
                # Chunks that were said one after the other may come together.
                for begin in range(0, len(event.data), CHUNK):
                    said = said_at(event.data[begin : begin + CHUNK])
                    if said >= self._since:
                        self._late_s.append((time.monotonic_ns() - said) / 1e9)
                self._told += 1

    async def _submit(self, plan: Chatter) -> str:
        self._run.result.jobs += 1
        handle = await self._client.submit("chatter", plan.model_dump())
        return handle.job_id


async def _check_freed(run: Run, gateway: ObservedGateway) -> None:
    after = await gateway.settled()
    run.result.figures["gateway's memory after"] = f"{after.rss_kb / 1024:.0f} MB"
    left = {name: count for name, count in after.counts.items() if count}
    run.result.expect(not left, "I11", f"when all were gone, the gateway still held {left}")
    log = gateway.log
    run.result.expect(
        "Traceback" not in log, "stalled", "the gateway logged an exception", log[-2000:]
    )


def _median_ms(samples: list[list[float]]) -> float:
    return statistics.median(itertools.chain.from_iterable(samples)) * 1000


def _p99(sample: list[float]) -> float:
    return sorted(sample)[int(0.99 * (len(sample) - 1))] if sample else float("inf")
