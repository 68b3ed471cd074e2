"""What a text is made of, and what it is about: counted page by page."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

from examples.expert_os.tasks import DocumentReport, Term

__all__ = ["Tally"]

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}-][^\W\d_]+)*")
_SENTENCE: Final = re.compile(r"[.!?…]+(?=\s|$)|[。！？]")  # noqa: RUF001 - of Chinese and Japanese.
_SHORTEST_TERM: Final = 4
_LONGEST_TERM: Final = 40
_TERMS: Final = 10
_WORDS_A_MINUTE: Final = 200
_MOST_PAIRS: Final = 200_000

# Words that say how, not what, of those that are long enough for a term.
_COMMON_WORDS: Final = """
about above after again against along already also although always among another anything
around away because been before behind being below between beyond both cannot could does
doing done down during each either else enough even ever every everything find first from
further given gives goes have having hence here hers herself himself however instead into
itself just keep kept know last later least less like made make makes many might more most
much must myself near need needs neither never nobody none nothing often once only onto
other others otherwise ours ourselves over perhaps rather same says seen several shall
should since some something still such take takes than that their theirs them themselves
then there therefore these they thing things this those though through thus together
toward towards under unless until upon used uses using very want well were what whatever
when where whether which while whole whom whose will with within without would your yours
yourself
"""
_COMMON: Final = frozenset(_COMMON_WORDS.split())


class Tally:
    """The counts of a document, which grow with each page."""

    def __init__(self) -> None:
        self._pages = 0
        self._empty_pages = 0
        self._sentences = 0
        self._characters = 0
        self._words: Counter[str] = Counter()
        self._pairs: Counter[str] = Counter()
        self._pages_with: Counter[str] = Counter()

    def add(self, page: str) -> None:
        """Counts a page."""
        words = [word.casefold() for word in _WORD.findall(page)]
        self._pages += 1
        self._empty_pages += not words
        self._characters += len(page)
        self._sentences += len(_SENTENCE.findall(page))
        self._words.update(words)
        self._pages_with.update(set(words))
        self._pairs.update(f"{a} {b}" for a, b in pairwise(words) if _is_term(a) and _is_term(b))
        if len(self._pairs) > _MOST_PAIRS:
            self._pairs = Counter(dict(self._pairs.most_common(_MOST_PAIRS // 2)))

    def report(self, title: str) -> DocumentReport:
        """All that was counted."""
        words = self._words.total()
        return DocumentReport(
            title=title,
            pages=self._pages,
            empty_pages=self._empty_pages,
            words=words,
            distinct_words=len(self._words),
            sentences=self._sentences,
            characters=self._characters,
            reading_minutes=round(words / _WORDS_A_MINUTE, 1),
            key_terms=self._terms(),
        )

    def _terms(self) -> list[Term]:
        """The terms with the highest scores; a word that mostly stands in a better pair is none."""
        scores = {word: self._score(word) for word in self._words if _is_term(word)}
        for pair, count in self._pairs.items():
            if count > 1:
                first, second = pair.split()
                scores[pair] = (scores[first] + scores[second]) * count / self._words[first]
        terms: list[Term] = []
        for term in sorted(scores, key=lambda term: (-scores[term], term)):
            count = self._pairs[term] if " " in term else self._words[term]
            if not any(term in each.term.split() and count < 2 * each.count for each in terms):
                terms.append(Term(term=term, count=count))
            if len(terms) == _TERMS:
                break
        return terms

    def _score(self, word: str) -> float:
        """How often it is used, and more if that is on few of the pages."""
        return self._words[word] * math.log(1 + self._pages / self._pages_with[word])


def _is_term(word: str) -> bool:
    return _SHORTEST_TERM <= len(word) <= _LONGEST_TERM and word not in _COMMON
