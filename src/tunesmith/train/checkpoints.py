"""Checkpoints one can trust after a power cut: each is marked complete last, with the size and checksum of its files.

A checkpoint without its mark, with a file that no longer matches, or of another run (other options, rows or weights)
is not used; the one before it is.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from tunesmith.records import Energy, as_row, from_row

MARK = "complete.json"
SECONDS_BETWEEN = 60.0
"""How often a run is saved where the options do not say."""
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    folder: Path
    step: int
    seconds: float
    """Training time up to here, over all sittings."""
    threads: int
    """CPU threads it was trained with: another number rounds differently."""
    energy: Energy | None = None
    """What this process took up to here, over all sittings."""


def mark_complete(
    folder: Path, *, key: str, seconds: float, threads: int, energy: Energy | None = None
) -> None:
    """Write the mark of a checkpoint whose files are all there."""
    files = {
        path.name: [path.stat().st_size, _checksum(path)]
        for path in sorted(folder.iterdir())
        if path.name != MARK
    }
    mark = {"key": key, "seconds": seconds, "threads": threads, "files": files}
    if energy is not None:
        mark["energy"] = as_row(energy)
    content = json.dumps(mark, indent=1)
    unfinished = folder / f"{MARK}.tmp"
    unfinished.write_text(content, encoding="utf-8")
    os.replace(unfinished, folder / MARK)


def hand_over(checkpoint: Checkpoint, checkpoints: Path, *, key: str) -> None:
    """Let the run called `key`, with its checkpoints in another folder, go on from here as if this were its own; and
    from the best weights so far, which lie beside."""
    shutil.rmtree(checkpoints, ignore_errors=True)
    copy = checkpoints / checkpoint.folder.name
    for source in sorted(checkpoint.folder.parent.iterdir()):
        if source.is_dir() and not source.name.startswith(_PREFIX):
            shutil.copytree(source, checkpoints / source.name)
    shutil.copytree(checkpoint.folder, copy, ignore=shutil.ignore_patterns(MARK))
    mark_complete(
        copy, key=key, seconds=checkpoint.seconds, threads=checkpoint.threads, energy=checkpoint.energy
    )


def newest_complete(checkpoints: Path, *, key: str) -> Checkpoint | None:
    """The last checkpoint of the run called `key` that is whole; those after it are removed, since they are not."""
    folders = [path for path in checkpoints.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    for folder in sorted(folders, key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True):
        found = _read(folder, key)
        if found is not None:
            return found
        shutil.rmtree(folder)
    return None


def _read(folder: Path, key: str) -> Checkpoint | None:
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        if mark["key"] != key:
            return None
        for name, (size, checksum) in mark["files"].items():
            path = folder / name
            if path.stat().st_size != size or _checksum(path) != checksum:
                return None
        step = int(folder.name.removeprefix(_PREFIX))
        return Checkpoint(
            folder,
            step,
            seconds=float(mark["seconds"]),
            threads=int(mark["threads"]),
            energy=from_row(Energy, mark["energy"]) if mark.get("energy") else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
