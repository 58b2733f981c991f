"""Questions of one passage, asked about another that does not answer them."""

from __future__ import annotations

from collections import deque

from tunesmith.records import Chunk, Example
from tunesmith.synthesize.checks.words import normalise
from tunesmith.synthesize.wordlists import word_set

LENT = 400
"""Questions that are kept to borrow from: those of the last passages, which are near in subject."""
_SMALL = word_set(
    "a an and are as at be by do does did for from has have how in is it of on or that the to was were what"
    " when where which who why will with"
)


class Borrowed:
    """Keeps questions, and lends the one that is nearest in subject to a passage that does not answer it."""

    def __init__(self) -> None:
        self._questions: deque[tuple[Example, frozenset[str], frozenset[str]]] = deque(maxlen=LENT)

    def lend(self, example: Example) -> None:
        self._questions.append((example, _content(example.instruction), _content(example.target)))

    def borrow(self, chunk: Chunk) -> Example | None:
        """A question of the same document, one of another document where there is none; each is lent once.

        A passage that holds every word of the answer may answer the question, and is not asked. The question shares
        words with the passage, as one that nothing in the passage prompts would give itself away.
        """
        there = _content(chunk.text)
        best: tuple[tuple[bool, int, str], tuple[Example, frozenset[str], frozenset[str]]] | None = None
        for entry in self._questions:
            example, question, answer = entry
            shared = len(question & there)
            if example.chunk_id == chunk.id or answer <= there or not shared:
                continue
            rank = (example.source_id == chunk.source_id, shared, example.id)
            if best is None or rank > best[0]:
                best = (rank, entry)
        if best is None:
            return None
        self._questions.remove(best[1])
        return best[1][0]


def _content(text: str) -> frozenset[str]:
    return frozenset(normalise(text).split()) - _SMALL
