"""What stands on a page and is no prose: lines of contents, captions, tables of numbers, labels of figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby

from tunesmith.read.blocks import Block
from tunesmith.records import Note

MIN_FRAGMENTS = 3
"""So many short pieces in a row are a figure or a table; one or two may be an address line or an odd heading."""
MAX_FRAGMENT_WORDS = 11
MIN_REPEATED_WORDS = 12
"""A paragraph of so many words that comes again word for word is a side note repeated from page to page."""

_DOT_LEADER = re.compile(r"(?:\.{4,}|(?:\s\.){4,}|…{2,}|_{4,})\s*[\divxlc]*\s*$", re.I)
_CAPTION = re.compile(
    r"^(?:figure|fig\.|table|chart|exhibit|diagram|graph|plate|abbildung|abb\.|tabelle|kuva|kuvio|taulukko)\s+"
    r"(?:\d+|[ivx]+)(?:[.\d]*\d)?\s*(?:[.:–—-]|$|\s)",
    re.I,
)
_SAYS = re.compile(
    r"\b(?:shows?|presents?|lists?|gives?|summari[sz]es|illustrates?|compares?|describes?|contains?)\b"
)
_CONTACT = re.compile(
    r"^\*?\s*(?:tel|phone|fax|e-?mail|issn|isbn|doi|https?://|www\.|©|copyright|source|note)\b\s*[:.]?", re.I
)
_STOP = re.compile(r"[.!?;:。！？؟][\"'”’»)\]]*$")
_HAS_NUMBER = re.compile(r"[\d%•✓✔×·]")
_CONTENTS_HEADINGS = {"contents", "table of contents", "inhalt", "inhaltsverzeichnis", "sisällys", "sommaire"}


def drop_debris(blocks: Sequence[Block], source_id: str) -> tuple[list[Block], list[Note]]:
    """Part the prose of a PDF from what is none. Every piece left out is counted, with examples, in a note."""
    kinds = _mark_fragment_runs(_mark_barren_headings(blocks, [name_debris(block) for block in blocks]))
    kept: list[Block] = []
    dropped: list[tuple[str, Block]] = []
    seen: set[str] = set()
    for block, kind in zip(blocks, kinds, strict=True):
        if kind in _WORDS:
            dropped.append((kind, block))
        elif block.kind == "paragraph" and block.text in seen:
            dropped.append(("repeated_text", block))
        else:
            kept.append(block)
            if len(block.text.split()) >= MIN_REPEATED_WORDS:
                seen.add(block.text)
    dropped.sort(key=lambda pair: (pair[1].page or 0, pair[0]))
    notes = []
    for (page, kind), group in groupby(dropped, key=lambda pair: (pair[1].page, pair[0])):
        texts = [block.text for _, block in group]
        notes.append(Note(source_id, kind, _WORDS[kind] + _quote(texts), page=page, count=len(texts)))
    return kept, notes


_WORDS = {
    "contents_line": "Left out lines of a table of contents: ",
    "caption": "Left out captions: ",
    "numbers": "Left out rows of figures: ",
    "contact": "Left out lines with addresses or sources: ",
    "fragments": "Left out short pieces that form no sentence (labels of a figure, cells of a table): ",
    "repeated_text": "Left out paragraphs that stand in the document already: ",
}


def _quote(texts: Sequence[str]) -> str:
    shown = "; ".join(f"“{text[:60]}{'…' if len(text) > 60 else ''}”" for text in texts[:4])
    return shown + (f" and {len(texts) - 4} more" if len(texts) > 4 else "")


def name_debris(block: Block) -> str:
    """The rule that speaks against a block; empty for prose, `fragment?` when it depends on the neighbours."""
    if block.kind == "heading":
        if block.text.casefold() in _CONTENTS_HEADINGS:
            return "contents_line"
        return "contact" if block.is_weak and _is_contact(block.text) else ""
    text = block.text
    rules: list[tuple[str, Callable[[str], bool]]] = [
        ("contents_line", lambda text: bool(_DOT_LEADER.search(text))),
        ("contact", _is_contact),
        ("caption", _is_caption),
        ("numbers", _is_row_of_figures),
    ]
    for name, speaks in rules:
        if speaks(text):
            return name
    return "fragment?" if block.kind == "paragraph" and _is_fragment(text) else ""


def _is_fragment(text: str) -> bool:
    """Without a stop, and short or a mere string of names and numbers (the head of a table run together)."""
    words = text.split()
    if _STOP.search(text):
        return False
    n_numbers = sum(word.strip("()%.,").isdigit() for word in words)
    return len(words) <= MAX_FRAGMENT_WORDS or n_numbers >= 4 or _has_no_small_words(words)


def _has_no_small_words(words: Sequence[str]) -> bool:
    """Prose has an article, pronoun or preposition in every few words; not asked of other than basic Latin letters."""
    n_small = sum(word.casefold() in _SMALL_WORDS for word in words)
    return all(word.isascii() for word in words) and n_small <= len(words) / 8


_SMALL_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "for", "from", "has", "have", "if", "in", "is", "it", "its",
    "may", "not", "of", "on", "or", "that", "the", "their", "they", "this", "to", "was", "we", "were", "which", "will",
    "with", "you", "das", "den", "der", "die", "ein", "für", "ist", "mit", "und", "von", "zu", "de", "des", "du", "en",
    "est", "et", "la", "le", "les", "pour", "un", "une", "el", "los", "para", "por", "que", "una", "y", "att", "av",
    "det", "och", "som", "het", "van", "ja", "että",
})  # fmt: skip


def _mark_barren_headings(blocks: Sequence[Block], kinds: Sequence[str]) -> list[str]:
    """A heading by bold print alone that is followed by loose pieces only is one of them: the head of a table."""
    marked = list(kinds)
    for index in range(len(blocks) - 2, -1, -1):
        if blocks[index].kind == "heading" and blocks[index].is_weak and marked[index + 1] in _LOOSE:
            marked[index] = "fragment?"
    return marked


_LOOSE = ("fragment?", "numbers", "caption")


def _mark_fragment_runs(kinds: Sequence[str]) -> list[str]:
    """Turn runs of fragments, or fragments beside figures and captions, into debris; leave lone ones."""
    marked: list[str] = []
    for is_loose, group in groupby(kinds, key=lambda kind: kind in _LOOSE):
        run = list(group)
        is_debris = is_loose and (len(run) >= MIN_FRAGMENTS or any(kind == "numbers" for kind in run))
        marked.extend("fragments" if is_debris and kind == "fragment?" else kind for kind in run)
    return marked


def _is_row_of_figures(text: str) -> bool:
    """At least half of three or more words are numbers or marks, as in a row of a table."""
    words = text.split()
    if len(words) < 3:
        return bool(words) and not any(character.isalpha() for character in text)
    n_figures = sum(bool(_HAS_NUMBER.search(word)) or len(word) == 1 for word in words)
    return n_figures >= 0.5 * len(words) and not (_STOP.search(text) and len(words) > 8)


def _is_caption(text: str) -> bool:
    """“Figure 3: Sales” is one; “Table 2 shows that …” is a sentence."""
    return bool(_CAPTION.match(text)) and len(text.split()) <= 45 and not _SAYS.search(text[:40])


def _is_contact(text: str) -> bool:
    is_affiliation = text.startswith(("*", "†", "‡")) and not _STOP.search(text)
    return (is_affiliation or bool(_CONTACT.match(text))) and len(text.split()) <= 25
