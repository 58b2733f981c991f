"""`tunesmith check` with prices, `tunesmith synthesize --limit`, a run's progress, and teachers of other packages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.synthesize.stub_server import Answer, Body, StubServer, one_pair
from tests.synthesize.test_endpoint import run, tanks
from tunesmith import cli, plugins
from tunesmith.records import Chunk, Example, Refused, content_id
from tunesmith.spending import Prices
from tunesmith.steps.data import _teacher_progress
from tunesmith.synthesize.endpoint import ModelTeacher
from tunesmith.synthesize.estimate import estimate_items
from tunesmith.synthesize.request import make_request
from tunesmith.synthesize.stage import (
    SynthesizeOptions,
    estimate_checks,
    estimate_requests,
    open_teacher,
    synthesize_examples,
)


def plan_of(folder: Path, server: StubServer, **teacher: object) -> Path:
    """Twelve documents of one passage each."""
    (folder / "tanks").mkdir()
    for number in range(12):
        text = f"Tank {number} holds {number + 3} litres. It stands in the cellar of an old house.\n"
        (folder / f"tanks/{number:02}.md").write_text(text, encoding="utf-8")
    plan = {
        "name": "t",
        "read": {"documents": "tanks"},
        "synthesize": {"teacher": {"url": server.url, "model": "stub"} | teacher, "checks": ["format"]},
    }
    (folder / "plan.yaml").write_text(json.dumps(plan), encoding="utf-8")
    return folder / "plan.yaml"


def test_estimate_counts_what_the_journal_lacks(tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    prices = {"input": 1000, "output": 10_000}
    with StubServer() as server:
        options = SynthesizeOptions(
            teacher={
                "url": server.url,
                "model": "stub",
                "max_tokens": 100,
                "prices": prices,
                "concurrency": 2,
            },  # type: ignore[arg-type]
            checks=(),
        )
        fresh = estimate_requests(tanks(10), options, journal)
        assert fresh is not None
        assert not journal.exists()
        assert (fresh.items, fresh.kept, fresh.spent, fresh.seconds) == (10, 0, 0.0, None)
        # 8 pairs of 75 tokens are more than the 100 that a reply may have
        assert (fresh.reply_tokens, fresh.most_reply_tokens) == (1000, 1000)
        assert fresh.cost == fresh.most_cost == pytest.approx(fresh.prompt_tokens / 1000 + 10.0)
        run(server, journal, tanks(4), max_tokens=100, prices=prices)
        found = estimate_requests(tanks(10), options, journal)
    assert found is not None
    assert (found.items, found.kept, found.n_sent) == (10, 4, 4)
    assert found.spent == pytest.approx(4 * 0.3)
    # replies had 20 tokens so far
    assert (found.reply_tokens, found.most_reply_tokens) == (6 * 20, 600)
    assert found.cost == pytest.approx(found.prompt_tokens / 1000 + 1.2)
    assert found.seconds is not None
    assert found.seconds > 0


def test_estimate_without_prices_has_no_cost(tmp_path: Path) -> None:
    request = make_request("u", {"messages": "one two three four", "max_tokens": 1000}, None)
    found = estimate_items([(request, 2)], tmp_path / "j.sqlite", None, 8)
    assert (found.cost, found.most_cost, found.spent) == (None, None, None)
    assert found.reply_tokens == 150
    priced = estimate_items([(request, 2)], tmp_path / "j.sqlite", Prices(input=0, output=2), 8)
    assert priced.cost == pytest.approx(150 * 2e-6)


def test_check_shows_requests_cost_and_a_budget_that_is_too_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer() as server:
        plan = plan_of(tmp_path, server, prices={"input": 1, "output": 100}, budget={"money": 0.01})
        assert cli.main(["check", str(plan)]) == 0
        assert server.requests == []
    shown = capsys.readouterr().out
    assert "The teacher is asked 12 times." in shown
    assert "tokens of prompts and 7,200 of replies" in shown
    assert "The budget has 0.01 of 0.01 left, which is less than that" in shown
    assert not (tmp_path / "runs").exists()


def test_a_few_items_are_tried_and_not_paid_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(body: Body, before: int) -> Answer:
        return Answer("no JSON") if "Tank 6 " in str(body) else one_pair(body, before)

    with StubServer(script) as server:
        plan = plan_of(tmp_path, server)
        assert cli.main(["synthesize", str(plan), "--limit", "3", "--trace"]) == 0
        shown = capsys.readouterr().out
        assert len(server.requests) == 3
        # of 12 passages the middles of three thirds
        for number in (2, 6, 10):
            assert f"Tank {number} holds {number + 3} litres." in shown
        assert "Tank 3 " not in shown
        assert "reply (100 + 20 tokens, stop):" in shown
        assert "✓ How much does Tank 2 hold?" in shown
        assert "✗ format: the reply is not the JSON that was asked for" in shown
        assert "2 examples, 1 refused" in shown
        assert not (tmp_path / "runs/t/synthesize").exists()
        assert cli.main(["synthesize", str(plan), "--limit", "3", "--json"]) == 0
        tried = json.loads(capsys.readouterr().out)
        assert len(server.requests) == 3
        assert [len(one["examples"]) for one in tried] == [1, 0, 1]
        assert tried[1]["reply"]["text"] == "no JSON"
        assert cli.main(["run", str(plan), "--until", "synthesize"]) == 0
        assert len(server.requests) == 12
        # and once the run has its passages, the same ones are tried
        assert cli.main(["synthesize", str(plan), "--limit", "3"]) == 0
        assert len(server.requests) == 12


def test_built_in_teacher_can_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer() as server:
        plan = plan_of(tmp_path, server)
    assert cli.main(["synthesize", str(plan), "synthesize.teacher=builtin", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert "── 2 of 2: 09.md, passage" in shown
    assert not (tmp_path / "runs").exists()


def test_run_tells_accepted_rows_money_and_time_left(tmp_path: Path) -> None:
    from tunesmith.pipeline import Watcher, run_plan
    from tunesmith.plan import load_plan

    class Listener(Watcher):
        def __init__(self) -> None:
            self.heard: list[tuple[int, int | None, str]] = []

        def progress(self, done: int, total: int | None, what: str) -> None:
            if what.startswith("requests"):
                self.heard.append((done, total, what))

    listener = Listener()
    with StubServer() as server:
        plan = load_plan(plan_of(tmp_path, server, prices={"input": 1000, "output": 10_000}))
        run_plan(plan, tmp_path, tmp_path / "runs/t", until="synthesize", watcher=listener)
    assert [done for done, _, _ in listener.heard] == list(range(1, 13))
    assert {total for _, total, _ in listener.heard} == {12}
    last = listener.heard[-1][2]
    assert "requests, 12 examples, " in last
    assert "3.60 spent" in last
    assert last.endswith("about 0 s left")


def test_what_had_no_reply_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    from tunesmith.pipeline import run_plan, survey
    from tunesmith.plan import load_plan
    from tunesmith.store import Run

    is_broken = True

    def script(body: Body, before: int) -> Answer:
        return Answer(status=500) if is_broken and "Tank 5 " in str(body) else one_pair(body, before)

    with StubServer(script) as server:
        plan = load_plan(plan_of(tmp_path, server, tries=1))
        folder = tmp_path / "runs/t"

        def standing() -> str:
            return {stage.name: stage.standing for stage in survey(plan, tmp_path, Run(folder))}["synthesize"]

        run_plan(plan, tmp_path, folder, until="synthesize")
        assert len((folder / "synthesize/examples.jsonl").read_text().splitlines()) == 11
        assert (len(server.requests), standing()) == (12, "partly done")
        is_broken = False
        run_plan(plan, tmp_path, folder, until="synthesize")
        assert len((folder / "synthesize/examples.jsonl").read_text().splitlines()) == 12
        assert (len(server.requests), standing()) == (13, "cached")
        run_plan(plan, tmp_path, folder, until="synthesize")
        assert len(server.requests) == 13


def test_missing_local_teacher_is_told_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer() as server:
        plan = plan_of(tmp_path, server)
    assert cli.main(["check", str(plan), "synthesize.teacher={local: ./nothing}"]) == 4
    assert "no such model folder" in capsys.readouterr().err


def test_a_mistake_in_a_teacher_is_placed_by_the_keys_of_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer() as server:
        plan = plan_of(tmp_path, server, budget={"money": 3})
    assert cli.main(["check", str(plan)]) == 2
    assert "synthesize.teacher: budget.money needs prices" in capsys.readouterr().err


# Teachers of other packages


class Parrot:
    name = "parrot"

    def __init__(self, settings: Mapping[str, Any], journal: Path, root: Path) -> None:
        self.word = settings.get("word", "squawk")

    def write(self, chunks: Iterable[Chunk], options: SynthesizeOptions) -> Iterator[Example | Refused]:
        for chunk in chunks:
            yield Example(
                id=content_id(chunk.id),
                source_id=chunk.source_id,
                kind="question_answer",
                instruction=f"What does the parrot say in {chunk.id}?",
                target=self.word,
                context=chunk.text,
                chunk_id=chunk.id,
                evidence_start=None,
                evidence_end=None,
                first_page=None,
                last_page=None,
                teacher=self.name,
                attributes={},
            )


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("parrot", "tests.synthesize.test_trial:Parrot", "tunesmith.teacher")
    found = metadata.EntryPoints([entry])
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda **wanted: found.select(**wanted))


@pytest.mark.usefixtures("parrot")
@pytest.mark.parametrize(
    ("teacher", "word"),
    [("parrot", "squawk"), ({"name": "parrot", "settings": {"word": "hello"}}, "hello")],
)
def test_teacher_of_another_package(tmp_path: Path, teacher: Any, word: str) -> None:
    options = SynthesizeOptions(teacher=teacher, checks=())
    assert options.teacher_name == "parrot"
    records = list(
        synthesize_examples(tanks(2), open_teacher(options, tmp_path / "j.sqlite", tmp_path), options)
    )
    assert [record.target for record in records] == [word, word]
    assert estimate_requests(tanks(2), options, tmp_path / "j.sqlite") is None


@pytest.mark.usefixtures("parrot")
def test_unknown_teacher_is_told_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"no teacher.*installed packages bring parrot"):
        SynthesizeOptions(teacher="parot")
    with pytest.raises(ValidationError, match="no teacher"):
        SynthesizeOptions(teacher={"name": "owl"})  # type: ignore[arg-type]


def test_mistakes_are_told_for_the_kind_of_teacher_that_was_written() -> None:
    with pytest.raises(ValidationError) as caught:
        SynthesizeOptions(teacher={"url": "http://127.0.0.1:1", "modl": "x"})  # type: ignore[arg-type]
    assert caught.value.error_count() == 1
    assert "modl" in str(caught.value)


def test_check_counts_what_a_judge_of_its_own_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer() as server:
        plan = plan_of(tmp_path, server)
        judge = (
            f"{{url: {server.url}, model: judge, prices: {{input: 1, output: 1}}, budget: {{money: 0.01}}}}"
        )
        checks = "[format, round_trip, judge]"
        overrides = [f"synthesize.judge={judge}", f"synthesize.checks={checks}", "synthesize.per_chunk=4"]
        assert cli.main(["check", str(plan), *overrides]) == 0
        assert not server.requests
    said = " ".join(capsys.readouterr().out.split())
    assert "The teacher is asked 12 times." in said
    assert "is not known without synthesize.teacher.prices." in said
    # twelve passages, four pairs of each, two questions about each pair
    assert "The judge of the examples is asked at most 96 times." in said
    assert "The budget has 0.01 of 0.01 left, which is less than that" in said
    options = SynthesizeOptions(teacher="ollama/a", judge="ollama/b", checks=("judge",), kinds=("summary",))
    found = estimate_checks(tanks(3), options, tmp_path / "j.sqlite")
    assert found is not None
    assert (found.items, found.kept) == (3, 0)
    assert estimate_checks(tanks(3), SynthesizeOptions(teacher="ollama/a"), tmp_path / "j.sqlite") is None


def test_progress_tells_the_time_that_is_left_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve requests and as many for the checks, of each of eight pairs: 12 + 96. Nine are done after 18 seconds."""
    options = SynthesizeOptions(teacher="ollama/a", checks=("judge",))
    teacher = open_teacher(options, tmp_path / "j.sqlite")
    assert isinstance(teacher, ModelTeacher)
    clock = iter([100.0, 118.0, 118.0])
    monkeypatch.setattr("tunesmith.steps.data.time.monotonic", lambda: next(clock))
    told = _teacher_progress(teacher, tanks(12), options)
    assert callable(told)
    teacher.n_replied = 9
    # two seconds each: 99 * 2 = 198 s
    assert told({"examples": 9}) == (9, None, "requests, 9 examples, 0.5 a second, at most 3 min left")


def test_a_model_that_wrote_nothing_of_use_is_told_apart_from_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer(lambda body, before: Answer("no JSON")) as server:
        assert cli.main(["run", str(plan_of(tmp_path, server)), "--until", "synthesize"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "got no example out of 12 passages; 12 were refused" in said
    assert "--limit 3 --trace shows" in said
    assert "built-in teacher" not in said
