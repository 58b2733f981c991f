"""Checks on the answers: the same questions and settings for all, nothing empty, cut off, copied, or far longer."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tunesmith.records import Prediction
from tunesmith.report.check import Check
from tunesmith.report.study import Study, predictions_by_system
from tunesmith.report.words import count, number, plural, share

ITEMS = "Same questions, same prompts"
EMPTY = "Empty answers"
FAILED = "Answers that failed"
EQUAL = "Answers equal to the reference, word for word"
FAILED_SHARE = 0.05
"""More failed or truncated answers than this make a comparison doubtful (and `compare` calls it invalid)."""
COPIED_SHARE = 0.10
"""More word-for-word copies than this deserve a look."""
ALIKE_SHARE, ALIKE_PROBLEM = 0.1, 0.5
"""The same answer to more of the questions than this deserves a look; to more than half, it is no answer to them."""
LENGTH_RATIO = 1.5
"""One system's answers being this much longer than the other's moves every word-overlap score by itself."""
_CUT = "n_prompt_tokens_cut"
_SHOWN = 80
"""Characters of an answer that a check quotes."""
_SHORT = 4
"""Two texts of fewer words can be equal by chance."""


def answer_checks(study: Study) -> Iterator[Check | None]:
    """The checks on what the systems answered; nothing where none did."""
    answers = predictions_by_system(study)
    if not answers:
        return
    yield _same_items(answers)
    yield _same_settings(answers)
    yield _counted(
        "Questions cut to fit the model",
        {name: sum(bool(item.settings.get(_CUT)) for item in found) for name, found in answers.items()},
        {name: len(found) for name, found in answers.items()},
        problem_above=FAILED_SHARE,
    )
    yield _status(answers, "truncated", "Answers cut off at the length limit")
    yield _status(answers, "empty", EMPTY)
    yield _status(answers, "error", FAILED)
    if any(item.probabilities for found in answers.values() for item in found):
        return  # labels: what follows is about texts
    yield _lengths(answers)
    yield _alike(answers)
    yield _copies_of_the_prompt(study, answers)
    yield _copies_of_the_reference(answers)
    yield _copies_of_training(study, answers)


def _same_items(answers: Mapping[str, Sequence[Prediction]]) -> Check:
    title = ITEMS
    prompts = {name: {item.id: item.prompt for item in found} for name, found in answers.items()}
    first, *others = prompts.values()
    if not others:
        return Check("unknown", title, "Only one system answered, so there is nothing to hold it against.")
    unshared = {item for other in others for item in first.keys() ^ other.keys()}
    if unshared:
        counts = ", ".join(f"{name} {count(len(found))}" for name, found in prompts.items())
        return Check(
            "problem",
            title,
            f"{plural(len(unshared), 'item')} not answered by every system (answers: {counts}).",
        )
    different = sum(any(other[item] != prompt for other in others) for item, prompt in first.items())
    if different:
        return Check("problem", title, f"{plural(different, 'item')} had another prompt for another system.")
    return Check("good", title, f"All systems answered the same {plural(len(first), 'item')}, word for word.")


def _same_settings(answers: Mapping[str, Sequence[Prediction]]) -> Check | None:
    """Decoding, precision and the like; the adapter is what is meant to differ."""
    if len(answers) < 2:
        return None
    title = "Same settings for every system"
    used = {name: _settings_used(found) for name, found in answers.items()}
    keys = sorted({key for settings in used.values() for key in settings})
    differing = [key for key in keys if len({settings.get(key) for settings in used.values()}) > 1]
    if not keys:
        return Check("unknown", title, "The answers carry no settings.")
    if differing:
        return Check("problem", title, f"Not the same for all: {', '.join(differing)}.")
    return Check("good", title, f"Equal for all answers: {', '.join(keys)}.")


def _settings_used(predictions: Sequence[Prediction]) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for prediction in predictions:
        for key, value in prediction.settings.items():
            # The adapter is what is meant to differ; what a prompt lost is counted by a check of its own.
            if not key.startswith("adapter") and key != _CUT:
                values.setdefault(key, set()).add(repr(value))
    return {key: " and ".join(sorted(found)) for key, found in values.items()}


def _status(answers: Mapping[str, Sequence[Prediction]], status: str, title: str) -> Check:
    return _counted(
        title,
        {name: sum(item.status == status for item in found) for name, found in answers.items()},
        {name: len(found) for name, found in answers.items()},
        problem_above=FAILED_SHARE,
    )


def _counted(
    title: str,
    hits: Mapping[str, int],
    totals: Mapping[str, int],
    *,
    problem_above: float | None,
    note: str = "",
) -> Check:
    """A count for each system: fine when all are zero, a problem above a share, and worth a look between the two."""
    if not any(hits.values()):
        return Check("good", title, "None.")
    detail = "; ".join(
        f"{name}: {hits[name]} of {count(totals[name])} ({share(hits[name], totals[name])})" for name in hits
    )
    too_many = problem_above is not None and any(hits[name] > problem_above * totals[name] for name in hits)
    return Check("problem" if too_many else "look", title, f"{detail}.{note}")


def _lengths(answers: Mapping[str, Sequence[Prediction]]) -> Check | None:
    lengths = {
        name: statistics.median(len(item.text.split()) for item in found) for name, found in answers.items()
    }
    references = [
        len(item.references[0].split()) for found in answers.values() for item in found if item.references
    ]
    listed = ", ".join(f"{name} {number(length, 0)}" for name, length in lengths.items())
    if references:
        listed += f", reference {number(statistics.median(references), 0)}"
    title = "Length of the answers"
    if len(lengths) < 2:
        return None
    if max(lengths.values()) > LENGTH_RATIO * max(1, min(lengths.values())):
        detail = f"Median words: {listed}. Scores that count shared words move with length alone: read some answers."
        return Check("look", title, detail)
    return Check("good", title, f"Median words: {listed}.")


def _alike(answers: Mapping[str, Sequence[Prediction]]) -> Check | None:
    """One answer to many questions: scores may rise by words that fit anything."""
    title = "One answer to many questions"
    asked = [item for found in answers.values() for item in found if item.references]
    wanted = Counter(_plain_text(item.references[0]) for item in asked)
    if not wanted or max(wanted.values()) > ALIKE_SHARE * len(asked):
        return None  # the references are alike as well
    said = {}
    for name, found in answers.items():
        commonest = Counter(text for item in found if (text := _plain_text(item.text))).most_common(1)
        if commonest and commonest[0][1] > max(1, ALIKE_SHARE * len(found)):
            text, times = commonest[0]
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            said[name] = f"{name} answers {times} of {count(len(found))} with “{shown}”"
            if times > ALIKE_PROBLEM * len(found):
                said[name] += ", whatever is asked"
    if not said:
        return Check("good", title, "None.")
    is_problem = any(text.endswith("whatever is asked") for text in said.values())
    return Check("problem" if is_problem else "look", title, f"{'; '.join(said.values())}.")


def _copies_of_the_prompt(study: Study, answers: Mapping[str, Sequence[Prediction]]) -> Check:
    """The whole question said back, or the start of the prompt."""
    questions = {row.id: row.instruction for row in study.rows}

    def echoes(item: Prediction) -> bool:
        text, question = _plain_text(item.text), _plain_text(questions.get(item.id, ""))
        start = _plain_text(item.prompt)[:60]
        return (_is_long(question) and question in text) or (_is_long(start) and text.startswith(start))

    return _counted(
        "Answers that repeat the question",
        {name: sum(map(echoes, found)) for name, found in answers.items()},
        {name: len(found) for name, found in answers.items()},
        problem_above=None,
        note=" Shared words are counted as right even when they only repeat what was asked.",
    )


def _copies_of_the_reference(answers: Mapping[str, Sequence[Prediction]]) -> Check:
    """Right for short facts; for long answers it smells of a leak."""
    hits = {name: sum(_is_copy(item) for item in found) for name, found in answers.items()}
    totals = {name: len(found) for name, found in answers.items()}
    title = EQUAL
    check = _counted(title, hits, totals, problem_above=None)
    if check.outcome == "look":
        many = any(hits[name] > COPIED_SHARE * totals[name] for name in hits)
        note = (
            " Fine for short facts that stand in the passage; for long answers, suspect a leak."
            if many
            else ""
        )
        return Check("look" if many else "good", title, check.detail + note)
    return check


def _is_copy(item: Prediction) -> bool:
    text = _plain_text(item.text)
    return _is_long(text) and any(text == _plain_text(reference) for reference in item.references)


def _copies_of_training(study: Study, answers: Mapping[str, Sequence[Prediction]]) -> Check | None:
    trained = {_plain_text(row.completion) for row in study.rows if row.split == "train"}
    if not trained:
        return None
    return _counted(
        "Answers learnt by heart",
        {
            name: sum((text := _plain_text(item.text)) in trained and _is_long(text) for item in found)
            for name, found in answers.items()
        },
        {name: len(found) for name, found in answers.items()},
        problem_above=None,
        note=" These answers to test questions are training answers, word for word.",
    )


def _plain_text(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!?")


def _is_long(text: str) -> bool:
    return len(text.split()) >= _SHORT
