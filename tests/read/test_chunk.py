"""Passages: sentence borders, the budget, exact spans, and nothing lost, whatever the text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.read.work import count_lines_of_python
from tunesmith.read.chunk import ChunkOptions, chunk_document, count_tokens
from tunesmith.records import Chunk, Document
from tunesmith.sentences import sentence_spans

SENTENCES = [
    "Heat flows from warm to cold.",
    "A pump moves it back.",
    "Dr. Smith measured 3.5 kW in 1852.",
    "Is that much?",
    "Yes, because the lift was small (about 20 K).",
]


def document(text: str, page_starts: tuple[int, ...] = ()) -> Document:
    return Document("id", "source.md", "Title", text, page_starts)


def chunks(text: str, tokens: int = 200, overlap: int = 0) -> list[Chunk]:
    return list(chunk_document(document(text), ChunkOptions(tokens=tokens, overlap=overlap)))


def test_tokens_are_words_and_punctuation_times_a_quarter_more() -> None:
    assert count_tokens("Heat flows.") == 4  # 2 words + 1 stop = 3, x 1.25 = 3.75
    assert count_tokens("one two three four") == 5
    assert count_tokens("") == 0
    assert count_tokens("a" * 160) == 13  # 10 runs of 16 letters, x 1.25 = 12.5
    assert count_tokens("热泵是机器") == 5  # no spaces: one token a character
    assert count_tokens("हिन्दी") == 2  # signs belong to their word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ".join(SENTENCES), SENTENCES),
        ("热泵是一种机器。它搬运热量！", ["热泵是一种机器。", "它搬运热量！"]),
        (
            "The pump (see approx. Table 3) works. It is quiet.",
            ["The pump (see approx. Table 3) works.", "It is quiet."],
        ),
        ("No stop at all", ["No stop at all"]),
        ("Ends here.\u00a0 Next one.", ["Ends here.", "Next one."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text, 0, len(text))] == expected


def test_an_unclosed_bracket_does_not_swallow_the_sentences_after_it() -> None:
    text = "It opened (a bracket. " + "Then came many more sentences of some length. " * 40
    longest = max(end - start for start, end in sentence_spans(text, 0, len(text)))
    assert longest < 100


def test_a_heading_starts_a_passage_and_is_carried_in_it() -> None:
    first, second = chunks(
        "# Heat\n\n" + " ".join(SENTENCES) + "\n\n## Cold\n\n" + " ".join(SENTENCES), tokens=80
    )
    assert (first.heading, second.heading) == ("Heat", "Cold")
    assert first.text == second.text == " ".join(SENTENCES)


def test_a_very_short_section_joins_the_next_one() -> None:
    (only,) = chunks("## Note\n\nSee below.\n\n## Heat\n\n" + " ".join(SENTENCES), tokens=120)
    assert only.heading == "Note"
    assert only.text.startswith("See below.\n\n## Heat\n\nHeat flows")


def test_a_section_little_over_the_budget_gives_two_halves() -> None:
    text = " ".join(
        ["Heat flows from warm to cold places."] * 9
    )  # 7 words and a stop, x 1.25 = 10 tokens each
    assert sorted(chunk.n_tokens for chunk in chunks(text, tokens=80)) == [40, 50]


def test_a_list_stays_with_the_sentence_that_announces_it() -> None:
    filler = " ".join(["Heat flows from warm to cold places."] * 6)
    parts = chunks(f"{filler}\n\nIt has parts:\n\n- the pump;\n- the valve;\n- the fan.", tokens=64)
    assert parts[-1].text.endswith("It has parts:\n\n- the pump;\n- the valve;\n- the fan.")


def test_overlap_repeats_whole_sentences() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(12))
    parts = chunks(text, tokens=40, overlap=10)
    assert len(parts) > 2
    for before, after in pairwise(parts):
        shared = text[after.start : before.end]
        assert shared.endswith("is here.")
        assert shared.startswith("Sentence")
        assert before.start < after.start


def test_pages_of_a_passage_are_counted_from_one() -> None:
    text = "One is here. Two is here. Three is here."
    (chunk,) = chunk_document(document(text, (0, 13, 26)), ChunkOptions())
    assert (chunk.first_page, chunk.last_page) == (1, 3)
    (second,) = chunk_document(document(text, (0, 0, 13)), ChunkOptions())
    assert (second.first_page, second.last_page) == (2, 3), "page 1 is blank"


def test_an_over_long_sentence_is_cut_at_commas_then_spaces_then_anywhere() -> None:
    at_commas = chunks("the heat of the pump, " * 20, tokens=16)
    assert all(chunk.text.endswith(",") for chunk in at_commas)
    at_spaces = chunks("heat pump valve fan " * 20, tokens=16)
    assert {word for chunk in at_spaces for word in chunk.text.split()} == {"heat", "pump", "valve", "fan"}
    anywhere = chunks("x" * 3000, tokens=16)
    assert "".join(chunk.text for chunk in anywhere) == "x" * 3000
    assert len(anywhere) == 16  # 12 runs of 16 letters fit 16 tokens


def test_ids_come_from_the_content() -> None:
    first = [chunk.id for chunk in chunks(" ".join(SENTENCES * 9))]
    again = [chunk.id for chunk in chunks(" ".join(SENTENCES * 9))]
    assert first == again
    assert len(set(first)) == len(first)


def test_overlap_may_not_eat_the_passage() -> None:
    with pytest.raises(ValidationError, match="at most half"):
        ChunkOptions(tokens=100, overlap=60)


ODD_PIECES = st.sampled_from([
    *SENTENCES, "## Heading", "# Title", "- item one;", "a | b | c", "\n", "\n\n", "(", "[[[", "«", "”", ".", "...",
    "!?",    "x" * 400, "热泵是一种机器。", "它搬运热量", "مضخة الحرارة هي آلة.", "\u200f", "e\u0301", "🔥", "http://a.b/c?d=e&f",
    "etc. The", "A.", "3.5", "\u3000", "\x0b",
])  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    st.lists(ODD_PIECES, max_size=40).map(" ".join),
    st.integers(min_value=16, max_value=120),
    st.integers(min_value=0, max_value=8),
)
def test_spans_are_exact_the_budget_holds_and_nothing_is_lost(text: str, tokens: int, overlap: int) -> None:
    parts = chunks(text, tokens, overlap)
    covered = set()
    for chunk in parts:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text == chunk.text.strip()
        assert chunk.n_tokens == count_tokens(chunk.text) <= tokens
        covered.update(range(chunk.start, chunk.end))
    for start, line in _lines(text):
        if not line.lstrip("#").startswith(" ") or not line.startswith("#"):
            lost = [
                i for i, character in enumerate(line, start) if not character.isspace() and i not in covered
            ]
            assert not lost, f"characters {lost[:5]} of {line!r} are in no passage"


def _lines(text: str) -> list[tuple[int, str]]:
    lines, start = [], 0
    for line in text.split("\n"):
        lines.append((start, line))
        start += len(line) + 1
    return lines


@pytest.mark.parametrize(
    "unit",
    [
        "One more sentence of ordinary prose stands here. ",
        "x",
        "word ",
        "[",
        "热泵是一种机器",
        "(an open bracket. ",
    ],
    ids=["prose", "no spaces", "no stops", "brackets", "chinese", "unclosed"],
)
def test_work_grows_with_the_length_only(unit: str) -> None:
    """Four times the text takes about four times the lines of Python; a square would take sixteen times as many."""

    def lines_run(n_chars: int) -> int:
        text = unit * (n_chars // len(unit))
        return count_lines_of_python(lambda: chunks(text), "tunesmith")

    lines_run(2_000)
    small, large = lines_run(4_000), lines_run(16_000)
    assert 0 < small < large < 6 * small


def test_ten_megabytes_on_one_line_are_cut_and_nothing_is_lost() -> None:
    text = "x" * 10_000_000
    parts = chunks(text, tokens=100_000)
    assert "".join(part.text for part in parts) == text
    assert max(part.n_tokens for part in parts) <= 100_000
    # 10,000,000 letters are 625,000 runs of 16, x 1.25 = 781,250 tokens: 8 passages of at most 100,000.
    assert len(parts) == 8
