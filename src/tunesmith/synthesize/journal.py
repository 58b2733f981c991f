"""Every reply of a teacher, kept by the content of its request: nothing is paid for twice.

One SQLite file in WAL mode. A thread of its own commits replies in groups (each 20 ms, or 200 of them), so
that a killed run loses at most the requests that were in flight and those of the last group, of which the
client lets no more come together than may be in flight; a database torn by the kill heals itself on opening."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import InputError, TunesmithError
from tunesmith.synthesize.request import Request

GROUP, GROUP_S = 200, 0.02
_VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS reply (
    key TEXT NOT NULL UNIQUE, model TEXT NOT NULL, address TEXT NOT NULL, request BLOB NOT NULL,
    outcome TEXT NOT NULL, text BLOB NOT NULL, finish_reason TEXT,
    prompt_tokens INTEGER, completion_tokens INTEGER, first_tokens TEXT
);
CREATE TABLE IF NOT EXISTS attempt (
    at REAL NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, seconds REAL NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL
);
CREATE TABLE IF NOT EXISTS session (started REAL PRIMARY KEY, seconds REAL NOT NULL);
"""
_SUMS = """
SELECT COUNT(*), TOTAL(status = '200'), TOTAL(prompt_tokens), TOTAL(completion_tokens), TOTAL(cost),
       TOTAL(CASE WHEN cost IS NULL THEN prompt_tokens END),
       TOTAL(CASE WHEN cost IS NULL THEN completion_tokens END)
FROM attempt
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said to one request, for good: another try would say the same."""

    outcome: Literal["answered", "rejected"]
    """`rejected`: the server does not take this request (HTTP 400, 413, 422)."""
    text: str
    """The message's content, or the server's complaint."""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_tokens: Mapping[str, float] | None = None
    """ln p of the likeliest first tokens, where they were asked for and told."""


@dataclass(frozen=True, slots=True)
class Usage:
    requests: int
    """Sent, with every retry."""
    replies: int
    prompt_tokens: int
    completion_tokens: int
    money: float = 0.0
    """What was paid at the prices of the time."""
    unpriced: tuple[int, int] = (0, 0)
    """Tokens of prompts and replies that came while no prices were given."""
    seconds: float = 0.0
    """From each run's first request to its last reply."""


