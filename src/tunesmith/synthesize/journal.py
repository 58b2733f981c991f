"""Every reply of a model teacher, kept by the content of its request: nothing is paid for twice.

One SQLite file in WAL mode. Replies are committed in groups (each 50 ms, or 64 of them), so that a killed
run loses at most the requests that were in flight and those of the last group; a database torn by the kill
heals itself on opening."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import InputError
from tunesmith.records import content_id

GROUP, GROUP_S = 64, 0.05
_SCHEMA = """
CREATE TABLE IF NOT EXISTS reply (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, url TEXT NOT NULL, request BLOB NOT NULL, reply BLOB NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
    at REAL NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, seconds REAL NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said to one request, for good: another try would say the same."""

    outcome: Literal["answered", "rejected"]
    """`rejected`: the server does not take this request (HTTP 400, 413, 422)."""
    text: str
    """The message's content, or the server's complaint."""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    requests: int
    """Sent, with every retry."""
    replies: int
    prompt_tokens: int
    completion_tokens: int


def request_key(url: str, body: Mapping[str, Any]) -> str:
    """Names a request by its content: server, model, messages and settings."""
    return content_id(
        url, json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")), length=32
    )


class Journal:
    """Raises `InputError` when the file is no journal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = 0
        self._since = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Opened by the caller, used by the thread that sends: never by two at once.
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
        except (sqlite3.DatabaseError, OSError) as error:
            raise InputError(
                f"the journal of the teacher's replies cannot be used: {error}",
                where=str(path),
                do="move the file away to start anew (replies in it are then asked for again), or free the disk",
            ) from error

    def get(self, key: str) -> Reply | None:
        row = self._database.execute("SELECT reply FROM reply WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(**json.loads(zlib.decompress(row[0])))

    def put(self, key: str, url: str, body: Mapping[str, Any], reply: Reply) -> None:
        self._begin()
        self._database.execute(
            "INSERT OR REPLACE INTO reply VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                str(body.get("model")),
                url,
                _packed(body),
                _packed(asdict(reply)),
                reply.prompt_tokens,
                reply.completion_tokens,
            ),
        )
        self._written()

    def count_attempt(self, key: str, status: str, seconds: float) -> None:
        """Notes that a request went out, whatever came of it."""
        self._begin()
        self._database.execute("INSERT INTO attempt VALUES (?, ?, ?, ?)", (time.time(), key, status, seconds))
        self._written()

    def usage(self) -> Usage:
        (requests,) = self._database.execute("SELECT COUNT(*) FROM attempt").fetchone()
        row = self._database.execute(
            "SELECT COUNT(*), TOTAL(prompt_tokens), TOTAL(completion_tokens) FROM reply"
        ).fetchone()
        return Usage(requests, row[0], int(row[1]), int(row[2]))

    def commit(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")
        self._waiting, self._since = 0, time.monotonic()

    def close(self) -> None:
        self.commit()
        self._database.close()

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN")

    def _written(self) -> None:
        self._waiting += 1
        if self._waiting >= GROUP or time.monotonic() - self._since >= GROUP_S:
            self.commit()


def _packed(value: Any) -> bytes:
    return zlib.compress(
        json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass"), 1
    )
