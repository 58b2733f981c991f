"""Sends requests to an OpenAI-compatible server: many at a time, patiently, each at most once for good.

What the server says decides: 401, 402, 403, 404 stop the run, because every request would meet them; 400,
413, 422 turn down the one item; 408, 409, 425, 429, 5xx and network errors are tried again, after the
server's own Retry-After or a random wait that doubles (full jitter, Brooker 2015). Only the request that
was refused waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tunesmith.errors import MissingError, TunesmithError
from tunesmith.synthesize.journal import Journal, Reply
from tunesmith.synthesize.options import TeacherOptions

if TYPE_CHECKING:
    import aiohttp

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
_STOPS = {401, 402, 403, 404}
_REJECTS = {400, 413, 422}
_FORMATS = ("json_schema", "json_object", "off")


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that had no reply after all tries. Not kept in the journal: the next run asks again."""

    reason: str
    tries: int


class Gate:
    """How many requests may be in flight: doubles until the server refuses, then feels its way.

    A burst of refusals sets the limit to what the server still holds, which is what it took; a lone refusal
    (under 8 % of the recent ones) changes nothing. Near the level that was refused it grows ten times more
    slowly."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(most, 4)
        self.in_flight = 0
        self._ceiling: int | None = None
        self._share = 0.0
        self._successes = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        if self.in_flight < self.limit and not self._queue:
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(is_refused=None)
            else:
                with contextlib.suppress(ValueError):
                    self._queue.remove(turn)
            raise

    def leave(self, *, is_refused: bool | None) -> None:
        """`is_refused`: the server said 429; `None` when the request tells nothing about its load."""
        self.in_flight -= 1
        if is_refused is not None:
            self._share = 0.95 * self._share + 0.05 * is_refused
        if is_refused and self._share >= 0.08:
            self.limit = max(1, min(self.limit, self.in_flight))
            self._ceiling, self._successes = self.limit + 1, 0
        elif is_refused is False:
            self._grow()
        while self._queue and self.in_flight < self.limit:
            turn = self._queue.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _grow(self) -> None:
        self._successes += 1
        near = self._ceiling is not None and self.limit + 1 >= self._ceiling
        if self._successes >= self.limit * (10 if near else 1):
            self._successes = 0
            step = self.limit if self._ceiling is None else 1
            self.limit = min(self.most, self.limit + step)
            if near:
                self._ceiling = self.limit + 1


@dataclass
class Client:
    """One server. `ask` may run many times at once on one event loop."""

    options: TeacherOptions
    model: str
    journal: Journal
    key: str | None = field(repr=False)
    option: str = "synthesize.teacher"
    """Where a plan says how to reach the server; messages name it."""
    is_closing: bool = field(init=False, default=False)
    fatal: TunesmithError | None = field(init=False, default=None)
    """What every further request would meet as well."""
    gate: Gate = field(init=False)
    _format: str = field(init=False)
    _accepted: set[str] = field(init=False, default_factory=set)
    _session: aiohttp.ClientSession | None = field(init=False, default=None, repr=False)
    _sent: int = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.options.concurrency)
        self._format = self.options.structured
        self._sent = self.journal.usage().requests

    async def ask(self, name: str, body: Mapping[str, Any], schema: Mapping[str, Any]) -> Reply | Unanswered:
        """The reply to one request, from the journal when it is there.

        Args:
            name: the request's key in the journal.
            body: model, messages and settings, without the wanted format.
            schema: JSON schema of the reply.

        Raises:
            TunesmithError: what stops the whole run: the key is wrong, the model is not there, the limit is
            reached.
        """
        kept = self.journal.get(name)
        if kept is not None:
            return kept
        trouble = ""
        number = 0
        while number < self.options.tries:
            asked, status, text, retry_after = await self._send(name, body, schema)
            if status == 200 and (reply := _envelope(text)) is not None:
                self._accepted.add(asked)
                self.journal.put(name, self.options.url, body, reply)
                return reply
            if status in _STOPS:
                self.fatal = self._stop(status, text)
                raise self.fatal
            if status in _REJECTS:
                if (other := self._other_format(asked)) is not None:
                    self._format = other
                    continue
                reply = Reply("rejected", f"HTTP {status}: {_shown(text)}")
                self.journal.put(name, self.options.url, body, reply)
                if asked not in self._accepted:
                    # No format pleased the server, so that the request itself is at fault, not the format.
                    self._format = self.options.structured
                return reply
            trouble = text if status == 0 else f"HTTP {status}: {_shown(text)}"
            number += 1
            if self.is_closing:
                break
            if number < self.options.tries:
                await asyncio.sleep(retry_after if retry_after is not None else _jittered(number))
        return Unanswered(trouble, self.options.tries)

    def _other_format(self, asked: str) -> str | None:
        """The format to ask in after `asked` was turned down; `None` when it cannot be the format's fault."""
        if asked in self._accepted or asked == "off":
            return None
        return self._format if self._format != asked else _FORMATS[_FORMATS.index(asked) + 1]

    async def _send(
        self, name: str, body: Mapping[str, Any], schema: Mapping[str, Any]
    ) -> tuple[str, int, str, float | None]:
        """(format asked for, HTTP status or 0, text, seconds that the server asks to wait)."""
        import aiohttp

        await self.gate.enter()
        # Read here and not before the gate: others may have learnt meanwhile which format the server knows.
        asked = self._format
        refused: bool | None = None
        status, text, retry_after = 0, "", None
        started = time.monotonic()
        try:
            if self.fatal is not None:
                raise self.fatal
            if self.is_closing:
                raise asyncio.CancelledError
            self._reserve()
            if self._session is None:
                self._session = self._open()
            async with self._session.post(
                f"{self.options.url}/chat/completions", json={**body, **_wanted(asked, schema)}
            ) as response:
                text = await response.text(errors="replace")
                status = response.status
                retry_after = _seconds(response.headers.get("Retry-After"))
            refused = status == 429
        except TimeoutError:
            text = f"no reply within {self.options.timeout_s:g} s"
        except aiohttp.ClientError as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            self.gate.leave(is_refused=refused)
        self.journal.count_attempt(name, str(status or "network"), time.monotonic() - started)
        return asked, status, text, retry_after

    def _reserve(self) -> None:
        most = self.options.max_requests
        if most is not None and self._sent >= most:
            self.fatal = TunesmithError(
                f"the limit of {most} requests is reached",
                where=f"{self.option}.max_requests",
                do="raise the limit and run again: the replies so far are kept and not asked for again",
            )
            raise self.fatal
        self._sent += 1

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self.options.timeout_s),
            connector=aiohttp.TCPConnector(limit=0),
        )

    def close_gate(self) -> None:
        """Lets no further request out; may be called from another thread."""
        self.is_closing = True

    async def served_models(self) -> list[str]:
        """Names of the models that the server offers."""
        import aiohttp

        try:
            if self._session is None:
                self._session = self._open()
            async with self._session.get(f"{self.options.url}/models") as response:
                if response.status in _STOPS - {404}:
                    raise self._stop(response.status, await response.text())
                listed = await response.json(content_type=None)
            return [str(entry["id"]) for entry in listed["data"]]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self.unreachable(f"{type(error).__name__}: {error}") from error
        except (ValueError, KeyError, TypeError):
            return []

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def unreachable(self, reason: str) -> MissingError:
        return MissingError(
            f"the server does not answer ({reason})",
            where=self.options.url,
            do=f"start it, or mend {self.option}.url",
        )

    def _stop(self, status: int, text: str) -> TunesmithError:
        """The error for a status that every further request would meet too."""
        said = f"HTTP {status}: {_shown(text)}"
        url, variable = self.options.url, self.options.api_key_env
        if status == 404:
            return MissingError(
                f"the server has no model {self.model!r}, or no /chat/completions at this address ({said})",
                where=url,
                do=f"mend {self.option}.model or {self.option}.url",
            )
        if status == 402:
            return TunesmithError(
                f"the server wants payment ({said})", where=url, do="top up the account, then run again"
            )
        named = f"the key in {variable}" if variable else "a request without a key"
        return MissingError(
            f"the server does not accept {named} ({said})",
            where=url,
            do=f"set {self.option}.api_key_env to the name of an environment variable that holds a valid key",
        )


def _wanted(form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    if form == "json_schema":
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": schema},
            }
        }
    return {"response_format": {"type": "json_object"}} if form == "json_object" else {}


def _envelope(text: str) -> Reply | None:
    """The first choice of a chat completion, or `None` when the text is none (a proxy's page, a cut body)."""
    try:
        data = json.loads(text)
        choice = data["choices"][0]
        content = choice["message"].get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    usage = data.get("usage") or {}
    return Reply(
        "answered",
        content if isinstance(content, str) else "",
        choice.get("finish_reason"),
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
    )


def _shown(text: str) -> str:
    """The server's complaint on one short line."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        error = json.loads(text)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    return " ".join(text.split())[:200]


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds from now: a number, or an HTTP date."""
    if retry_after is None:
        return None
    try:
        return min(max(float(retry_after), 0.0), 3600.0)
    except ValueError:
        pass
    try:
        return min(max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0), 3600.0)
    except (ValueError, TypeError):
        return None


def _jittered(number: int) -> float:
    return random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number))
