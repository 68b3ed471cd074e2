"""All that is known of one job."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.history.entries import Effect, Ending, Start
    from tests.chaos.history.view import Record, Request, Submit, View, Watch

__all__ = ["JobHistory"]


@dataclass(slots=True, eq=False)
class JobHistory:
    """All that is known of one job, in the order of the times.

    Attributes:
        submits: those that were answered with it, retries among them.
        views: of everybody, the final one among them.
        final: what the server held of it at the end; None if it held nothing.
        stored: type and payload as the server held them; "" if that is not known.
        made_ms, ended_ms: when that was, by the server's date; None if it is not known.
        schedule: that made it; "" if none did.
        occurrence_ms: that it stands for; None if it stands for none.
    """

    id: str
    submits: list[Submit] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    cancels: list[Request] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    final: View | None = None
    stored: tuple[str, str] = ("", "")
    made_ms: int | None = None
    ended_ms: int | None = None
    schedule: str = ""
    occurrence_ms: int | None = None

    @property
    def terminal_views(self) -> Iterator[View]:
        """Those that show it as ended."""
        return (view for view in self.views if view.terminal)

    @property
    def work(self) -> tuple[str, str]:
        """Type and payload as a handler got them, or as the server held them; "" if unknown."""
        return (self.starts[0].type, self.starts[0].payload) if self.starts else self.stored

    @property
    def evidence(self) -> Record | None:
        """A line that shows that there is such a job."""
        found: list[Record] = [*self.submits, *self.starts, *self.views]
        return next(iter(found), None)

    def sort(self) -> None:
        """Orders what came process by process."""
        self.submits.sort(key=attrgetter("began"))
        for records in self._timed:
            records.sort(key=attrgetter("at"))

    @property
    def _timed(self) -> tuple[list[Any], ...]:
        return (
            self.views,
            self.watches,
            self.cancels,
            self.starts,
            self.effects,
            self.endings,
        )

    def changed_within(self, since: int, until: int) -> bool:
        """Whether anything that changes it may have been stored within a span of time (ns)."""
        moments = [each.began for each in self.submits]
        moments += [each.at for each in self.cancels]
        moments += [each.at for each in self.starts]
        moments += [each.at for each in self.effects]
        moments += [each.at for each in self.endings]
        if not moments:
            moments = [view.began for view in self.views if view.source != "final"]
        return bool(moments) and min(moments) <= until and max(moments) >= since
