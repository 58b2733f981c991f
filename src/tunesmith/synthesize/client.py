"""Sends requests to an OpenAI-compatible server: many at a time, patiently, each at most once for good.

What the server says decides: 401, 402, 403, 404 stop the run, because every request would meet them; 400,
413, 422 turn down the one item; 408, 409, 425, 429, 5xx and network errors are tried again, after the
server's own Retry-After or a random wait that doubles (full jitter, Brooker 2015). Only the request that
was refused waits. A server that fails request after request stops the run too."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError
from tunesmith.synthesize.budget import Ledger, Unanswered
from tunesmith.synthesize.formats import FIRST_TOKEN, Formats, wanted_format
from tunesmith.synthesize.gate import Gate
from tunesmith.synthesize.journal import Journal, Reply
from tunesmith.synthesize.options import TeacherOptions
from tunesmith.synthesize.pace import Pace
from tunesmith.synthesize.request import Request, longer
from tunesmith.synthesize.troubles import always_fails, broken_down, stop_for, unreachable
from tunesmith.synthesize.wire import (
    decoded,
    is_filtered,
    read_envelope,
    seconds_to_wait,
    shown,
)

if TYPE_CHECKING:
    import aiohttp
    import yarl

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
NOTE_TIME_S = 1.0
"""How often the journal hears how long a run has been asking."""
_STOPS = {401, 402, 403, 404}
_REJECTS = {400, 413, 422}


class Job:
    """A request on its way, and whom to tell of its reply."""

    __slots__ = ("_on_done", "first", "reply", "request", "tries")

    def __init__(self, request: Request, on_done: Callable[[Job], None]) -> None:
        self.request = request
        self.reply: Reply | Unanswered | None = None
        self.first: Reply | None = None
        """The reply that was cut, while a longer one is asked for."""
        self.tries = 0
        self._on_done = on_done

    def finish(self, reply: Reply | Unanswered) -> None:
        self.reply = reply
        self._on_done(self)


@dataclass
class Client:
    """One server. Its methods run on one event loop, but for `find` and `is_closing`."""

    options: TeacherOptions
    model: str
    journal: Journal
    key: str | None = field(repr=False)
    option: str = "synthesize.teacher"
    """Where a plan says how to reach the server; messages name it."""
    is_closing: bool = field(init=False, default=False)
    fatal: TunesmithError | None = field(init=False, default=None)
    """What every further request would meet as well."""
    on_fatal: list[Callable[[], None]] = field(init=False, default_factory=list)
    gate: Gate = field(init=False)
    ledger: Ledger = field(init=False)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.options.concurrency)
        before = self.journal.usage()
        self.ledger = Ledger(self.options.budget, self.options.prices, before)
        self.pace = Pace(self.options.requests_per_minute, self.options.tokens_per_minute)
        self._next_turn: asyncio.TimerHandle | None = None
        """When the pace lets another request out."""
        self._formats = Formats(self.options.structured)
        self._suffixes: dict[tuple[str, int], tuple[Any, bytes]] = {}
        """With the schema itself, so that no other can come to have its `id`."""
        self._session: aiohttp.ClientSession | None = None
        self._url: yarl.URL | None = None
        self._queue: deque[Job] = deque()
        self._same: dict[str, list[Job]] = {}
        """Jobs by the key of their request, from the moment they are queued: equal ones are sent once."""
        self._workers: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._delayed: dict[Job, asyncio.TimerHandle] = {}
        self._drained: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_held = False
        """Nothing goes out until replies that came are in the file."""
        self.journal.on_saved = self._on_saved
        self._has_answered = self.journal.has_replies_of(self.options.url)
        self._n_failed_in_a_row = 0
        self._started_at = time.time()
        self._noted = 0.0

    # What the journal knows

    def find(self, request: Request) -> tuple[Reply | None, Request, Reply | None]:
        """The kept reply, or what has to be sent, and the reply that was cut if it is about that."""
        kept = self.journal.get(request.key)
        if kept is None or not self._is_worth_more(kept):
            return kept, request, None
        again = longer(self.options.url, request)
        more = self.journal.get(again.key)
        return (None if more is None else _better(kept, more)), again, kept

    def _is_worth_more(self, reply: Reply) -> bool:
        return self.options.longer_once and reply.outcome == "answered" and reply.finish_reason == "length"

    # The queue and its workers

    def submit(self, jobs: Iterable[Job]) -> None:
        self._loop = asyncio.get_running_loop()
        for job in jobs:
            same = self._same.setdefault(job.request.key, [])
            same.append(job)
            if len(same) == 1:
                self._queue.append(job)
        self._wake()

    def _wake(self) -> None:
        n_wanted = min(self.gate.limit - self.gate.in_flight, len(self._queue), self.pace.most_at_once)
        while n_wanted > 0:
            if self._idle:
                turn = self._idle.popleft()
                if not turn.done():
                    turn.set_result(None)
            elif len(self._workers) < self.gate.most:
                self._workers.append(asyncio.get_running_loop().create_task(self._work()))
            else:
                break
            n_wanted -= 1

    def _wake_in(self, seconds: float) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
        self._next_turn = asyncio.get_running_loop().call_later(seconds, self._wake)

    async def _work(self) -> None:
        while True:
            job = self._next()
            if job is None:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(turn)
                await turn
                continue
            await self._serve(job)

    def _next(self) -> Job | None:
        """The job to send now, booked and counted as in flight; `None` when none may go out."""
        if self.is_closing or self.fatal is not None:
            self._drop_all()
            return None
        if not self._queue or not self.gate.is_open or self._must_save():
            return None
        if (wait := self.pace.wait_s()) > 0:
            self._wake_in(wait)
            return None
        standing = self.ledger.reserve(self._queue[0].request)
        if standing == "sent":
            self.gate.enter()
            self.pace.take(self._queue[0].request)
            if (wait := self.pace.wait_s()) > 0:
                self._wake_in(wait)
            return self._queue.popleft()
        if standing == "spent":
            while self._queue:
                self._finish(self._queue.popleft(), self.ledger.unasked())
        return None

    def _must_save(self) -> bool:
        """Whether as much is in flight or in memory only as a kill may cost: twice what may be in flight."""
        # Before the count, so that a group that is saved in between is not missed.
        self._is_held = True
        if self.gate.in_flight + self.journal.n_unsaved >= 2 * self.gate.most:
            self.journal.hurry()
            return True
        self._is_held = False
        return False

    def _on_saved(self) -> None:
        if self._is_held and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    async def _serve(self, job: Job) -> None:
        import aiohttp

        # Read now and not when the job came: others may have learnt meanwhile which format the server knows.
        asked = self._formats.wanted(job.request)
        is_refused: bool | None = None
        status, data, retry_after = 0, b"", None
        started = time.monotonic()
        try:
            if self._session is None:
                self._session = self._open()
            async with self._session.post(self._url, data=self._payload(job.request, asked)) as response:  # type: ignore[arg-type]
                data = await response.read()
                status = response.status
                if status != 200:
                    retry_after = seconds_to_wait(response.headers.get("Retry-After"))
            is_refused = status == 429
        except TimeoutError:
            data = f"no reply within {self.options.timeout_s:g} s".encode()
        except aiohttp.ClientError as error:
            data = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        finally:
            self.gate.leave(is_refused=is_refused)
        try:
            self._take(job, asked, status, data, retry_after, time.monotonic() - started)
        except TunesmithError as error:  # the journal's disk is full
            self._give_up(error)
        self._wake()
        if self._drained is not None and self.gate.in_flight == 0:
            self._drained.set()

    def _payload(self, request: Request, asked: str) -> bytes:
        try:
            body = request.text.encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can say in ASCII only
            body = json.dumps(json.loads(request.text)).encode("ascii")
        if asked == "off" or request.schema is None:
            return body
        # Schemas are a handful of constants: each is written once.
        name = (asked, id(request.schema))
        if name not in self._suffixes:
            suffix = b"," + json.dumps(wanted_format(asked, request))[1:].encode("ascii")
            self._suffixes[name] = request.schema, suffix
        return body[:-1] + self._suffixes[name][1]

    # What a reply means

    def _take(
        self, job: Job, asked: str, status: int, data: bytes, retry_after: float | None, seconds: float
    ) -> None:
        reply = read_envelope(data) if status == 200 else None
        # OpenAI's word for a model that tells no probabilities is 403
        is_rejected = status in _REJECTS or (status == 403 and asked in FIRST_TOKEN and b"logprobs" in data)
        if is_rejected:
            reply = self._rejected(job, asked, status, data)
        cost = self.ledger.settle(job.request, reply)
        self.pace.settle(job.request, reply)
        self.journal.count_attempt(job.request.key, str(status or "network"), seconds, reply, cost)
        self._note_time()
        if reply is not None:
            self._n_failed_in_a_row = 0
            self._has_answered = True
            if status == 200:
                self._formats.answered(asked, job.request, reply)
            self._keep(job, reply)
        elif is_rejected:
            self._queue.appendleft(job)  # in another format
        elif status in _STOPS:
            self._give_up(stop_for(self.options, self.option, self.model, status, decoded(data)))
        else:
            text = decoded(data)
            self._failed(job, text if status == 0 else f"HTTP {status}: {shown(text)}", retry_after)

    def _rejected(self, job: Job, asked: str, status: int, data: bytes) -> Reply | None:
        """The refusal as a reply; `None` when the format may be at fault, and another one was chosen."""
        text = decoded(data)
        if is_filtered(text):
            return Reply("answered", "", "content_filter")
        if self._formats.refused(asked, job.request):
            return None
        return Reply("rejected", f"HTTP {status}: {shown(text)}")

    def _keep(self, job: Job, reply: Reply) -> None:
        self.journal.put(job.request, self.model, self.options.url, reply)
        if job.first is not None:
            self._finish(job, _better(job.first, reply))
        elif self._is_worth_more(reply):
            again = longer(self.options.url, job.request)
            waiting = self._same.pop(job.request.key)
            self._same[again.key] = waiting
            job.request, job.first, job.tries = again, reply, 0
            self._queue.appendleft(job)
        else:
            self._finish(job, reply)

    def _failed(self, job: Job, trouble: str, retry_after: float | None) -> None:
        job.tries += 1
        if job.tries >= self.options.tries or self.is_closing:
            self._n_failed_in_a_row += job.tries >= self.options.tries
            # Given up first: whoever reads the last of the replies asks for no further one.
            if not self._has_answered:
                tell = always_fails if trouble.startswith("HTTP ") else unreachable
                self._give_up(tell(self.options, self.option, trouble))
            elif self._n_failed_in_a_row >= self.options.give_up_after:
                self._give_up(broken_down(self.options, self._n_failed_in_a_row, trouble))
            self._finish(job, Unanswered(trouble, job.tries))
            return
        wait = retry_after if retry_after is not None else _jittered(job.tries)
        self._delayed[job] = asyncio.get_running_loop().call_later(wait, self._again, job)

    def _again(self, job: Job) -> None:
        self._delayed.pop(job, None)
        self._queue.appendleft(job)
        self._wake()

    def _finish(self, job: Job, reply: Reply | Unanswered) -> None:
        for same in self._same.pop(job.request.key, [job]):
            same.finish(reply)

    def _note_time(self) -> None:
        if self.ledger.seconds - self._noted >= NOTE_TIME_S:
            self._noted = self.ledger.seconds
            self.journal.count_seconds(self._started_at, self._noted)

    # The end

    def _give_up(self, error: TunesmithError) -> None:
        if self.fatal is None:
            self.fatal = error
        self._drop_all()
        for tell in self.on_fatal:
            tell()

    def _drop_all(self) -> None:
        """Lets go of what is not in flight: nobody waits for it any more."""
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        self._queue.clear()

    async def drain(self) -> None:
        """Waits for what the server works on already, because it is paid for, and lets nothing else out."""
        self.is_closing = True
        self._drop_all()
        if self.gate.in_flight:
            self._drained = asyncio.Event()
            await self._drained.wait()

    async def close(self) -> None:
        self.journal.on_saved = None  # the loop ends before the journal does
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self.ledger.seconds:
            self.journal.count_seconds(self._started_at, self.ledger.seconds)
        if self._session is not None:
            await self._session.close()

    # The connection

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp
        import yarl

        self._url = yarl.URL(f"{self.options.url}/chat/completions")
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self.options.timeout_s),
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def served_models(self) -> list[str]:
        """Names of the models that the server offers."""
        import aiohttp

        try:
            if self._session is None:
                self._session = self._open()
            async with self._session.get(f"{self.options.url}/models") as response:
                if response.status in _STOPS - {404}:
                    raise stop_for(
                        self.options, self.option, self.model, response.status, await response.text()
                    )
                listed = await response.json(content_type=None)
            return [str(entry["id"]) for entry in listed["data"]]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(self.options, self.option, f"{type(error).__name__}: {error}") from error
        except (ValueError, KeyError, TypeError):
            return []


def _better(cut: Reply, more: Reply) -> Reply:
    """The second of two replies to one question, unless the server would not write a longer one."""
    return cut if more.outcome == "rejected" else more


def _jittered(number: int) -> float:
    return random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number))
