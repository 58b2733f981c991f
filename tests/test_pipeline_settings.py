"""A run under several decoding settings, from answers to report; and which answers a run uses again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.test_pipeline import PLAN, run, tiny_model, write_documents
from tunesmith.errors import PlanError
from tunesmith.records import Comparison, GenerationNote, Prediction, Score, Summary, setting_of
from tunesmith.store import read_rows

__all__ = ["tiny_model"]

SETTINGS = (
    "generate.settings={beams: {num_beams: 2}, warm: {do_sample: true, temperature: 0.8}}",
    "generate.dtype=bfloat16",
)


@pytest.fixture
def root(tmp_path: Path, tiny_model: Path) -> Path:
    """With a copy of the model, so that a test may change it."""
    write_documents(tmp_path / "documents")
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "plan.yaml").write_text(PLAN.format(model=model), encoding="utf-8")
    return tmp_path


def answers(root: Path, name: str) -> list[Prediction]:
    return list(read_rows(root / f"runs/tiny/generate/{name}.jsonl", Prediction))


def test_every_setting_is_scored_compared_and_shown(root: Path) -> None:
    run(root, *SETTINGS)
    folder = root / "runs/tiny"
    main = {one.id: one for one in answers(root, "tuned")}
    other = answers(root, "settings")
    names = {"base@beams", "tuned@beams", "base@warm", "tuned@warm"}
    assert {one.system for one in other} == names
    assert len(other) == 4 * len(main)

    metrics: dict[str, set[str]] = {}
    for score in read_rows(folder / "score/scores.jsonl", Score):
        metrics.setdefault(score.system, set()).add(score.metric)
    everything = {"bleu", "rougeL", "token_f1", "perplexity"}
    assert metrics == {"base": everything, "tuned": everything} | dict.fromkeys(
        names, everything - {"perplexity"}
    )

    comparisons = list(read_rows(folder / "compare/comparisons.jsonl", Comparison))
    pairs = {(one.base, one.tuned): [] for one in comparisons}  # type: ignore[var-annotated]
    for one in comparisons:
        pairs[one.base, one.tuned].append(one.metric)
    three = ["rougeL", "bleu", "token_f1"]
    assert pairs == {
        ("base", "tuned"): [*three, "perplexity"],
        ("base@beams", "tuned@beams"): three,
        ("base@warm", "tuned@warm"): three,
    }
    assert [one.metric for one in comparisons if one.is_primary] == ["rougeL"]

    notes = list(read_rows(folder / "generate/notes.jsonl", GenerationNote))
    assert [(note.system, note.rule) for note in notes] == [
        ("base", "batch_effect"),
        ("tuned", "batch_effect"),
    ]
    page = (folder / "report/report.html").read_text(encoding="utf-8")
    section = page.partition('id="decodings"')[2].partition("<section")[0]
    summaries = list(read_rows(folder / "compare/summaries.jsonl", Summary))
    assert section.count("<tr") == 1 + 3 * 3, "a head, then three metrics under three settings"
    assert "all 10 comparisons" in section
    assert all(note.text in section for note in notes)
    assert "num_beams: 2" in section
    assert len([one for one in summaries if setting_of(one.system)]) == 4 * 3
    rest = page.replace(section, "")
    assert "tuned@warm" not in rest, "the other sections speak of the main setting"
    table = (folder / "report/metrics.csv").read_text(encoding="utf-8")
    assert table.count("tuned@warm") == 3
    assert "tuned@warm against base@warm" in (folder / "report/report.md").read_text(encoding="utf-8")

    written = (folder / "plan.yaml").read_text(encoding="utf-8")
    (root / "plan.yaml").write_text(written, encoding="utf-8")
    assert run(root).ran == [], "the resolved plan means the same"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("{warm: {temperature: 0.5}}", "settings.warm: temperature has no effect without do_sample: true"),
        ("{same: {num_beams: 1}}", "settings.same decodes like the main keys"),
        ("{many: {num_beam: 2}}", "generate.settings.many.num_beam: unknown key; did you mean num_beams?"),
    ],
)
def test_mistakes_in_settings_are_told_before_anything_runs(root: Path, setting: str, message: str) -> None:
    with pytest.raises(PlanError) as error:
        run(root, f"generate.settings={setting}")
    assert message in str(error.value)
    assert not (root / "runs").exists()


def test_a_plan_with_one_setting_has_no_such_section(root: Path) -> None:
    run(root)
    page = (root / "runs/tiny/report/report.html").read_text(encoding="utf-8")
    assert 'id="decodings"' not in page
    assert answers(root, "settings") == []


def test_a_retrained_adapter_gets_answers_of_its_own(root: Path) -> None:
    run(root, until="generate")
    folder = root / "runs/tiny"
    before = (folder / "generate/tuned.jsonl").read_bytes()
    hashes = {one.settings["adapter_sha256"] for one in answers(root, "tuned")}
    other = run(root, "train.seed=9", "train.max_steps=7", until="generate")
    assert other.ran == ["train", "generate"]
    again = answers(root, "tuned")
    assert not {one.settings["adapter_sha256"] for one in again} & hashes
    kept = list((folder / "kept").glob("generate-*/tuned.jsonl"))
    assert [place.read_bytes() for place in kept] == [before]


def test_another_template_or_precision_gets_new_answers(root: Path) -> None:
    run(root, until="generate")
    first = {one.key for one in answers(root, "base")}
    assert run(root, "generate.dtype=bfloat16", until="generate").ran == ["generate"]
    second = {one.key for one in answers(root, "base")}
    template = root / "model/chat_template.jinja"
    template.write_text(
        template.read_text(encoding="utf-8").replace("<|end|>", "<|end|>\n"), encoding="utf-8"
    )
    # prepare measures lengths as the template makes them; its rows stay the same.
    assert run(root, until="generate").ran == ["prepare", "train", "generate"]
    third = {one.key for one in answers(root, "base")}
    assert not first & second
    assert not third & (first | second)
    assert len(list((root / "runs/tiny/kept").glob("generate-*"))) == 2


def test_answers_of_other_conditions_in_a_half_done_folder_are_put_aside(root: Path) -> None:
    """What a killed run left behind counts only where its content key is the one asked for."""
    run(root, *SETTINGS, until="generate")
    folder = root / "runs/tiny/generate"
    whole = {place.name: sorted(place.read_bytes().splitlines()) for place in folder.glob("*.jsonl")}
    texts = {(one.system, one.id): one.text for name in ("tuned", "settings") for one in answers(root, name)}
    state = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    (folder / "stage.json").write_text(json.dumps(state | {"status": "running"}), encoding="utf-8")
    stale = {}
    for name in ("tuned", "settings"):
        rows = [
            json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        stale[name] = [row | {"key": "made otherwise", "text": "old"} for row in rows[:2]]
        kept = [*stale[name], *rows[3:]]  # two are of other conditions, one is missing
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8"
        )
    assert run(root, *SETTINGS, until="generate").ran == ["generate"]
    assert {(one.system, one.id): one.text for name in stale for one in answers(root, name)} == texts
    assert {place.name: len(place.read_bytes().splitlines()) for place in folder.glob("*.jsonl")} == {
        name: len(lines) for name, lines in whole.items()
    }
    (aside,) = (root / "runs/tiny/kept").glob("generate-stale-*")
    for name, rows in stale.items():
        found = [
            json.loads(line) for line in (aside / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert found == rows
