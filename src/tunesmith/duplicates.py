"""Near duplicates: MinHash finds candidates, exact Jaccard decides (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3).

A text is the set of all runs of five bytes in it. Five bytes fit a 64-bit number, so the sets are exact. The hash
functions of MinHash are multiply-shift ones (Dietzfelbinger et al. 1997), which need no division.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

PERMUTATIONS, BANDS = 64, 16
"""16 bands of 4 rows: two texts of Jaccard 0.8 share a band with probability 1 - (1 - 0.8^4)^16 = 0.9998."""
PIECE = 5
"""Bytes in one shingle."""
MOST_CANDIDATES = 64
"""A boilerplate band may collect thousands of texts; the first ones are compared, so that time stays linear."""


def shingles(text: str) -> Any:
    """All runs of `PIECE` bytes of a text, each once, as sorted numbers (n,) uint64; the whole of a shorter text."""
    import numpy as np

    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= PIECE:
        return np.array([int.from_bytes(data, "little") + (len(data) << 48)], dtype=np.uint64)
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.uint64)
    n = len(codes) - PIECE + 1
    joined = codes[:n].copy()
    for step in range(1, PIECE):
        joined |= codes[step : n + step] << np.uint64(8 * step)
    # np.unique without its overhead, which would cost more than the sort
    joined.sort()
    keep = np.ones(n, dtype=bool)
    np.not_equal(joined[1:], joined[:-1], out=keep[1:])
    return joined[keep]


def jaccard(a: Any, b: Any) -> float:
    """Shared shingles as a share of all shingles of both texts, as `shingles` gives them."""
    import numpy as np

    both = np.concatenate((a, b))
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


@cache
def _multipliers() -> tuple[Any, Any, Any]:
    """(64, 1) odd factors and (64, 1) summands of the hash functions, and (4,) odd factors that fold a band."""
    import numpy as np

    generator = np.random.default_rng(20_260_101)

    def draw(n: int) -> Any:
        return generator.integers(0, 1 << 64, n, dtype=np.uint64)

    return draw(PERMUTATIONS)[:, None] | 1, draw(PERMUTATIONS)[:, None], draw(PERMUTATIONS // BANDS) | 1


def band_keys(mine: Any, label: str) -> list[int]:
    """One number for each band: texts that are alike share at least one. `label` keeps texts of its own apart."""
    import numpy as np

    factors, summands, fold = _multipliers()
    # Only the upper half of a product with an odd factor is evenly spread.
    signature = ((mine * factors + summands) >> np.uint64(32)).min(axis=1).reshape(BANDS, -1)
    apart = np.arange(1, BANDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    keys = (
        (signature * fold).sum(axis=1, dtype=np.uint64) ^ apart ^ np.uint64(zlib.crc32(label.encode()) << 32)
    )
    return [int(key) for key in keys.tolist()]


class NearIndex:
    """Texts to find again. Only texts under the same label are compared."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._first: dict[int, int] = {}
        self._more: dict[int, list[int]] = {}
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._texts)

    def remember(self, text: str, *, label: str = "") -> int:
        """Take a text in; its number, counted from 0."""
        return self._remember(text, band_keys(shingles(text), label))

    def find(self, text: str, *, label: str = "") -> list[tuple[int, float]]:
        """(number, Jaccard similarity) of every remembered text that this one nearly repeats, in their order."""
        mine = shingles(text)
        return list(self._alike(mine, band_keys(mine, label), at_most=None))

    def add(self, text: str, *, label: str = "") -> str | None:
        """The first text that this one nearly repeats; `None` when there is none, and then the text is remembered."""
        mine = shingles(text)
        keys = band_keys(mine, label)
        for number, _ in self._alike(mine, keys, at_most=1):
            return self._texts[number]
        self._remember(text, keys)
        return None

    def _alike(self, mine: Any, keys: list[int], *, at_most: int | None) -> list[tuple[int, float]]:
        candidates: set[int] = set()
        for key in keys:
            first = self._first.get(key)
            if first is not None:
                candidates.add(first)
                if key in self._more:
                    candidates.update(self._more[key])
        found: list[tuple[int, float]] = []
        for number in sorted(candidates):
            similarity = jaccard(mine, shingles(self._texts[number]))
            if similarity >= self._threshold:
                found.append((number, similarity))
                if at_most is not None and len(found) >= at_most:
                    break
        return found

    def _remember(self, text: str, keys: list[int]) -> int:
        number = len(self._texts)
        self._texts.append(text)
        for key in keys:
            if self._first.setdefault(key, number) != number:
                more = self._more.setdefault(key, [])
                if len(more) < MOST_CANDIDATES - 1:
                    more.append(number)
        return number
