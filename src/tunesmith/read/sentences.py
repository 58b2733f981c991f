"""Sentences with their place in the text, in time that grows with the length of the text and no faster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

WINDOW = 20_000
"""Longest piece, in characters, that the sentence splitter sees at once."""
LONG_SENTENCE = 700
"""Longer “sentences”, in characters, are parted at every full stop: an unclosed bracket must not swallow a page."""

_UNSPACED_STOP = re.compile(r"[。！？｡।॥۔؟…]+[\"'”’」』）)\]]*(?=\S|\s)")
"""Stops of scripts for which the splitter has no rule: Chinese, Japanese, Hindi, Urdu, Arabic."""
_PLAIN_STOP = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s+[\"'“‘(\[]*[^\W_a-z])")
_INNER_STOP = re.compile(r"[.!?]\s|[。！？｡।॥۔؟]")

Span = tuple[int, int]


def sentence_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """Spans of the sentences in `text[start:end]`, without the white space between them. Nothing else is left out."""
    for window_start, window_end in _windows(text, start, end):
        for part_start, part_end in _cut_at(_UNSPACED_STOP, text, window_start, window_end):
            for span in _latin_sentences(text, part_start, part_end):
                if span[1] - span[0] > LONG_SENTENCE:
                    yield from _cut_at(_PLAIN_STOP, text, *span)
                else:
                    yield span


def _windows(text: str, start: int, end: int) -> Iterator[Span]:
    """Pieces of at most `WINDOW` characters, parted after a stop, else at a space, else anywhere."""
    while end - start > WINDOW:
        stop = start + WINDOW
        ends = [match.end() for match in _INNER_STOP.finditer(text, start + WINDOW // 2, stop)]
        cut = ends[-1] if ends else text.rfind(" ", start + WINDOW // 2, stop) + 1 or stop
        yield start, cut
        start = cut
    yield start, end


def _cut_at(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Span]:
    position = start
    for match in pattern.finditer(text, start, end):
        if span := trimmed(text, position, match.end()):
            yield span
        position = match.end()
    if span := trimmed(text, position, end):
        yield span


def trimmed(text: str, start: int, end: int) -> Span | None:
    """The span without white space at its ends, or `None` if nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if end > start else None


def _latin_sentences(text: str, start: int, end: int) -> Iterator[Span]:
    from syntok import segmenter
    from syntok.tokenizer import Tokenizer

    piece = text[start:end]
    if not _INNER_STOP.search(piece):
        if span := trimmed(text, start, end):
            yield span
        return
    tokens = Tokenizer(replace_not_contraction=False).tokenize(piece)
    starts = [sentence[0].offset for sentence in segmenter.split(tokens)]
    borders = [0, *starts[1:], len(piece)]
    for border, following in pairwise(borders):
        if span := trimmed(text, start + border, start + following):
            yield span
