"""Replace what names a person or an account by typed placeholders, before any text leaves the machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith.errors import MissingError
from tunesmith.read.identifiers import (
    Finder,
    Found,
    Kind,
    find_cards,
    find_emails,
    find_ibans,
    find_ips,
    find_urls,
    phones_of,
    without_overlaps,
)
from tunesmith.read.rows import name_by_text
from tunesmith.records import Document, Note, content_id

ORDER: tuple[Kind, ...] = ("url", "email", "iban", "card", "ip", "phone", "person", "organisation")
"""Of two that overlap, the earlier kind is replaced: an address within a link goes with the link."""
NAMES: tuple[Kind, ...] = ("person", "organisation")
_WORDS: dict[Kind, tuple[str, str]] = {
    "email": ("e-mail address", "e-mail addresses"),
    "phone": ("phone number", "phone numbers"),
    "url": ("link", "links"),
    "card": ("card number", "card numbers"),
    "iban": ("IBAN", "IBANs"),
    "ip": ("IP address", "IP addresses"),
    "person": ("name of a person", "names of persons"),
    "organisation": ("name of an organisation", "names of organisations"),
}
RULE = "redacted_"
"""Notes of what was replaced have this rule, and the kind after it."""
_QUOTED = re.compile("“.*”", re.DOTALL)
_LABELS: dict[str, Kind] = {"PERSON": "person", "PER": "person", "ORG": "organisation"}
"""Labels of spaCy's pipelines: OntoNotes' in English ones, WikiNER's in most others."""


@dataclass(slots=True)
class Placeholders:
    """Gives each value its placeholder: the same value, the same number."""

    avoid: str = ""
    """A text whose own words must not be taken for placeholders."""
    numbers: dict[tuple[Kind, str], str] = field(default_factory=dict)
    last: Counter[Kind] = field(default_factory=Counter)

    def of(self, found: Found) -> str:
        known = self.numbers.get((found.kind, found.key))
        while known is None:
            self.last[found.kind] += 1
            name = f"[{found.kind.upper()}_{self.last[found.kind]}]"
            if name not in self.avoid:
                known = self.numbers[found.kind, found.key] = name
        return known


class Redactor:
    """Replaces some kinds of identifiers in documents.

    Args:
        kinds: which ones; none leaves every document as it is.
        region: country of phone numbers without a country code.
        model: spaCy pipeline for persons and organisations: the name of an installed one, or a folder.

    Raises:
        MissingError: spaCy or the pipeline is not installed, or the pipeline finds no names.
    """

    def __init__(self, kinds: Sequence[Kind], *, region: str | None = None, model: str | None = None) -> None:
        finders: dict[Kind, Finder] = {
            "url": find_urls,
            "email": find_emails,
            "iban": find_ibans,
            "card": find_cards,
            "ip": find_ips,
            "phone": phones_of(region),
        }
        self._finders = [finders[kind] for kind in ORDER if kind in kinds and kind in finders]
        names = {kind for kind in NAMES if kind in kinds}
        self._names = _names_of(names, model or "") if names else None
        self._of_sources = Placeholders()
        self._ids: set[str] = set()

    def find(self, text: str) -> list[Found]:
        """What is to be replaced, in the order of the text, without overlaps."""
        found: list[Found] = []
        rest = text
        for finder in self._finders:
            found = without_overlaps([*found, *finder(rest)])
            # Figures beside each other must not be taken for one number: +49 30 123456 192.168.0.1
            rest = _blanked(text, found)
        return found if self._names is None else without_overlaps([*found, *self._names(text)])

    def redact(self, document: Document, *, named_by: str = "path") -> Document | Note:
        """The document with placeholders in text, headings, title and notes, with its pages where they are now.

        The quotations in its notes are left out, since a word cut short is not recognised. Its name is a path of the
        user's and stays; what comes out of the cells of a table is redacted too, with numbers of its own.

        Returns:
            The document; a refusal where another row of the same source is now word for word the same.
        """
        if not self._finders and self._names is None:
            return document
        placeholders = Placeholders(avoid=document.text)
        found = self.find(document.text)
        text, page_starts = _replaced(document.text, found, placeholders, document.page_starts)
        source_id = self._source(document, text, named_by)
        id = content_id(source_id, text)
        if document.file:
            if id in self._ids:
                said = f"{document.origin}: another row is word for word the same once both are redacted"
                return Note(document.file, "duplicate_row", said, is_refusal=True)
            self._ids.add(id)
        notes = [
            replace(note, source_id=source_id, text=self._plain(_QUOTED.sub("“…”", note.text), placeholders))
            for note in document.notes
        ]
        return replace(
            document,
            id=id,
            source_id=source_id,
            title=self._plain(document.title, placeholders),
            text=text,
            page_starts=page_starts,
            notes=(*notes, *_told(source_id, found)),
        )

    def _plain(self, text: str, placeholders: Placeholders) -> str:
        return _replaced(text, self.find(text), placeholders, ())[0]

    def _source(self, document: Document, text: str, named_by: str) -> str:
        if named_by == "source":
            return self._plain(document.source_id, self._of_sources)
        if named_by == "id":
            key = document.source_id.removeprefix(f"{document.file}#")
            return f"{document.file}#{self._plain(key, self._of_sources)}"
        # A name made from the text is made anew: what was replaced cannot be guessed from it.
        return name_by_text(document.file, text) if named_by == "text" else document.source_id


