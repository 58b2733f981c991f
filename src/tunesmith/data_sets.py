"""Where tables lie: a file, a folder, a pattern, or a hub id, to files with the part each one is.

A folder is read as the hub reads it: parts by the `data_files` that its README names, else by file and folder names
(`train.jsonl`, `data/test-00000-of-00001.parquet`, `validation/…`). Nothing of a hub data set is executed.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError
from tunesmith.hub import DATA_SET, fetch
from tunesmith.records import SplitName
from tunesmith.tables import SUFFIXES

PART_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""The words the hub knows parts by."""
_PART_WORD = re.compile(r"[^a-z]+")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = [f"**{suffix}" for suffix in SUFFIXES] + ["README.md"]


@dataclass(frozen=True, slots=True)
class DataFile:
    path: Path
    name: str
    """What people know it by: the path as the plan or the hub has it."""
    part: SplitName | None
    """The part of the set that the file is; `None` for a set in one part."""


@dataclass(frozen=True, slots=True)
class Found:
    files: tuple[DataFile, ...]
    license: str | None = None
    """What the set's README says."""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Column to label to name, where the README tells them."""


def find_tables(asked: str, root: Path, *, subset: str | None = None, key: str = "data") -> Found:
    """The files of one set.

    Args:
        asked: what the user wrote: a path, a pattern, or a hub id.
        root: the folder that relative paths are relative to.
        subset: which configuration of a hub data set; `None`: its only or default one.
        key: what messages call the place where the user wrote it.

    Raises:
        InputError: there is no such file, or no table among the files.
        MissingError: it is a hub id, and the hub cannot be reached or knows no such set.
    """
    path = root / Path(asked).expanduser()
    where = f"{key}: {asked}"
    if path.is_file():
        return Found((DataFile(path, asked, None),))
    if path.is_dir():
        return _of_folder(path, asked, subset, where)
    if glob.has_magic(asked):
        paths = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
        files = [DataFile(one, _shown(one, root), None) for one in paths if _is_table(one)]
        if not files:
            raise InputError(
                "no table file matches the pattern",
                where=where,
                do=f"patterns are seen from {root.resolve()}; tables are {', '.join(SUFFIXES)}",
            )
        return Found(tuple(files))
    if is_hub_id(asked):
        folder = fetch(asked, _HUB_FILES, kind="dataset", where=where, advice=DATA_SET)
        return _of_folder(folder, asked, subset, where)
    raise InputError(
        "there is no such file or folder",
        where=where,
        do=f"paths are seen from {root.resolve()}; a hub id is of the form owner/name",
    )


def is_hub_id(asked: str) -> bool:
    """Whether a text has the form `owner/name` of a hub data set, and not that of a table file in a folder."""
    return bool(_HUB_ID.fullmatch(asked)) and not asked.lower().endswith(SUFFIXES)


def is_data_set(folder: Path) -> bool:
    """Whether a folder is laid out as a data set of the hub, or as `datasets` saves one, rather than as loose files."""
    if any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")):
        return True
    return not {"configs", "dataset_info"}.isdisjoint(_card(folder))


def _shown(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return str(path)


def _is_meant(path: Path, folder: Path) -> bool:
    """A table that is no hidden file and none of the notes and scratch files that `datasets` puts beside its own."""
    is_note = path.name in {"dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json"}
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return _is_table(path) and not is_note and not hidden and not path.name.startswith("cache-")


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _of_folder(folder: Path, asked: str, subset: str | None, where: str) -> Found:
    card = _card(folder)
    tables = sorted(path for path in folder.rglob("*") if path.is_file() and _is_meant(path, folder))
    name = asked.rstrip("/")
    files = _of_configuration(tables, folder, card, name, subset, where) or _in_parts(
        tables, folder, name, subset, where
    )
    if not files:
        raise InputError(
            "there is no table file in it",
            where=where,
            do=f"tables are {', '.join(SUFFIXES)}",
        )
    return Found(files, _license(card), _label_names(card, subset))


def _in_parts(
    paths: Iterable[Path], folder: Path, name: str, subset: str | None, where: str
) -> tuple[DataFile, ...]:
    """Files with the part that their name or folder says; a subset is a folder of that name."""
    found = []
    for path in paths:
        inner = path.relative_to(folder)
        if subset is not None and subset not in inner.parts[:-1]:
            continue
        found.append(DataFile(path, f"{name}/{inner.as_posix()}", _part_of(inner)))
    if subset is not None and not found:
        raise InputError(f"there is no configuration {subset!r}", where=where)
    return tuple(found)


def _part_of(path: Path) -> SplitName | None:
    """The part named by a file, or else by a folder it stands in."""
    for name in (path.stem, *reversed(path.parts[:-1])):
        for word in _PART_WORD.split(name.lower()):
            if word in PART_NAMES:
                return PART_NAMES[word]
    return None


def _card(folder: Path) -> Mapping[str, Any]:
    """The YAML head of the folder's README; empty where there is none."""
    import yaml

    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    head = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", text, re.DOTALL)
    try:
        card = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


