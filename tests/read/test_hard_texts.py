"""Texts that break readers, from the file to the passages: nothing is lost, nothing without ink is left."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.read.blocks import Block, RawDocument
from tunesmith.read.clean import Vocabulary, compose_document, mend_unicode
from tunesmith.read.stage import ChunkOptions, ReadOptions, chunk_documents, read_documents
from tunesmith.records import Chunk, Document

HARD = {
    "unclosed brackets": "The pump (see [Table 3 works well. It is quiet. Nobody closes it.",
    "stops before line ends": "The first one ends here.\nThe second one too.\nAnd the third.",
    "no spaces": "x" * 5_000,
    "right to left": "مضخة الحرارة هي آلة تنقل الحرارة. הצינור מוביל מים חמים אל הבית.",
    "chinese": "热泵是一种机器。它搬运热量！冬天它让房子暖和。",
    "japanese": "ヒートポンプは熱を運ぶ機械です。冬に家を暖めます。",
    "thai": "ปั๊มความร้อนเป็นเครื่องจักรที่เคลื่อนย้ายความร้อน",
    "form feeds": "The first page ends here.\fThe second page starts here.",
    "zero width": "A heat\u200b pump\ufeff moves\u2060 heat\u200e to a warm place.",
    "joiners": "می‌خواهم این را بخوانم. क्‍ष एक अक्षर है।",
    "control": "A pump\x07 moves heat\x00 here." + " It is quiet and it stays quiet." * 5,
}


def read(folder: Path, tokens: int = 40) -> tuple[Document, list[Chunk]]:
    (document,) = read_documents(ReadOptions(documents=".", max_file_mb=50), folder)
    assert isinstance(document, Document), document
    return document, list(chunk_documents([document], ChunkOptions(tokens=tokens)))


def ink(text: str) -> str:
    """What is seen of a text: no spaces, no characters of format or control; the joiners shape letters and stay."""
    return "".join(
        sign
        for sign in unicodedata.normalize("NFC", text)
        if sign in "\u200c\u200d" or (not sign.isspace() and unicodedata.category(sign) not in ("Cf", "Cc"))
    )


@pytest.mark.parametrize("name", HARD)
def test_all_ink_of_a_hard_text_reaches_the_passages(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text(HARD[name], encoding="utf-8", newline="")
    document, passages = read(tmp_path)
    assert ink(document.text) == ink(HARD[name])
    assert ink("".join(passage.text for passage in passages)) == ink(HARD[name])
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u2060\ufeff]", document.text)
    for passage in passages:
        assert document.text[passage.start : passage.end] == passage.text
        assert passage.n_tokens <= 40


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html"])
def test_ten_megabytes_on_one_line_of_a_file(tmp_path: Path, suffix: str) -> None:
    text = "heat " * 2_000_000
    (tmp_path / f"a{suffix}").write_text(text)
    document, passages = read(tmp_path, tokens=100_000)
    assert document.text == text.rstrip()
    # 2,000,000 words x 1.25 = 2,500,000 tokens.
    assert len(passages) == 25
    assert sum(len(passage.text.split()) for passage in passages) == 2_000_000


PIECES = st.sampled_from([
    "word", "Heat flows.", "long-", "\x02", "term", "\x0c", "ﬁne", "e\u0301", "\u200b", "\u00ad", " ", "\n", "\t", "##",
    "- ", "热泵", "مضخة", "„q‟", "\u2011", "|", "[EMAIL_1]",
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6), st.booleans())
def test_cleaning_twice_changes_nothing_more(texts: list[str], is_paged: bool) -> None:
    """The cleaned text of a document, cleaned again as its paragraphs, stays as it is; its page starts lie in order."""
    blocks = [
        Block(mend_unicode(text), page=number if is_paged else None)
        for number, text in enumerate(texts, start=1)
    ]
    n_pages = sum(1 + text.count("\x0c") for text in texts) if is_paged else 0
    once = compose_document(RawDocument("a", None, blocks, n_pages), blocks, Vocabulary())
    assert len(once.page_starts) == n_pages
    assert list(once.page_starts) == sorted(once.page_starts)
    assert all(0 <= start <= len(once.text) for start in once.page_starts)
    assert "\x02" not in once.text
    again = [Block(mend_unicode(part)) for part in once.text.split("\n\n")]
    if not any(part.startswith("\\#") for part in once.text.split("\n\n")):
        twice = compose_document(RawDocument("a", None, again), again, Vocabulary())
        assert twice.text == once.text
