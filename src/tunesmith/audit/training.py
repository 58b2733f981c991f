"""Training data that knows the test, refuses to answer, or was cut off."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.audit.effects import effect_of
from tunesmith.audit.study import AuditedStudy, Finding, TrainingRow, settings_in, words_of
from tunesmith.records import Example
from tunesmith.synthesize.checks.base import About
from tunesmith.synthesize.checks.shape import check_refusal

SHINGLE = 3
NEAR = 0.7
"""Jaccard similarity of three-word runs from which a question counts as the same."""
SHORTEST_NEAR = 6
"""Words. Shorter questions are alike by chance."""
TEMPLATE_SHARE = 0.2
"""Runs of words in more than this share of the training rows are the template's, not the question's."""
FEW_ROWS = 10
MANY = 0.05
"""Share of leaked items from which the conclusion cannot be drawn."""
REFUSALS = 0.02
UNFINISHED = 0.1
LONG_TARGET = 8
TOKENS_PER_WORD = 1.3
LIMIT_KEYS = (
    "max_length",
    "max_seq_length",
    "max_seq_len",
    "cutoff_len",
    "max_target_length",
    "block_size",
    "model_max_length",
)
TARGET_LIMIT_KEYS = ("max_target_length",)
ENDS = tuple(".!?…:;\"'”’»)]}`>|。！？")

Shingle = tuple[str, ...]


def look_at_training(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about the training rows, and about evaluation items among them."""
    if not study.training:
        return
    exact = set(_exact(study))
    yield from _leak(
        "eval_in_train",
        study,
        exact,
        "of the evaluation prompts stand in the training data word for word",
    )
    near = set(_near(study)) - exact
    yield from _leak(
        "near_duplicate_in_train",
        study,
        near,
        "of the evaluation prompts have a near copy in training",
    )
    yield from _same_group(study)
    yield from _refusals(study)
    yield from _truncated(study)


def _leak(code: str, study: AuditedStudy, ids: set[str], words: str) -> Iterator[Finding]:
    if ids:
        n = len(study.items)
        ordered = tuple(id for id in study.items if id in ids)
        effect = f"{len(ids)} {words}: what is measured on them is memory.{effect_of(study, without=ids)}"
        yield Finding(code, "high" if len(ids) > MANY * n else "medium", len(ids), n, ordered[::-1], effect)


def _exact(study: AuditedStudy) -> Iterator[str]:
    for asked, trained in _forms(study):
        seen = {tuple(words_of(text)) for text in trained}
        for id, text in asked.items():
            if tuple(words_of(text)) in seen:
                yield id


def _forms(study: AuditedStudy) -> Iterator[tuple[dict[str, str], list[str]]]:
    """What to compare with what: whole prompts with whole prompts, bare questions with bare questions.

    A question that several evaluation items share ("Summarise the text.") does not tell them apart and is left out.
    """
    prompts = {id: answer.prompt for id, answer in study.items.items()}
    questions = {id: answer.question for id, answer in study.items.items()}
    trained = [row.prompt for row in study.training]
    yield _telling(prompts), [text for text in trained if text]
    yield _telling(questions), [row.question for row in study.training if row.question]


def _telling(texts: Mapping[str, str]) -> dict[str, str]:
    count = Counter(" ".join(words_of(text)) for text in texts.values())
    return {id: text for id, text in texts.items() if words_of(text) and count[" ".join(words_of(text))] == 1}


def _near(study: AuditedStudy) -> Iterator[str]:
    for asked, trained in _forms(study):
        yield from _alike(asked, trained)


