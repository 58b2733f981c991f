"""Checks that put each example to a model: it answers the question again, or judges with the source in view.

Round trip: a question that is answered again from the passage must give the same answer (Alberti et al. 2019,
"Synthetic QA Corpora Generation with Roundtrip Consistency").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.records import Example, Refused
from tunesmith.synthesize.checks.base import About
from tunesmith.synthesize.checks.words import normalise, numbers
from tunesmith.synthesize.replies import Entry
from tunesmith.synthesize.writing import Model, read_answer

SAME_WORDS = 0.6
"""Share of the second answer's words that the first must hold (or the other way round) to be the same answer."""
UNANSWERABLE = "unanswerable"
"""What the prompt asks a model to say that finds no answer."""
ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True)
class _Question:
    """An example put to a model."""

    form: str
    names: Mapping[str, Any]
    example: Example
    before: tuple[Example | Refused, ...]
    """What came since the last example that was asked about, and is given out before it."""

    @property
    def origin(self) -> tuple[str, str]:
        return self.example.source_id, self.example.chunk_id or ""


def check_with_model(
    name: str,
    drafts: Iterable[Example | Refused],
    model: Model,
    about: Callable[[Example], About],
    refuse: Callable[[Example, str, str], Refused],
) -> Iterator[Example | Refused]:
    """The drafts in their order, those that the model turns down as refusals.

    Args:
        name: `round_trip` or `judge`.
        drafts: refused ones pass through, as do those that the check does not apply to.
        model: is asked once for each example.
        about: what is known of an example.
        refuse: makes a refusal of example, check and reason.
    """
    names_of, verdict_of = _CHECKS[name]
    waiting: list[Example | Refused] = []

    def questions() -> Iterator[_Question]:
        for draft in drafts:
            names = None if isinstance(draft, Refused) else names_of(draft, about(draft))
            if names is None or isinstance(draft, Refused):
                waiting.append(draft)
            else:
                yield _Question(name, names, draft, tuple(waiting))
                waiting.clear()

    for question, reply in model.ask(questions()):
        yield from question.before
        problem = next(
            (verdict_of(question.example, one) for one in read_answer(name, reply) if isinstance(one, Entry)),
            "the model gave no reply that could be read",
        )
        yield question.example if problem is None else refuse(question.example, name, problem)
    yield from waiting


def _round_trip_names(example: Example, about: About) -> dict[str, Any] | None:
    if example.kind != "question_answer" or example.context is None:
        return None
    return {"passage": example.context, "title": "", "heading": "", "question": example.instruction}


def _round_trip_verdict(example: Example, entry: Entry) -> str | None:
    again = entry.text("answer")
    found_none = normalise(again) == UNANSWERABLE
    if example.attributes.get("answerable") == "no":
        return None if found_none else f"the passage does answer it: “{again[:80]}”"
    if found_none:
        return "asked again, the passage did not answer it"
    if numbers(example.target) and numbers(again) and not numbers(again) & numbers(example.target):
        return f"asked again, the answer was “{again[:80]}”"
    if shared_words(again, example.target) < SAME_WORDS:
        return f"asked again, the answer was “{again[:80]}”"
    return None


def shared_words(one: str, other: str) -> float:
    """Words that two answers share, counted with their number, over the words of the shorter one; articles left out."""
    first, second = (
        Counter(word for word in normalise(text).split() if word not in ARTICLES) for text in (one, other)
    )
    shorter = min(first.total(), second.total())
    return (first & second).total() / shorter if shorter else 0.0


def _judge_names(example: Example, about: About) -> dict[str, Any] | None:
    return {
        "passage": example.context or "",
        "title": "",
        "heading": "",
        "instruction": example.instruction,
        "target": example.target,
        "criteria": list(about.criteria),
    }


def _judge_verdict(example: Example, entry: Entry) -> str | None:
    against = [name for name in ("supported", "answers", "clear") if entry.text(name).lower() == "no"]
    if not against:
        return None
    reason = entry.text("reason")
    return f"the judge says it is not {' and not '.join(_WORDS[name] for name in against)}" + (
        f": {reason}" if reason else ""
    )


_WORDS = {
    "supported": "supported by its source",
    "answers": "an answer to the task",
    "clear": "clear by itself",
}
_CHECKS: dict[
    str,
    tuple[Callable[[Example, About], dict[str, Any] | None], Callable[[Example, Entry], str | None]],
] = {
    "round_trip": (_round_trip_names, _round_trip_verdict),
    "judge": (_judge_names, _judge_verdict),
}
