"""A plan that starts from finished rows: what runs, what it is keyed by, and what its report says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import WORDS, save_tiny_model
from tunesmith.config import parse_plan
from tunesmith.errors import GateError, InputError, PlanError
from tunesmith.forecast import forecast
from tunesmith.pipeline import Watcher, run_plan, survey
from tunesmith.plan import Plan
from tunesmith.records import Refused, Row
from tunesmith.store import Run, StageState, read_rows

PLAN = """
name: given
prepare: {{data: rows.jsonl, leak_meaning: 0}}
train: {{base: {model}, lora_r: 4, max_steps: 2, dtype: float32, device: cpu, threads: 1}}
generate: {{max_new_tokens: 4, dtype: float32, device: cpu, threads: 1}}
score: {{metrics: [rougeL]}}
compare: {{draws: 200}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def numbered(n: int, start: int = 0) -> list[dict[str, object]]:
    """Alpaca rows that have few words in common."""
    return [
        {
            "instruction": f"Say {number} and {number * 7919 % 10007}.",
            "input": "",
            "output": f"{WORDS[number % 17]} {number}",
        }
        for number in range(start, start + n)
    ]


def a_plan(model: Path | str, *overrides: str) -> Plan:
    return parse_plan(PLAN.format(model=model), overrides, Plan, name="plan.yaml")


class Listener(Watcher):
    def __init__(self) -> None:
        self.ran: list[str] = []
        self.counts: dict[str, dict[str, int]] = {}

    def stage_ends(self, name: str, state: StageState, was_cached: bool) -> None:
        self.counts[name] = state.counts
        if not was_cached:
            self.ran.append(name)


def prepared(root: Path, *overrides: str) -> tuple[dict[str, list[Row]], Listener]:
    listener = Listener()
    run_plan(a_plan("builtin", *overrides), root, root / "run", until="prepare", watcher=listener)
    return {
        split: list(read_rows(root / f"run/prepare/{split}.jsonl", Row))
        for split in ("train", "validation", "test")
    }, listener


def test_the_whole_chain_without_documents(tmp_path: Path, model: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", numbered(30))
    outlook = forecast(a_plan(model), tmp_path, Run(tmp_path / "run"))
    assert [stage.name for stage in outlook.stages][:2] == ["prepare", "train"]
    listener = Listener()
    folder = run_plan(a_plan(model), tmp_path, tmp_path / "run", watcher=listener)
    assert listener.ran == ["prepare", "train", "generate", "score", "compare", "report"]
    assert listener.counts["prepare"]["alpaca rows"] == 30
    report = (folder / "report/report.html").read_text(encoding="utf-8")
    assert "finished rows (alpaca)" in report
    assert "come from rows.jsonl" in report
    assert "Questions and references from rows.jsonl" in (folder / "report/report.md").read_text(
        encoding="utf-8"
    )
    again = Listener()
    run_plan(a_plan(model), tmp_path, tmp_path / "run", watcher=again)
    assert again.ran == []
    write_jsonl(tmp_path / "rows.jsonl", numbered(31))
    run_plan(a_plan(model), tmp_path, tmp_path / "run", until="prepare", watcher=again)
    assert again.ran == ["prepare"]
    resolved = (folder / "plan.yaml").read_text(encoding="utf-8")
    assert parse_plan(resolved, [], Plan, name="plan.yaml") == a_plan(model)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prepare.data=[]"], "read is required"),
        (["read.documents=a"], "give read or prepare.data, not both"),
        (["synthesize.per_chunk=3"], "synthesize has no effect"),
        (["prepare.data={path: a, share: 0.3}"], "every set has a share"),
        (["prepare.mix={data: a}"], "a has no share"),
        (["prepare.mix=[{data: a, share: 0.6}, {data: b, share: 0.4}]"], "leave nothing of your own rows"),
        (["prepare.data={path: a, repeat: true}"], "repeat: without share there is nothing to mix in"),
        (["prepare.test_data=b", "prepare.split.test=0.5"], r"split\.test has no effect"),
        (["prepare.data={path: a, columns: {question_text: q}}"], "question_text: not one of our names"),
        (["prepare.data={path: a, format: alpacca}"], "'alpacca' is not one of"),
    ],
)
def test_what_does_not_fit_together_is_an_error(overrides: list[str], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        a_plan("builtin", *overrides)


def test_test_data_is_not_joined_by_rows_of_the_training_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", numbered(40))
    write_jsonl(tmp_path / "test.jsonl", numbered(10, 1000))
    splits, _ = prepared(tmp_path, "prepare.test_data=test.jsonl")
    assert sorted(row.prompt for row in splits["test"]) == sorted(
        str(r["instruction"]) for r in numbered(10, 1000)
    )
    assert len(splits["train"]) == 36
    assert len(splits["validation"]) == 4


def test_parts_that_the_set_names_itself(tmp_path: Path) -> None:
    parts = ["train"] * 20 + ["dev"] * 3 + ["test"] * 7
    rows = [{**row, "split": part} for row, part in zip(numbered(30), parts, strict=True)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    splits, _ = prepared(tmp_path)
    assert {name: len(found) for name, found in splits.items()} == {"train": 20, "validation": 3, "test": 7}
    with pytest.raises(InputError, match="take: test"):
        prepared(tmp_path, "prepare.test_data=rows.jsonl")


def test_a_share_is_a_part_of_the_training_set_and_never_of_the_test_set(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", numbered(100))
    write_jsonl(
        tmp_path / "general.jsonl", [{"q": f"Name {n * 31 % 997}.", "a": f"item {n}"} for n in range(90)]
    )
    mix = "{data: general.jsonl, share: 0.3, columns: {prompt: q, completion: a}}"
    splits, listener = prepared(tmp_path, f"prepare.mix=[{mix}]")
    mixed = [row for row in splits["train"] if row.prompt.startswith("Name")]
    # 100 rows, 20 of them for testing, 10 for validation: 70 own rows are 0.7 of 100
    assert len(splits["train"]) == 100
    assert len(mixed) == 30
    assert not any(row.prompt.startswith("Name") for row in [*splits["test"], *splits["validation"]])
    assert listener.counts["prepare"]["prompt_completion rows"] == 90
    splits, _ = prepared(tmp_path, f"prepare.mix=[{mix[:-1]}, validation: true}}]")
    held = {row.id for row in splits["validation"] if row.prompt.startswith("Name")}
    assert len(held) == 4  # 10 / 0.7 * 0.3
    assert not held & {row.id for row in splits["train"]}


def test_too_few_rows_for_a_share(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", numbered(100))
    write_jsonl(tmp_path / "general.jsonl", numbered(12, 1000))
    with pytest.raises(InputError, match=r"12 rows to mix in, and a share of 0\.3 takes 30"):
        prepared(tmp_path, "prepare.mix={data: general.jsonl, share: 0.3}")
    splits, _ = prepared(tmp_path, "prepare.mix={data: general.jsonl, share: 0.3, repeat: true}")
    assert len(splits["train"]) == 100
    assert len({row.id for row in splits["train"]}) == 100
    assert len({row.prompt for row in splits["train"]}) == 82


def test_bad_rows_are_kept_with_file_and_line_until_there_are_too_many(tmp_path: Path) -> None:
    rows = numbered(30)
    lines = [json.dumps(row) for row in rows]
    lines[4] = '{"instruction": "Half a line'
    lines[9] = json.dumps({**rows[9], "output": " "})
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    prepared(tmp_path)
    refused = list(read_rows(tmp_path / "run/prepare/refused.jsonl", Refused))
    assert [row.check for row in refused] == ["format", "format"]
    assert refused[0].reason.startswith("rows.jsonl:5: this is not JSON")
    assert refused[1].reason == "rows.jsonl:10: output is empty"
    with pytest.raises(
        GateError, match=r"2 of 30 rows cannot be used; rows\.jsonl:5: this is not JSON"
    ) as caught:
        prepared(tmp_path, "prepare.bad_rows=0.05")
    assert caught.value.exit_code == 3


def test_the_card_tells_where_rows_come_from_and_how_long_they_are(tmp_path: Path, model: Path) -> None:
    import yaml
    from transformers import AutoTokenizer

    rows = [*numbered(30), {"instruction": "Broken.", "output": ""}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    write_jsonl(tmp_path / "general.jsonl", numbered(20, 5000))
    listener = Listener()
    overrides = (
        "prepare.data={path: rows.jsonl, license: cc-by-4.0}",
        "prepare.mix={data: general.jsonl, share: 0.3, license: mit}",
        "prepare.subsets=[0.1, 1.0]",
        "train.max_length=28",
    )
    folder = run_plan(
        a_plan(model, *overrides), tmp_path, tmp_path / "run", until="prepare", watcher=listener
    )
    card = (folder / "prepare/README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == ["cc-by-4.0", "mit"]
    assert [one["split"] for one in head["configs"][0]["data_files"]] == ["train", "validation", "test"]
    # 30 rows: 6 for testing, 3 for validation, 21 to train on; 21 / 0.7 * 0.3 = 9 mixed in
    assert "| finished rows read | 50 | format 1 |" in card
    assert "| general.jsonl | alpaca | 20 | 0 | 9 rows mixed in, 30 % of training | mit |" in card
    train = list(read_rows(folder / "prepare/train.jsonl", Row))
    subsets = {
        share: {row.id for row in read_rows(folder / f"prepare/subsets/train-{share}.jsonl", Row)}
        for share in ("0.1", "1")
    }
    assert (len(train), len(subsets["0.1"]), len(subsets["1"])) == (30, 3, 30)
    assert subsets["0.1"] < subsets["1"]
    # a subset that somebody took away comes back
    (folder / "prepare/subsets/train-0.1.jsonl").unlink()
    plan = a_plan(model, *overrides)
    assert next(one.standing for one in survey(plan, tmp_path, Run(folder))) == "partly done"
    run_plan(plan, tmp_path, folder, until="prepare")
    assert {row.id for row in read_rows(folder / "prepare/subsets/train-0.1.jsonl", Row)} == subsets["0.1"]
    assert next(one.standing for one in survey(plan, tmp_path, Run(folder))) == "cached"
    facts = json.loads((folder / "prepare/data.json").read_text(encoding="utf-8"))
    assert facts["window"] == 28
    tokenizer = AutoTokenizer.from_pretrained(model)
    chat = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.completion}],
            tokenize=False,
        )
        for row in train
    ]
    whole = [len(tokenizer(text.rstrip("\n"), add_special_tokens=False)["input_ids"]) for text in chat]
    assert facts["lengths"]["train"]["whole"][3] == max(whole)
    assert facts["lengths"]["train"]["over_window"] == sum(n > 28 for n in whole)
    assert listener.counts["prepare"]["rows over the window"] >= facts["lengths"]["train"]["over_window"]
