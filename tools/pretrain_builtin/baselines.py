"""Unigram and 5-gram models over the same tokens, to say what a loss is worth.

The 5-gram is interpolated by Witten and Bell's rule down to the unigram, which is smoothed by adding one. All counting
is sorting: an n-gram of up to five tokens is one 64-bit number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]


class Counted:
    """Distinct numbers with their counts; unseen ones count zero."""

    def __init__(self, codes: Tokens) -> None:
        self.codes, self.counts = np.unique(codes, return_counts=True)

    def __call__(self, wanted: Tokens) -> NDArray[np.float64]:
        place = np.minimum(np.searchsorted(self.codes, wanted), len(self.codes) - 1)
        return np.where(self.codes[place] == wanted, self.counts[place], 0).astype(np.float64)


def encode(tokens: Tokens, order: int, vocabulary: int) -> Tokens:
    """The n-gram that ends at each position from `order - 1` on, as one number."""
    assert vocabulary**order < 2**63
    codes = np.zeros(len(tokens) - order + 1, np.int64)
    for offset in range(order):
        codes = codes * vocabulary + tokens[offset : len(tokens) - order + 1 + offset]
    return codes


def losses(train: Tokens, test: Tokens, vocabulary: int, highest: int = 5) -> dict[int, float]:
    """Mean loss in nats per token of the test text for every order up to `highest`."""
    counts = Counted(train)(np.arange(vocabulary))
    probability = ((counts + 1) / (counts.sum() + vocabulary))[test]
    result = {1: float(-np.log(probability).mean())}
    for order in range(2, highest + 1):
        grams = encode(train, order, vocabulary)
        whole, history = Counted(grams), Counted(grams // vocabulary)
        kinds = Counted(whole.codes // vocabulary)  # how many different tokens followed each history
        asked = encode(test, order, vocabulary)
        seen, spread = history(asked // vocabulary), kinds(asked // vocabulary)
        below = probability[order - 1 :]
        mixed = np.where(seen > 0, (whole(asked) + spread * below) / np.maximum(seen + spread, 1), below)
        probability = np.concatenate([probability[: order - 1], mixed])
        result[order] = float(-np.log(probability).mean())
    return result
