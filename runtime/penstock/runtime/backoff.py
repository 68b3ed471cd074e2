"""How long to wait before the next try."""

import random
from dataclasses import dataclass

__all__ = ["Backoff", "jittered"]


def jittered(seconds: float, fraction: float) -> float:
    """Return ``seconds``, moved at random by at most ``fraction`` of itself, either way.

    Many processes that do the same thing at the same interval drift apart by it.
    """
    return seconds * random.uniform(1 - fraction, 1 + fraction)  # noqa: S311 - spread, no secret.


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with jitter: ``initial_s``, then each ``multiplier`` times the last.

    Attributes:
        initial_s: The wait before the first retry, in seconds.
        max_s: No wait is longer than this, in seconds, jitter apart.
        multiplier: What a wait is multiplied by to get the next; at least 1.
        jitter: The fraction by which a wait is moved at random, 0 to 1.

    Raises:
        ValueError: A value is out of its range.
    """

    initial_s: float = 0.1
    max_s: float = 30.0
    multiplier: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.initial_s <= self.max_s:
            raise ValueError("a backoff needs 0 <= initial_s <= max_s")
        if self.multiplier < 1:
            raise ValueError("a backoff needs a multiplier of at least 1")
        if not 0 <= self.jitter <= 1:
            raise ValueError("a backoff needs a jitter between 0 and 1")

    def delay_s(self, retry: int) -> float:
        """Return the wait before a retry, in seconds.

        Args:
            retry: 1 for the first retry, 2 for the second, and so on.
        """
        try:
            exact = self.initial_s * self.multiplier ** (retry - 1)
        except OverflowError:
            exact = self.max_s if self.initial_s else 0.0
        return jittered(min(exact, self.max_s), self.jitter)
