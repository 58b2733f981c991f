"""The model as teacher: passages to requests, replies to examples. Who answers is `engine`'s or `local`'s business."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tunesmith.records import Chunk, Example, Kind, Refused, content_id
from tunesmith.synthesize.budget import Outlay
from tunesmith.synthesize.client import Unanswered
from tunesmith.synthesize.engine import connected, read_key
from tunesmith.synthesize.estimate import Estimate, estimate_items
from tunesmith.synthesize.journal import Journal, Reply, Usage, models_in
from tunesmith.synthesize.options import LocalTeacher, SynthesizeOptions, TeacherOptions
from tunesmith.synthesize.prompts import Prompt, open_prompt
from tunesmith.synthesize.replies import SCHEMAS, Unreadable, Written, find_quote, read_reply
from tunesmith.synthesize.request import Request, make_request

KINDS: tuple[Kind, ...] = ("question_answer", "summary")


@dataclass(frozen=True, slots=True)
class Item:
    """One request to be made: a passage and what is wanted from it."""

    chunk: Chunk
    kind: Kind
    request: Request


class Answerer(Protocol):
    """Who answers requests: a server, or a model in this process."""

    @property
    def model(self) -> str:
        """Its name, as examples and reports call it."""
        ...

    @property
    def address(self) -> str:
        """What names it in the keys of requests, so that no other's replies are taken for its own."""
        ...

    @property
    def outlay(self) -> Outlay: ...

    def ordered(self, items: Iterable[Item]) -> Generator[tuple[Item, Reply | Unanswered]]:
        """Each item with its reply, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a model is asked, whoever answers."""

    max_tokens: int
    temperature: float | None
    seed: int | None

    def body(self, model: str, messages: list[dict[str, str]]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": self.max_tokens}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        return body if self.seed is None else body | {"seed": self.seed}


class ModelTeacher:
    """A model that writes examples.

    Args:
        name: what messages call it before it has answered.
        manner: how it is asked.
        journal: file of its replies.
        connect: opens whoever answers.
        prompts: the words it is asked with, by kind.
    """

    def __init__(
        self,
        name: str,
        manner: Manner,
        journal: Path,
        connect: Callable[[], AbstractContextManager[Answerer]],
        prompts: Mapping[Kind, Prompt],
    ) -> None:
        self.name = name
        self._manner = manner
        self._journal = journal
        self._connect = connect
        self._prompts = prompts
        self._answerer: Answerer | None = None
        self.n_replied = 0
        """Requests whose replies were read, of `n_items`."""
        self.listener: Callable[[Item, Reply | Unanswered], None] | None = None
        """Hears each reply before its examples are given out."""

    def usage(self) -> Usage:
        """Requests, replies and tokens in the journal so far."""
        journal = Journal(self._journal)
        try:
            return journal.usage()
        finally:
            journal.close()

    @property
    def outlay(self) -> Outlay | None:
        """What all runs of the journal came to so far; `None` before `write` has begun."""
        return None if self._answerer is None else self._answerer.outlay

    def n_items(self, n_chunks: int, options: SynthesizeOptions) -> int:
        return n_chunks * len(options.kinds)

    def write(self, chunks: Iterable[Chunk], options: SynthesizeOptions) -> Iterator[Example | Refused]:
        """Raises `MissingError` or `TunesmithError` for what stops the whole run."""
        self.n_replied = 0
        with self._connect() as answerer:
            self._answerer = answerer
            items = self.items(chunks, answerer.address, answerer.model, options)
            with closing(answerer.ordered(items)) as replies:
                for item, reply in replies:
                    self.n_replied += 1
                    if self.listener is not None:
                        self.listener(item, reply)
                    yield from read_item(item, reply, answerer.model)

    def items(
        self, chunks: Iterable[Chunk], address: str, model: str, options: SynthesizeOptions
    ) -> Iterator[Item]:
        for chunk in chunks:
            for kind in options.kinds:
                messages = self._prompts[kind].messages(chunk, kind, options.per_chunk)
                body = self._manner.body(model, messages)
                yield Item(chunk, kind, make_request(address, body, SCHEMAS[kind]))


def read_item(item: Item, reply: Reply | Unanswered, model: str) -> Iterator[Example | Refused]:
    """One request's reply as examples, each with its evidence looked up, and refusals for what cannot be read."""
    if isinstance(reply, Unanswered):
        if reply.tries == 0:
            yield _refused(item, "budget", reply.reason, None)
        else:
            yield _refused(item, "answered", f"no reply after {reply.tries} tries: {reply.reason}", None)
        return
    if reply.outcome == "rejected":
        yield _refused(item, "answered", f"the request was turned down: {reply.text}", None)
        return
    if reply.finish_reason == "content_filter":
        yield _refused(item, "answered", "the server's content filter stopped the reply", reply.text or None)
        return
    for entry in read_reply(item.kind, reply.text, is_cut=reply.finish_reason == "length"):
        if isinstance(entry, Unreadable):
            yield _refused(item, "format", entry.reason, entry.raw)
        else:
            yield _example(item, entry, model)


def _example(item: Item, written: Written, model: str) -> Example:
    chunk = item.chunk
    question = written.question or "Summarise the passage in one sentence."
    span = find_quote(written.evidence, chunk.text)
    attributes: dict[str, str] = {}
    if written.is_repaired:
        attributes["repaired"] = "yes"
    if span is None and written.evidence:
        attributes["quote"] = written.evidence
    return Example(
        id=content_id(
            chunk.source_id, item.kind, question, written.answer, chunk.text if item.kind == "summary" else ""
        ),
        source_id=chunk.source_id,
        kind=item.kind,
        instruction=question,
        target=written.answer,
        context=chunk.text,
        chunk_id=chunk.id,
        evidence_start=None if span is None else chunk.start + span[0],
        evidence_end=None if span is None else chunk.start + span[1],
        first_page=chunk.first_page,
        last_page=chunk.last_page,
        teacher=model,
        attributes=attributes,
    )


def _refused(item: Item, check: str, reason: str, raw: str | None) -> Refused:
    return Refused(
        id=content_id(item.chunk.source_id, item.request.key, check),
        source_id=item.chunk.source_id,
        check=check,
        reason=reason,
        raw=raw,
        chunk_id=item.chunk.id,
    )


def open_endpoint_teacher(options: TeacherOptions, journal: Path, prompt: Path | None) -> ModelTeacher:
    """Raises `MissingError` when the key or the prompt file is not there, `InputError` when the prompt is no good."""
    key = read_key(options.api_key_env)
    return ModelTeacher(
        options.model or options.url,
        _manner_of(options),
        journal,
        lambda: connected(options, journal, key),
        open_prompts(prompt),
    )


def open_local_teacher(options: LocalTeacher, journal: Path, prompt: Path | None) -> ModelTeacher:
    """Raises `MissingError` when the prompt file is not there, `InputError` when the prompt is no good."""
    from tunesmith.synthesize.local import open_local

    return ModelTeacher(
        options.model_name,
        Manner(options.max_tokens, options.temperature, options.seed),
        journal,
        lambda: open_local(options, journal),
        open_prompts(prompt),
    )


def _manner_of(options: TeacherOptions) -> Manner:
    return Manner(options.max_tokens, options.temperature, options.seed)


def open_prompts(prompt: Path | None) -> dict[Kind, Prompt]:
    """The prompts of every kind, tried out. Raises `MissingError` or `InputError`."""
    return {kind: open_prompt(kind, prompt) for kind in KINDS}


def estimate_endpoint(
    endpoint: TeacherOptions,
    chunks: Iterable[Chunk],
    options: SynthesizeOptions,
    journal: Path,
    prompt: Path | None,
) -> Estimate:
    """What the requests would come to; nothing is sent, and the key is not needed.

    Raises:
        MissingError: the prompt file is not there.
        InputError: the prompt is no good.
    """
    teacher = ModelTeacher(endpoint.url, _manner_of(endpoint), journal, _nobody, open_prompts(prompt))
    # Where the plan leaves the model to the server, the journal knows which it was.
    models = [endpoint.model] if endpoint.model else models_in(journal, endpoint.url)
    model = models[0] if len(models) == 1 else ""
    pieces = {"question_answer": options.per_chunk, "summary": 1}
    items = teacher.items(chunks, endpoint.url, model, options)
    asked = ((item.request, pieces[item.kind]) for item in items)
    return estimate_items(asked, journal, endpoint.prices, endpoint.concurrency)


def _nobody() -> AbstractContextManager[Answerer]:
    raise AssertionError("an estimate asks nobody")
