"""Many requests at once over one connection, and their replies in order.

Requests run on an event loop in a thread of their own; the caller draws replies from a plain iterator. Only so
many requests are drawn ahead that the server is never idle. A slow request holds up the order of the replies, but
not the work: requests behind it go on being sent while what waits for its turn stays within `MOST_WAITING`
characters. All of it is in the journal as well, so that a kill loses nothing of it.

An interrupt drains: what was sent is awaited and kept, nothing new goes out. A second interrupt stops at once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tunesmith.errors import MissingError
from tunesmith.synthesize.budget import Outlay, Unanswered
from tunesmith.synthesize.client import Client, Job
from tunesmith.synthesize.journal import Journal, Reply
from tunesmith.synthesize.options import TeacherOptions
from tunesmith.synthesize.request import Request
from tunesmith.synthesize.troubles import spent

Result = TypeVar("Result")
MOST_WAITING = 64 * 2**20
"""Most characters of requests and replies that wait for their turn; with them, memory is bounded."""
DRAWN_AT_ONCE = 256


class Sendable(Protocol):
    """What `Connection` sends."""

    @property
    def request(self) -> Request: ...


Sent = TypeVar("Sent", bound=Sendable)


class _Stream:
    """One caller's requests that are drawn and not given out yet."""

    def __init__(self, most_ahead: int, low: int) -> None:
        self.line: deque[tuple[Any, Job]] = deque()
        self.most_ahead = most_ahead
        self.low = low
        """With this many unfinished, more are drawn: each time a good number, since threads change slowly."""
        self.n_open = 0
        self.n_characters = 0
        self.news = threading.Event()
        self._head: Job | None = None
        self._counting = threading.Lock()

    def add(self, item: Any, job: Job) -> None:
        self.line.append((item, job))
        with self._counting:
            self.n_open += job.reply is None
            self.n_characters += len(item.request.text) + _reply_size(job)

    def on_done(self, job: Job) -> None:
        """A reply came; called on the loop's thread."""
        with self._counting:
            self.n_open -= 1
            self.n_characters += _reply_size(job)
            is_low = self.n_open <= self.low
        if job is self._head or is_low:
            self.news.set()

    def pop(self) -> tuple[Any, Job]:
        item, job = self.line.popleft()
        with self._counting:
            self.n_characters -= len(item.request.text) + _reply_size(job)
        return item, job

    def wait(self, client: Client, *, can_draw: bool) -> None:
        """Returns when the first of the line has its reply, more can be drawn, or the run has to stop."""
        self._head = self.line[0][1]
        self.news.clear()
        # Looked at after the clearing, so that no news between the two is missed.
        is_worth_drawing = can_draw and self.n_open <= self.low and self.n_characters < MOST_WAITING
        if self._head.reply is None and client.fatal is None and not is_worth_drawing:
            self.news.wait()


def _reply_size(job: Job) -> int:
    return len(job.reply.text) if isinstance(job.reply, Reply) else 0


class Connection:
    """A client on its running loop. `connected` makes one."""

    def __init__(self, loop: _Loop, client: Client) -> None:
        self._loop = loop
        self._is_ended = False
        self.client = client

    @property
    def model(self) -> str:
        return self.client.model

    @property
    def address(self) -> str:
        """What names the server in the keys of requests."""
        return self.client.options.url

    @property
    def outlay(self) -> Outlay:
        """What all runs of the journal came to so far."""
        return self.client.ledger.outlay

    def ordered(
        self, items: Iterable[Sent], most_ahead: int | None = None
    ) -> Generator[tuple[Sent, Reply | Unanswered]]:
        """Each item with its reply, in order.

        Args:
            items: drawn ahead of what is read, so that the server is never idle.
            most_ahead: most items drawn and not given out; `None`: as many as fit into `MOST_WAITING`.

        Raises:
            MissingError: the first request had no reply after all tries.
            TunesmithError: what else every further request would meet; or the budget is spent.
        """
        concurrency = self.client.options.concurrency
        ahead = 2 * concurrency + 16
        stream = _Stream(ahead, low=(ahead + concurrency) // 2)
        self.client.on_fatal.append(stream.news.set)
        try:
            yield from self._in_turn(iter(items), stream, most_ahead)
        except (KeyboardInterrupt, GeneratorExit):
            # a reader that counts its replies leaves after the last one: nothing is stopped by that
            if stream.line:
                self.end()
            raise
        finally:
            self.client.on_fatal.remove(stream.news.set)

    def _in_turn(
        self, items: Iterator[Sent], stream: _Stream, most_ahead: int | None
    ) -> Generator[tuple[Sent, Reply | Unanswered]]:
        line = stream.line
        has_more = True
        while has_more or line:
            fresh: list[Job] = []
            while (
                has_more
                and len(fresh) < DRAWN_AT_ONCE
                and stream.n_open < stream.most_ahead
                and stream.n_characters < MOST_WAITING
                and (most_ahead is None or len(line) < most_ahead)
            ):
                item = next(items, None)
                if item is None:
                    has_more = False
                    break
                kept, to_send, cut = self.client.find(item.request)
                if kept is not None and not line:
                    yield item, kept
                    continue
                job = Job(to_send, stream.on_done)
                job.first, job.reply = cut, kept
                stream.add(item, job)
                if kept is None:
                    fresh.append(job)
            if fresh:
                self._loop.submit(self.client, fresh)
            while line and (reply := line[0][1].reply) is not None:
                item, _ = stream.pop()
                yield item, self._checked(reply)
            if self.client.fatal is not None:
                raise self.client.fatal
            if line:
                stream.wait(self.client, can_draw=has_more and (most_ahead is None or len(line) < most_ahead))

    def _checked(self, reply: Reply | Unanswered) -> Reply | Unanswered:
        """Raises `TunesmithError` at an item without a reply where the run has to stop, and at the first that the
        budget had nothing left for, unless the run goes on."""
        if isinstance(reply, Unanswered) and self.client.fatal is not None:
            raise self.client.fatal
        budget = self.client.options.budget
        if (
            isinstance(reply, Unanswered)
            and reply.tries == 0
            and budget is not None
            and budget.then == "stop"
        ):
            raise spent(self.client.option, self.client.ledger.in_words())
        return reply

    def end(self) -> None:
        """Waits for what the server works on already, because it is paid for, but lets nothing else out.

        A second call returns at once: whoever interrupts the waiting means it."""
        if not self._is_ended:
            self._is_ended = True
            self._loop.run(self.client.drain())


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
        try:
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
        finally:
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
        self._thread = threading.Thread(target=self._loop.run_forever, name="asking", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # A drain that was interrupted is still waiting for replies.
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def submit(self, client: Client, jobs: list[Job]) -> None:
        self._loop.call_soon_threadsafe(client.submit, jobs)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


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
