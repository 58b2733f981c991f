from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest

from tunesmith.errors import GateError
from tunesmith.prepare.leaks import find_leaks
from tunesmith.prepare.prompts import student_prompt
from tunesmith.prepare.stage import PrepareOptions, SplitOptions, prepare_rows
from tunesmith.records import Example, Refused, Row

LONG = "the outdoor unit of a heat pump should stand where air can move freely around it all year"


def example(number: int, source: str, **changes: Any) -> Example:
    base = Example(
        id=f"e{number}",
        source_id=source,
        kind="question_answer",
        instruction=f"What is thing {number}?",
        target=f"Thing {number} is a thing of {source}.",
        context=f"Passage of {source}: " + " ".join(f"{source}w{word}" for word in range(30)),
        chunk_id=f"{source}-c{number % 2}",
    )
    return dataclasses.replace(base, **changes)


EXAMPLES = [example(number, f"doc{number % 6}") for number in range(60)]
THIRD = SplitOptions(test=0.34, validation=0.17, seed=0)


def rows(examples: list[Example], **options: Any) -> list[Row | Refused]:
    """Without a look at their meaning, which `test_leaks.py` tests."""
    return list(prepare_rows(examples, PrepareOptions(split=THIRD, leak_meaning=0, **options)))


def test_no_document_is_in_two_splits() -> None:
    found = rows(EXAMPLES)
    assert len(found) == 60
    places: dict[str, set[str]] = {}
    for row in found:
        assert isinstance(row, Row)
        places.setdefault(row.source_id, set()).add(row.split)
    assert all(len(splits) == 1 for splits in places.values())
    assert set.union(*places.values()) == {"train", "validation", "test"}


def test_open_and_closed_book() -> None:
    open_book, closed_book = rows(EXAMPLES)[0], rows(EXAMPLES, context="none")[0]
    assert isinstance(open_book, Row)
    assert isinstance(closed_book, Row)
    assert EXAMPLES[0].context is not None
    assert EXAMPLES[0].context in open_book.prompt
    assert closed_book.prompt == "What is thing 0?"
    assert closed_book.context is None
    assert open_book.completion == closed_book.completion == EXAMPLES[0].target


def test_the_student_prompt_in_its_four_forms() -> None:
    assert student_prompt("question_answer", "Why?", "P.") == (
        "Answer the question from the passage.\n\nPassage:\nP.\n\nQuestion: Why?"
    )
    assert student_prompt("question_answer", "Why?", None) == "Why?"
    assert student_prompt("summary", "", "P.") == "Summarise the passage in one sentence.\n\nPassage:\nP."
    assert student_prompt("instruction", "Do it.", "With this.") == "Do it.\n\nWith this."
    with pytest.raises(ValueError, match="needs the passage"):
        student_prompt("summary", "", None)


@cache
def splits() -> dict[str, str]:
    return {row.source_id: row.split for row in rows(EXAMPLES) if isinstance(row, Row)}


def sources(split: str) -> list[str]:
    return [f"doc{number}" for number in range(6) if splits()[f"doc{number}"] == split]


def leaking() -> list[Example]:
    """One test example whose words stand, a little changed, in a training example."""
    test, train = sources("test")[0], sources("train")[0]
    return [
        *EXAMPLES,
        example(100, test, instruction="Where should it stand?", target=f"I think {LONG}."),
        example(101, train, instruction="Where does it go?", target=f"As a rule, {LONG}, they say."),
    ]


def test_shared_words_stop_the_run() -> None:
    with pytest.raises(GateError, match="same_words") as caught:
        rows(leaking())
    assert caught.value.exit_code == 3
    said = str(caught.value)
    assert "the outdoor unit of a heat pump" in said
    # which rows, and what to write
    assert "e100 (test: “Where should it stand?”) and e101 (train: “Where does it go?”) share" in said
    assert "prepare.allow_leaks=[same_words] to accept this kind" in said


def test_dropping_takes_the_training_row_and_keeps_it_with_its_reason() -> None:
    found = rows(leaking(), leaks="drop")
    refused = [row for row in found if isinstance(row, Refused)]
    assert [row.id for row in refused] == ["e101"]
    assert refused[0].check == "leak"
    assert "e100" in refused[0].reason
    assert len(found) == 62
    assert not find_leaks([row for row in found if isinstance(row, Row)]).leaks


def test_a_leak_may_be_allowed_and_is_still_found() -> None:
    found = rows(leaking(), leaks="allow")
    assert all(isinstance(row, Row) for row in found)
    leaks = find_leaks([row for row in found if isinstance(row, Row)]).leaks
    assert [(leak.rule, leak.held_out_id, leak.seen_id) for leak in leaks] == [("same_words", "e100", "e101")]


def test_a_passage_seen_in_training_is_a_leak() -> None:
    test, train = sources("test")[0], sources("train")[0]
    shared = " ".join(f"word{number}" for number in range(40))
    found = rows(
        [*EXAMPLES, example(100, test, context=shared), example(101, train, context=f"Also {shared}")],
        leaks="allow",
    )
    leaks = find_leaks([row for row in found if isinstance(row, Row)]).leaks
    assert {leak.rule for leak in leaks} == {"same_passage"}


def test_the_same_example_in_two_documents_is_a_leak_however_short() -> None:
    test, train = sources("test")[0], sources("train")[0]
    twins = [
        example(100 + at, place, instruction="Why?", target="So.") for at, place in enumerate([test, train])
    ]
    found = rows([*EXAMPLES, *twins], leaks="allow")
    leaks = find_leaks([row for row in found if isinstance(row, Row)]).leaks
    assert [leak.rule for leak in leaks] == ["same_example"]


def test_nothing_to_prepare() -> None:
    with pytest.raises(GateError, match="no example is left"):
        rows([])


def test_splitting_one_document_by_passage() -> None:
    one = [
        example(number, "doc", chunk_id=f"c{number % 5}", context=f"passage {number % 5}")
        for number in range(20)
    ]
    options = PrepareOptions(split=SplitOptions(by="passage", test=0.2, validation=0.2))
    places: dict[str, set[str]] = {}
    for row in prepare_rows(one, options):
        assert isinstance(row, Row)
        places.setdefault(row.group, set()).add(row.split)
    assert sorted(len(splits) for splits in places.values()) == [1] * 5


def test_shares_must_leave_something_to_train_on() -> None:
    with pytest.raises(ValueError, match="leave nothing to train on"):
        SplitOptions(test=0.7, validation=0.3)
