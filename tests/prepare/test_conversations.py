"""Conversations from a file to the tokens that a model sees: every turn a turn, one answer learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.families import FAMILIES, save_family
from tunesmith import cli
from tunesmith.config import parse_plan
from tunesmith.models.load import ComputeOptions
from tunesmith.pipeline import run_plan
from tunesmith.plan import Plan
from tunesmith.records import Row
from tunesmith.store import read_rows
from tunesmith.tasks.base import Rendered
from tunesmith.tasks.causal import CausalTask

NAMES = {"user": "human", "assistant": "gpt", "system": "system"}


def chats(n: int) -> list[list[dict[str, str]]]:
    """Of one to three questions each; every third with a system message."""
    found = []
    for number in range(n):
        said = [] if number % 3 else [{"role": "system", "content": f"You are clerk {number}."}]
        for turn in range(1 + number % 3):
            said += [
                {"role": "user", "content": f"What of {number * 7919 % 10007} and {turn}?"},
                {"role": "assistant", "content": f"It is number {number * 31 + turn}, as told."},
            ]
        found.append(said)
    return found


def in_format(said: list[dict[str, str]], format: str) -> dict[str, Any]:
    if format == "messages":
        return {"messages": said}
    return {"conversations": [{"from": NAMES[one["role"]], "value": one["content"]} for one in said]}


@pytest.mark.parametrize("format", ["messages", "sharegpt"])
@pytest.mark.parametrize("turns", ["last", "each"])
def test_a_chat_becomes_the_template_s_turns(tmp_path: Path, format: str, turns: str) -> None:
    given = chats(24)
    rows = [in_format(said, format) | {"id": f"chat{number}"} for number, said in enumerate(given)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = parse_plan(
        f"prepare: {{data: {{path: chats.jsonl, turns: {turns}}}, leak_meaning: 0}}",
        [],
        Plan,
        name="plan.yaml",
    )
    folder = run_plan(plan, tmp_path, tmp_path / "run", until="prepare")
    task = CausalTask.open(
        str(save_family(tmp_path / "chatml", FAMILIES["chatml"])),
        ComputeOptions(dtype="float32", device="cpu"),
    )
    seen: dict[str, list[int]] = {}
    for split in ("train", "validation", "test"):
        for row in read_rows(folder / f"prepare/{split}.jsonl", Row):
            number, _, answer = row.id.removeprefix("chat").partition(".")
            said = given[int(number)]
            ends = [place for place, one in enumerate(said) if one["role"] == "assistant"]
            end = ends[int(answer) - 1 if answer else -1]
            rendered = task.render(row)
            assert isinstance(rendered, Rendered)
            # the oracle: what transformers' own template makes of the same messages
            whole = task.tokenizer.apply_chat_template(said[: end + 1])["input_ids"]
            asked = task.tokenizer.apply_chat_template(said[:end], add_generation_prompt=True)["input_ids"]
            assert list(rendered.input_ids) == whole[: len(rendered.input_ids)]
            assert rendered.n_prompt == len(asked)
            assert task.pieces(rendered)[1] == (f"{said[end]['content']}<|im_end|>", True)
            seen.setdefault(number, []).append(end)
    # each answer is learnt once, or the last one only
    expected = {
        str(number): [place for place, one in enumerate(said) if one["role"] == "assistant"]
        for number, said in enumerate(given)
    }
    if turns == "last":
        expected = {number: ends[-1:] for number, ends in expected.items()}
    assert {number: sorted(ends) for number, ends in seen.items()} == expected


def test_what_prepare_wrote_is_a_conversation_again(tmp_path: Path) -> None:
    given = chats(12)
    rows = [in_format(said, "messages") | {"id": f"chat{number}"} for number, said in enumerate(given)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = parse_plan("prepare: {data: chats.jsonl, leak_meaning: 0}", [], Plan, name="plan.yaml")
    folder = run_plan(plan, tmp_path, tmp_path / "run", until="prepare")
    for format in ("messages", "sharegpt"):
        out = tmp_path / f"{format}.jsonl"
        assert cli.main(["convert", str(folder / "prepare/train.jsonl"), str(out), "--to", format]) == 0
        written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert written
        for row in written:
            said = given[int(row["id"].removeprefix("chat"))]
            assert {name: row[name] for name in in_format(said, format)} == in_format(said, format)
