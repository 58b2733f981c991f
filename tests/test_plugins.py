from __future__ import annotations

from importlib import metadata

import pytest

from tunesmith import plugins
from tunesmith.errors import InputError

TABLE = {"dumps": "json:dumps"}


def test_a_name_of_the_table() -> None:
    assert plugins.load("metric", "dumps", TABLE)([1]) == "[1]"


def test_an_entry_point_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("loads", "json:loads", "tunesmith.metric")

    def entry_points(*, group: str, name: str | None = None) -> list[metadata.EntryPoint]:
        return [entry] if group == "tunesmith.metric" and name in (None, "loads") else []

    monkeypatch.setattr(plugins.metadata, "entry_points", entry_points)
    assert plugins.names("metric", TABLE) == ["dumps", "loads"]
    assert plugins.load("metric", "loads", TABLE)("[1]") == [1]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean dumps"):
        plugins.load("metric", "dump", TABLE)


def test_a_metric_of_another_package_is_opened_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.plan import Plan
    from tunesmith.score.stage import ScoreOptions, open_metrics

    entry = metadata.EntryPoint("my_match", "tunesmith.score.answers:exact_match", "tunesmith.metric")

    def entry_points(*, group: str, name: str | None = None) -> list[metadata.EntryPoint]:
        return [entry] if group == "tunesmith.metric" and name in (None, "my_match") else []

    monkeypatch.setattr(plugins.metadata, "entry_points", entry_points)
    (opened,) = open_metrics(ScoreOptions(metrics=("my_match",)))
    assert opened.name == "exact_match"
    plan = {"read": {"documents": "x"}, "score": {"metrics": ["rougeL", "my_match"]}}
    assert Plan.model_validate(plan).score.metrics == ("rougeL", "my_match")