def _blanked(text: str, found: Sequence[Found]) -> str:
    """The text, as long as before, with a sign that belongs to nothing in the place of what was found."""
    pieces: list[str] = []
    done = 0
    for one in found:
        pieces += [text[done : one.start], "\0" * (one.end - one.start)]
        done = one.end
    return "".join([*pieces, text[done:]]) if found else text


def _replaced(
    text: str, found: Sequence[Found], placeholders: Placeholders, page_starts: Sequence[int]
) -> tuple[str, tuple[int, ...]]:
    """The text with placeholders, and the page starts moved along; one within a replaced stretch comes after it."""
    pieces: list[str] = []
    moved: list[int] = []
    done = length = 0
    waiting = list(page_starts)[::-1]
    for one in found:
        while waiting and waiting[-1] <= one.start:
            moved.append(length + waiting.pop() - done)
        pieces += [text[done : one.start], placeholders.of(one)]
        length += len(pieces[-2]) + len(pieces[-1])
        done = one.end
        while waiting and waiting[-1] < done:
            waiting.pop()
            moved.append(length)
    moved += [length + start - done for start in reversed(waiting)]
    return "".join([*pieces, text[done:]]), tuple(moved)


def _told(source_id: str, found: Sequence[Found]) -> Iterator[Note]:
    counts = Counter(one.kind for one in found)
    for kind in ORDER:
        if counts[kind]:
            different = len({one.key for one in found if one.kind == kind})
            words = _WORDS[kind][counts[kind] != 1]
            said = f"Replaced {counts[kind]} {words}, {different} different, by [{kind.upper()}_…]"
            yield Note(source_id, RULE + kind, said, count=counts[kind])


def _names_of(kinds: set[Kind], model: str) -> Finder:
    nlp = _pipeline(model)

    def find(text: str) -> Iterator[Found]:
        # By paragraph: a pipeline takes a million letters at most, and no name runs over a paragraph.
        lines = [(match.start(), match[0]) for match in re.finditer(r"[^\n]+", text)]
        pieces = [
            (start + at, line[at : at + _LONGEST])
            for start, line in lines
            for at in range(0, len(line), _LONGEST)
        ]
        read = nlp.pipe((piece for _, piece in pieces), batch_size=64)
        for (start, _), doc in zip(pieces, read, strict=True):
            for entity in doc.ents:
                kind = _LABELS.get(entity.label_)
                if kind in kinds and kind is not None:
                    key = " ".join(entity.text.casefold().split())
                    yield Found(start + entity.start_char, start + entity.end_char, kind, key)

    return find


_LONGEST = 100_000
"""Letters given to the pipeline at once."""
_NOT_NEEDED = ["parser", "lemmatizer", "textcat"]


def _pipeline(model: str) -> Any:
    where = "read.redact"
    try:
        import spacy
    except ImportError:
        raise MissingError(
            "names of persons and organisations are found by spaCy, which is not installed",
            where=where,
            do="install it with: pip install 'tunesmith[names]'; or leave out person and organisation",
        ) from None
    try:
        nlp = spacy.load(model, exclude=_NOT_NEEDED)
    except OSError:
        raise MissingError(
            f"there is no spaCy pipeline {model!r} on this machine",
            where="read.redact_model",
            do=f"fetch it once with: python -m spacy download {model}; or name a folder that holds one",
        ) from None
    if not {"ner", "entity_ruler", "span_ruler"} & set(nlp.pipe_names):
        raise MissingError(
            f"the spaCy pipeline {model!r} finds no names: it has no ner",
            where="read.redact_model",
            do="name one that has, such as en_core_web_sm",
        )
    return nlp
