"""Which texts of two sets share runs of words, found in one pass over the larger set.

The runs of the held-out texts are kept as 64-bit numbers in one sorted array; the other texts go by one at a time. A
run that stands in many texts is the template's, not the text's, and counts for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

TEMPLATE_SHARE, FEW_TEXTS = 0.2, 10
"""A run in more than this share of the texts, and in more than this many, belongs to a template."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Shared:
    """One pair of texts that share runs of words."""

    held_out: int
    seen: int
    n_shared: int
    """Different runs they share, those of templates left out."""
    of_held_out: float
    """`n_shared` as a share of the held-out text's own runs."""
    of_seen: float
    """The same of the seen text's."""
    covered: float
    """Share of the words of one of the two that stand in shared runs: of the held-out text, or of the seen one if that
    is more. Words that stand only in runs of a template are not counted."""
    words: str
    """The first run they share."""


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


class Overlap:
    """Finds the pairs that share runs of `n` words."""

    def __init__(self, n: int, held_out: Sequence[str]) -> None:
        import numpy as np

        self._n = n
        self._numbers: dict[str, int] = {}
        generator = np.random.default_rng(20_260_102)
        self._factors = generator.integers(0, 1 << 64, n, dtype=np.uint64) | np.uint64(1)
        self._held = [words_of(text) for text in held_out]
        self._held_runs = [self._ordered_runs(words) for words in self._held]
        runs = [np.unique(found) for found in self._held_runs]
        owners = np.repeat(np.arange(len(runs)), [len(found) for found in runs])
        joined = np.concatenate(runs or [np.empty(0, np.uint64)])
        order = np.argsort(joined, kind="stable")
        self._owners = owners[order]
        self._keys, self._starts = np.unique(joined[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(joined))

    def pairs(self, seen: Sequence[str]) -> Iterator[Shared]:
        """Every pair that shares a run, in the order of `seen`."""
        import numpy as np

        if not len(self._keys):
            return
        often = np.zeros(len(self._keys), dtype=np.int64)
        matches: dict[int, tuple[Any, int]] = {}
        for number, text in enumerate(seen):
            runs = self._runs(words_of(text))
            places = np.searchsorted(self._keys, runs)
            places[places == len(self._keys)] = 0
            hits = places[self._keys[places] == runs]
            if len(hits):
                often[hits] += 1
                matches[number] = (hits, len(runs))
        limit = max(FEW_TEXTS, TEMPLATE_SHARE * len(seen))
        is_text = often <= limit
        n_own = self._own_runs(is_text)
        for number, (hits, n_runs) in matches.items():
            telling = hits[is_text[hits]]
            n_seen = n_runs - (len(hits) - len(telling))
            owners = [
                owner for k in telling for owner in self._owners[self._starts[k] : self._ends[k]].tolist()
            ]
            for held, count in sorted(Counter(owners).items()):
                first, n_covered = self._where(held, telling)
                # Of the seen text the places are not kept: its shared runs are taken to follow each other.
                covered = max(
                    n_covered / (int(n_own[held]) + self._n - 1),
                    (count + self._n - 1) / (n_seen + self._n - 1),
                )
                yield Shared(
                    held,
                    number,
                    count,
                    count / int(n_own[held]),
                    count / n_seen,
                    min(1.0, covered),
                    " ".join(self._held[held][first : first + self._n]),
                )

    def _own_runs(self, is_text: Any) -> Any:
        """How many runs each held-out text has besides those of templates."""
        import numpy as np

        kept = np.repeat(is_text, self._ends - self._starts)
        return np.bincount(self._owners[kept], minlength=len(self._held))

    def _where(self, held: int, keys: Any) -> tuple[int, int]:
        """First word of the first of these runs in a held-out text, and how many of its words stand in any of them."""
        import numpy as np

        starts = np.flatnonzero(np.isin(self._held_runs[held], self._keys[keys]))
        return int(starts[0]), int(np.minimum(np.diff(starts), self._n).sum()) + self._n

    def _runs(self, words: Sequence[str]) -> Any:
        """The runs of a text as sorted numbers, each once."""
        import numpy as np

        return np.unique(self._ordered_runs(words))

    def _ordered_runs(self, words: Sequence[str]) -> Any:
        import numpy as np

        count = len(words) - self._n + 1
        if count < 1:
            return np.empty(0, dtype=np.uint64)
        numbers = self._numbers
        ids = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], dtype=np.uint64)
        mixed = ids * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        total = np.zeros(count, dtype=np.uint64)
        for step in range(self._n):
            total += mixed[step : step + count] * self._factors[step]
        return total
