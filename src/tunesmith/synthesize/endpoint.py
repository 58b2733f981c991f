"""The teacher behind an OpenAI-compatible server: passages to requests, replies to examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.records import Chunk, Example, Kind, Refused, content_id
from tunesmith.synthesize.client import Unanswered
from tunesmith.synthesize.engine import connected, read_key
from tunesmith.synthesize.journal import Journal, Reply, Usage
from tunesmith.synthesize.options import SynthesizeOptions, TeacherOptions
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


class EndpointTeacher:
    def __init__(
        self, options: TeacherOptions, journal: Path, key: str | None, prompts: Mapping[Kind, Prompt]
    ) -> None:
        self._options = options
        self._journal = journal
        self._key = key
        self._prompts = prompts

    @property
    def name(self) -> str:
        return self._options.model or self._options.url

    def usage(self) -> Usage:
        """Requests, replies and tokens in the journal so far."""
        journal = Journal(self._journal)
        try:
            return journal.usage()
        finally:
            journal.close()

    def write(self, chunks: Iterable[Chunk], options: SynthesizeOptions) -> Iterator[Example | Refused]:
        """Raises `MissingError` or `TunesmithError` for what stops the whole run."""
        with connected(self._options, self._journal, self._key) as connection:
            model = connection.client.model
            with closing(connection.ordered(self._items(chunks, model, options))) as replies:
                for item, reply in replies:
                    yield from read_item(item, reply, model)

    def _items(self, chunks: Iterable[Chunk], model: str, options: SynthesizeOptions) -> Iterator[Item]:
        for chunk in chunks:
            for kind in options.kinds:
                body: dict[str, Any] = {
                    "model": model,
                    "messages": self._prompts[kind].messages(chunk, kind, options.per_chunk),
                    "max_tokens": self._options.max_tokens,
                }
                if self._options.temperature is not None:
                    body["temperature"] = self._options.temperature
                if self._options.seed is not None:
                    body["seed"] = self._options.seed
                yield Item(chunk, kind, make_request(self._options.url, body, SCHEMAS[kind]))


def read_item(item: Item, reply: Reply | Unanswered, model: str) -> Iterator[Example | Refused]:
    """One request's reply as examples, each with its evidence looked up, and refusals for what cannot be read."""
    if isinstance(reply, Unanswered):
        if reply.tries == 0:
            yield _refused(item, "budget", reply.reason, None)
        else:
            yield _refused(item, "answered", f"no reply after {reply.tries} tries: {reply.reason}", None)
        return
    if reply.outcome == "rejected":
        yield _refused(item, "answered", f"the server turned the request down: {reply.text}", None)
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


def open_endpoint_teacher(options: TeacherOptions, journal: Path, prompt: Path | None) -> EndpointTeacher:
    """Raises `MissingError` when the key or the prompt file is not there, `InputError` when the prompt is no good."""
    key = read_key(options.api_key_env)
    return EndpointTeacher(options, journal, key, {kind: open_prompt(kind, prompt) for kind in KINDS})
