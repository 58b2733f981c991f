"""What could make the verdict wrong, checked on the records themselves rather than taken on trust."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tunesmith.report.answer_checks import FAILED_SHARE, answer_checks
from tunesmith.report.check import Check, worst_first
from tunesmith.report.study import Study
from tunesmith.report.words import (
    count,
    metric_name,
    plain_name,
    plural,
    share,
    shortened,
    teacher_words,
)

FEW_SOURCES = 20
"""Below this many documents, intervals that resample documents are known to come out too narrow."""
_NAMED_METRICS = 3

LEAKS = "Test questions seen in training"
SOURCES = "Test documents kept apart"
CUT_ROWS = "Training rows cut to fit"


def checks(study: Study) -> list[Check]:
    """Every check that the study's records allow, the worst first."""
    found = [
        *_about_the_split(study),
        *answer_checks(study),
        *_about_the_reference(study),
        *_raised(study),
    ]
    return worst_first([check for check in found if check])


def _about_the_split(study: Study) -> Iterator[Check | None]:
    yield _leaks(study)
    yield _shared_sources(study)
    yield _clusters(study)


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
    measured = Counter(f"{metric_name(score.metric)}, {score.system}" for score in study.scores)
    too_many = any(found.total() > FAILED_SHARE * measured[where] for where, found in counts.items())
    return Check(
        "problem" if too_many else "look",
        "Items that could not be scored",
        f"{listed}. They are left out of the averages.",
    )
