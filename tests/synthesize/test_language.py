"""Verb forms, word classes and clauses, against what a grammar book says."""

from __future__ import annotations

import pytest

from tunesmith.synthesize.clauses import read_clause
from tunesmith.synthesize.forms import base_form, third_person
from tunesmith.synthesize.sentences import read_sentences
from tunesmith.synthesize.tagger import load_lexicon, tag_sentence, tokenise


@pytest.mark.parametrize(
    ("form", "tag", "base"),
    [
        ("stored", "VBD", "store"),
        ("developed", "VBD", "develop"),
        ("planned", "VBD", "plan"),
        ("controlled", "VBD", "control"),
        ("carried", "VBD", "carry"),
        ("used", "VBD", "use"),
        ("agreed", "VBD", "agree"),
        ("built", "VBD", "build"),
        ("grew", "VBD", "grow"),
        ("killed", "VBD", "kill"),
        ("rated", "VBD", "rate"),
        ("heated", "VBD", "heat"),
        ("insulated", "VBD", "insulate"),
        ("died", "VBD", "die"),
        ("melts", "VBZ", "melt"),
        ("carries", "VBZ", "carry"),
        ("passes", "VBZ", "pass"),
        ("does", "VBZ", "do"),
        ("has", "VBZ", "have"),
        ("is", "VBZ", "be"),
        ("were", "VBD", "be"),
        ("uses", "VBZ", "use"),
        ("reaches", "VBZ", "reach"),
        ("fixes", "VBZ", "fix"),
    ],
)
def test_base_form(form: str, tag: str, base: str) -> None:
    assert base_form(form, tag, load_lexicon().tags) == base


@pytest.mark.parametrize(
    ("base", "form"),
    [
        ("melt", "melts"),
        ("carry", "carries"),
        ("pass", "passes"),
        ("have", "has"),
        ("play", "plays"),
        ("go", "goes"),
    ],
)
def test_third_person(base: str, form: str) -> None:
    assert third_person(base) == form


def test_tokens_keep_their_places() -> None:
    sentence = "The town's 1,200-litre tank isn't cheap: €3.5 million, e.g. at 58 °C."
    tokens = tokenise(sentence)
    assert all(sentence[start:end] == text for text, start, end in tokens)
    texts = [text for text, _, _ in tokens]
    assert texts[1:3] == ["town", "'s"]
    assert "n't" in texts
    assert "°C" in texts


@pytest.mark.parametrize(
    ("sentence", "subject", "verb", "rest"),
    [
        (
            "A reversing valve melts this frost by sending hot gas.",
            "A reversing valve",
            "melts",
            "this frost by sending hot gas",
        ),
        (
            "One litre of water cooled in the cellar gives off much heat.",
            "One litre of water cooled in the cellar",
            "gives",
            "off much heat",
        ),
        ("Propane, sold as R-290, has a low price.", "Propane", "has", "a low price"),
        ("Spacers of thin steel raise the temperature.", "Spacers of thin steel", "raise", "the temperature"),
        ("The pump may have been repaired twice.", "The pump", "may have been repaired", "twice"),
        ("A radiator that is cold contains air.", "A radiator that is cold", "contains", "air"),
        ("Beech and oak burn slowly and leave lasting embers.", "Beech and oak", "burn", "slowly"),
        ("The glass cools and leaves the bath.", "The glass", "cools", ""),
        (
            "A fan mixes gas and air before the burner, so the flame burns evenly.",
            "A fan",
            "mixes",
            "gas and air before the burner",
        ),
    ],
)
def test_clause(sentence: str, subject: str, verb: str, rest: str) -> None:
    clause = read_clause(sentence, tag_sentence(sentence))
    assert clause is not None
    assert (
        clause.slice(clause.subject),
        clause.slice((clause.finite, clause.verb + 1)),
        clause.slice(clause.rest),
    ) == (subject, verb, rest)


@pytest.mark.parametrize(
    "sentence",
    ["Types of radiators.", "Where to place a radiator.", "The pumps is old.", "Because it is old."],
)
def test_no_clause(sentence: str) -> None:
    assert read_clause(sentence, tag_sentence(sentence)) is None


def test_sentences_have_exact_spans_and_pass_over_what_is_no_prose() -> None:
    passage = (
        "# Heading\n\nA single pane has a g-value of 0.5. South-facing\nwindows gain heat.\n\n"
        "| a | b |\n|---|---|\n\n- a list item that is long.\n\nIt is so (Smith, 2009). See Figure 3 for more."
    )
    found = list(read_sentences(passage))
    assert [sentence.text for sentence in found] == [
        "A single pane has a g-value of 0.5.",
        "South-facing windows gain heat.",
        "It is so.",
        "See Figure 3 for more.",
    ]
    assert [sentence.is_usable for sentence in found] == [True, True, False, False]
    assert passage[found[1].start : found[1].end] == "South-facing\nwindows gain heat."
    assert passage[found[2].start : found[2].end] == "It is so (Smith, 2009)."


@pytest.mark.parametrize(
    "passage",
    [
        "",
        "\f\u200b\n\n",
        "水は冷たい。" * 50,
        "x" * 200_000,
        "(((" * 1000,
        "a " * 50_000,
        "مرحبا بالعالم. " * 100,
        "A. B. C. " * 500,
    ],
)
def test_strange_text_is_survived(passage: str) -> None:
    for sentence in read_sentences(passage):
        if sentence.is_usable:
            read_clause(sentence.text, tag_sentence(sentence.text))
