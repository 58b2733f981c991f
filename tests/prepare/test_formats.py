"""Finished rows in every format: recognised, read, and written so that they read back the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.cli import main
from tunesmith.errors import GateError, InputError
from tunesmith.prepare.formats import FORMATS, Asked, BadRow, Columns, FormatName, read_asked, recognise
from tunesmith.prepare.prompts import student_prompt
from tunesmith.prepare.stage import DataFacts, DataOptions, Given, Ids, find_data, read_data
from tunesmith.prepare.writing import SUFFIXES, check_writable, convert_data, values_of, write_table
from tunesmith.records import Example, Refused
from tunesmith.tables import read_table

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
]


@pytest.mark.parametrize(
    ("row", "columns", "format"),
    [
        ({"instruction": "i", "input": "", "output": "o"}, {}, "alpaca"),
        ({"instruction": "i", "context": "c", "response": "o", "category": "qa"}, {}, "alpaca"),
        ({"prompt": "p", "completion": "c"}, {}, "prompt_completion"),
        ({"prompt": CHAT[:2], "completion": CHAT[2:3]}, {}, "prompt_completion"),
        ({"messages": CHAT}, {}, "messages"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, {}, "sharegpt"),
        ({"text": "t", "label": 1}, {}, "text_label"),
        ({"review": "t", "sentiment": "positive"}, {}, "text_label"),
        ({"source": "s", "target": "t"}, {}, "source_target"),
        ({"article": "s", "highlights": "t", "id": "1"}, {}, "source_target"),
        (
            {"id": "1", "context": "c", "question": "q", "answers": {"text": ["a"], "answer_start": [0]}},
            {},
            "question_answer",
        ),
        (
            {"question": "q", "answer": "a"},
            {"prompt": "question", "completion": "answer"},
            "prompt_completion",
        ),
        (
            {"translation": {"en": "a", "de": "b"}},
            {"source": "translation.en", "target": "translation.de"},
            "source_target",
        ),
    ],
)
def test_formats_are_recognised(row: dict[str, Any], columns: dict[str, str], format: str) -> None:
    found = recognise([row], columns)
    assert found is not None
    assert found.format == format
    assert read_asked(row, found.format, Columns(columns), turns="last")


def test_rows_of_no_format() -> None:
    assert recognise([{"chosen": "a", "rejected": "b"}], {}) is None


def test_a_conversation_keeps_its_earlier_turns() -> None:
    [last] = read_asked({"messages": CHAT}, "messages", Columns({}), turns="last")
    assert last == Asked(
        "Why?", ("Because.",), earlier=(("user", "Hello?"), ("assistant", "Yes.")), system="Be brief."
    )
    each = read_asked({"messages": CHAT}, "messages", Columns({}), turns="each")
    assert [(one.instruction, one.answers[0], len(one.earlier)) for one in each] == [
        ("Hello?", "Yes.", 0),
        ("Why?", "Because.", 2),
    ]


@pytest.mark.parametrize(
    ("row", "format", "reason"),
    [
        ({"messages": []}, "messages", "not a list of messages"),
        ({"messages": CHAT[:2]}, "messages", "no answer of the assistant"),
        ({"messages": CHAT[2:]}, "messages", "starts with an answer"),
        ({"messages": [CHAT[1], CHAT[1], CHAT[2]]}, "messages", "two turns of the user follow each other"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "from 'tool'"),
        ({"messages": [CHAT[1], {**CHAT[2], "tool_calls": [1]}]}, "messages", "calls a tool"),
        (
            {"messages": [CHAT[1], {"role": "assistant", "content": " "}]},
            "messages",
            "turn 2, of the assistant, is empty",
        ),
        ({"prompt": "p", "completion": None}, "prompt_completion", "completion is empty"),
        ({"prompt": "p"}, "prompt_completion", "there is no completion; the row has prompt"),
        ({"text": "t", "label": float("nan")}, "text_label", "label is nan"),
        ({"source": "s", "target": []}, "source_target", "target is an empty list"),
        ({"source": {"a": 1}, "target": "t"}, "source_target", "source is not a text but a dict"),
    ],
)
def test_rows_that_cannot_be_used_say_why(row: dict[str, Any], format: FormatName, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        read_asked(row, format, Columns({}), turns="last")


def read_all(path: Path, **options: Any) -> tuple[list[Example], list[Refused], DataFacts]:
    chosen = DataOptions(path=str(path), **options)
    facts = DataFacts(chosen.name)
    found = list(read_data(chosen, Path(), facts, ids=Ids("refuse"), bad_rows=1))
    return (
        [item.example for item in found if isinstance(item, Given)],
        [item for item in found if isinstance(item, Refused)],
        facts,
    )


def write_jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_what_the_student_is_asked(tmp_path: Path) -> None:
    def asked(row: dict[str, Any], **options: Any) -> str:
        [example], _, _ = read_all(write_jsonl(tmp_path / "a.jsonl", row), **options)
        return student_prompt(example.kind, example.instruction, example.context)

    assert asked({"messages": CHAT}) == "Be brief.\n\nUser: Hello?\n\nAssistant: Yes.\n\nUser: Why?"
    assert (
        asked({"instruction": "Do it.", "input": "With this.", "output": "Done."}) == "Do it.\n\nWith this."
    )
    assert (
        asked({"source": "A: Hi. B: Hi.", "target": "They greet."}, instruction="Summarise.")
        == "Summarise.\n\nA: Hi. B: Hi."
    )
    assert asked({"text": "Good film.", "label": 1}) == "Good film."


def test_labels_are_named_by_the_plan(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"text": "a", "label": 0},
        {"text": "b", "label": 1.0},
        {"text": "c", "label": 2},
    )
    examples, _, _ = read_all(path, labels={0: "negative", 1: "positive"})
    assert [example.target for example in examples] == ["negative", "positive", "2"]


def test_several_answers_are_kept(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"dialogue": "d", "summaries": ["one", "two", "one"]})
    [example], _, _ = read_all(path)
    assert (example.target, example.other_targets) == ("one", ("two",))


def test_ids_doubles_and_passages(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"id": "x", "question": "Q1?", "context": "P", "answer": "a"},
        {"id": "x", "question": "Q2?", "context": "P", "answer": "b"},
        {"id": "y", "question": "Q1?", "context": "P", "answer": "a"},
        {"id": "z", "question": "Q1?", "context": "other", "answer": "a"},
    )
    examples, refused, facts = read_all(path)
    assert len({example.id for example in examples}) == 3
    assert [example.id for example in examples][::2] == ["x", "z"]
    assert examples[0].source_id == examples[1].source_id != examples[2].source_id
    assert [one.check for one in refused] == ["duplicate"]
    assert refused[0].reason == f"{path}:3: the same prompt and answer stand at {path}:1"
    assert (facts.rows, facts.examples, facts.refused) == (4, 3, 1)


def test_a_file_of_another_format_says_what_to_do(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"q": "a", "a": "b"})
    with pytest.raises(InputError, match=r"fit no format; the columns are q, a\n.*map them"):
        read_all(path)
    with pytest.raises(
        GateError, match=r"1 of 1 rows cannot be used; .*a\.jsonl:1: there is no instruction and no output"
    ):
        read_all(path, format="alpaca")


# Folders as the hub lays them out, and as `datasets` saves them.


def test_a_hub_folder_with_parts_labels_and_licence(tmp_path: Path) -> None:
    import datasets

    labels = datasets.ClassLabel(names=["negative", "positive"])
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    for part, n in (("train", 4), ("test", 2)):
        rows = {"text": [f"{part} {i}" for i in range(n)], "label": [i % 2 for i in range(n)]}
        (tmp_path / "data").mkdir(exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(
            tmp_path / f"data/{part}-00000-of-00001.parquet"
        )
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Card\n", encoding="utf-8")
    examples, _, facts = read_all(tmp_path)
    assert facts.parts == {"test": 2, "train": 4}
    assert facts.license == "cc-by-4.0"
    assert {example.target for example in examples} == {"negative", "positive"}
    only, _, _ = read_all(tmp_path, take="test")
    assert [example.instruction for example in only] == ["test 0", "test 1"]


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    import datasets

    part = datasets.Dataset.from_dict({"prompt": ["a", "b"], "completion": ["c", "d"]})
    datasets.DatasetDict({"train": part, "validation": part.select([0])}).save_to_disk(tmp_path / "set")
    examples, _, facts = read_all(tmp_path / "set")
    assert facts.parts == {"train": 2, "validation": 1}
    assert [example.target for example in examples] == ["c", "d", "c"]


def test_configurations_of_a_readme(tmp_path: Path) -> None:
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "rows.jsonl", {"prompt": name, "completion": "c"})
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files: small/*.jsonl\n"
        "- config_name: large\n  data_files:\n  - split: test\n    path: large/*.jsonl\n---\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"several configurations\n.*small, large"):
        read_all(tmp_path)
    [example], _, facts = read_all(tmp_path, subset="large")
    assert (example.instruction, facts.parts) == ("large", {"test": 1})


def test_a_hub_id_out_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache as huggingface_hub lays it out; nothing is asked of the network."""
    from huggingface_hub import constants

    from tunesmith.errors import MissingError

    snapshot = tmp_path / "datasets--owner--posts/snapshots/abc"
    snapshot.mkdir(parents=True)
    write_jsonl(snapshot / "train.jsonl", {"prompt": "p", "completion": "c"})
    (tmp_path / "datasets--owner--posts/refs").mkdir()
    (tmp_path / "datasets--owner--posts/refs/main").write_text("abc", encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    [file] = find_data(DataOptions(path="owner/posts"), tmp_path).files
    assert (file.name, file.part) == ("owner/posts/train.jsonl", "train")
    with pytest.raises(MissingError, match="the hub cannot be reached"):
        find_data(DataOptions(path="owner/nothing"), tmp_path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_data(DataOptions(path="nothing.jsonl"), tmp_path)
    with pytest.raises(InputError, match="no table file matches"):
        find_data(DataOptions(path="*.jsonl"), tmp_path)


# What is written reads back the same.

TEXT = st.text(min_size=1, max_size=40).filter(lambda text: text.strip())
CELL = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=40
).filter(lambda text: text.strip() and "_x" not in text) | st.sampled_from(
    ["=1+1", "[1, 2]", 'say "a, b"\n\tand\nc', "0", "1.0", "true", "null", " spaced "]
)


@st.composite
def asked_rows(draw: st.DrawFn, format: FormatName) -> Asked:
    instruction, answer = draw(CELL), draw(CELL)
    has_turns = format in ("messages", "sharegpt", "prompt_completion")
    earlier = tuple(
        ("user" if n % 2 == 0 else "assistant", draw(CELL))
        for n in range(draw(st.sampled_from([0, 2])) if has_turns else 0)
    )
    context = draw(st.none() | CELL) if format in ("alpaca", "question_answer") else None
    return Asked(instruction, (answer,), context, earlier, draw(st.just("") | CELL))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("format", list(FORMATS))
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_format_in_every_file_type_reads_back(
    tmp_path: Path, format: FormatName, suffix: str, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(asked_rows(format), min_size=1, max_size=4))
    path = tmp_path / f"rows{suffix}"
    values = [values_of(row, format) for row in rows]
    for one in values:
        check_writable(one, suffix)
    write_table(values, path)
    read = [row.values for row in read_table(path)]
    recognised = recognise(read, {})
    assert recognised is not None
    assert recognised.format == format
    assert [one for row in read for one in read_asked(row, format, Columns({}), turns="last")] == rows


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_any_text_reads_back_from_json_lines_or_is_refused(text: str) -> None:
    from tempfile import TemporaryDirectory

    values = values_of(Asked(text, (text,)), "prompt_completion")
    try:
        check_writable(values, ".jsonl")
    except BadRow:
        assert any("\ud800" <= letter <= "\udfff" for letter in text)
        return
    with TemporaryDirectory() as folder:
        write_table([values], Path(folder) / "a.jsonl")
        [row] = read_table(Path(folder) / "a.jsonl")
    assert row.values == values


def test_excel_refuses_what_it_would_change() -> None:
    for text in ("a\rb", "bell \x07", "_x0041_", "x" * 40_000):
        with pytest.raises(BadRow):
            check_writable({"text": text}, ".xlsx")
        check_writable({"text": text}, ".csv")


def test_a_prepared_set_keeps_ids_and_answers(tmp_path: Path) -> None:
    row = {
        "id": "r1",
        "source_id": "doc",
        "prompt": "P",
        "completion": "C",
        "split": "test",
        "other_references": ["D"],
    }
    path = write_jsonl(tmp_path / "test.jsonl", row)
    found = convert_data(DataOptions(path=str(path)), Path(), tmp_path / "out.json", "alpaca")
    assert (found.format, found.rows, found.written) == ("prompt_completion", 1, 1)
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == [
        {
            "instruction": "P",
            "input": "",
            "output": ["C", "D"],
            "id": "r1",
            "source_id": "doc",
            "split": "test",
        }
    ]


def test_the_command_converts_and_says_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"messages": CHAT}, {"messages": CHAT[3:]})
    out = tmp_path / "out.csv"
    assert main(["convert", str(path), str(out), "--to", "alpaca"]) == 3
    shown = capsys.readouterr()
    assert "2 rows read as messages; 1 written" in shown.out
    assert f"{path}:1: alpaca has no place for earlier turns" in shown.err
    assert [row.values["output"] for row in read_table(out)] == ["Because."]
    assert main(["convert", str(path), str(out), "--to", "sharegpt"]) == 2
    assert main(["convert", str(path), str(out), "--to", "sharegpt", "--force"]) == 0
    assert main(["convert", str(path), str(tmp_path / "b.csv"), "--to", "alpacca"]) == 2
    assert main(["convert", str(path), str(tmp_path / "b.xml"), "--to", "messages"]) == 2
    assert "there is no format 'alpacca'" in capsys.readouterr().err


REAL = {
    "alpaca_dolly": "alpaca",
    "alpaca_libre": "alpaca",
    "dialogsum_train": "source_target",
    "dialogsum_test": "source_target",
    "scitldr_train": "source_target",
    "scitldr_test": "source_target",
    "sentiment_train": "text_label",
    "movie_reviews_test": "text_label",
    "xquad_en": "question_answer",
}


@pytest.mark.parametrize("name", list(REAL))
def test_real_sets_are_recognised_as_they_are(shared_data: Path, name: str) -> None:
    examples, refused, facts = read_all(shared_data / f"{name}.jsonl")
    assert facts.formats == [REAL[name]]
    assert len(examples) + len(refused) == facts.rows > 0
    assert {one.check for one in refused} <= {"duplicate"}