def _alike(asked: Mapping[str, str], trained: Sequence[str]) -> Iterator[str]:
    """Items that share most of their three-word runs with one training text, templates left aside."""
    rows = [_shingles(text) for text in trained]
    frequency = Counter(shingle for row in rows for shingle in row)
    common = {s for s, count in frequency.items() if count > max(FEW_ROWS, TEMPLATE_SHARE * len(rows))}
    index: dict[Shingle, list[int]] = defaultdict(list)
    sets = [row - common for row in rows]
    for number, row in enumerate(sets):
        for shingle in row:
            index[shingle].append(number)
    for id, text in asked.items():
        if len(words_of(text)) < SHORTEST_NEAR:
            continue
        own = _shingles(text) - common
        shared = Counter(number for shingle in own for number in index.get(shingle, ()))
        if any(count / (len(own) + len(sets[number]) - count) >= NEAR for number, count in shared.items()):
            yield id


def _shingles(text: str) -> set[Shingle]:
    words = words_of(text)
    return {tuple(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))}


def _same_group(study: AuditedStudy) -> Iterator[Finding]:
    trained = {row.source_id for row in study.training if row.source_id is not None}
    grouped = {id: answer.source for id, answer in study.items.items() if answer.source is not None}
    ids = {id for id, source in grouped.items() if source in trained}
    if ids:
        groups = sorted({str(grouped[id]) for id in ids})
        effect = (
            f"{len(ids)} of {len(grouped)} evaluation items come from {len(groups)} sources that were trained on "
            f"({', '.join(groups[:3])}{' …' if len(groups) > 3 else ''}): the result says nothing about new sources."
            f"{effect_of(study, without=ids)}"
        )
        ordered = tuple(id for id in study.items if id in ids)
        yield Finding(
            "same_group",
            "high" if len(ids) > len(grouped) / 2 else "medium",
            len(ids),
            len(grouped),
            ordered[::-1],
            effect,
        )


def _refusals(study: AuditedStudy) -> Iterator[Finding]:
    ids = [row.id for row in study.training if check_refusal(_as_example(row), About())]
    n = len(study.training)
    if len(ids) > REFUSALS * n:
        effect = (
            f"{len(ids)} of {n} training answers ({len(ids) / n:.0%}) refuse or say that the text does not tell: "
            "the tuned model learns to refuse, and is rewarded where the reference refuses too."
        )
        yield Finding(
            "refusals_in_training", "medium" if len(ids) > 0.1 * n else "low", len(ids), n, tuple(ids), effect
        )


def _as_example(row: TrainingRow) -> Example:
    return Example(row.id, row.source_id or "", "question_answer", row.prompt, row.target)


def _truncated(study: AuditedStudy) -> Iterator[Finding]:
    """Targets longer than the plan's limit, or else targets that stop in mid-sentence."""
    for key, limit in _limits(study.plan):
        cut = [row.id for row in study.training if _tokens(row, target_only=key in TARGET_LIMIT_KEYS) > limit]
        if cut:
            n = len(study.training)
            effect = (
                f"with {key} {limit}, about {len(cut)} of {n} training rows ({len(cut) / n:.0%}) lose the end of "
                f"their answer "
                f"(estimated at {TOKENS_PER_WORD} tokens a word): the model learns not to finish."
            )
            yield Finding(
                "truncated_targets",
                "high" if len(cut) > 0.2 * n else "medium",
                len(cut),
                n,
                tuple(cut),
                effect,
            )
            return
    long = [row for row in study.training if len(row.target.split()) >= LONG_TARGET]
    cut = [row.id for row in long if not row.target.rstrip().endswith(ENDS)]
    if len(long) >= FEW_ROWS and len(cut) > UNFINISHED * len(long):
        effect = (
            f"{len(cut)} of {len(long)} longer training answers stop without a full stop: they look cut off, and the "
            "model learns not to finish."
        )
        yield Finding("truncated_targets", "medium", len(cut), len(long), tuple(cut), effect)


def _tokens(row: TrainingRow, *, target_only: bool) -> float:
    text = row.target if target_only else f"{row.prompt} {row.target}"
    return TOKENS_PER_WORD * len(text.split())


def _limits(plan: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for key, value in settings_in(plan):
        if key in LIMIT_KEYS and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            yield key, value
