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
    """Cut at the borders that are beyond doubt, and let the splitter decide on what lies between them."""
    position = start
    for border in _SURE_BORDER.finditer(text, start, end):
        if border[1].casefold() not in _ABBREVIATIONS:
            yield from _split_doubtful(text, position, border.end())
            position = border.end()
    yield from _split_doubtful(text, position, end)


_SURE_BORDER = re.compile(r"\b([a-z]{3,})[.!?] +(?=[A-Z][a-z]+ [a-z(\d]|A [a-z])")
"""A word in small letters, a stop, then a capitalised word followed by a small one; no bracket and no quote."""
_ABBREVIATIONS = frozenset({
    "abb", "abs", "acc", "accd", "add", "aff", "alt", "anm", "app", "appl", "approx", "appx", "apr", "art", "arts",
    "assn", "assoc", "asst", "aug", "ausg", "auth", "ave", "avg", "bap", "bldg", "blvd", "bros", "bzgl", "bzw", "cap",
    "capt", "cat", "cent", "cert", "cfr", "chap", "chem", "circ", "col", "coll", "comm", "comp", "conf", "cons", "cont",
    "coord", "corp", "corr", "dec", "def", "del", "dep", "dept", "depts", "deriv", "dez", "dict", "dim", "dipl", "dir",
    "disc", "dist", "distr", "div", "doc", "econ", "edn", "eds", "ehem", "elev", "encl", "eng", "engl", "equ", "eqs",
    "esp", "est", "etc", "evtl", "excl", "exec", "exp", "ext", "fam", "feb", "fig", "figs", "fin", "fri", "gen", "geo",
    "geb", "gegr", "ges", "ggf", "gov", "govt", "hist", "hon", "hrsg", "hwy", "ibid", "idem", "illus", "inc", "incl",
    "ind", "inkl", "inst", "int", "intl", "intro", "jahrg", "jan", "jul", "jun", "kap", "lat", "lib", "lieut", "lit",
    "ltd", "maj", "mar", "max", "med", "messrs", "mfg", "mfr", "mgr", "mil", "min", "misc", "mlle", "mme", "mon", "mrs",
    "mss", "mtg", "mtn", "mts", "nat", "neg", "nos", "nov", "nrs", "num", "obs", "oct", "okt", "oper", "org", "orig",
    "parl", "pers", "phil", "phys", "pkt", "plc", "pop", "pos", "poss", "pref", "prep", "pres", "prev", "prob", "proc",
    "prof", "profs", "prop", "prov", "pseud", "publ", "pub", "pvt", "qtr", "quad", "rec", "red", "ref", "refs", "reg",
    "rep", "repr", "resp", "rev", "sat", "sci", "sec", "sect", "sen", "sep", "sept", "seq", "ser", "sgt", "sing", "soc",
    "sog", "spec", "sqq", "sta", "stat", "std", "str", "subj", "suppl", "supt", "surg", "syn", "tab", "tech", "tel",
    "temp", "theol", "thu", "thur", "trans", "transl", "treas", "tue", "tues", "univ", "usf", "usw", "var", "vgl",
    "viz", "vol", "vols", "wed", "zit",
})  # fmt: skip
"""Words in small letters that may stand before a full stop inside a sentence; after them the splitter is asked."""


def _split_doubtful(text: str, start: int, end: int) -> Iterator[Span]:
    span = trimmed(text, start, end)
    if span is None:
        return
    start, end = span
    if not _INNER_STOP.search(text, start, end):
        yield span
        return
    from syntok import segmenter
    from syntok.tokenizer import Tokenizer

    piece = text[start:end]
    tokens = Tokenizer(replace_not_contraction=False).tokenize(piece)
    starts = [sentence[0].offset for sentence in segmenter.split(tokens)]
    for border, following in pairwise([0, *starts[1:], len(piece)]):
        if sentence := trimmed(text, start + border, start + following):
            yield sentence
