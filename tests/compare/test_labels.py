"""Ugly replies of judges, and what they mean."""

from __future__ import annotations

import pytest

from tunesmith.compare.labels import TIE_LABELS, Outcome, parse_label

WORDS: dict[Outcome, list[str]] = {"lost": ["base"], "won": ["finetuned"], "tied": list(TIE_LABELS)}
LETTERS: dict[Outcome, list[str]] = {"lost": ["A"], "won": ["B"], "tied": ["tie"]}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("finetuned", "won"),
        ('"finetuned"', "won"),
        ("“Finetuned.”", "won"),
        ("  FINETUNED\n", "won"),
        ("fintuned", "won"),  # one letter missing
        ("fine-tuned", "won"),
        ("finetunde", "won"),  # two letters swapped
        ("fine tuned!", "won"),
        ("bsae", "lost"),
        ("`base`", "lost"),
        ("**base**", "lost"),
        ("[[base]]", "lost"),
        ("<verdict>base</verdict>", "lost"),
        ("<verdict>base", "lost"),
        ("<verdict> base </verdict", "lost"),
        ("<verdict>bass", "lost"),
        ("<result>finetuned", "won"),
        ("<finetuned>", "won"),
        ("finetuned>", "won"),
        ("<finetuned", "won"),
        ("Verdict: base", "lost"),
        ("**Winner:** Finetuned", "won"),
        ("Winner - base", "lost"),
        ("The verdict is: finetuned.", "won"),
        ("Both say what is asked, the first at more length.\n\nFinal verdict: base", "lost"),
        ("Answer: base\nExplanation: finetuned leaves out the price", "lost"),
        ("<winner>base</winner> because finetuned was long", "lost"),
        ('{"verdict": "base"}', "lost"),
        ('```json\n{"reason": "finetuned is longer", "verdict": "finetuned"}\n```', "won"),
        ('I compared them. {"reason": "close", "Verdict": "TIE", "confidence": 3} Done.', "tied"),
        ("\\boxed{base}", "lost"),
        ("tie", "tied"),
        ("It's a tie", None),
        ("A draw.", "tied"),
        ("neither", "tied"),
        # off the menu
        ("", None),
        ("   ", None),
        ("null", None),
        ("the", None),  # not a misspelt tie
        ("gpt-4", None),
        ("finetuned is better than base", None),
        ("I prefer base", None),
        ("base / finetuned", None),
        ('{"verdict": "unclear"}', None),
        ("Verdict: finetuned\nOn second thought …\nVerdict: cannot say", None),
    ],
)
def test_words(reply: str, outcome: Outcome | None) -> None:
    assert parse_label(reply, WORDS) == outcome


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("[[A]]", "lost"),
        ("b", "won"),
        ("(B)", "won"),
        ("Answer: B", "won"),
        ("C", None),
        ("AB", None),
        ("[[A]] [[B]]", None),
    ],
)
def test_letters_are_never_taken_for_each_other(reply: str, outcome: Outcome | None) -> None:
    assert parse_label(reply, LETTERS) == outcome


def test_near_two_labels_is_near_none() -> None:
    models: dict[Outcome, list[str]] = {"lost": ["model_a"], "won": ["model_b"], "tied": ["tie"]}
    assert parse_label("model_c", models) is None
    assert parse_label("Model_B", models) == "won"


def test_nothing_at_all() -> None:
    assert parse_label(None, WORDS) is None
