"""What happens in the shop: the types of the events, and where each of them goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "EVENTS",
    "LANES",
    "AnalyticsTrack",
    "Event",
    "Lane",
    "NotificationSend",
    "OrderCreated",
    "OrderStatusChanged",
    "PaymentCompleted",
]


class Event(BaseModel):
    """An event. Its id, time and source travel beside it, in the envelope."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OrderCreated(Event):
    """Somebody ordered something."""

    order_id: str = Field(min_length=1)
    customer_id: str
    shop_id: str
    total_cents: int = Field(gt=0)


class OrderStatusChanged(Event):
    """An order went on."""

    order_id: str = Field(min_length=1)
    previous_status: str
    new_status: str
    changed_by: str


class PaymentCompleted(Event):
    """Somebody paid."""

    order_id: str = Field(min_length=1)
    cents: int = Field(gt=0)


class NotificationSend(Event):
    """Somebody is to be told."""

    to: str
    text: str


class AnalyticsTrack(Event):
    """Something is to be counted."""

    what: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue of events of one urgency.

    Attributes:
        queue: of its jobs.
        priority: of its jobs.
        attempts: of each job, before it is kept as a dead letter.
        at_once: jobs that run at once over the whole fleet.
    """

    queue: str
    priority: Literal["HIGH", "DEFAULT", "LOW"]
    attempts: int
    at_once: int


HIGH: Final = Lane("events-high", "HIGH", attempts=5, at_once=10)
DEFAULT: Final = Lane("events-default", "DEFAULT", attempts=3, at_once=5)
LOW: Final = Lane("events-low", "LOW", attempts=3, at_once=5)
LANES: Final = (HIGH, DEFAULT, LOW)

EVENTS: Final[dict[str, tuple[type[Event], Lane]]] = {
    "order.created": (OrderCreated, HIGH),
    "order.status_changed": (OrderStatusChanged, HIGH),
    "payment.completed": (PaymentCompleted, HIGH),
    "notification.send": (NotificationSend, DEFAULT),
    "analytics.track": (AnalyticsTrack, LOW),
}
