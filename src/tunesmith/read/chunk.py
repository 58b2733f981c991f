"""Cut documents into passages on sentence borders, within a budget of tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import Field, model_validator

from tunesmith.options import Options
from tunesmith.records import Chunk, Document, content_id
from tunesmith.sentences import sentence_spans


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


# Counting

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


# Units: what is never parted unless it is too long by itself


@dataclass(frozen=True, slots=True)
class _Unit:
    start: int
    end: int
    cost: int
    """In quarter tokens."""
    opens_paragraph: bool = False


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


def _sections(text: str, budget: int) -> list[_Section]:
    """The text parted at its headings, each part as sentences that fit the budget."""
    sections = [_Section(None, 0, [])]
    for line in _PARAGRAPH.finditer(text):
        start, end = line.span()
        if (heading := _HEADING.match(text, start, end)) and end - start < 500:
            sections.append(_Section(heading[1].strip(), start, []))
            continue
        opens = start < 3 or (text[start - 2 : start] == "\n\n" and text[start - 3] != ":")
        for span in sentence_spans(text, start, end):
            for unit in _fitting(text, *span, budget):
                sections[-1].units.append(replace(unit, opens_paragraph=opens) if opens else unit)
                opens = False
    return [section for section in sections if section.units]


def _fitting(text: str, start: int, end: int, budget: int) -> Iterator[_Unit]:
    """A sentence as one unit, or in pieces when it alone exceeds the budget.

    A piece ends after a comma or the like if one lies in the second half of what fits, else at a space, else anywhere.
    """
    cost = _quarters(text[start:end])
    if cost <= budget:
        yield _Unit(start, end, cost)
        return
    tokens = list(_priced_tokens(text, start, end))
    first = 0
    cost = 0
    position = 0
    while position < len(tokens):
        cost += tokens[position].cost
        if cost > budget:
            cut = _best_cut(text, tokens, first, position)
            yield _piece(text, tokens, first, cut)
            cost = sum(token.cost for token in tokens[cut : position + 1])
            first = cut
        position += 1
    yield _piece(text, tokens, first, len(tokens))


_PRICED = re.compile(
    rf"[{_NO_SPACES}]|(?:(?![{_NO_SPACES}])[\w{_MARKS}]){{1,{_LETTERS_PER_WORD}}}|[^\w\s{_MARKS}]"
)


def _priced_tokens(text: str, start: int, end: int) -> Iterator[_Unit]:
    """The tokens of a stretch of text in pieces of at most 16 letters, which may be parted from each other."""
    for match in _PRICED.finditer(text, start, end):
        is_unspaced = match.end() - match.start() == 1 and _UNSPACED.match(match[0])
        yield _Unit(match.start(), match.end(), 4 if is_unspaced else 5)


def _best_cut(text: str, tokens: Sequence[_Unit], first: int, last: int) -> int:
    """Index of the token that starts the next piece; all tokens before `last` fit."""
    space = None
    for index in range(last, first + (last - first) // 2, -1):
        follows_space = tokens[index].start > tokens[index - 1].end
        if follows_space and text[tokens[index - 1].start] in ";:,)]–—、，；：":
            return index
        if follows_space and space is None:
            space = index
    return space or max(last, first + 1)


def _piece(text: str, tokens: Sequence[_Unit], first: int, after: int) -> _Unit:
    start, end = tokens[first].start, tokens[after - 1].end
    return _Unit(start, end, _quarters(text[start:end]))


# Packing


def chunk_document(document: Document, options: ChunkOptions) -> Iterator[Chunk]:
    """The passages of one document in order, each with `document.text[chunk.start:chunk.end] == chunk.text`."""
    # Rows of one source may begin alike; a file is the only one of its name.
    row = [document.id] if document.file else []
    for heading, units in _packs(document.text, 4 * options.tokens, 4 * options.overlap):
        start, end = units[0].start, units[-1].end
        text = document.text[start:end]
        yield Chunk(
            id=content_id(document.source_id, document.title, heading or "", text, str(start), *row),
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


SHORT_SECTION = 8
"""A section below one eighth of the budget is joined with the next one when both fit together."""


def _packs(text: str, budget: int, overlap: int) -> Iterator[tuple[str | None, list[_Unit]]]:
    """Units packed within the budget, section by section; a very short section joins the next one."""
    waiting: _Section | None = None
    for section in _sections(text, budget - overlap):
        if waiting is not None:
            between = _Unit(section.heading_start, section.units[0].start, 0)
            between = replace(between, cost=_quarters(text[between.start : between.end]))
            if waiting.cost + between.cost + section.cost <= budget - overlap:
                section = _Section(
                    waiting.heading, waiting.heading_start, [*waiting.units, between, *section.units]
                )
            else:
                yield waiting.heading, waiting.units
            waiting = None
        if section.cost < budget // SHORT_SECTION:
            waiting = section
        else:
            for units in _with_overlap(_pack(section.units, budget - overlap), overlap):
                yield section.heading, units
    if waiting is not None:
        yield waiting.heading, waiting.units


def _pack(units: Sequence[_Unit], budget: int) -> list[list[_Unit]]:
    """Passages of about equal size: a section a little over the budget gives two halves, not a whole and a crumb."""
    remaining = sum(unit.cost for unit in units)
    target = remaining / max(1, -(-remaining // budget))
    packs: list[list[_Unit]] = [[]]
    cost = 0
    for unit in units:
        if packs[-1] and (cost + unit.cost > budget or cost + unit.cost / 2 > target):
            remaining -= cost
            target = remaining / max(1, -(-remaining // budget))
            packs.append([])
            cost = 0
        packs[-1].append(unit)
        cost += unit.cost
    if len(packs) > 1:
        packs[-2:] = _even(packs[-2] + packs[-1], budget)
    return packs


def _even(units: Sequence[_Unit], budget: int) -> list[list[_Unit]]:
    """The units in two parts within the budget: at the border of a paragraph unless that is very uneven."""
    total = sum(unit.cost for unit in units)
    head = 0
    best: tuple[float, int] | None = None
    for index, unit in enumerate(units[:-1], start=1):
        head += unit.cost
        if head <= budget and total - head <= budget:
            badness = abs(total - 2 * head) + (0 if units[index].opens_paragraph else total / 2)
            if best is None or badness < best[0]:
                best = (badness, index)
    if best is None:
        raise AssertionError("two passages within the budget can be parted where they met")
    return [list(units[: best[1]]), list(units[best[1] :])]


def _with_overlap(packs: Sequence[list[_Unit]], overlap: int) -> Iterator[list[_Unit]]:
    """Each passage begins with the last whole sentences of the one before that fit the overlap, never all of them."""
    previous: list[_Unit] = []
    for pack in packs:
        repeated: list[_Unit] = []
        cost = 0
        for unit in reversed(previous[1:]):
            cost += unit.cost
            if cost > overlap:
                break
            repeated.insert(0, unit)
        yield [*repeated, *pack]
        previous = pack
