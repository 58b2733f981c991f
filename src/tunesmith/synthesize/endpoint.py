"""The teacher behind an OpenAI-compatible server.

Requests run on an event loop in a thread of their own; the caller draws examples from a plain iterator, in
the order of the passages. What is in flight is bounded, and so is memory. An interrupt drains: what was
sent is awaited and kept, nothing new goes out. A second interrupt stops at once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Coroutine, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tunesmith.errors import MissingError, TunesmithError
from tunesmith.records import Chunk, Example, Kind, Refused, content_id
from tunesmith.synthesize.client import Client, Unanswered
from tunesmith.synthesize.journal import Journal, Reply, Usage, request_key
from tunesmith.synthesize.options import SynthesizeOptions, TeacherOptions
from tunesmith.synthesize.prompts import Prompt, open_prompt
from tunesmith.synthesize.replies import SCHEMAS, Unreadable, Written, find_quote, read_reply

Result = TypeVar("Result")
KINDS: tuple[Kind, ...] = ("question_answer", "summary")


@dataclass(frozen=True, slots=True)
class Item:
    """One request to be made: a passage and what is wanted from it."""

    chunk: Chunk
    kind: Kind
    body: Mapping[str, Any]
    key: str

    @property
    def schema(self) -> Mapping[str, Any]:
        return SCHEMAS[self.kind]


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
        window = max(64, 16 * self._options.concurrency)
        with connected(self._options, self._journal, self._key) as connection:
            model = connection.client.model
            with closing(connection.ordered(self._items(chunks, model, options), window)) as replies:
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
                yield Item(chunk, kind, body, request_key(self._options.url, body))


def read_item(item: Item, reply: Reply | Unanswered, model: str) -> Iterator[Example | Refused]:
    """One request's reply as examples, each with its evidence looked up, and refusals for what cannot be read."""
    if isinstance(reply, Unanswered):
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
        id=content_id(item.chunk.source_id, item.key, reason),
        source_id=item.chunk.source_id,
        check=check,
        reason=reason,
        raw=raw,
        chunk_id=item.chunk.id,
    )


class Sendable(Protocol):
    """What `Connection` sends: the body, the JSON schema of its reply, and the request's key in the journal."""

    @property
    def key(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...
    @property
    def schema(self) -> Mapping[str, Any]: ...


Sent = TypeVar("Sent", bound=Sendable)


class Connection:
    """A client on its running loop. `connected` makes one."""

    def __init__(self, loop: _Loop, client: Client) -> None:
        self._loop = loop
        self._started: list[deque[Any]] = []
        self.client = client

    def ordered(self, items: Iterable[Sent], window: int) -> Generator[tuple[Sent, Reply | Unanswered]]:
        """Each item with its reply, in order.

        Args:
            items: drawn ahead of what is read, so that others can pass a request that waits.
            window: most items drawn ahead.

        Raises:
            MissingError: the first request had no reply after all tries.
            TunesmithError: what else every further request would meet.
        """
        pending: deque[tuple[Sent, Future[Reply | Unanswered]]] = deque()
        self._started.append(pending)
        n_answered = 0
        try:
            for item in items:
                pending.append((item, self._loop.start(self.client.ask(item.key, item.body, item.schema))))
                while pending and (len(pending) >= window or pending[0][1].done()):
                    n_answered += self._check_alive(pending[0][1].result(), n_answered)
                    yield _popped(pending)
            while pending:
                n_answered += self._check_alive(pending[0][1].result(), n_answered)
                yield _popped(pending)
        except TunesmithError:
            self._loop.cancel([future for _, future in pending])
            raise
        except (KeyboardInterrupt, GeneratorExit):
            # a reader that counts its replies leaves after the last one: nothing is stopped by that
            if pending:
                self.end()
            raise

    def end(self) -> None:
        """Waits for what the server works on already, because it is paid for, but lets nothing else out."""
        self.client.close_gate()
        self._loop.settle([future for pending in self._started for _, future in pending])

    def _check_alive(self, reply: Reply | Unanswered, n_answered: int) -> int:
        """1 for an answer. A server that never answered stops the run at its first unanswered request."""
        if isinstance(reply, Unanswered):
            if n_answered == 0:
                raise self.client.unreachable(reply.reason)
            return 0
        return 1


def _popped(pending: deque[tuple[Sent, Future[Reply | Unanswered]]]) -> tuple[Sent, Reply | Unanswered]:
    item, future = pending.popleft()
    return item, future.result()


@contextmanager
def connected(
    options: TeacherOptions, journal: Path, key: str | None, option: str = "synthesize.teacher"
) -> Iterator[Connection]:
    """A connection to the server, with the only model that it serves where the options name none.

    Args:
        options: how to reach it.
        journal: file of the replies; what is in it is not asked again.
        key: of the server.
        option: where a plan says how to reach the server; messages name it.

    Raises:
        MissingError: no model is named and the server does not serve exactly one, or it does not answer.
    """
    with _Loop() as loop:
        kept = Journal(journal)
        client = Client(options, options.model or "", kept, key, option)
        try:
            if options.model is None:
                client.model = _only_model(loop.run(client.served_models()), options.url, option)
            connection = Connection(loop, client)
            try:
                yield connection
            finally:
                # whoever read the replies may have stopped early, and may hold them still
                connection.end()
        finally:
            loop.run(client.close())
            kept.close()


def _only_model(served: list[str], url: str, option: str) -> str:
    if len(served) == 1:
        return served[0]
    offers = f"it serves {', '.join(sorted(served)[:8])}" if served else "it does not say which it serves"
    raise MissingError(
        f"which model of the server is meant? {offers}",
        where=url,
        do=f"write {option}: {{url: …, model: NAME}}",
    )


class _Loop:
    """An event loop in a thread of its own, for the time of a `with` block."""

    def __enter__(self) -> _Loop:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="teacher", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.start(work).result()

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        for future in futures:
            future.cancel()
        self.run(_pause())

    def settle(self, futures: Iterable[Future[Any]]) -> None:
        """Waits for each, whatever comes of it."""
        for future in futures:
            with suppress(Exception, asyncio.CancelledError):
                future.result()


async def _pause() -> None:
    """Lets cancelled requests end before their session is closed."""
    for _ in range(3):
        await asyncio.sleep(0)


def open_endpoint_teacher(options: TeacherOptions, journal: Path, prompt: Path | None) -> EndpointTeacher:
    """Raises `MissingError` when the key or the prompt file is not there, `InputError` when the prompt is no good."""
    key = read_key(options.api_key_env)
    return EndpointTeacher(options, journal, key, {kind: open_prompt(kind, prompt) for kind in KINDS})


def read_key(variable: str | None, option: str = "synthesize.teacher") -> str | None:
    """The key that the environment variable holds. Raises `MissingError` when it holds none."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip() or None
    if key is None:
        raise MissingError(
            f"the environment variable {variable} is not set",
            where=f"{option}.api_key_env",
            do=f"export {variable}=… and run again",
        )
    return key
