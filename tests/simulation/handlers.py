"""The handlers of a life: they take their time, say something, and end in every way there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from penstock.worker import Cancel, Context, Retry, Worker
from tests.simulation.clock import PROCESS

if TYPE_CHECKING:
    import random

    from tests.simulation.witness import Witness

__all__ = ["Handlers"]

#: Beside a heartbeat's interval, how long a handler may go on without its lease (s).
TOLD_WITHIN_S: Final = 1.0


class Handlers:
    """Keeps account of what every attempt did.

    Args:
        chance: of the life.
        witness: knows who holds a job.
        lease_s: some attempts last for longer.
        calm: nobody fails, and nothing takes long.
        notes: messages come, too.
    """

    def __init__(
        self, chance: random.Random, witness: Witness, lease_s: float, *, calm: bool, notes: bool
    ) -> None:
        self._chance = chance
        self._witness = witness
        self._lease_s = lease_s
        self._calm = calm
        self._notes = notes
        long_s = 0.0 if calm else 2.0 * lease_s
        self._pauses_s = (0.0, 0.3 * lease_s, lease_s, long_s)
        self.started: list[tuple[str, int, bytes | None]] = []
        self.returned: dict[str, set[int]] = {}

    def app(self, slots: int) -> Worker:
        """Of one worker process."""
        worker = Worker("q", slots=slots)

        @worker.job("work")
        async def work(payload: dict[str, Any], ctx: Context) -> dict[str, int]:
            return await self._work(payload, ctx)

        @worker.job("toil")
        async def toil(payload: dict[str, Any], ctx: Context) -> dict[str, int]:
            return await self._work(payload, ctx)

        if self._notes:

            @worker.job("note")
            async def note(payload: dict[str, Any], ctx: Context) -> dict[str, int]:
                return await self._work(payload, ctx)

        return worker

    async def _work(self, payload: dict[str, Any], ctx: Context) -> dict[str, int]:
        chance, token = self._chance, ctx.fencing_token
        self.started.append((ctx.job_id, token, ctx.last_checkpoint))
        for step in range(0 if payload.get("brief") else chance.randint(0, 1 if self._calm else 5)):
            await asyncio.sleep(chance.choice(self._pauses_s))
            self._check_lease(ctx)
            await self._say(ctx, step)
        self._end(payload)
        self.returned.setdefault(ctx.job_id, set()).add(token)
        return {"token": token}

    def _check_lease(self, ctx: Context) -> None:
        """Whose job is run elsewhere has to stop, but for the moment in which it can be told."""
        witness, process = self._witness, PROCESS.get()
        tail, now_s = ctx.job_id[-26:], witness.clock.now_s
        seen = witness.jobs.get(tail)
        if process is None or seen is None or int(seen.record.get("f", 0)) <= ctx.fencing_token:
            return
        lost_s = min(now_s - witness.granted_at_s.get(tail, now_s), now_s - process.went_on_s)
        witness.expect(
            lost_s <= TOLD_WITHIN_S + self._lease_s / 4,
            "revived",
            f"{tail}: runs on for {lost_s:.2f} s under token {ctx.fencing_token}, which is lost",
        )

    async def _say(self, ctx: Context, step: int) -> None:
        match self._chance.randint(0, 5):
            case 0:
                ctx.progress(step, 5)
            case 1:
                await ctx.emit(f"{ctx.fencing_token}.{step}")
            case 2 | 5:
                await ctx.checkpoint(f"{ctx.fencing_token}.{step}".encode())
            case 3:
                ctx.log("on it")
            case _:
                pass

    def _end(self, payload: dict[str, Any]) -> None:
        if self._calm or payload.get("sure"):
            return
        match self._chance.randint(0, 9):
            case 0 | 1:
                raise ValueError("no such luck")
            case 2:
                raise Retry(after=self._chance.choice([0.0, 0.2, 3.0]))
            case 3:
                raise Cancel("not worth it")
            case _:
                pass

    def check(self, witness: Witness) -> None:
        """What succeeded was returned by a handler, and by the one whose result was stored."""
        returned = {job_id[-26:]: tokens for job_id, tokens in self.returned.items()}
        for tail, ends in witness.accepted.items():
            for script, token in ends:
                if script == "complete":
                    witness.expect(
                        int(token) in returned.get(tail, ()),
                        "I4",
                        f"{tail}: SUCCEEDED under token {token}, but no handler returned so",
                    )
        made = witness.jobs.keys() | witness.gone
        for job_id, granted, found in self.started:
            saved = witness.handed_on.get((job_id[-26:], granted))
            witness.expect(
                saved is None if found is None else saved == b"b" + found,
                "checkpoint",
                f"{job_id}: its handler found {found!r}, saved was {saved!r}",
            )
            witness.expect(
                job_id[-26:] in made, "I2", f"{job_id}: ran under token {granted}, never submitted"
            )
