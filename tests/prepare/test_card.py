"""The data set card: licences of documents."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from tunesmith.plan import Plan
from tunesmith.prepare.card import CardFacts, licenses_of, render_card
from tunesmith.prepare.leaks import LeakReport


def test_licences_are_counted_by_the_first_pattern_that_fits() -> None:
    given = {"reports/*": "CC-BY-4.0", "*.md": "MIT"}
    sources = ["reports/a.md", "reports/b.pdf", "notes.md", "other.txt"]
    assert licenses_of(sources, given) == {"CC-BY-4.0": 2, "MIT": 1, "not stated": 1}


def test_one_licence_may_hold_for_all_and_none_is_said_to_be_missing() -> None:
    assert licenses_of(["a", "b"], "MIT") == {"MIT": 2}
    assert licenses_of(["a"], None) == {"not stated": 1}
    assert licenses_of([], None) == {}


def test_the_head_names_licences_as_the_hub_does() -> None:
    facts = CardFacts(
        name="a",
        splits={"train": 3},
        sources={"train": 3},
        hashes={"train": "0"},
        funnel=[],
        sets=[],
        leaks=LeakReport(),
        lengths={},
        window=None,
        base="builtin",
        teacher="",
        licenses={"CC-BY-4.0": 2, "ours": 1},
    )
    card = render_card(facts)
    assert yaml.safe_load(card.split("---")[1])["license"] == ["cc-by-4.0", "other"]
    assert "| CC-BY-4.0 | 2 |" in card
    assert "| ours | 1 |" in card


def test_finished_rows_state_their_licence_themselves() -> None:
    with pytest.raises(ValidationError, match="licenses is of documents"):
        Plan.model_validate({"prepare": {"data": "rows.jsonl", "licenses": "MIT"}})
