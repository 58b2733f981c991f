"""Which files the user means: files, folders and globs to a sorted list, each with the name it goes by."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import InputError

IGNORED_NAMES = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class FoundFile:
    path: Path
    source_id: str
    """Path relative to the folder the user named, with forward slashes; it names the document in every record."""


def find_files(documents: str | Sequence[str], root: Path) -> list[FoundFile]:
    """All files that are meant, sorted by the name they go by; a file named twice counts once.

    Hidden files and folders (a leading dot) are left out unless named themselves.

    Raises:
        InputError: a path or a glob finds nothing, or all of them hold no file.
    """
    asked = [documents] if isinstance(documents, str) else list(documents)
    found: dict[Path, FoundFile] = {}
    for text in asked:
        for file in _find(text, root):
            found.setdefault(file.path.resolve(), file)
    if not found:
        raise InputError(
            "there is no file in it" if len(asked) == 1 else "there is no file in any of them",
            where=f"read.documents: {', '.join(asked)}",
            do=f"Put PDF, Markdown, text or HTML files there, or name another folder (seen from {root.resolve()}).",
        )
    return _with_distinct_names(found.values())


def _find(text: str, root: Path) -> list[FoundFile]:
    path = root / Path(text).expanduser()
    if path.is_file():
        return [FoundFile(path, path.name)]
    if path.is_dir():
        return [
            FoundFile(file, file.relative_to(path).as_posix())
            for file in sorted(path.rglob("*"))
            if _is_meant(file, path)
        ]
    if glob.has_magic(text):
        return _find_glob(text, root)
    raise InputError(
        "there is no such file or folder",
        where=f"read.documents: {text}",
        do=f"Paths are seen from {root.resolve()}. Name a file, a folder, or a pattern such as docs/*.pdf.",
    )


def _find_glob(text: str, root: Path) -> list[FoundFile]:
    """Names are relative to the part of the pattern before its first wildcard."""
    pattern = str(root / Path(text).expanduser())
    fixed = Path(pattern)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    files = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [file for file in files if _is_meant(file, fixed)]
    if not files:
        raise InputError(
            "no file matches the pattern",
            where=f"read.documents: {text}",
            do=f"Patterns are seen from {root.resolve()}; ** stands for any folders.",
        )
    return [FoundFile(file, file.relative_to(fixed).as_posix()) for file in files]


def _is_meant(file: Path, base: Path) -> bool:
    parts = file.relative_to(base).parts
    return (
        file.is_file()
        and not any(part.startswith(".") for part in parts)
        and file.name.lower() not in IGNORED_NAMES
    )


def _with_distinct_names(files: Iterable[FoundFile]) -> list[FoundFile]:
    """Two folders may hold files of one name: those go by their folder's name too, and by more of it if need be."""
    named = sorted(files, key=lambda file: (file.source_id, str(file.path)))
    counts: dict[str, int] = {}
    for file in named:
        counts[file.source_id] = counts.get(file.source_id, 0) + 1
    distinct = []
    for file in named:
        name = file.source_id
        if counts[name] > 1:
            depth = len(Path(name).parts)
            same = [other.path.parts for other in named if other.source_id == name]
            while len({parts[-depth:] for parts in same}) < len(same) and depth < max(map(len, same)):
                depth += 1
            name = "/".join(part.strip("/") for part in file.path.parts[-depth:])
        distinct.append(FoundFile(file.path, name))
    return sorted(distinct, key=lambda file: file.source_id)
