"""Passages to examples: a teacher writes them, checks turn down what is not fit to learn from.

chunks -> teacher (built-in rules, or a model behind an OpenAI-compatible server) -> checks -> Example | Refused
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from tunesmith import plugins
from tunesmith.records import Chunk, Example, Refused
from tunesmith.synthesize.checks import Limits, open_checks
from tunesmith.synthesize.estimate import Estimate
from tunesmith.synthesize.options import SynthesizeOptions, TeacherOptions

__all__ = [
    "SynthesizeOptions",
    "Teacher",
    "TeacherOptions",
    "estimate_requests",
    "open_teacher",
    "synthesize_examples",
]


class Teacher(Protocol):
    """Anything that turns passages into examples, in the order of the passages.

    Another package brings one by an entry point in the group `tunesmith.teacher`: a function of the settings in the
    plan (a mapping), the journal's path and the plan's folder that returns the teacher.
    """

    @property
    def name(self) -> str: ...

    def write(self, chunks: Iterable[Chunk], options: SynthesizeOptions) -> Iterator[Example | Refused]: ...


def open_teacher(options: SynthesizeOptions, journal: Path, root: Path = Path()) -> Teacher:
    """The teacher the options name.

    Args:
        options: which teacher, and its settings.
        journal: SQLite file in which a model teacher's requests and replies are kept; made when it is not
        there. The
            built-in teacher does not touch it.
        root: the folder that `options.prompt` is relative to.

    Raises:
        MissingError: the key's environment variable is not set, or the prompt file is not there.
        InputError: the prompt file is no valid template.
    """
    endpoint, added = options.endpoint, options.added
    if added is not None:
        teacher: Teacher = plugins.load("teacher", added.name, {})(added.settings, journal, root)
        return teacher
    prompt = None if options.prompt is None else root / options.prompt
    if options.local is not None:
        from tunesmith.synthesize.endpoint import open_local_teacher

        return open_local_teacher(options.local, journal, prompt)
    if endpoint is None:
        from tunesmith.synthesize.teachers import RuleTeacher

        return RuleTeacher()
    from tunesmith.synthesize.endpoint import open_endpoint_teacher

    return open_endpoint_teacher(endpoint, journal, prompt)


def estimate_requests(
    chunks: Iterable[Chunk], options: SynthesizeOptions, journal: Path, root: Path = Path()
) -> Estimate | None:
    """What asking a model teacher would come to; `None` for a teacher whose requests are not known. Nothing is sent.

    Args:
        chunks, options, root: as for `open_teacher`.
        journal: what is in it is free; it is not made.

    Raises:
        MissingError, InputError: the prompt file is not there, or is no good.
    """
    if options.endpoint is None:
        return None
    from tunesmith.synthesize.endpoint import estimate_endpoint

    prompt = None if options.prompt is None else root / options.prompt
    return estimate_endpoint(options.endpoint, chunks, options, journal, prompt)


def synthesize_examples(
    chunks: Iterable[Chunk], teacher: Teacher, options: SynthesizeOptions
) -> Iterator[Example | Refused]:
    """Examples that passed every check, and the refused ones with check and reason, as they come.

    The order is that of the chunks, whatever the order in which replies arrive; the same chunks and replies
    give the same records."""
    starts: dict[str, int] = {}

    def watched() -> Iterator[Chunk]:
        for chunk in chunks:
            starts[chunk.id] = chunk.start
            yield chunk

    limits = Limits(options.max_question_words, options.max_answer_words, options.near_duplicate)
    checks = open_checks(options.checks, limits)
    for draft in teacher.write(watched(), options):
        if isinstance(draft, Refused):
            yield draft
            continue
        start = starts.get(draft.chunk_id or "")
        verdict = next(
            ((name, why) for name, check in checks if (why := check(draft, start)) is not None), None
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
