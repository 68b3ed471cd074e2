"""Following jobs to their ends: what ``submit --watch`` and ``watch`` share."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from penstock.cli.board import Board, board_on
from penstock.cli.exits import ExitCode
from penstock.cli.faults import CommandError
from penstock.cli.follow import Narrator, event_json, label_of
from penstock.cli.outages import telling_outages
from penstock.cli.output import emit, for_people, json_wanted
from penstock.client import ChunkEvent, StateEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from penstock.client import AsyncClient, Event, Job

__all__ = ["Follower", "follow_jobs"]

_MAX_WATCHED: Final = 1000
"""Each is a stream of its own, and gateways limit those of a connection."""


class Follower:
    """Shows the events of several jobs, and knows how they ended.

    The output of a single job goes to stdout as it is, so that it can be piped on; where stdout is
    a terminal, the board is drawn on it, and shows it, as it shows that of several jobs.

    Args:
        board: Where they are shown; None prints each event as a line of JSON instead.
        alone: There is a single job.
    """

    def __init__(self, board: Board | None, *, alone: bool) -> None:
        self._board = board
        self._narrator = None if board is None else Narrator(board)
        self._to_stdout = alone and not sys.stdout.isatty()
        self.unsuccessful = 0
        """Jobs that ended in another state than SUCCEEDED."""

    def expect(self, job: Job) -> None:
        """Show a job from now on."""
        if self._board is not None:
            self._board.add(job.job_id, label_of(job))

    def say(self, text: str) -> None:
        """Tell people a line, in rich's markup; programs are told events and errors only."""
        if self._board is not None:
            self._board.say(text)

    def take(self, event: Event) -> None:
        """Show an event, and note an end."""
        if isinstance(event, StateEvent) and event.terminal:
            self.unsuccessful += event.state != "SUCCEEDED"
        if self._narrator is None:
            emit(event_json(event))
            return
        if isinstance(event, ChunkEvent) and self._to_stdout:
            sys.stdout.buffer.write(event.data)
            sys.stdout.buffer.flush()
            if self._board is not None and event.data and _stderr_is_stdout():
                self._board.line_open = not event.data.endswith(b"\n")
        else:
            self._narrator.tell(event)


async def follow_jobs(
    client: AsyncClient, job_ids: Sequence[str], limit: timedelta | None
) -> ExitCode:
    """Show jobs until all of them have ended.

    Args:
        client: Connected to their gateway.
        job_ids: Of the jobs.
        limit: How long to watch; None is to the end.

    Returns:
        OK if all of them SUCCEEDED, else FAILED.

    Raises:
        CommandError: The limit passed first.
        penstock.client.PenstockError: A job is unknown, or the gateway stayed away for too long.
    """
    if len(job_ids) > _MAX_WATCHED:
        raise CommandError(
            f"{len(job_ids)} jobs are too many to watch at once",
            f"watch up to {_MAX_WATCHED}, or see their counts with: penstock queues",
        )
    limit_s = None if limit is None else limit.total_seconds()
    alone = len(job_ids) == 1
    try:
        async with asyncio.timeout(limit_s):
            if json_wanted():
                follower = Follower(None, alone=alone)
                await _follow(client, job_ids, follower)
            else:
                with board_on(for_people()) as board:
                    follower = Follower(board, alone=alone)
                    await _follow(client, job_ids, follower)
    except TimeoutError as error:
        raise CommandError(
            f"not done after {limit_s:g} s; the work goes on",
            f"see it with: penstock watch {' '.join(job_ids)}",
            ExitCode.TIMED_OUT,
        ) from error
    return ExitCode.FAILED if follower.unsuccessful else ExitCode.OK


def _stderr_is_stdout() -> bool:
    """Return whether both go to one place (``2>&1``), so that one may break the other's line."""
    return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())


async def _follow(client: AsyncClient, job_ids: Sequence[str], follower: Follower) -> None:
    # A watch is patient with a gateway that is away; asked for their states first, a gateway
    # that never was there, or a wrong id, is told at once.
    for job in await asyncio.gather(*map(client.status, job_ids)):
        follower.expect(job)
    async with client.watch_many(job_ids) as events, telling_outages(events, client, follower.say):
        async for event in events:
            follower.take(event)
