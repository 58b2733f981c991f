"""What could make the verdict wrong, checked on the records themselves rather than taken on trust."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.records import Prediction
from tunesmith.report.study import Study, predictions_by_system
from tunesmith.report.words import (
    count,
    metric_name,
    number,
    plain_name,
    plural,
    share,
    shortened,
    teacher_words,
)

Outcome = Literal["good", "look", "problem", "unknown"]

FEW_SOURCES = 20
"""Below this many documents, intervals that resample documents are known to come out too narrow."""
FAILED_SHARE = 0.05
"""More failed or truncated answers than this make a comparison doubtful (and `compare` calls it invalid)."""
COPIED_SHARE = 0.10
"""More word-for-word copies than this deserve a look."""
LENGTH_RATIO = 1.5
"""One system's answers being this much longer than the other's moves every word-overlap score by itself."""
_CUT = "n_prompt_tokens_cut"
_NAMED_METRICS = 3
_SHORT = 4
"""Two texts of fewer words can be equal by chance."""


@dataclass(frozen=True)
class Check:
    outcome: Outcome
    title: str
    detail: str


LEAKS = "Test questions seen in training"
SOURCES = "Test documents kept apart"
ITEMS = "Same questions, same prompts"
EMPTY = "Empty answers"
EQUAL = "Answers equal to the reference, word for word"
CUT_ROWS = "Training rows cut to fit"


def checks(study: Study) -> list[Check]:
    """Every check that the study's records allow, the worst first."""
    found = [
        *_about_the_split(study),
        *_about_the_answers(study),
        *_about_the_reference(study),
        *_raised(study),
    ]
    return worst_first([check for check in found if check])


def worst_first(found: Sequence[Check]) -> list[Check]:
    order = [outcome for outcome, _ in tally(found)]
    return sorted(found, key=lambda check: order.index(check.outcome))


def _about_the_split(study: Study) -> Iterator[Check | None]:
    yield _leaks(study)
    yield _shared_sources(study)
    yield _clusters(study)


def _about_the_answers(study: Study) -> Iterator[Check | None]:
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
    yield _status(answers, "error", "Answers that failed")
    yield _lengths(answers)
    yield _copies_of_the_prompt(study, answers)
    yield _copies_of_the_reference(answers)
    yield _copies_of_training(study, answers)


def _about_the_reference(study: Study) -> Iterator[Check | None]:
    if study.teacher:
        yield Check(
            "look",
            "Who wrote the references",
            f"Questions and reference answers were written by {_quoted_teacher(study.teacher)} from the same kind of "
            "text that "
            "the model was tuned on. “Better” means closer to those references, not better in every way.",
        )
    yield _refused(study)
    yield _truncated_rows(study)
    yield _refused_in_training(study)
    for name, log in study.training.items():
        for note in log.notes:
            yield Check("look", f"Training of {name}", note)


def _quoted_teacher(teacher: str) -> str:
    words = teacher_words(teacher)
    return words if words != teacher else f"“{teacher}”"


def _raised(study: Study) -> Iterator[Check | None]:
    yield _unscored(study)
    yield _warnings(study)


def _warnings(study: Study) -> Check | None:
    """What the comparison warned of, each sentence once, with the metrics it is about."""
    said: dict[str, list[str]] = {}
    for comparison in study.comparisons:
        for warning in comparison.warnings:
            said.setdefault(warning, []).append(metric_name(comparison.metric))
    if not said:
        return None
    n_metrics = len({comparison.metric for comparison in study.comparisons})
    by_metrics: dict[str, list[str]] = {}
    for warning, metrics in said.items():
        by_metrics.setdefault(_metric_list(list(dict.fromkeys(metrics)), n_metrics), []).append(
            warning.rstrip(".")
        )
    detail = " ".join(f"{about}: {'; '.join(warnings)}." for about, warnings in by_metrics.items())
    return Check("look", "Warnings of the comparison", detail)


def _metric_list(names: list[str], n_metrics: int) -> str:
    if len(names) == n_metrics:
        return "All metrics"
    return ", ".join(names) if len(names) <= _NAMED_METRICS else f"{len(names)} of {n_metrics} metrics"


def _leaks(study: Study) -> Check:
    title = LEAKS
    if study.leaks is None:
        return Check("unknown", title, "Nobody looked: the leak check did not run.")
    if not study.leaks:
        return Check("good", title, "None found.")
    kinds = Counter(plain_name(str(leak.get("rule", "leak"))) for leak in study.leaks)
    counted = ", ".join(f"{name}: {count(times)}" for name, times in kinds.most_common())
    first = next((str(leak["evidence"]) for leak in study.leaks if leak.get("evidence")), "")
    example = f" For example: “{shortened(first, 160)}”." if first else ""
    return Check("problem", title, f"{plural(len(study.leaks), 'leak')} found ({counted}).{example}")


