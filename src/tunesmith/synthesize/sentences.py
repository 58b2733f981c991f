"""Sentences of a passage that can be asked about, with their place in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    """The sentence on one line, citations taken out, connecting words at the start dropped."""
    start: int
    end: int
    """Span in the passage, of the sentence as it stands there."""
    is_first: bool
    """First of its paragraph."""
    is_usable: bool
    """False when it is only there for the thread: a pronoun in the next sentence must not reach over it."""


_BLOCK = re.compile(r"(?:[^\n]|\n(?!\s*\n))+")
_SKIPPED_BLOCK = re.compile(
    r"^\s*(?:#{1,6} |\||[-*•▪–−]\s|\d+[.)]\s|>|```|Figure \d|Table \d|Source:|Box \d)", re.IGNORECASE
)
# The splitter keeps "0.5. South-facing" together, as it might be a numbering.
_MISSED = re.compile(r"(?<=[\d%CF])\.\s+(?=[A-Z][a-z])|(?<=[.!?][\"”’'])\s+(?=[A-Z])")
_CITATION = re.compile(
    r"\s*\((?:e\.g\.,? |see (?:also )?|cf\. |i\.e\. )?[^()]*?(?:\b(?:1[89]|20)\d\d[a-z]?\b|et "
    r"al\.)[^()]*\)|\s*\[\d+(?:[,–-]\s?\d+)*\]",
    re.IGNORECASE,
)
_CONNECTOR = re.compile(
    r"^(?:However|Moreover|Furthermore|In addition|Additionally|Therefore|Thus|Hence|Consequently|"
    r"As a result|For example|For instance|In fact|Indeed|"
    r"Nevertheless|Nonetheless|In particular|In general|Generally|Overall|In other words|That is|"
    r"On the other hand|In contrast|By contrast|Similarly|"
    r"Likewise|Meanwhile|Also|Besides|Finally|Again|At the same time|In practice|Of course|For "
    r"this reason|In short|In spite of its name|Today),?\s+(?=\S)"
)
_TIGHT = re.compile(
    r"\b(?:this (?:section|chapter|paper|study|report|article|document|table|figure|box|page|"
    r"roadmap|book|guide)|the (?:above|following|author|authors)|(?:as|see) (?:above|below|Figure|"
    r"Table|section)"
    r"|(?:Figure|Table|Appendix|Annex|Section|Chapter|Exhibit) \d|previous (?:section|chapter|"
    r"discussion)|(?:shown|listed|described|discussed|set out|given|outlined|presented|explained) "
    r"(?:below|above|earlier|later)|aforementioned)\b|\bbelow\.$",
    re.IGNORECASE,
)
_ABBREVIATED = re.compile(
    r"\b(?:(?-i:(?<!°)(?<!° )[A-Z])\.(?!$)|et al\.|vol\.|pp?\.|ed\.|eds\.|ibid\.?)", re.IGNORECASE
)


def read_sentences(passage: str) -> Iterator[Sentence]:
    """The sentences of the running text; headings, tables and list items are passed over."""
    for block in _BLOCK.finditer(passage):
        if _SKIPPED_BLOCK.match(block.group()) or not re.search(r"[.!?:]", block.group()):
            continue
        is_first = True
        for start, end in _split(block.group()):
            raw = passage[block.start() + start : block.start() + end]
            text = _cleaned(raw)
            yield Sentence(text, block.start() + start, block.start() + end, is_first, is_usable(text))
            is_first = False


def _split(block: str) -> Iterator[tuple[int, int]]:
    from syntok import segmenter

    for paragraph in segmenter.analyze(block):
        for tokens in paragraph:
            start, end = tokens[0].offset, tokens[-1].offset + len(tokens[-1].value)
            for missed in _MISSED.finditer(block, start, end):
                stop = missed.start() + 1 if missed.group().startswith(".") else missed.start()
                yield start, stop
                start = missed.end()
            yield start, end


def _cleaned(raw: str) -> str:
    text = " ".join(raw.split())
    text = _CITATION.sub("", text)
    text = re.sub(r"(?<=[a-z][.,”’\"])\d{1,2}$|(?<=[a-z])\d{1,2}(?=\.$)", "", text)
    for _ in range(2):
        shorter = _CONNECTOR.sub("", text)
        if shorter == text:
            break
        text = shorter[0].upper() + shorter[1:]
    return text


def is_usable(text: str) -> bool:
    """True for a whole, plain statement that does not point at the text around it."""
    n_words = len(text.split())
    if not 4 <= n_words <= 48 or not re.match(r"[A-Z0-9]", text) or not text.endswith("."):
        return False
    if (
        _TIGHT.search(text)
        or _ABBREVIATED.search(text)
        or re.search(r"https?:|www\.|@|…|\.\.|[\[\]{}|=•→\u0000-\u001f\ufffd]|\?|!", text)
    ):
        return False
    if any(text.count(a) != text.count(b) for a, b in (("(", ")"), ("“", "”"), ("‘", "’")) if a != "‘"):
        return False
    if re.search(r"['‘“\"]", text) and re.search(r"(?:^|\s)['‘“\"]|[\"”]", text):
        return False
    letters = sum(char.isalpha() or char.isspace() for char in text)
    if letters < 0.8 * len(text):
        return False
    words = text.split()
    capitals = sum(word[:1].isupper() for word in words[1:])
    if capitals > 0.4 * n_words:
        return False
    return not re.search(r"\b(?:I|we|We|our|Our|us|you|your|You|Your|my|let us)\b", text)
