"""A judge in a plan: a step of its own, on demand, and a section of the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.score.judge_fakes import says
from tests.synthesize.stub_server import Answer, StubServer
from tests.test_pipeline import NAMES, root, run, tiny_model
from tunesmith.compare.judged import judge_summary
from tunesmith.config import parse_plan
from tunesmith.errors import PlanError
from tunesmith.plan import Plan
from tunesmith.records import Judgement
from tunesmith.store import read_rows

__all__ = ["root", "tiny_model"]


def test_a_plan_with_a_judge_judges_once_and_reports_it(root: Path) -> None:
    folder = root / "runs/tiny"
    without = run(root)
    assert without.ran == NAMES
    assert not (folder / "judge").exists()

    judged = run(root, "judge.tie_band=0.1")
    assert judged.ran == ["judge", "report"], "the other steps do not depend on the judge"
    summary = json.loads((folder / "judge/summary.json").read_text(encoding="utf-8"))
    judgements = list(read_rows(folder / "judge/judgements.jsonl", Judgement))
    test_rows = (folder / "prepare/test.jsonl").read_text(encoding="utf-8").splitlines()
    assert summary["n"] == len(test_rows) == summary["wins"] + summary["losses"] + summary["ties"]
    assert judge_summary(judgements)["wins"] == summary["wins"]
    page = (folder / "report/report.html").read_text(encoding="utf-8")
    assert '<section id="judge"' in page
    assert "similarity to the reference" in page
    assert run(root, "judge.tie_band=0.1").ran == []

    assert run(root).ran == [], "the report without a judge was kept, and comes back"
    assert '<section id="judge"' not in (folder / "report/report.html").read_text(encoding="utf-8")


def test_a_server_as_judge_sees_question_and_passage_and_is_asked_once(root: Path) -> None:
    with StubServer(lambda body, before: Answer(says("A"))) as server:
        overrides = [f"judge.judge.url={server.url}", "judge.controls=1"]
        run(root, *overrides, until="judge")
        n_sent = len(server.requests)
        run(root, *overrides, "judge.judge.timeout_s=60", until="judge")
        assert len(server.requests) == n_sent, "the journal of the run knows every reply"
        asked = server.requests[0]["messages"][1]["content"]
    assert "is a machine part that controls" in asked
    summary = json.loads((root / "runs/tiny/judge/summary.json").read_text(encoding="utf-8"))
    assert summary["first_position"]["value"] == 1.0
    assert any("shown first" in warning for warning in summary["warnings"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["judge.mode=correctness", "judge.judge=ollama/x"], "compares two systems"),
        (["judge.votes=1", "generate.systems=[base]"], "judge needs two systems"),
        (["judge.votes=3"], "votes has no effect here"),
        (["judge.jugde=builtin"], "jugde"),
    ],
)
def test_mistakes_are_told_before_the_run(overrides: list[str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse_plan("read: {documents: a.md}\n", overrides, Plan, name="plan.yaml")