def _license(card: Mapping[str, Any]) -> str | None:
    value = card.get("license")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    return None if value is None else str(value)


def _of_configuration(
    tables: list[Path], folder: Path, card: Mapping[str, Any], name: str, subset: str | None, where: str
) -> tuple[DataFile, ...]:
    """The files that the README's configuration names; empty where it names none."""
    configurations = [one for one in _list(card.get("configs")) if isinstance(one, Mapping)]
    if not configurations:
        return ()
    names = [str(one.get("config_name", "default")) for one in configurations]
    wanted = subset or ("default" if "default" in names else names[0] if len(names) == 1 else None)
    if wanted is None or wanted not in names:
        raise InputError(
            "the set has several configurations"
            if wanted is None
            else f"there is no configuration {wanted!r}",
            where=where,
            do=f"name one with subset: {', '.join(names)}",
        )
    found: list[DataFile] = []
    for part, patterns in _patterns(configurations[names.index(wanted)].get("data_files")):
        for path in tables:
            inner = path.relative_to(folder).as_posix()
            if any(fnmatch.fnmatch(inner, pattern) for pattern in patterns):
                found.append(DataFile(path, f"{name}/{inner}", part))
    return tuple(found)


def _patterns(value: Any) -> Iterable[tuple[SplitName | None, list[str]]]:
    """`data_files` as a pattern, a list of them, or a list of `{split, path}`."""
    plain = [part for part in _list(value) if isinstance(part, str)]
    if plain:
        yield None, plain
    for one in _list(value):
        if isinstance(one, Mapping):
            part = PART_NAMES.get(str(one.get("split", "")).lower())
            yield part, [str(path) for path in _list(one.get("path"))]


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _label_names(card: Mapping[str, Any], subset: str | None) -> dict[str, dict[str, str]]:
    """Names of class labels by column, from the card's `dataset_info`."""
    infos = [one for one in _list(card.get("dataset_info")) if isinstance(one, Mapping)]
    chosen = [one for one in infos if subset is None or one.get("config_name") in (None, subset)]
    found: dict[str, dict[str, str]] = {}
    for feature in _list(chosen[0].get("features")) if chosen else []:
        kind = feature.get("dtype") if isinstance(feature, Mapping) else None
        names = kind.get("class_label", {}).get("names") if isinstance(kind, Mapping) else None
        if isinstance(names, Mapping):
            found[str(feature.get("name"))] = {str(key): str(name) for key, name in names.items()}
        elif isinstance(names, list):
            found[str(feature.get("name"))] = {str(key): str(name) for key, name in enumerate(names)}
    return found


def labels_in_schema(path: Path) -> dict[str, dict[str, str]]:
    """Names of class labels by column that `datasets` wrote into a Parquet or Arrow file; empty for other files."""
    import json

    from pyarrow import ArrowInvalid, ipc, memory_map
    from pyarrow.parquet import read_schema

    try:
        if path.suffix.lower() == ".parquet":
            schema = read_schema(path)
        elif path.suffix.lower() == ".arrow":
            with memory_map(str(path)) as source:
                schema = ipc.open_stream(source).schema
        else:
            return {}
        notes = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except (ArrowInvalid, OSError, ValueError):
        return {}
    features = notes.get("info", {}).get("features", {})
    return {
        column: {str(number): str(name) for number, name in enumerate(feature["names"])}
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }
