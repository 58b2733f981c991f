"""Prompts that mean the same in other words: found by the cosine of their sentence vectors.

For kinds that ask the same of every passage, and for scenarios, the answers are compared instead of the prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from tunesmith.records import Example, Refused
from tunesmith.synthesize.checks.duplicates import compared_text
from tunesmith.synthesize.checks.words import stated_numbers

if TYPE_CHECKING:
    import numpy

CHECK = "semantic_duplicate"
TOGETHER = 64
"""Drafts that are encoded at once."""


def drop_semantic_duplicates(
    drafts: Iterable[Example | Refused], threshold: float, refuse: Callable[[Example, str, str], Refused]
) -> Iterator[Example | Refused]:
    """The drafts in their order; one whose vector comes near that of a kept one is refused, and names it.

    Two prompts that differ in a number ask for different things, however alike they are. Memory grows by the encoder's
    width in float32 for each kept example (1.5 kB with the built-in one).

    Args:
        drafts: refused ones pass through.
        threshold: cosine from which two texts are the same.
        refuse: makes a refusal of example, check and reason.
    """
    from tunesmith.models.encoder import load_encoder
    from tunesmith.models.load import set_threads

    set_threads(None)
    encoder, _ = load_encoder("builtin", layer=None, long_texts="window", batch_size=TOGETHER)
    kept = _Kept()
    rest = iter(drafts)
    while group := list(islice(rest, TOGETHER)):
        texts = [compared_text(draft) for draft in group if isinstance(draft, Example)]
        vectors = encoder.encode(texts, sentences=True, tokens=False)
        for draft in group:
            if isinstance(draft, Refused):
                yield draft
                continue
            text = compared_text(draft)
            vector = vectors[text].sentence
            assert vector is not None, "sentence vectors were asked for"
            twin = kept.add(text, vector.numpy(), threshold)
            yield draft if twin is None else refuse(draft, CHECK, f"it means nearly the same as “{twin}”")


class _Kept:
    """Vectors and texts of what was kept, in an array that doubles when it is full."""

    def __init__(self) -> None:
        self._vectors: numpy.ndarray[Any, Any] | None = None
        self._texts: list[str] = []

    def add(self, text: str, vector: numpy.ndarray[Any, Any], threshold: float) -> str | None:
        """The text that this one repeats; `None` where it repeats none, and then it is kept."""
        import numpy

        n = len(self._texts)
        if self._vectors is None:
            self._vectors = numpy.empty((1024, len(vector)), dtype=numpy.float32)
        elif n == len(self._vectors):
            self._vectors = numpy.concatenate([self._vectors, numpy.empty_like(self._vectors)])
        near = self._vectors[:n] @ vector
        places: list[int] = numpy.flatnonzero(near >= threshold)[:TOGETHER].tolist()
        for place in places:
            if stated_numbers(self._texts[place]) == stated_numbers(text):
                return self._texts[place]
        self._vectors[n] = vector
        self._texts.append(text)
        return None
