"""Passages or scenarios to examples: a teacher writes them, checks turn down what is not fit to learn from.

sources -> teacher (built-in rules, or a model) -> checks -> Example | Refused
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Protocol

from tunesmith import plugins
from tunesmith.records import Example, Refused, Scenario
from tunesmith.synthesize.checks import MODEL_CHECKS, SEMANTIC, About, Limits, open_check
from tunesmith.synthesize.endpoint import (
    ModelTeacher,
    estimate_model,
    open_endpoint_teacher,
    open_local_teacher,
)
from tunesmith.synthesize.estimate import Estimate
from tunesmith.synthesize.kinds import Source
from tunesmith.synthesize.options import LocalTeacher, SynthesizeOptions, TeacherOptions
from tunesmith.synthesize.prompts import open_prompts
from tunesmith.synthesize.share import hold_to_share
from tunesmith.synthesize.writing import Model, expected_asks, expected_checks, write_drafts

__all__ = [
    "SynthesizeOptions",
    "Teacher",
    "TeacherOptions",
    "estimate_checks",
    "estimate_requests",
    "open_teacher",
    "synthesize_examples",
]

Drafts = Iterator[Example | Refused]


class Teacher(Protocol):
    """Anything that turns passages or scenarios into examples, in their order.

    Another package brings one by an entry point in the group `tunesmith.teacher`: a function of the settings in the
    plan (a mapping), the journal's path and the plan's folder that returns the teacher.
    """

    @property
    def name(self) -> str: ...

    def write(
        self, sources: Iterable[Source], options: SynthesizeOptions, /
    ) -> Iterator[Example | Refused]: ...


def open_teacher(options: SynthesizeOptions, journal: Path, root: Path = Path()) -> Teacher | ModelTeacher:
    """The teacher the options name.

    Args:
        options: which teacher, and its settings.
        journal: SQLite file in which a model teacher's requests and replies are kept; made when it is not there. The
            built-in teacher does not touch it.
        root: the folder that `options.prompts` are relative to.

    Raises:
        MissingError: the key's environment variable is not set, or a prompt file is not there.
        InputError: a prompt file is no valid template.
    """
    added = options.added
    if added is not None:
        teacher: Teacher = plugins.load("teacher", added.name, {})(added.settings, journal, root)
        return teacher
    model = options.endpoint or options.local
    if model is None:
        from tunesmith.synthesize.teachers import RuleTeacher

        return RuleTeacher()
    return _open_model(model, options, journal, root)


def open_judge(options: SynthesizeOptions, journal: Path, root: Path = Path()) -> ModelTeacher | None:
    """The model that answers for the checks, where it is not the teacher. Raises as `open_teacher` does."""
    judge = options.judge_endpoint or options.judge
    return None if judge is None or isinstance(judge, str) else _open_model(judge, options, journal, root)


def _open_model(
    model: TeacherOptions | LocalTeacher, options: SynthesizeOptions, journal: Path, root: Path
) -> ModelTeacher:
    prompts = open_prompts(_prompt_files(options, root))
    if isinstance(model, LocalTeacher):
        return open_local_teacher(model, journal, prompts)
    return open_endpoint_teacher(model, journal, prompts)


def _prompt_files(options: SynthesizeOptions, root: Path) -> dict[str, Path]:
    return {name: root / path for name, path in options.prompts.items()}


def estimate_requests(
    sources: Iterable[Source], options: SynthesizeOptions, journal: Path, root: Path = Path()
) -> Estimate | None:
    """What asking a model teacher would come to; `None` for a teacher whose requests are not known. Nothing is sent.

    Args:
        sources, options, root: as for `synthesize_examples` and `open_teacher`.
        journal: what is in it is free; it is not made.

    Raises:
        MissingError, InputError: the prompt file is not there, or is no good.
    """
    model = options.endpoint or options.local
    if model is None:
        return None
    return estimate_model(model, expected_asks(sources, options), journal, _prompt_files(options, root))


def estimate_checks(
    sources: Iterable[Source], options: SynthesizeOptions, journal: Path, root: Path = Path()
) -> Estimate | None:
    """The same of the model that answers for the checks, where it is not the teacher; `None` where there is none."""
    judge = options.judge_endpoint or options.judge
    if judge is None or isinstance(judge, str):
        return None
    return estimate_model(judge, expected_checks(sources, options), journal, _prompt_files(options, root))


def synthesize_examples(
    sources: Iterable[Source],
    teacher: Teacher | ModelTeacher,
    options: SynthesizeOptions,
    *,
    judge: ModelTeacher | None = None,
) -> Drafts:
    """Examples that passed every check, and the refused ones with check and reason, as they come.

    The order is that of the sources, whatever the order in which replies arrive; the same sources and replies give the
    same records.

    Args:
        sources: passages, or scenarios of a grid.
        teacher: writes the examples.
        options: what to write and what to check.
        judge: answers for the checks that ask a model; `None` for the teacher itself.

    Raises:
        TunesmithError: what stops a model teacher for good: no server, a spent budget, …
    """
    known: dict[str, About] = {}

    def watched() -> Iterator[Source]:
        for source in sources:
            known[source.id] = _about(source)
            yield source

    with ExitStack() as stack:
        if isinstance(teacher, ModelTeacher):
            model = stack.enter_context(teacher.session())
            drafts = write_drafts(watched(), model, options)
            checker = model
        else:
            drafts = teacher.write(watched(), options)
            checker = None
        if judge is not None:
            checker = stack.enter_context(judge.session())
        checked = _checked(drafts, options, known, checker)
        yield from hold_to_share(checked, options.unanswerable, refuse)


def _about(source: Source) -> About:
    return About(criteria=source.criteria) if isinstance(source, Scenario) else About(start=source.start)


def _checked(
    drafts: Drafts, options: SynthesizeOptions, known: Mapping[str, About], model: Model | None
) -> Drafts:
    """The drafts through all checks in their order; neighbours that need no model go together."""

    def about(example: Example) -> About:
        return known.get(example.chunk_id or "", About())

    limits = Limits(
        max_question_words=options.max_question_words,
        max_answer_words=options.max_answer_words,
        max_response_words=options.max_response_words,
        near_duplicate=options.near_duplicate,
        opener_share=options.opener_share,
    )
    for name, group in groupby(
        options.checks, lambda name: name if name in (*MODEL_CHECKS, SEMANTIC) else ""
    ):
        if name in MODEL_CHECKS:
            from tunesmith.synthesize.checks.model import check_with_model

            assert model is not None, "the options ask for a model where a check needs one"
            drafts = check_with_model(name, drafts, model, about, refuse)
        elif name == SEMANTIC:
            from tunesmith.synthesize.checks.semantic import drop_semantic_duplicates

            drafts = drop_semantic_duplicates(drafts, options.semantic_duplicate, refuse)
        else:
            drafts = _check_each(drafts, list(group), limits, known)
    return drafts


def _check_each(drafts: Drafts, names: Sequence[str], limits: Limits, known: Mapping[str, About]) -> Drafts:
    checks = [(name, open_check(name, limits)) for name in names]
    for draft in drafts:
        if isinstance(draft, Refused):
            yield draft
            continue
        about = known.get(draft.chunk_id or "", About())
        verdict = next(
            ((name, why) for name, check in checks if (why := check(draft, about)) is not None), None
        )
        yield draft if verdict is None else refuse(draft, *verdict)


def refuse(draft: Example, check: str, reason: str) -> Refused:
    return Refused(
        id=draft.id,
        source_id=draft.source_id,
        check=check,
        reason=reason,
        instruction=draft.instruction,
        target=draft.target,
        chunk_id=draft.chunk_id,
    )
