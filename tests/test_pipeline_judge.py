"""A judge in a plan: a step of its own, on demand, and a section of the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.score.judge_fakes import says
from tests.synthesize.stub_server import Answer, Body, StubServer
from tests.test_pipeline import NAMES, root, run, tiny_model
from tunesmith.cli import main
from tunesmith.compare.judged import judge_summary
from tunesmith.config import parse_plan
from tunesmith.errors import InputError, PlanError, TunesmithError
from tunesmith.plan import Plan
from tunesmith.records import Comparison, Grade, Judgement
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


def grades_or_prefers(body: Body, before: int) -> Answer:
    system = body["messages"][0]["content"]
    if "grammatical_correctness" in system:
        return Answer('{"reason": "r", "grammatical_correctness": 1, "coherence": 0.5, "correctness": 1}')
    if "one answer to examine" in system:
        asked = body["messages"][1]["content"]
        return Answer(says("correct" if len(asked) % 2 else "wrong"))
    return Answer(says("TIE"))


def test_grades_are_metrics_of_the_run(root: Path) -> None:
    folder = root / "runs/tiny"
    with StubServer(grades_or_prefers) as server:
        overrides = [
            f"judge.judge.url={server.url}",
            "judge.mode=[pairwise, correctness, rubric]",
            "judge.controls=0",
        ]
        run(root, *overrides)
        n_sent = len(server.requests)
        assert run(root, *overrides, "compare.primary=judge_correctness").ran == ["compare", "report"]
        assert len(server.requests) == n_sent
    names = ("judge_correctness", "rubric_grammatical_correctness", "rubric_coherence", "rubric_correctness")
    grades = list(read_rows(folder / "judge/grades.jsonl", Grade))
    n_rows = len((folder / "prepare/test.jsonl").read_text(encoding="utf-8").splitlines())
    assert len(grades) == n_rows * 2 * 4
    comparisons = {one.metric: one for one in read_rows(folder / "compare/comparisons.jsonl", Comparison)}
    assert comparisons.keys() >= set(names), "each grade is compared like a metric"
    assert comparisons["judge_correctness"].is_primary
    tuned = [one.value for one in grades if one.mode == "correctness" and one.system == "tuned"]
    assert comparisons["judge_correctness"].tuned_value == pytest.approx(
        sum(value or 0 for value in tuned) / n_rows
    )
    assert comparisons["judge_correctness"].p_holm is not None
    summary = json.loads((folder / "judge/summary.json").read_text(encoding="utf-8"))
    assert [row["metric"] for row in summary["graded"]["scores"][:4]] == list(names)
    assert "comparisons" not in summary["graded"], "differences stand with those of all other metrics"
    page = (folder / "report/report.html").read_text(encoding="utf-8")
    assert "Coherence, by the judge" in page
    lines = (folder / "report/metrics.csv").read_text(encoding="utf-8").splitlines()
    (preference,) = [line for line in lines if line.startswith("judge_preference,base,tuned,0.5,0.5,0.0,")]
    assert ",no evidence," in preference
    assert any(line.startswith("rubric_coherence,") for line in lines)
    markdown = (folder / "report/report.md").read_text(encoding="utf-8")
    assert "### Judge" in markdown
    assert "Correctness, by the judge" in markdown


def test_check_tells_what_the_judge_costs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer(lambda body, before: Answer(says("TIE"))) as server:
        keys = [
            f"judge.judge.url={server.url}",
            "judge.judge.model=stub",
            "judge.judge.prices={input: 1, output: 2}",
            "judge.controls=0",
        ]
        check = ["check", str(root / "plan.yaml"), *keys]
        assert main(check) == 0
        assert "The judge is asked at most" in capsys.readouterr().out
        run(root, until="score")
        assert main([*check, "--json"]) == 0
        before = " ".join(json.loads(capsys.readouterr().out)["remarks"])
        run(root, *keys, until="judge")
        n_sent = len(server.requests)
        assert f"The judge: {n_sent:,} requests; about" in before
        assert "of replies left to pay: about 0.0" in before
        assert main([*check, "judge.judge.timeout_s=60", "--json"]) == 0
        after = " ".join(json.loads(capsys.readouterr().out)["remarks"])
        assert f"{n_sent:,} requests, {n_sent:,} of them in the journal and free" in after


def test_people_in_a_plan(root: Path) -> None:
    run(root, until="prepare")
    lines = (root / "runs/tiny/prepare/test.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    people = [json.dumps({"id": row["id"], "verdict": "tie"}) for row in rows]
    (root / "people.jsonl").write_text("\n".join(people) + "\n", encoding="utf-8")
    run(root, "judge.people=people.jsonl")
    summary = json.loads((root / "runs/tiny/judge/summary.json").read_text(encoding="utf-8"))
    assert summary["people"]["agreements"]["verdict"]["n"] == len(rows)
    assert "Do people agree with the judge?" in (root / "runs/tiny/report/report.html").read_text(
        encoding="utf-8"
    )
    (root / "people.jsonl").unlink()
    with pytest.raises(InputError, match="no such file"):
        run(root, "judge.people=people.jsonl")


def test_what_the_judge_lacks_is_told_before_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    for override, words in (
        ("judge.judge={url: 'http://127.0.0.1:9/v1', api_key_env: NO_SUCH_KEY}", "NO_SUCH_KEY is not set"),
        ("judge.judge=local:/no/such/model", "no such model folder"),
        ("judge.people=nobody.csv", "no such file"),
    ):
        with pytest.raises(TunesmithError, match=words):
            run(root, override)
        assert not (root / "runs/tiny/read").exists(), "nothing has been done yet"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["judge.mode=correctness"], "needs a model as judge"),
        (["judge.mode=correctness", "judge.judge=ollama/x", "compare.primary=rubric_x"], "does not grade"),
        (["compare.primary=judge_correctness"], "neither correctness nor rubric"),
        (["judge.votes=1", "generate.systems=[base]"], "mode pairwise needs two systems"),
        (["judge.votes=3"], "votes has no effect here"),
        (["judge.jugde=builtin"], "jugde"),
    ],
)
def test_mistakes_are_told_before_the_run(overrides: list[str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse_plan("read: {documents: a.md}\n", overrides, Plan, name="plan.yaml")
