"""WordNet from the plain files that distributions ship (Debian: `apt-get install wordnet-base`), read by NLTK's reader.

NLTK wants its own download: a `lexnames` file that Debian leaves out, and a folder on its own search path. Here the
files are opened where they are, and `lexnames`, which never changed since WordNet 1.6, is given from below.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
PARTS = ("adj", "adv", "noun", "verb")
NEEDED = (
    *(f"{kind}.{part}" for kind in ("index", "data") for part in PARTS),
    *(f"{part}.exc" for part in PARTS),
)
KNOWN_SYNONYMS = ("car", "automobile")
"""Two words that share a meaning in every WordNet: what a dictionary is tried with."""

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


def own_folder() -> Path:
    """Where `prepare_wordnet` puts a dictionary: among the user's data, for machines where nothing can be installed."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "tunesmith" / "wordnet"


def find_wordnet() -> Path | None:
    """The first folder with WordNet's dictionary files: the user's own, or one of those that distributions use."""
    return next((folder for folder in (own_folder(), *map(Path, FOLDERS)) if _has_files(folder)), None)


@dataclass(frozen=True, slots=True)
class WordNetFound:
    """What there is of WordNet on this machine."""

    folder: Path | None
    version: str | None
    works: bool
    """Whether METEOR will match synonyms with it."""
    words: str
    """What was found, and what to do where there is nothing or it does not work."""


def examine_wordnet() -> WordNetFound:
    """What METEOR will use on this machine, tried with two words that everybody calls synonyms.

    It changes nothing. A dictionary takes about a second to open.
    """
    folder = find_wordnet()
    if folder is None:
        return WordNetFound(
            None,
            None,
            False,
            "no WordNet: METEOR matches equal words and stems only (syn:off). For synonyms: apt-get install "
            "wordnet-base, or unpack a WordNet 3 anywhere and have it prepared",
        )
    try:
        wordnet = _wordnet(folder)
        first, second = (set(wordnet.synsets(word)) for word in KNOWN_SYNONYMS)
    except Exception as error:  # NLTK's reader fails on a damaged file with whatever it stumbles over
        return WordNetFound(
            folder, None, False, f"the WordNet in {folder} cannot be read ({error}): install it again"
        )
    if not first & second:
        pair = " and ".join(KNOWN_SYNONYMS)
        said = f"the WordNet in {folder} does not know that {pair} mean one thing: install it again"
        return WordNetFound(folder, wordnet.version, False, said)
    said = f"WordNet {wordnet.version} in {folder}: METEOR matches synonyms too (syn:nltk-stem)"
    return WordNetFound(folder, wordnet.version, True, said)


def prepare_wordnet(source: Path) -> WordNetFound:
    """Copies a dictionary to where `auto` finds it, for machines where nothing can be installed, and tries it.

    Args:
        source: a folder that holds index.noun, data.noun and the others, or one that has such a folder somewhere below,
            as an unpacked package has.

    Raises:
        MissingError: there is no WordNet in the folder.
    """
    found = next((folder for folder in _folders(source) if _has_files(folder)), None)
    if found is None:
        raise _not_wordnet(source)
    own = own_folder()
    if found.resolve() != own.resolve():
        own.parent.mkdir(parents=True, exist_ok=True)
        # whole or not at all: half a dictionary would be found, and fail in the middle of a run
        with tempfile.TemporaryDirectory(dir=own.parent) as place:
            fresh, old = Path(place) / "fresh", Path(place) / "old"
            fresh.mkdir()
            for name in NEEDED:
                shutil.copyfile(found / name, fresh / name)
            if own.exists():
                own.replace(old)
            fresh.replace(own)
        _wordnet.cache_clear()
    return examine_wordnet()


def _folders(source: Path) -> Iterator[Path]:
    yield source
    yield from sorted(path.parent for path in source.rglob("data.noun"))


def _not_wordnet(folder: Path) -> MissingError:
    return MissingError(
        "there is no WordNet dictionary in this folder",
        where=str(folder),
        do="name the folder that holds index.noun and data.noun, or set score.wordnet to auto or off",
    )


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
        raise _not_wordnet(folder)
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
