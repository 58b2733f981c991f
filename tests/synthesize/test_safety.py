"""The built-in teacher gets through any text: odd sentences give no question, never an error."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunesmith.synthesize.tagger import load_lexicon, tag_sentence
from tunesmith.synthesize.teachers import ask_passage
from tunesmith.synthesize.wordlists import CLOSED

DOCUMENTS = Path(__file__).resolve().parents[2] / "src" / "tunesmith" / "samples" / "documents"
LINKS = [
    *CLOSED,
    *("that", "which", "when", ",", ",", ";", ":", "—", "(", ")", "20", "3 %", "1852", "is", "has"),
]


@cache
def lexicon_words() -> list[str]:
    return list(load_lexicon().tags)


@cache
def document_words() -> list[str]:
    text = " ".join(path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.glob("*.md")))
    return re.findall(r"[\w'’-]+|[,;:()]", text)


def as_sentence(words: list[str]) -> str:
    text = " ".join(words)
    return text[:1].upper() + text[1:] + "."


def pieces(words: list[str]) -> st.SearchStrategy[str]:
    """Words of which every second one, or so, holds sentences together."""
    return st.one_of(st.sampled_from(words), st.sampled_from(LINKS))


@settings(max_examples=300, deadline=None)
@given(words=st.deferred(lambda: st.lists(pieces(lexicon_words()), min_size=4, max_size=16)))
@example(words=["birds", "and", "a", "cat", "have", "a", "home"])
@example(words=["shorts", "and", "a", "shirt", "have", "a", "low", "value"])
def test_sentences_of_any_english_words_are_survived(words: list[str]) -> None:
    for _, drafts in ask_passage(as_sentence(words)):
        assert all(draft.question.endswith("?") for draft in drafts)


@settings(max_examples=300, deadline=None)
@given(words=st.deferred(lambda: st.lists(pieces(document_words()), min_size=4, max_size=16)))
def test_shuffled_words_of_the_sample_documents_are_survived(words: list[str]) -> None:
    for _, drafts in ask_passage(as_sentence(words)):
        assert all(draft.question.endswith("?") for draft in drafts)


@settings(max_examples=300, deadline=None)
@given(
    words=st.deferred(
        lambda: st.tuples(
            st.sampled_from(["a", "the", "some", "two", "every", "no"]),
            st.sampled_from(lexicon_words()),
            st.sampled_from(["", "and a pump", "of the house", "that is old", ", sold in Denmark,"]),
            st.sampled_from(
                ["have", "has", "do", "had", "are", "was", "can", "uses", "heat", "did not", "cuts"]
            ),
            st.sampled_from(["", "been", "had", "a", "more", "only", "to"]),
            st.sampled_from(lexicon_words()),
            st.sampled_from(["", "in 1852", "because it is cold", "and melts", "to do it", "by 3 percent"]),
        )
    )
)
def test_plain_sentences_with_any_nouns_are_survived(words: tuple[str, ...]) -> None:
    for _, drafts in ask_passage(as_sentence([word for word in words if word])):
        assert all(draft.question.endswith("?") for draft in drafts)


@pytest.mark.parametrize("word", ["have", "do", "are", "has", "had", "did", "was"])
@pytest.mark.parametrize("before", ["Birds and a cat", "A low", "In a warm house", "The third"])
def test_an_auxiliary_is_never_taken_for_a_noun(before: str, word: str) -> None:
    (found,) = [item for item in tag_sentence(f"{before} {word} a home.") if item.lower == word]
    assert not found.is_noun
    assert found.verb in {"VBZ", "VBP", "VBD"}
