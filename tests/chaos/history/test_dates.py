"""What jumps of the server's date bring forward and put off, by a look at every moment."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.history.dates import Dates, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOMENTS = 12
moments = st.integers(0, MOMENTS)


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    """Some, one after the other, each of which takes a moment or several."""
    found: list[Turn] = []
    now = 0
    while (now := now + draw(st.integers(1, 5))) < MOMENTS:
        done = now + draw(st.integers(1, 2))
        found.append(Turn(now, "harness", draw(st.integers(-50, 50)), done))
        now = done
    return found


def gains_of(found: list[Turn], since: int, known: int, until: int) -> Iterator[int]:
    """All that the date can have gained, whenever within its span each turn was really made."""
    spans = [range(turn.at, (turn.done or turn.at) + 1) for turn in found]
    ahead = [0, *(turn.to_ms for turn in found)]
    for made in itertools.product(*spans):
        for reckoned in range(since, known + 1):
            for acted in range(reckoned, until + 1):
                for one in _made_by(made, reckoned):
                    for other in _made_by(made, acted):
                        if one <= other:
                            yield ahead[other] - ahead[one]


def _made_by(made: Sequence[int], at: int) -> range:
    """How many turns may have been made by a moment; one that is made just then, or not yet."""
    return range(sum(each < at for each in made), sum(each <= at for each in made) + 1)


@settings(max_examples=60)
@given(turns(), moments, moments, moments)
def test_gains_and_losses(found: list[Turn], one: int, two: int, three: int) -> None:
    since, known, until = sorted((one, two, three))
    dates = Dates(found)
    gains = list(gains_of(found, since, known, until))
    assert dates.gained_ms(since, known, until) == max(gains)
    assert dates.lost_ms(since, known, until) == -min(gains)
