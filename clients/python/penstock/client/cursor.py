"""Where a watch stands: which messages of a stream are news, and whether any are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.errors import Status, Unavailable
from penstock.client.events import StateEvent
from penstock.client.from_wire import event_of, snapshot_of

if TYPE_CHECKING:
    from penstock.client.events import Event, SnapshotEvent
    from penstock.v1.job_service_pb2 import StreamProgressResponse


class Cursor:
    """A position in the events of a job, moved by what streams bring, of which there may be many.

    Attributes:
        job_id: of the job.
        sequence: of the last event that was taken.
        complete: that was the job's last.
    """

    def __init__(self, job_id: str, after: int) -> None:
        self.job_id = job_id
        self.sequence = after
        self.complete = False
        self._began = False

    def take(self, message: StreamProgressResponse) -> Event | None:
        """The event that a message tells; None if it tells nothing new.

        Raises:
            Unavailable: events are missing before this one; another stream will have them.
            Internal: this client is too old for the message.
        """
        if message.HasField("snapshot"):
            return self._take_snapshot(message)
        expected = self.sequence + 1
        if message.last_sequence < expected:
            return None
        if message.first_sequence > expected:
            raise Unavailable(
                Status(
                    "UNAVAILABLE",
                    f"the stream of job {self.job_id} skipped from {self.sequence} "
                    f"to {message.first_sequence}",
                )
            )
        # Merged reports may begin before the cursor, if they were merged otherwise last time.
        event = event_of(self.job_id, expected, message)
        self.sequence = message.last_sequence
        self.complete = isinstance(event, StateEvent) and event.terminal
        return event

    def _take_snapshot(self, message: StreamProgressResponse) -> SnapshotEvent | None:
        event = snapshot_of(message, self.sequence)
        self.complete = event.job.done and event.job.last_sequence <= self.sequence
        first, self._began = not self._began, True
        return event if first else None
