"""Near duplicates in one pass: MinHash finds candidates, exact Jaccard decides (Broder 1997; Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3)."""

from __future__ import annotations

import zlib
from typing import Any

PERMUTATIONS, BANDS = 64, 16
"""16 bands of 4 rows: two texts of Jaccard 0.8 share a band with probability 1 - (1 - 0.8^4)^16 = 0.9998."""
PIECE = 5
"""Characters in one shingle."""
_PRIME = (1 << 31) - 1
MOST_CANDIDATES = 64
"""A boilerplate band may collect thousands of texts; the first ones are compared, so that time stays linear."""


def shingles(text: str) -> frozenset[int]:
    """Hashes (32 bit) of all runs of `PIECE` characters; of the whole text when it is shorter."""
    data = text.encode()
    if len(data) <= PIECE:
        return frozenset([zlib.crc32(data)])
    return frozenset(zlib.crc32(data[i : i + PIECE]) for i in range(len(data) - PIECE + 1))


def jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


class NearDuplicates:
    """Texts seen so far. Only texts under the same label are compared."""

    def __init__(self, threshold: float) -> None:
        import numpy

        generator = numpy.random.default_rng(20_260_101)
        self._threshold = threshold
        self._a: Any = generator.integers(1, _PRIME, PERMUTATIONS, dtype=numpy.uint64)[:, None]
        self._b: Any = generator.integers(0, _PRIME, PERMUTATIONS, dtype=numpy.uint64)[:, None]
        self._bands: dict[tuple[int, bytes, str], list[int]] = {}
        self._texts: list[str] = []

    def add(self, text: str, *, label: str = "") -> str | None:
        """The earlier text that this one nearly repeats; `None` when there is none, and then the text is remembered."""
        mine = shingles(text)
        keys = self._keys(mine, label)
        candidates = sorted({index for key in keys for index in self._bands.get(key, ())[:MOST_CANDIDATES]})
        for index in candidates:
            if jaccard(mine, shingles(self._texts[index])) >= self._threshold:
                return self._texts[index]
        for key in keys:
            self._bands.setdefault(key, []).append(len(self._texts))
        self._texts.append(text)
        return None

    def _keys(self, mine: frozenset[int], label: str) -> list[tuple[int, bytes, str]]:
        import numpy

        # The hashes are below 2^31 after the modulus, so that a*x + b fits 64 bits.
        values = numpy.fromiter(mine, dtype=numpy.uint64, count=len(mine)) % numpy.uint64(_PRIME)
        signature = ((self._a * values + self._b) % numpy.uint64(_PRIME)).min(axis=1).astype(numpy.uint32)
        rows = PERMUTATIONS // BANDS
        return [(band, signature[band * rows : (band + 1) * rows].tobytes(), label) for band in range(BANDS)]
