"""WordNet from the plain files that distributions ship (Debian: `apt-get install wordnet-base`), read by NLTK's reader.

NLTK wants its own download: a `lexnames` file that Debian leaves out, and a folder on its own search path. Here the
files are opened where they are, and `lexnames`, which never changed since WordNet 1.6, is given from below.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from tunesmith.errors import MissingError

FOLDERS = (
    "/usr/share/wordnet",
    "/usr/local/share/wordnet",
    "/usr/share/wordnet/dict",
    "/opt/homebrew/share/wordnet",
)
NEEDED = tuple(f"{kind}.{part}" for kind in ("index", "data") for part in ("adj", "adv", "noun", "verb"))

LEXICOGRAPHER_FILES: tuple[tuple[str, str], ...] = (
    ("adj", "all pert"),
    ("adv", "all"),
    (
        "noun",
        "Tops act animal artifact attribute body cognition communication event feeling food group location",
    ),
    (
        "noun",
        "motive object person phenomenon plant possession process quantity relation shape state substance time",
    ),
    (
        "verb",
        "body change cognition communication competition consumption contact creation emotion motion perception",
    ),
    ("verb", "possession social stative weather"),
    ("adj", "ppl"),
)
"""Part of speech and subjects, in the order of their numbers 0 to 44: manual page lexnames(5WN)."""
PART_OF_SPEECH = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


class WordNet:
    """What METEOR asks of WordNet: the synsets of a word, remembered. The files are read at the first question."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = _version(folder)

    @cached_property
    def synsets(self) -> Callable[[str], list[Any]]:
        return lru_cache(maxsize=2**17)(_open_reader(self.folder).synsets)


def find_wordnet() -> Path | None:
    """The first of the usual folders that holds WordNet's dictionary files."""
    return next((Path(folder) for folder in FOLDERS if _has_files(Path(folder))), None)


def open_wordnet(place: str) -> WordNet | None:
    """WordNet from a folder; with `auto` from where distributions put it, `None` if it is not there or with `off`.

    Raises:
        MissingError: a folder was named and has no WordNet in it.
    """
    if place == "off":
        return None
    folder = find_wordnet() if place == "auto" else Path(place)
    if folder is None:
        return None
    if not _has_files(folder):
        raise MissingError(
            "there is no WordNet dictionary in this folder",
            where=str(folder),
            do="name the folder that holds index.noun and data.noun, or set score.wordnet to auto or off",
        )
    return _wordnet(folder)


def _has_files(folder: Path) -> bool:
    return all((folder / name).is_file() for name in NEEDED)


@cache
def _wordnet(folder: Path) -> WordNet:
    return WordNet(folder)


def _version(folder: Path) -> str:
    """The version in the licence that each data file begins with."""
    with (folder / "data.adj").open(encoding="utf8") as file:
        head = "".join(line for _, line in zip(range(30), file, strict=False))
    found = re.search(r"WordNet (\d+\.\d+) Copyright", head)
    return found[1] if found else "unknown"


def _open_reader(folder: Path) -> Any:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.data import PathPointer, SeekableUnicodeStreamReader

    class Place(PathPointer):  # type: ignore[misc]  # NLTK has no types
        """A file or folder outside NLTK's own data folders; opened for reading only, by the reader below."""

        def __init__(self, path: Path) -> None:
            self.path = path

        def open(self, encoding: str = "utf8") -> Any:
            data = _lexnames() if self.path.name == "lexnames" else self.path.read_bytes()
            return SeekableUnicodeStreamReader(io.BytesIO(data), encoding)

        def file_size(self) -> int:
            return self.path.stat().st_size

        def join(self, fileid: str) -> Place:
            return Place(self.path / fileid)

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        def open(self, file: str) -> Any:
            return self._root.join(file).open()

        def map_wn(self, version: str = "wordnet") -> None:
            """Maps other WordNets' numbers onto this one: METEOR has no use for it, and it asks for a download."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other languages are not available
        return Reader(Place(folder), None)


def _lexnames() -> bytes:
    names = [(part, subject) for part, subjects in LEXICOGRAPHER_FILES for subject in subjects.split()]
    lines = [
        f"{number:02}\t{part}.{subject}\t{PART_OF_SPEECH[part]}\n"
        for number, (part, subject) in enumerate(names)
    ]
    return "".join(lines).encode()
