"""From sources to drafts by a model: what is asked about each passage or scenario, and what its replies hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from tunesmith.records import Chunk, Example, Refused, Scenario
from tunesmith.synthesize.asks import FORMS
from tunesmith.synthesize.budget import Unanswered
from tunesmith.synthesize.checks import MODEL_CHECKS
from tunesmith.synthesize.estimate import TOKENS_A_PIECE
from tunesmith.synthesize.journal import Reply
from tunesmith.synthesize.kinds import Ask, Source, Unfit, build_example, cut_chunk, refuse_reply
from tunesmith.synthesize.options import SynthesizeOptions, WrittenKind
from tunesmith.synthesize.replies import Entry, Unreadable, read_reply
from tunesmith.synthesize.share import n_unanswerable


class Askable(Protocol):
    """What can be put to a model."""

    @property
    def form(self) -> str: ...
    @property
    def names(self) -> Mapping[str, Any]: ...
    @property
    def origin(self) -> tuple[str, str]:
        """Document, and passage or scenario, that it is about."""


EXPECTED_QUESTION = "What does somebody ask about this passage in twelve words or so?"
EXPECTED_ANSWER = "Somebody answers in fifteen words, most of which stand in the passage as they are."
"""Stand for what is not written yet, when requests are counted and priced."""
Asked = TypeVar("Asked", bound=Askable)


class Model(Protocol):
    """A model that answers, whether behind a server or in this process."""

    @property
    def name(self) -> str: ...

    def ask(self, asks: Iterable[Asked]) -> Iterator[tuple[Asked, Reply | Unanswered]]:
        """Each ask with its reply, in order. Raises `TunesmithError` for what stops the whole run."""


def write_drafts(
    sources: Iterable[Source], model: Model, options: SynthesizeOptions
) -> Iterator[Example | Refused]:
    """What the model makes of the sources, in their order; nothing is checked but that it can be read."""
    aside: list[Refused] = []
    """What was refused on the way to a later ask. It is given out at the end, so that the order hangs on no timing."""
    if options.segment:
        sources = _segmented(sources, model, aside)
    if options.calls == 1 or "question_answer" not in options.kinds:
        yield from _drafts(_asks(sources, options, options.kinds), model)
    else:
        yield from _drafts(_second_asks(sources, model, options, aside), model)
    yield from aside


def draft_asks(sources: Iterable[Source], options: SynthesizeOptions) -> Iterator[Ask]:
    """The asks that need no reply of another: all of them but those for the answers of `calls: 2`."""
    for source in sources:
        if options.calls == 2 and isinstance(source, Chunk):
            yield Ask("questions", source, "question_answer", {"count": options.per_chunk})
            others = tuple(kind for kind in options.kinds if kind != "question_answer")
            yield from _asks([source], options, others, with_unanswerable=True)
        else:
            yield from _asks([source], options, options.kinds)


def expected_asks(sources: Iterable[Source], options: SynthesizeOptions) -> Iterator[tuple[Askable, int]]:
    """About what a run would ask the teacher, each with the number of examples it may give; for estimates."""
    for source in sources:
        if options.segment and isinstance(source, Chunk):
            yield Ask("segmentation", source, "segmentation"), max(1, source.n_tokens // TOKENS_A_PIECE)
        for ask in draft_asks([source], options):
            pieces = _pieces(ask)
            yield ask, pieces
            if ask.form == "questions":
                answer = Ask("answer", source, "question_answer", {"question": EXPECTED_QUESTION})
                yield from ((answer, 1) for _ in range(pieces))
            if options.judge is None:
                yield from _expected_checks(ask, options)


def expected_checks(sources: Iterable[Source], options: SynthesizeOptions) -> Iterator[tuple[Askable, int]]:
    """The same of a judge that is not the teacher: at most so many, since a refused example is not asked about."""
    for ask in draft_asks(sources, options):
        yield from _expected_checks(ask, options)


def _pieces(ask: Ask) -> int:
    """Examples that it may give."""
    return int(ask.extra.get("count", 1)) if FORMS[ask.form].several else 1


def _expected_checks(ask: Ask, options: SynthesizeOptions) -> Iterator[tuple[Askable, int]]:
    told = {"question": EXPECTED_QUESTION, "instruction": EXPECTED_QUESTION, "target": EXPECTED_ANSWER}
    for name in options.checks:
        if name in MODEL_CHECKS and (name != "round_trip" or ask.kind == "question_answer"):
            check = Ask(name, ask.source, ask.kind, {"criteria": [], **told})
            yield from ((check, 1) for _ in range(_pieces(ask)))


def _chunks(sources: Iterable[Source]) -> Iterator[Chunk]:
    return (source for source in sources if isinstance(source, Chunk))


def _asks(
    sources: Iterable[Source],
    options: SynthesizeOptions,
    kinds: Sequence[WrittenKind],
    *,
    with_unanswerable: bool = False,
) -> Iterator[Ask]:
    for source in sources:
        if isinstance(source, Scenario):
            yield Ask("scenario", source, "instruction", {"variants": source.variants})
            continue
        for kind in kinds:
            yield from _asks_of_kind(source, kind, options)
        count = n_unanswerable(source.id, options.per_chunk, options.unanswerable)
        if count and ("question_answer" in kinds or with_unanswerable):
            extra = {"count": count, "refusal": options.unanswerable_answer}
            yield Ask("unanswerable", source, "question_answer", extra)


def _asks_of_kind(chunk: Chunk, kind: WrittenKind, options: SynthesizeOptions) -> Iterator[Ask]:
    if kind == "classification":
        # One request for each label, so that every passage gives as many texts of one as of another.
        count = max(1, options.per_chunk // len(options.labels))
        for label in options.labels:
            yield Ask(kind, chunk, kind, {"count": count, "label": label, "labels": options.labels})
    elif kind == "dialogue":
        yield Ask("dialogue", chunk, "conversation", {"count": options.turns})
    elif kind in ("summary", "segmentation", "paraphrase"):
        yield Ask(kind, chunk, kind)
    else:
        yield Ask(kind, chunk, kind, {"count": options.per_chunk})


def _drafts(asks: Iterable[Ask], model: Model) -> Iterator[Example | Refused]:
    for ask, reply in model.ask(asks):
        for entry in read_answer(ask.form, reply):
            if isinstance(entry, Entry):
                try:
                    yield build_example(ask, entry, model.name)
                except Unfit as problem:
                    raw = str(entry.fields)
                    yield refuse_reply(ask, problem.check, problem.reason, raw)
            else:
                yield refuse_reply(ask, *entry)


def read_answer(form: str, reply: Reply | Unanswered) -> Iterator[Entry | tuple[str, str, str | None]]:
    """The entries of a reply, and (check, reason, raw text) for what cannot be used."""
    if isinstance(reply, Unanswered):
        if reply.tries == 0:
            yield "budget", reply.reason, None
        else:
            yield "answered", f"no reply after {reply.tries} tries: {reply.reason}", None
    elif reply.outcome == "rejected":
        yield "answered", f"the request was turned down: {reply.text}", None
    elif reply.finish_reason == "content_filter":
        yield "answered", "the server's content filter stopped the reply", reply.text or None
    else:
        for entry in read_reply(FORMS[form], reply.text, is_cut=reply.finish_reason == "length"):
            yield ("format", entry.reason, entry.raw) if isinstance(entry, Unreadable) else entry


def _segmented(sources: Iterable[Source], model: Model, aside: list[Refused]) -> Iterator[Source]:
    """Passages as the paragraphs the model sees in them; a passage that it changes stays whole, and that is noted."""
    for ask, reply in model.ask(Ask("segmentation", chunk, "segmentation") for chunk in _chunks(sources)):
        assert isinstance(ask.source, Chunk)
        paragraphs: list[Chunk] = []
        for entry in read_answer(ask.form, reply):
            if not isinstance(entry, Entry):
                aside.append(refuse_reply(ask, *entry))
                continue
            try:
                paragraphs = list(cut_chunk(ask.source, entry))
            except Unfit as problem:
                reason = f"the passage stays whole: {problem.reason}"
                aside.append(refuse_reply(ask, problem.check, reason, str(entry.fields)))
        yield from paragraphs or [ask.source]


def _second_asks(
    sources: Iterable[Source], model: Model, options: SynthesizeOptions, aside: list[Refused]
) -> Iterator[Ask]:
    """With two calls: passage by passage an ask for the answer to each question that the first call gave, then the
    asks for what else is wanted."""
    others = tuple(kind for kind in options.kinds if kind != "question_answer")
    scenarios: list[Scenario] = []

    def questions() -> Iterator[Ask]:
        for source in sources:
            if isinstance(source, Scenario):
                scenarios.append(source)
            else:
                yield Ask("questions", source, "question_answer", {"count": options.per_chunk})

    for ask, reply in model.ask(questions()):
        for entry in read_answer(ask.form, reply):
            if isinstance(entry, Entry):
                yield Ask("answer", ask.source, "question_answer", {"question": entry.text("question")})
            else:
                aside.append(refuse_reply(ask, *entry))
        yield from _asks([ask.source], options, others, with_unanswerable=True)
    yield from _asks(scenarios, options, ())
