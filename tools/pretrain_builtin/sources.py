"""Read the openly licensed sources and split them into training and held-out parts.

The split is by module (a chapter section of a book) or by story, decided by a hash of its name: a module is
either wholly in the training text or wholly held out, whatever order the files are read in.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_PERCENT = 3
BOILERPLATE = re.compile(
    r"^(preface|index|references|answer key|glossary|about|credits|acknowledge|bibliography)", re.I
)
SENTENCE_END = re.compile(r"(?<=[a-z0-9\)”\"’%][.!?])\s+(?=[A-Z“\"])|(?<=[.!?][”\"’])\s+(?=[A-Z“\"])")
ABBREVIATION = re.compile(
    r"\b(Dr|Mr|Mrs|Ms|St|vs|Fig|No|Jr|Sr|Inc|Co|Prof|Gen|Sen|Rep|etc|al|ca|cf|Vol|pp)\.$"
)


@dataclass(frozen=True)
class Section:
    """A titled piece of prose: headings and paragraphs in order."""

    group: str
    title: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A term with its meaning, or a question with its answer."""

    group: str
    head: str
    body: str


def is_held_out(group: str) -> bool:
    """The same answer on every machine: no random state, no order."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % 100 < HELD_OUT_PERCENT


def read_rows(path: Path) -> Iterator[dict[str, object]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def clean(text: str) -> str:
    """One kind of space, and no brackets left empty by a figure reference."""
    text = text.replace("\u00a0", " ").replace("\u200b", "")
    text = re.sub(r" ?\((?:see )?[, ]*\)", "", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def read_openstax(path: Path) -> tuple[list[Section], list[Entry], list[Entry]]:
    """Sections, definitions and answered exercises of the textbooks."""
    sections: list[Section] = []
    definitions: list[Entry] = []
    exercises: list[Entry] = []
    for row in read_rows(path):
        group, title, text = f"{row['book']}/{row['module']}", clean(str(row["title"])), str(row["text"])
        if row["kind"] == "section":
            if not BOILERPLATE.match(title):
                blocks = [clean(block) for block in text.split("\n\n")]
                sections.append(Section(group, title, tuple(block for block in blocks if block)))
            continue
        if "[formula]" in text + title or not text.strip() or not title:
            continue
        (definitions if row["kind"] == "definition" else exercises).append(Entry(group, title, clean(text)))
    return sections, definitions, exercises


def read_stories(path: Path) -> tuple[list[Section], list[Entry]]:
    """Stories as sections of unwrapped paragraphs, and their first question (the plot) with its shortest answer."""
    sections: list[Section] = []
    plots: list[Entry] = []
    for row in read_rows(path):
        group = f"squality/{row['id']}"
        paragraphs = [
            clean(re.sub(r"\s*\n\s*", " ", part)) for part in re.split(r"\n\s*\n", str(row["text"]))
        ]
        sections.append(Section(group, "", tuple(part for part in paragraphs if len(part) > 1)))
        for question in row["questions"]:  # type: ignore[attr-defined]
            shortest = min(question["answers"], key=len)
            plots.append(Entry(group, clean(question["question"]), clean(re.sub(r"\s+", " ", shortest))))
    return sections, plots


def read_wordnet(folder: Path) -> list[Entry]:
    """Nouns with the first part of their gloss (before examples and semicolons)."""
    entries: list[Entry] = []
    for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith("  ") or " | " not in line:
            continue
        fields, gloss = line.split(" | ", 1)
        word = fields.split()[4].replace("_", " ")
        meaning = re.sub(r"\([^)]*\)", "", gloss.split(";")[0]).strip()
        if 3 <= len(meaning.split()) <= 24 and re.fullmatch(r"[A-Za-z' -]+", word) and '"' not in meaning:
            entries.append(Entry(f"wordnet/{word}", word, clean(meaning)))
    return entries


def read_instructions(path: Path) -> list[tuple[str, str, str]]:
    """Instruction, input, output; rows with control characters or very long answers are left out."""
    kept = []
    for row in read_rows(path):
        fields = tuple(str(row[name]).strip() for name in ("instruction", "input", "output"))
        if (
            all(fields[::2])
            and sum(map(len, fields)) < 1500
            and not re.search(r"[\x00-\x08\x0b-\x1f]", "".join(fields))
        ):
            kept.append(fields)
    return kept  # type: ignore[return-value]


def sentences(text: str) -> list[str]:
    """Split prose into sentences; an abbreviation does not end one."""
    parts: list[str] = []
    for piece in SENTENCE_END.split(text):
        if parts and ABBREVIATION.search(parts[-1]):
            parts[-1] += " " + piece
        else:
            parts.append(piece)
    return [part.strip() for part in parts if part.strip()]


def is_prose(block: str) -> bool:
    """A paragraph good enough to be asked about: not a heading, list, formula or caption."""
    return (
        not block.startswith(("## ", "- ", "*", "|"))
        and "[formula]" not in block
        and len(block) > 60
        and block[-1] in '.!?”"'
        and "http" not in block
        and "openstax" not in block.lower()
    )
