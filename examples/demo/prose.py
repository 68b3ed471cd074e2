"""A text generator that has read the documentation: plain functions, no Penstock.

A Markov chain: each word is drawn from those that followed the two before it in what was read.
The same text and seed give the same words on every machine, so that a result can be checked.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Chain"]

_END: Final = (".", "!", "?")
_SENTENCE_WORDS: Final = 6  # Shorter texts are captions.

Pair = tuple[str, str]


class Chain:
    """What followed which two words, and with which words sentences began."""

    def __init__(self) -> None:
        self._following: dict[Pair, list[str]] = defaultdict(list)
        self._openings: list[Pair] = []

    def read(self, texts: Iterable[str]) -> int:
        """Learn from texts; returns how many words were read."""
        count = 0
        for text in texts:
            words = text.split()
            if len(words) < _SENTENCE_WORDS:
                continue
            count += len(words)
            self._openings.append((words[0], words[1]))
            for first, second, third in zip(words, words[1:], words[2:], strict=False):
                self._following[first, second].append(third)
        return count

    def write(self, *, words: int, seed: int) -> Iterator[str]:
        """Yield words, each with the space before it, ending with the first sentence that does.

        Args:
            words: How many to write before the end of a sentence is looked for.
            seed: Decides what is written.

        Raises:
            ValueError: Nothing was read.
        """
        if not self._openings:
            raise ValueError("there is nothing to write from: read() some texts first")
        dice = random.Random(seed)  # noqa: S311 - it must be repeatable, not unguessable.
        written = 0
        pair: Pair | None = None
        while True:
            fresh: tuple[str, ...]
            if pair is None or pair not in self._following:
                fresh = pair = dice.choice(self._openings)
            else:
                fresh = (dice.choice(self._following[pair]),)
                pair = (pair[1], fresh[0])
            for word in fresh:
                yield f" {word}" if written else word
                written += 1
            if written >= 2 * words or (written >= words and pair[1].endswith(_END)):
                return