def _shared_sources(study: Study) -> Check | None:
    """A test question from a document that was trained on is easier than one from a new document."""
    by_passage = any(row.group not in ("", row.source_id) for row in study.rows)
    test = {row.source_id for row in study.rows if row.split == "test"}
    if not test:
        return None
    shared = sorted(test & {row.source_id for row in study.rows if row.split != "test"})
    title = SOURCES
    if not shared:
        return Check(
            "good",
            title,
            f"No test question comes from a document used in training ({plural(len(test), 'test document')}).",
        )
    return Check(
        "look" if by_passage else "problem",
        title,
        ("The split keeps passages apart, not documents: " if by_passage else "")
        + f"{len(shared)} of {plural(len(test), 'test document')} were trained or validated on too: "
        f"{shortened(', '.join(shared), 200)}.",
    )


def _clusters(study: Study) -> Check | None:
    if not study.comparisons:
        return None
    n = min(comparison.n_sources for comparison in study.comparisons)
    title = "Enough documents"
    if n >= FEW_SOURCES:
        return Check("good", title, f"The test items come from {plural(n, 'document')}.")
    return Check(
        "look",
        title,
        f"The test items come from {plural(n, 'document')} only. Items of one document are alike, so the interval may "
        f"be too narrow below {FEW_SOURCES} documents, and other documents may give another result.",
    )


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


def _refused(study: Study) -> Check | None:
    drafts = len(study.examples) + len(study.refused)
    if not drafts:
        return None
    title = "Drafts refused by the checks"
    detail = (
        f"{count(len(study.refused))} of {plural(drafts, 'draft')} ({share(len(study.refused), drafts)})."
    )
    if study.refused_rows:
        detail += f" A further {count(len(study.refused_rows))} refused while preparing rows."
    return Check("good", title, f"{detail} Counted by reason under “Data”.")


def _truncated_rows(study: Study) -> Check | None:
    if not study.training:
        return None
    cut = {name: log.n_truncated for name, log in study.training.items() if log.n_truncated}
    title = CUT_ROWS
    if not cut:
        return Check("good", title, "None.")
    return Check(
        "look", title, "; ".join(f"{name}: {plural(times, 'row')}" for name, times in cut.items()) + "."
    )


def _refused_in_training(study: Study) -> Check | None:
    refused = {name: log.refused for name, log in study.training.items() if log.refused}
    if not refused:
        return None
    detail = "; ".join(
        f"{name}: {plural(len(found), 'row')}, the first because {found[0].reason}"
        for name, found in refused.items()
    )
    return Check("look", "Rows that training left out", f"{detail}.")


def _unscored(study: Study) -> Check | None:
    """Items that a metric could not score: counted, never averaged as zero."""
    counts: dict[str, Counter[str]] = {}
    for score in study.scores:
        if score.stats is None:
            counts.setdefault(f"{metric_name(score.metric)}, {score.system}", Counter())[score.status] += 1
    if not study.scores:
        return None
    if not counts:
        return Check("good", "Items that could not be scored", "None.")
    listed = "; ".join(
        f"{where}: {', '.join(f'{count(times)} {plain_name(status)}' for status, times in found.items())}"
        for where, found in counts.items()
    )
    return Check("look", "Items that could not be scored", f"{listed}. They are left out of the averages.")


def _plain_text(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!?")


def _is_long(text: str) -> bool:
    return len(text.split()) >= _SHORT


def tally(found: Sequence[Check]) -> list[tuple[Outcome, int]]:
    """How many checks ended how, the worst first."""
    order: tuple[Outcome, ...] = ("problem", "look", "unknown", "good")
    counted = Counter(check.outcome for check in found)
    return [(outcome, counted[outcome]) for outcome in order if counted[outcome]]


def context_name(study: Study) -> str:
    """How much the model was shown."""
    if study.context == "given":
        return "finished rows"
    return "open book" if study.context == "passage" else "closed book"


def origin_words(study: Study) -> str:
    """Who wrote the questions and references, or where the rows come from, for after “Questions and references”."""
    if study.teacher:
        return f"by {teacher_words(study.teacher)}"
    return (
        f"from {', '.join(str(one['name']) for one in study.data if not one.get('share')) or 'finished rows'}"
    )


def context_words(study: Study) -> str:
    if study.context == "given":
        return "Each question was asked as the data has it."
    if study.context == "passage":
        return "Open book: the model was shown the passage together with the question."
    return "Closed book: the model was asked the question alone, without the passage."
