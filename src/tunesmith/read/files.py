"""Which files the user means: files, folders and globs to a sorted list, each with the name it goes by."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data_sets import find_tables, is_data_set, is_hub_id
from tunesmith.errors import InputError
from tunesmith.records import SplitName

IGNORED_NAMES = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class FoundFile:
    path: Path
    source_id: str
    """Path relative to the folder the user named, with forward slashes; it names the document in every record."""


def find_files(
    documents: str | Sequence[str], root: Path, *, subset: str | None = None, take: SplitName | None = None
) -> list[FoundFile]:
    """All files that are meant, sorted by the name they go by; a file named twice counts once.

    Hidden files and folders (a leading dot) are left out unless named themselves. Of a data set, which is a hub id or a
    folder laid out as one, only its tables are meant.

    Args:
        documents: paths, patterns and hub ids.
        root: the folder that relative paths start from.
        subset: which configuration of a data set; `None`: its only or default one.
        take: which part of a data set; `None`: all of them.

    Raises:
        InputError: a path or a glob finds nothing, or all of them hold no file; or `subset` or `take` have no effect.
        MissingError: a hub data set is not to be had.
    """
    asked = [documents] if isinstance(documents, str) else list(documents)
    found: dict[Path, FoundFile] = {}
    n_sets = 0
    for text in asked:
        of_set = _find_in_set(text, root, subset, take)
        n_sets += of_set is not None
        for file in of_set if of_set is not None else _find(text, root):
            found.setdefault(file.path.resolve(), file)
    for key, value in (("subset", subset), ("take", take)):
        if value is not None and not n_sets:
            raise InputError(
                "this has no effect: no data set is among the documents",
                where=f"read.{key}: {value}",
                do="leave it out, or name a hub id or a folder laid out as one in read.documents",
            )
    if not found:
        raise InputError(
            "there is no file in it" if len(asked) == 1 else "there is no file in any of them",
            where=f"read.documents: {', '.join(asked)}",
            do="Put PDF, Word, Markdown, text, HTML or table files there, or name another folder"
            f" (seen from {root.resolve()}).",
        )
    return _with_distinct_names(found.values())


def _find_in_set(text: str, root: Path, subset: str | None, take: SplitName | None) -> list[FoundFile] | None:
    """The tables of a data set; `None` where the text names none."""
    path = root / Path(text).expanduser()
    if path.exists() or glob.has_magic(text):
        if not (path.is_dir() and is_data_set(path)):
            return None
    elif not is_hub_id(text) or path.suffix.lower() in _DOCUMENT_SUFFIXES:
        return None
    key = "read.documents"
    files = find_tables(text, root, subset=subset, key=key).files
    parts = sorted({file.part for file in files if file.part is not None})
    chosen = [file for file in files if take is None or file.part in (take, None)]
    if not chosen:
        raise InputError(
            f"the set has no {take} part; its parts are {', '.join(parts)}",
            where=f"{key}: {text}",
            do="leave out read.take, or name another",
        )
    prefix = text.rstrip("/") + "/" if path.exists() else ""
    return [FoundFile(file.path, file.name.removeprefix(prefix)) for file in chosen]


_DOCUMENT_SUFFIXES = {".pdf", ".docx", ".md", ".markdown", ".txt", ".text", ".rst", ".html", ".htm", ".xhtml"}
"""`reports/a.pdf` is a file that is missing, not a data set of the hub."""


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