class Journal:
    """Any thread may use it. Raises `InputError` when the file is no journal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = threading.Lock()
        self._waiting: dict[str, Reply] = {}
        """Replies on their way to the file."""
        self.on_saved: Callable[[], None] | None = None
        """Told, on the journal's thread, whenever replies have reached the file."""
        # Deques, because their ends may be used from several threads without a lock.
        self._rows: deque[tuple[Request, str, str, Reply]] = deque()
        self._attempts: deque[tuple[Any, ...]] = deque()
        self._session: deque[tuple[float, float]] = deque(maxlen=1)
        self._writing = threading.Lock()
        self._something, self._enough = threading.Event(), threading.Event()
        self._is_closing = False
        self._trouble: TunesmithError | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = _opened(path)
            self._writer = _opened(path)
        except (sqlite3.DatabaseError, OSError) as error:
            raise _unusable(path, error) from error
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    @property
    def n_unsaved(self) -> int:
        """Replies that a kill would lose."""
        return len(self._waiting)

    def hurry(self) -> None:
        """Writes what waits now, and not when its group is full."""
        self._enough.set()

    def get(self, key: str) -> Reply | None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting
        with self._reading:
            row = self._reader.execute(
                "SELECT outcome, text, finish_reason, prompt_tokens, completion_tokens, first_tokens"
                " FROM reply WHERE key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        first_tokens = None if row[5] is None else json.loads(row[5])
        return Reply(row[0], _unpacked(row[1]), row[2], row[3], row[4], first_tokens)

    def put(self, request: Request, model: str, address: str, reply: Reply) -> None:
        """Keeps a reply. Raises what the file's disk raised while earlier ones were written."""
        if self._trouble is not None:
            raise self._trouble
        self._waiting[request.key] = reply
        self._rows.append((request, model, address, reply))
        self._notice()

    def count_attempt(
        self, key: str, status: str, seconds: float, reply: Reply | None = None, cost: float | None = None
    ) -> None:
        """Notes that a request went out, whatever came of it."""
        tokens = (None, None) if reply is None else (reply.prompt_tokens, reply.completion_tokens)
        self._attempts.append((time.time(), key, status, seconds, *tokens, cost))
        self._notice()

    def count_seconds(self, started: float, seconds: float) -> None:
        """How long the run that began asking at `started` (Unix time) has been asking."""
        self._session.append((started, seconds))
        self._notice()

    def usage(self) -> Usage:
        """Over all runs."""
        self.commit()
        with self._reading:
            sums = self._reader.execute(_SUMS).fetchone()
            (seconds,) = self._reader.execute("SELECT TOTAL(seconds) FROM session").fetchone()
        requests, replies, prompt, completion, money, free_prompt, free_completion = sums
        return Usage(
            requests,
            int(replies),
            int(prompt),
            int(completion),
            money,
            (int(free_prompt), int(free_completion)),
            seconds,
        )

    def has_replies_of(self, address: str) -> bool:
        """Whether that server ever answered."""
        with self._reading:
            found = self._reader.execute(
                "SELECT 1 FROM reply WHERE address = ? LIMIT 1", (address,)
            ).fetchone()
        return found is not None

    def mean_seconds(self) -> float | None:
        """How long a request took that was answered; `None` before one was."""
        with self._reading:
            (mean,) = self._reader.execute("SELECT AVG(seconds) FROM attempt WHERE status = '200'").fetchone()
        return None if mean is None else float(mean)

    def commit(self) -> None:
        """Returns when all that was kept so far is in the file."""
        try:
            with self._writing:
                self._write_group()
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error

    def close(self) -> None:
        self._is_closing = True
        self._enough.set()
        self._something.set()
        self._thread.join()
        try:
            self.commit()
        finally:
            self._reader.close()
            self._writer.close()

    def _notice(self) -> None:
        if not self._something.is_set():
            self._something.set()
        if len(self._attempts) >= GROUP:
            self._enough.set()

    def _write(self) -> None:
        while not self._is_closing:
            self._something.wait()
            self._enough.wait(GROUP_S)
            self._something.clear()
            self._enough.clear()
            try:
                self.commit()
            except TunesmithError as error:
                self._trouble = error
                return

    def _write_group(self) -> None:
        rows, attempts, session = _taken(self._rows), _taken(self._attempts), _taken(self._session)
        if not (rows or attempts or session):
            return
        packed = [
            (
                request.key,
                model,
                address,
                _packed(request.text),
                reply.outcome,
                _packed(reply.text),
                reply.finish_reason,
                reply.prompt_tokens,
                reply.completion_tokens,
                None if reply.first_tokens is None else json.dumps(dict(reply.first_tokens)),
            )
            for request, model, address, reply in rows
        ]
        with _transaction(self._writer):
            self._writer.executemany("INSERT OR REPLACE INTO reply VALUES (?,?,?,?,?,?,?,?,?,?)", packed)
            self._writer.executemany("INSERT INTO attempt VALUES (?,?,?,?,?,?,?)", attempts)
            self._writer.executemany("INSERT OR REPLACE INTO session VALUES (?, ?)", session)
        for request, *_ in rows:
            self._waiting.pop(request.key, None)
        if rows and self.on_saved is not None:
            self.on_saved()


def _taken(waiting: deque[Any]) -> list[Any]:
    return [waiting.popleft() for _ in range(len(waiting))]


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=60)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    tables = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if version == 2 and tables:
        with _transaction(database):  # another process may be at it as well
            if database.execute("PRAGMA user_version").fetchone() == (2,):
                database.execute("ALTER TABLE reply ADD COLUMN first_tokens TEXT")
                database.execute(f"PRAGMA user_version={_VERSION}")
    elif version != _VERSION and tables:
        raise sqlite3.DatabaseError("it was written by another version of tunesmith")
    database.executescript(_SCHEMA)
    database.execute(f"PRAGMA user_version={_VERSION}")
    return database


def _unusable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the journal of the model's replies cannot be used: {error}",
        where=str(path),
        do="move the file away to start anew (replies in it are then asked for again), or free the disk",
    )


def _packed(text: str) -> bytes:
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def _unpacked(data: bytes) -> str:
    return zlib.decompress(data).decode("utf-8", "surrogatepass")


def models_in(path: Path, address: str) -> list[str]:
    """The models of that server whose replies the journal holds; no file is made where there is none."""
    if not path.exists():
        return []
    with closing(_opened(path)) as database:
        rows = database.execute("SELECT DISTINCT model FROM reply WHERE address = ?", (address,)).fetchall()
    return sorted(row[0] for row in rows)
