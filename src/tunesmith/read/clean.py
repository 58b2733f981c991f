"""Mend the text: unicode, hyphens at line ends by vote over all documents, and the final layout of a document."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from tunesmith.read.blocks import HYPHEN_MARK, PAGE_MARK, Block, RawDocument
from tunesmith.records import Document, Note, content_id

_LIGATURES = str.maketrans({
    "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\u00a0": " ", "\u202f": " ",
    "\u2007": " ", "\u2028": " ", "\u2029": " ", "\u0085": " ", "\u2010": "-", "\u2011": "-",
})  # fmt: skip
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]"
)
"""Characters without ink or of private use. The joiners U+200C and U+200D stay: Persian and Indic scripts need them."""
_CONTROL = re.compile(r"[\x00-\x01\x03-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""Control characters, except the hyphen mark, the page mark, tabs and line ends."""
_SPACES = re.compile(r"[ \t\r\n\v\u1680\u2000-\u200a\u205f\u3000]+")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN = re.compile(
    rf"([^\W\d_]+(?:-[^\W\d_]+)*)?{HYPHEN_MARK}[ \t\r\n]*({PAGE_MARK}*)[ \t\r\n]*([^\W\d_]+(?:-[^\W\d_]+)*)?"
)
_PAGE_AT_SPACE = re.compile(rf" +({PAGE_MARK}+) *|({PAGE_MARK}+) +")
_SPACE_AT_EDGE = re.compile(rf"^({PAGE_MARK}*) +| +({PAGE_MARK}*)$")
_LOW_QUOTES = re.compile("„([^„‟]*)‟")


def mend_unicode(text: str) -> str:
    """Canonical composition, ligatures as letters, plain spaces, and nothing that has no ink."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text.translate(_LIGATURES))
    text = _CONTROL.sub("", _INVISIBLE.sub("", text))
    if "‟" in text:
        # Some PDF fonts map the single quotes to these: „end in sight‟ and society‟s.
        text = _LOW_QUOTES.sub("‘\\1’", text).replace("‟", "’")
    return text


@dataclass(slots=True)
class Vocabulary:
    """How often each word form stands unbroken in all documents; letters in small case."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            whole = _BROKEN.sub(" ", text) if HYPHEN_MARK in text else text
            self.counts.update(word.casefold() for word in _WORD.findall(whole))

    def joins(self, head: str, tail: str) -> bool:
        """Whether a word broken after `head` was one word without a hyphen: the commoner form wins, then joining."""
        joined = self.counts[(head + tail).casefold()]
        hyphenated = self.counts[f"{head}-{tail}".casefold()]
        return joined >= hyphenated


@dataclass(slots=True)
class HyphenVote:
    n_joined: int = 0
    n_kept: int = 0


def mend_hyphens(text: str, vocabulary: Vocabulary, vote: HyphenVote) -> str:
    """Put words broken at line ends together again. A page mark inside a word moves to the word's end."""

    def mend(match: re.Match[str]) -> str:
        head, pages, tail = match[1] or "", match[2], match[3] or ""
        if not head or not tail:
            return f"{head}-{tail}{pages}" if head or tail else pages
        # A capital after the break (“Austro-\nHungarian”) speaks for a real hyphen, unless all is in capitals.
        is_name = tail[0].isupper() and not head.isupper()
        if vocabulary.joins(head, tail) and not is_name:
            vote.n_joined += 1
            return head + tail + pages
        vote.n_kept += 1
        return f"{head}-{tail}{pages}"

    while HYPHEN_MARK in text:
        text = _BROKEN.sub(mend, text)
    return text


def compose_document(raw: RawDocument, blocks: Sequence[Block], vocabulary: Vocabulary) -> Document:
    """The final text with the places where its pages start."""
    vote = HyphenVote()
    pieces: list[str] = []
    page_starts = [0] if raw.n_pages else []
    length = 0
    previous: Block | None = None
    for block in blocks:
        text = _finish(block, vocabulary, vote)
        if not text.replace(PAGE_MARK, "").strip():
            continue
        if previous is not None:
            same_list = previous.kind == block.kind and block.kind in ("item", "row")
            separator = "\n" if same_list else "\n\n"
            pieces.append(separator)
            length += len(separator)
        while block.page and len(page_starts) < block.page:
            page_starts.append(length)
        for number, part in enumerate(text.split(PAGE_MARK)):
            if number:
                page_starts.append(length)
            pieces.append(part)
            length += len(part)
        previous = block
    page_starts += [length] * (raw.n_pages - len(page_starts))
    text = "".join(pieces)
    return Document(
        id=content_id(raw.source_id, text),
        source_id=raw.source_id,
        title=find_title(raw, blocks),
        text=text,
        page_starts=tuple(page_starts[: raw.n_pages]),
        notes=(*raw.notes, *_hyphen_notes(raw.source_id, vote)),
        file=raw.file,
        origin=raw.origin,
    )


def _finish(block: Block, vocabulary: Vocabulary, vote: HyphenVote) -> str:
    text = mend_hyphens(block.text, vocabulary, vote)
    text = _SPACES.sub(" ", text).strip(" ")
    # Where a page ends at a space, the mark stands after the space, so that no page starts with one.
    text = _PAGE_AT_SPACE.sub(lambda match: " " + (match[1] or match[2]), text)
    text = _SPACE_AT_EDGE.sub(lambda match: match[1] or match[2] or "", text)
    if block.kind == "heading":
        return f"{'#' * max(1, block.level)} {text}" if text else ""
    if block.kind == "item":
        return f"- {text}" if text else ""
    # A paragraph may not look like a heading.
    return "\\" + text if re.match(r"#{1,6} ", text) else text


def find_title(raw: RawDocument, blocks: Sequence[Block]) -> str:
    """The title the file states, else its first heading of the highest level, else its name."""
    if raw.title and (title := mend_unicode(_SPACES.sub(" ", raw.title)).strip()):
        return title
    headings = [block for block in blocks if block.kind == "heading" and (block.page or 1) == 1]
    if headings:
        top = min(headings, key=lambda block: block.level)
        text = _SPACES.sub(" ", top.text.replace(HYPHEN_MARK, "").replace(PAGE_MARK, "")).strip()
        if _NUMBERING.sub("", text).casefold() not in _NO_TITLES:
            return text
    return PurePath(raw.file or raw.source_id).stem.replace("_", " ").strip()


_NUMBERING = re.compile(r"^\d{1,2}(?:\.\d{1,2})*\.?\s+")
_NO_TITLES = {
    "introduction",
    "preface",
    "foreword",
    "abstract",
    "summary",
    "contents",
    "executive summary",
    "overview",
}
"""Headings of a first chapter, which name no document."""


def _hyphen_notes(source_id: str, vote: HyphenVote) -> list[Note]:
    notes = []
    if vote.n_joined:
        text = f"Joined {vote.n_joined} words that were broken at a line end"
        notes.append(Note(source_id, "hyphen_joined", text, count=vote.n_joined))
    if vote.n_kept:
        text = f"Kept the hyphen of {vote.n_kept} words that were broken at it"
        notes.append(Note(source_id, "hyphen_kept", text, count=vote.n_kept))
    return notes
