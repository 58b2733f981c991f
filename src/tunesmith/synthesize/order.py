"""In which order a model is asked about passages: so that an end at any point leaves nothing out as a whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tunesmith.records import Chunk


def in_even_order(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The passages in an order of which every beginning is spread evenly over the documents and over each of them.

    First comes one passage of each document; from then on all documents are about equally far through, in parts of
    their own length. Within a document the passages follow the van der Corput sequence (0, n/2, n/4, 3n/4, …), which
    goes over the whole of it ever more finely. The order of two passages does not hang on other documents.
    """
    of_document: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        of_document[chunk.source_id].append(chunk)
    placed = [
        (rank / len(passages), number, passages[index])
        for number, passages in enumerate(of_document.values())
        for rank, index in enumerate(sorted(range(len(passages)), key=_van_der_corput))
    ]
    return [chunk for *_, chunk in sorted(placed, key=lambda one: one[:2])]


def _van_der_corput(index: int) -> float:
    """The binary digits of the index in reverse order, behind the point (van der Corput 1935)."""
    value, weight = 0.0, 0.5
    while index:
        value += weight * (index & 1)
        index, weight = index >> 1, weight / 2
    return value
