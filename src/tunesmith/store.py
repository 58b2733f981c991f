"""The run folder: rows that survive a kill, and stages that know whether they are done.

    runs/NAME/
      plan.yaml            the plan as it was resolved
      manifest.json        one entry a stage, for people and for the report
      read/ … report/      one folder a stage: its rows, and stage.json (key, status, what it took)
      kept/STAGE-KEY/      results of earlier settings; they come back when the setting does
      journal.sqlite       every reply of a paid teacher, shared by all settings

A stage's key is the hash of its options, its inputs and its code. A stage folder with the right key and status `done`
is not run again. Only the pipeline writes here.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tunesmith.errors import InputError, MissingError, TunesmithError
from tunesmith.records import as_row, from_row

Record = TypeVar("Record")

SOURCE_SUFFIXES = {".py", ".j2", ".jinja", ".css", ".js", ".txt", ".json"}
"""Files of the package that make a result what it is."""


def fingerprint(value: Any) -> str:
    """BLAKE2b of the value as canonical JSON: equal for equal content, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def file_fingerprint(path: Path) -> str:
    """BLAKE2b of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def code_fingerprint(*folders: Path) -> str:
    """BLAKE2b over the source files of the folders or files, so that changed code never passes for the old result."""
    digest = hashlib.blake2b(digest_size=16)
    for folder in folders:
        files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in files:
            if path.suffix in SOURCE_SUFFIXES and path.is_file():
                digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@contextmanager
def told_when_full(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one message."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "no permission to write",
        }
        if error.errno not in reasons:
            raise
        raise MissingError(
            f"{reasons[error.errno]}; what was made before is kept",
            where=str(path),
            do="make room, or name another folder with --out, and run the same command again: it goes on from here",
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """All of the text or nothing of it: a kill in the middle leaves the old file."""
    with told_when_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_rows(path: Path, record_type: type[Record]) -> Iterator[Record]:
    """The records of a JSONL file. A torn last line (the process was killed while writing it) is passed over."""
    for row in read_json_lines(path):
        yield from_row(record_type, row)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"not a JSON row: {error}",
                    where=f"{path}:{number}",
                    do="the file was changed by hand; remove its stage folder to make it again",
                ) from None


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Plain rows as the text of a JSONL file."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


class RowWriter:
    """Appends records to a JSONL file, each at once on disk as far as the process is concerned.

    A torn last line of an earlier run is cut off first, so that the file is always whole rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with told_when_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _cut_torn_line(path)
            # Unbuffered: what was written is the system's business at once, and closing cannot fail.
            self._file = path.open("ab", buffering=0)

    def write(self, record: Any) -> None:
        line = json.dumps(as_row(record), ensure_ascii=False, allow_nan=False) + "\n"
        rest = memoryview(line.encode("utf-8", "surrogatepass"))
        with told_when_full(self.path):
            # A nearly full disk takes part of it; the next attempt then says so.
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        try:
            with told_when_full(self.path):
                os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        position = size
        while position > 0:
            step = min(65536, position)
            file.seek(position - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                file.truncate(position - step + newline + 1)
                return
            position -= step
        if size:
            file.truncate(0)


@dataclass
class StageState:
    """What `stage.json` holds."""

    stage: str
    key: str
    status: str = "running"
    """`running` until everything is written, then `done`."""
    seconds: float = 0.0
    """Wall time spent, over all the attempts that made it."""
    peak_memory_mb: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    """What the work took, where a stage measures more than time and memory."""
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    """What the key was made from, beside the options."""


class Run:
    """One run folder. Hold it with `with`: two processes cannot write the same run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: TextIO | None = None

    def __enter__(self) -> Run:
        try:
            with told_when_full(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = (self.folder / ".lock").open("a+")
        except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InputError(
                f"this cannot be the run folder: {error.strerror}",
                where=str(self.folder),
                do="name another folder with --out",
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise TunesmithError(
                "another tunesmith process is working in this run folder",
                where=str(self.folder),
                do="wait for it to end, or name another folder with --out",
            ) from None
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    def stage_folder(self, stage: str) -> Path:
        return self.folder / stage

    def state(self, stage: str) -> StageState | None:
        return _read_state(self.stage_folder(stage))

    def is_done(self, stage: str, key: str) -> bool:
        """Whether the result for this key is at hand, in place or among what was kept."""
        for folder in (self.stage_folder(stage), self._kept(stage, key)):
            state = _read_state(folder)
            if state and state.key == key and state.status == "done":
                return True
        return False

    def begin(self, stage: str, key: str) -> StageState:
        """Make the stage's folder hold this key: go on with it, bring it back, or start it anew.

        A result of another key is moved to `kept/`, never deleted.
        """
        folder = self.stage_folder(stage)
        state = _read_state(folder)
        if state and state.key == key:
            return state
        with told_when_full(folder):
            if folder.exists():
                self._put_aside(folder, stage, state)
            kept = self._kept(stage, key)
            if kept.exists():
                kept.replace(folder)
                brought_back = _read_state(folder)
                if brought_back:
                    return brought_back
            folder.mkdir(parents=True, exist_ok=True)
        return StageState(stage, key)

    def _put_aside(self, folder: Path, stage: str, state: StageState | None) -> None:
        if state is None and not any(folder.iterdir()):
            folder.rmdir()
            return
        # A folder without a readable state was killed before its first row, or is the user's own: kept all the same.
        place = self._kept(stage, state.key if state else file_safe_time(folder))
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.replace(place)

    def _kept(self, stage: str, key: str) -> Path:
        return self.folder / "kept" / f"{stage}-{key[:16]}"

    def save(self, state: StageState) -> None:
        write_json(self.stage_folder(state.stage) / "stage.json", asdict(state))

    def write_manifest(self, head: Mapping[str, Any], stages: Iterable[str]) -> dict[str, Any]:
        """`manifest.json`: `head` and the state of every stage that has one."""
        states = {stage: asdict(state) for stage in stages if (state := self.state(stage))}
        manifest = {**head, "stages": states}
        write_json(self.folder / "manifest.json", manifest)
        return manifest


def file_safe_time(folder: Path) -> str:
    """A name for a folder that has no key: the nanosecond it was last changed."""
    return f"unknown{folder.stat().st_mtime_ns}"


def _read_state(folder: Path) -> StageState | None:
    try:
        return StageState(**json.loads((folder / "stage.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
