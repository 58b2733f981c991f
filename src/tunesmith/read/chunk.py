"""Cut documents into passages on sentence borders, within a budget of tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field, model_validator

from tunesmith.options import Options
from tunesmith.read.sentences import sentence_spans, trimmed
from tunesmith.records import Chunk, Document, content_id


class ChunkOptions(Options):
    tokens: int = Field(
        default=200,
        ge=16,
        le=100_000,
        description="longest passage, in tokens (words and punctuation x 1.25)",
    )
    overlap: int = Field(
        default=0, ge=0, description="tokens of whole sentences that a passage repeats from the one before"
    )

    @model_validator(mode="after")
    def _goes_forward(self) -> ChunkOptions:
        if self.overlap > self.tokens // 2:
            raise ValueError(f"overlap ({self.overlap}) may be at most half of tokens ({self.tokens})")
        return self


# Counting ------------------------------------------------------------------------------------------------------------

_NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u30ff"
    "\u3130-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{_NO_SPACES}]")
"""Letters of scripts in which a token is about one character: Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer."""
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0dff\u200c\u200d"
)
"""Marks that belong to a word though Python does not count them as letters (Arabic vowels, Indic signs)."""
_TOKEN = re.compile(rf"[\w{_MARKS}]+|[^\w\s{_MARKS}]")
_LETTERS_PER_WORD = 16
"""A run of letters longer than this counts once for every 16 begun, so that a line without spaces has its price."""


def count_tokens(text: str) -> int:
    """An estimate without any model: words and punctuation marks x 1.25, rounded up; a character of a script without
    spaces counts 1. Measured elsewhere: within a few per cent for English on a vocabulary of 16,000."""
    return -(-_quarters(text) // 4)


def _quarters(text: str) -> int:
    """The estimate in quarter tokens, which add up without rounding."""
    n_unspaced = 0
    if not text.isascii():
        text, n_unspaced = _UNSPACED.subn(" ", text)
    n_words = sum(1 + (len(word) - 1) // _LETTERS_PER_WORD for word in _TOKEN.findall(text))
    return 4 * n_unspaced + 5 * n_words


# Units: what is never parted unless it is too long by itself ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unit:
    start: int
    end: int
    cost: int
    """In quarter tokens."""


@dataclass(slots=True)
class _Section:
    heading: str | None
    heading_start: int
    units: list[_Unit]

    @property
    def cost(self) -> int:
        return sum(unit.cost for unit in self.units)


_PARAGRAPH = re.compile(r"[^\n]+")
_HEADING = re.compile(r"#{1,6} +(\S.*)")
_SOFT_BREAK = re.compile(r"[;:,)]\s|\s[–—-]\s")


def _sections(text: str, budget: int) -> list[_Section]:
    """The text parted at its headings, each part as sentences that fit the budget."""
    sections = [_Section(None, 0, [])]
    for line in _PARAGRAPH.finditer(text):
        start, end = line.span()
        if (heading := _HEADING.match(text, start, end)) and end - start < 500:
            sections.append(_Section(heading[1].strip(), start, []))
            continue
        for span in sentence_spans(text, start, end):
            sections[-1].units.extend(_fitting(text, *span, budget))
    return [section for section in sections if section.units]


def _fitting(text: str, start: int, end: int, budget: int) -> Iterator[_Unit]:
    """A sentence as one unit, or in pieces when it alone exceeds the budget.

    Pieces end after a comma or the like if one lies in the second half of what fits, else at a space, else anywhere.
    """
    while True:
        # No token estimate is below one quarter per 16 characters, so only so much text has to be looked at.
        reach = min(end, start + 4 * budget * _LETTERS_PER_WORD)
        cost = _quarters(text[start:reach])
        if cost <= budget and reach == end:
            yield _Unit(start, end, cost)
            return
        cut = _last_fitting(text, start, reach, budget)
        if span := trimmed(text, start, cut):
            yield _Unit(*span, _quarters(text[span[0] : span[1]]))
        rest = trimmed(text, cut, end)
        if rest is None:
            return
        start = rest[0]


def _last_fitting(text: str, start: int, end: int, budget: int) -> int:
    """Where to cut: the estimate of `text[start:cut]` is within the budget."""
    low, high = start + 1, end
    while low < high:  # The estimate grows with the length, so the border can be found by halving.
        middle = (low + high + 1) // 2
        if _quarters(text[start:middle]) <= budget:
            low = middle
        else:
            high = middle - 1
    half = start + (low - start) // 2
    soft = [match.end() for match in _SOFT_BREAK.finditer(text, half, low)]
    if soft:
        return soft[-1]
    space = text.rfind(" ", half, low)
    return space if space > start else low


# Packing -------------------------------------------------------------------------------------------------------------


def chunk_document(document: Document, options: ChunkOptions) -> Iterator[Chunk]:
    """The passages of one document in order. `document.text[chunk.start:chunk.end] == chunk.text` for each."""
    budget = 4 * options.tokens
    for heading, units in _packs(document.text, budget, 4 * options.overlap):
        start, end = units[0].start, units[-1].end
        text = document.text[start:end]
        yield Chunk(
            id=content_id(document.source_id, document.title, heading or "", text, str(start)),
            source_id=document.source_id,
            title=document.title,
            heading=heading,
            text=text,
            start=start,
            end=end,
            first_page=_page_at(document.page_starts, start),
            last_page=_page_at(document.page_starts, end - 1),
            n_tokens=count_tokens(text),
        )


def _page_at(page_starts: Sequence[int], place: int) -> int | None:
    return bisect_right(page_starts, place) or 1 if page_starts else None


def _packs(text: str, budget: int, overlap: int) -> Iterator[tuple[str | None, list[_Unit]]]:
    """Units packed within the budget, section by section; a very short section joins the next one."""
    waiting: _Section | None = None
    for section in _sections(text, budget):
        if waiting is not None:
            between = _quarters(text[section.heading_start : section.units[0].start])
            if waiting.cost + between + section.cost <= budget:
                heading_unit = _Unit(section.heading_start, section.units[0].start, between)
                section = _Section(
                    waiting.heading, waiting.heading_start, [*waiting.units, heading_unit, *section.units]
                )
            else:
                yield waiting.heading, waiting.units
            waiting = None
        if section.cost < budget // SHORT_SECTION:
            waiting = section
        else:
            for units in _pack(section, budget, overlap):
                yield section.heading, units
    if waiting is not None:
        yield waiting.heading, waiting.units


SHORT_SECTION = 8
"""A section below one eighth of the budget is joined with the next one when both fit together."""


def _pack(section: _Section, budget: int, overlap: int) -> Iterator[list[_Unit]]:
    """Passages of about equal size: a section a little over the budget gives two halves, not a whole and a crumb."""
    n_passages = -(-section.cost // budget)
    target = section.cost / n_passages
    pack: list[_Unit] = []
    cost = 0
    for unit in section.units:
        if pack and (cost + unit.cost > budget or cost + unit.cost / 2 > target):
            yield pack
            pack = _repeated(pack, overlap, budget - unit.cost)
            cost = sum(item.cost for item in pack)
        pack.append(unit)
        cost += unit.cost
    if pack:
        yield pack


def _repeated(pack: Sequence[_Unit], overlap: int, room: int) -> list[_Unit]:
    """The last whole sentences of a passage that fit the overlap, never all of them."""
    repeated: list[_Unit] = []
    cost = 0
    for unit in reversed(pack[1:]):
        if cost + unit.cost > min(overlap, room):
            break
        repeated.insert(0, unit)
        cost += unit.cost
    return repeated
