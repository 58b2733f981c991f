"""Each check speaks when it should, and keeps quiet when it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.report.fake_study import fake_study, training_log
from tunesmith.records import Prediction, Refused, Row, SplitName, Status
from tunesmith.report.check import Check
from tunesmith.report.study import Study
from tunesmith.report.validity import checks

SAME = {"num_beams": 1, "dtype": "float32"}


def prediction(item: str, system: str, text: str = "a good enough answer here", **changes: Any) -> Prediction:
    plain = Prediction(
        item, "doc", system, f"prompt {item}", text, ("what was wanted of it",), "ok", settings=SAME
    )
    return replace(plain, **changes)


def row(
    item: str, source: str, split: SplitName, *, group: str = "", completion: str = "a completion"
) -> Row:
    return Row(
        item,
        source,
        f"prompt {item}",
        completion,
        split,
        group=group,
        instruction="What is asked in this one?",
    )


def study(**parts: Any) -> Study:
    return Study("s", "", "", "passage", "", "b", **parts)


def pair(*items: str, **changes: Any) -> list[Prediction]:
    """Base answers plainly; `changes` are those of tuned."""
    return [prediction(item, "base") for item in items] + [
        prediction(item, "tuned", **changes) for item in items
    ]


def found(made: Study, title: str) -> Check:
    matching = [check for check in checks(made) if check.title == title]
    assert len(matching) == 1, f"{len(matching)} checks are called {title!r}"
    return matching[0]


@pytest.mark.parametrize(
    ("leaks", "outcome"),
    [(None, "unknown"), ([], "good"), ([{"rule": "same_words", "evidence": "fed with"}], "problem")],
)
def test_leaks(leaks: Any, outcome: str) -> None:
    check = found(study(leaks=leaks), "Test questions seen in training")
    assert check.outcome == outcome
    if leaks:
        assert "same words: 1" in check.detail
        assert "“fed with”" in check.detail


def test_a_document_in_training_and_test_is_a_problem_unless_the_split_was_by_passage() -> None:
    title = "Test documents kept apart"
    apart = [row("1", "a.md", "train"), row("2", "b.md", "test")]
    assert found(study(rows=apart), title).outcome == "good"
    shared = [row("1", "a.md", "validation"), row("2", "a.md", "test"), row("3", "b.md", "test")]
    check = found(study(rows=shared), title)
    assert check.outcome == "problem"
    assert check.detail.startswith("1 of 2 test documents")
    by_passage = [replace(item, group=f"passage {item.id}") for item in shared]
    assert found(study(rows=by_passage), title).outcome == "look"


def test_few_documents() -> None:
    made = fake_study()
    assert found(made, "Enough documents").outcome == "look"
    many = [replace(item, n_sources=20) for item in made.comparisons]
    assert found(replace(made, comparisons=many), "Enough documents").outcome == "good"


def test_items_and_prompts_have_to_be_the_same() -> None:
    title = "Same questions, same prompts"
    assert found(study(predictions=pair("1", "2")), title).outcome == "good"
    missing = found(study(predictions=pair("1", "2")[:-1]), title)
    assert missing.outcome == "problem"
    assert "base 2, tuned 1" in missing.detail
    other = found(study(predictions=pair("1", "2", prompt="another")), title)
    assert (other.outcome, other.detail) == ("problem", "2 items had another prompt for another system.")
    assert found(study(predictions=pair("1")[:1]), title).outcome == "unknown"


def test_settings_have_to_be_the_same_but_for_the_adapter() -> None:
    title = "Same settings for every system"
    adapter = found(study(predictions=pair("1", settings={**SAME, "adapter_sha256": "1c9b"})), title)
    assert (adapter.outcome, adapter.detail) == ("good", "Equal for all answers: dtype, num_beams.")
    beams = found(study(predictions=pair("1", settings={**SAME, "num_beams": 4})), title)
    assert (beams.outcome, beams.detail) == ("problem", "Not the same for all: num_beams.")
    one_sided = found(study(predictions=pair("1", settings={"num_beams": 1})), title)
    assert one_sided.outcome == "problem"


@pytest.mark.parametrize(("n_bad", "outcome"), [(0, "good"), (1, "look"), (2, "problem")])
@pytest.mark.parametrize(
    ("status", "title"),
    [
        ("truncated", "Answers cut off at the length limit"),
        ("empty", "Empty answers"),
        ("error", "Answers that failed"),
    ],
)
def test_failed_answers_are_counted_and_become_a_problem_above_one_in_twenty(
    status: Status, title: str, n_bad: int, outcome: str
) -> None:
    answers = pair(*map(str, range(20)))
    answers = [
        replace(item, status=status) if 20 <= n < 20 + n_bad else item for n, item in enumerate(answers)
    ]
    check = found(study(predictions=answers), title)
    assert check.outcome == outcome
    if n_bad:
        assert f"base: 0 of 20 (0%); tuned: {n_bad} of 20" in check.detail


def test_prompts_that_were_cut_are_counted() -> None:
    cut = found(
        study(predictions=pair("1", settings={**SAME, "n_prompt_tokens_cut": 40})),
        "Questions cut to fit the model",
    )
    assert cut.outcome == "problem"
    assert "tuned: 1 of 1" in cut.detail


def test_much_longer_answers_deserve_a_look() -> None:
    title = "Length of the answers"
    assert (
        found(study(predictions=pair("1", text="one two three four five six seven")), title).outcome == "good"
    )
    longer = found(study(predictions=pair("1", text="word " * 8)), title)
    assert longer.outcome == "look"
    assert longer.detail.startswith("Median words: base 5, tuned 8, reference 5.")


def test_one_answer_to_many_questions_is_no_answer_to_them() -> None:
    title = "One answer to many questions"
    asked = [f"{n}" for n in range(10)]
    own = [prediction(item, "base", f"answer {item}", references=(f"wanted {item}",)) for item in asked]

    def tuned(n_alike: int) -> list[Prediction]:
        texts = ["We propose a method." if n < n_alike else f"it is {n}" for n in range(10)]
        return [
            prediction(item, "tuned", text, references=(f"wanted {item}",))
            for item, text in zip(asked, texts, strict=True)
        ]

    assert found(study(predictions=[*own, *tuned(1)]), title).outcome == "good"
    some = found(study(predictions=[*own, *tuned(5)]), title)
    assert (some.outcome, some.detail) == ("look", "tuned answers 5 of 10 with “we propose a method”.")
    most = found(study(predictions=[*own, *tuned(6)]), title)
    assert most.outcome == "problem"
    assert most.detail == "tuned answers 6 of 10 with “we propose a method”, whatever is asked."
    # where one answer is right for all, nothing is wrong with giving it
    alike = [replace(item, references=("no",)) for item in (*own, *tuned(10))]
    assert title not in {check.title for check in checks(study(predictions=alike))}


def test_labels_are_not_looked_at_as_texts() -> None:
    labels = pair("1", "2", text="warm", probabilities={"warm": 0.9, "cold": 0.1})
    titles = {check.title for check in checks(study(predictions=labels))}
    assert "Same questions, same prompts" in titles
    assert not titles & {
        "Length of the answers",
        "Answers that repeat the question",
        "Answers learnt by heart",
    }


def test_the_question_said_back_is_an_echo() -> None:
    title = "Answers that repeat the question"
    rows = [row("1", "a.md", "test")]
    said_back = pair("1", text="Well: what is asked in THIS one? That.")
    assert "tuned: 1 of 1" in found(study(rows=rows, predictions=said_back), title).detail
    prompt = "Answer from the passage: the mill was built in 1832 by the guild"
    assert (
        found(study(predictions=pair("1", prompt=prompt, text=f"{prompt} of bakers")), title).outcome
        == "look"
    )
    assert found(study(rows=rows, predictions=pair("1")), title).outcome == "good"


def test_copies_of_the_reference_are_counted_but_short_facts_are_not() -> None:
    title = "Answers equal to the reference, word for word"
    copied = found(study(predictions=pair("1", text="What was  wanted of it!")), title)
    assert copied.outcome == "look"
    assert "tuned: 1 of 1 (100%)" in copied.detail
    assert "suspect a leak" in copied.detail
    short = pair("1", text="1832", references=("1832.",))
    assert found(study(predictions=short), title).outcome == "good"


def test_training_answers_given_to_test_questions() -> None:
    rows = [row("t", "a.md", "train", completion="A good enough answer here.")]
    check = found(study(rows=rows, predictions=pair("1")), "Answers learnt by heart")
    assert check.outcome == "look"
    assert "base: 1 of 1" in check.detail


def test_what_training_cut_left_out_or_did_otherwise() -> None:
    refused = Refused("1", "a.md", "too_long", "731 tokens, the window holds 512")
    log = replace(
        training_log(), n_truncated=3, refused=(refused,), notes=("memory ran out: the batch was halved",)
    )
    made = study(training={"tuned": log})
    assert found(made, "Training rows cut to fit").detail == "tuned: 3 rows."
    assert "1 row, the first because 731 tokens" in found(made, "Rows that training left out").detail
    assert found(made, "Training of tuned").detail == "memory ran out: the batch was halved"
    assert (
        found(study(training={"tuned": replace(log, n_truncated=0)}), "Training rows cut to fit").outcome
        == "good"
    )


def test_every_warning_of_the_comparison_is_said_once_with_its_metrics() -> None:
    made = fake_study()
    title = "Warnings of the comparison"
    said = found(made, title).detail
    assert said == "7 of 8 metrics: fewer than 20 documents: the interval may be too narrow."
    first, *others = (replace(item, warnings=("read this",)) for item in made.comparisons)
    everywhere = [replace(first, warnings=("read this", "and that.")), *others]
    said = found(replace(made, comparisons=everywhere), title).detail
    assert said == "All metrics: read this. ROUGE-L: and that."
    silent = [replace(item, warnings=()) for item in made.comparisons]
    assert title not in [check.title for check in checks(replace(made, comparisons=silent))]


def test_unscored_items_are_named_by_metric_system_and_reason() -> None:
    made = fake_study()
    scores = [replace(made.scores[0], stats=None, value=None, status="no_vector"), *made.scores[1:]]
    assert (
        "ROUGE-L, base: 1 no vector"
        in found(replace(made, scores=scores), "Items that could not be scored").detail
    )


def test_the_worst_comes_first() -> None:
    made = replace(fake_study(), leaks=[{"rule": "same_words"}])
    outcomes = [check.outcome for check in checks(made)]
    order = ["problem", "look", "unknown", "good"]
    assert outcomes == sorted(outcomes, key=order.index)
    assert outcomes[0] == "problem"
    assert outcomes[-1] == "good"
