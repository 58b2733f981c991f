"""Finished rows to examples: each row of a set is read in the set's format, and what cannot be used says why."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.data_sets import PART_NAMES, DataFile, Found, labels_in_schema
from tunesmith.errors import GateError, InputError
from tunesmith.prepare.formats import (
    SHORT_LIST,
    Asked,
    BadRow,
    Columns,
    FormatName,
    Recognised,
    read_asked,
    recognise,
)
from tunesmith.prepare.options import FORMAT_NAMES, DataOptions
from tunesmith.prepare.prompts import student_prompt, transcript
from tunesmith.prepare.sources import find_data
from tunesmith.records import Example, Kind, Refused, SplitName, content_id
from tunesmith.tables import TableRow, read_table_leniently

SHOWN = 3
Labels = Mapping[str, Mapping[str, str]]


@dataclass(slots=True)
class DataFacts:
    """What was found in one set; complete once its examples were all taken."""

    name: str
    license: str | None = None
    formats: list[str] = field(default_factory=list)
    """Formats of its files, each once."""
    also_fits: list[str] = field(default_factory=list)
    """Formats that the rows fit as well, and were not read as."""
    files: int = 0
    rows: int = 0
    examples: int = 0
    refused: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    """Examples by the part that the set itself puts them in; empty where it has no parts."""
    unused_columns: list[str] = field(default_factory=list)
    """Columns that nothing was read from."""
    share: float | None = None
    use: str = "data"
    """The key of the plan it stands under: `data`, `test_data`, `validation_data`, `mix`."""


@dataclass(frozen=True, slots=True)
class Given:
    """An example out of finished data."""

    example: Example
    part: SplitName | None
    """The part its set puts it in; `None` where the set has no parts."""


class Ids:
    """Gives each example an id of its own: the row's, where it has one that is free, else one made from content."""

    def __init__(self, duplicates: str) -> None:
        self._keep = duplicates == "keep"
        self._taken: set[str] = set()
        self._seen: dict[str, str] = {}
        self._times: Counter[str] = Counter()

    def earlier(self, content: str, part: str, where: str) -> str | None:
        """Where the same prompt and answer stood before; `None` where they did not, or where doubles are kept.

        Only within one part: a test row that stands in training too is a leak, not a double.
        """
        if self._keep:
            return None
        first = self._seen.setdefault(f"{part} {content}", where)
        return None if first is where else first

    def new(self, own: str | None, name: str, content: str) -> str:
        if own is not None and own not in self._taken:
            self._taken.add(own)
            return own
        self._times[content] += 1
        # The first of its kind is named by content alone, so that rows added elsewhere do not rename it.
        times = self._times[content]
        made = content_id(name, own or "", content, *([str(times)] if times > 1 else []))
        self._taken.add(made)
        return made


def read_data(
    options: DataOptions,
    root: Path,
    facts: DataFacts,
    *,
    ids: Ids,
    bad_rows: float,
    found: Found | None = None,
) -> Iterator[Given | Refused]:
    """The examples of one set, and its unusable rows with file, line and reason.

    Args:
        options: where the set lies and how it is read.
        root: the folder that relative paths are relative to.
        facts: filled while the rows are taken.
        ids: hands out ids; one for all sets of a study.
        bad_rows: largest share of unusable rows.
        found: the files, where they were looked for already.

    Raises:
        InputError: a file cannot be read at all, or its rows fit no format.
        MissingError: a hub data set is not to be had.
        GateError: more rows are unusable than `bad_rows`, or all of them are.
    """
    found = found or find_data(options, root)
    facts.license = options.license or found.license
    bad: list[str] = []
    columns = Columns(options.columns)
    for file in wanted_files(found.files, options):
        facts.files += 1
        rows = read_table_leniently(file.path)
        head = list(itertools.islice(rows, SHORT_LIST))
        recognised = _recognised(head, file, options)
        _note_format(facts, recognised)
        labels = {**found.labels, **labels_in_schema(file.path)}
        reader = _Reader(options, file, recognised.format, columns, labels, root)
        for row in itertools.chain(head, rows):
            facts.rows += 1
            for item in _examples(row, reader, ids, facts.use):
                if isinstance(item, Refused):
                    facts.refused += 1
                    if item.check == "format":
                        bad.append(item.reason)
                else:
                    facts.examples += 1
                    if item.part is not None:
                        facts.parts[item.part] = facts.parts.get(item.part, 0) + 1
                yield item
        facts.unused_columns = sorted(
            {*facts.unused_columns, *_unused(head, recognised.format, columns, options)}
        )
    _stop_when_too_bad(bad, facts, bad_rows)


def wanted_files(files: Sequence[DataFile], options: DataOptions) -> list[DataFile]:
    """The files of the part that the options name; all of them where they name none."""
    if options.take is None:
        return list(files)
    chosen = [file for file in files if file.part in (options.take, None)]
    if not chosen:
        raise InputError(
            f"the set has no {options.take} part",
            where=f"data: {options.path}",
            do="leave out take, or name another",
        )
    return chosen


def _recognised(head: Sequence[TableRow | InputError], file: DataFile, options: DataOptions) -> Recognised:
    if options.format is not None:
        return Recognised(options.format, ())
    good = [row.values for row in head if isinstance(row, TableRow)]
    recognised = recognise(good, options.columns)
    if recognised is None:
        bad = next((row for row in head if isinstance(row, InputError)), None)
        if not head:
            raise InputError("there is no row in it", where=file.name, do="give a file with rows")
        if not good and bad is not None:
            raise bad
        raise InputError(
            f"its rows fit no format; the columns are {', '.join(map(str, good[0])) or 'none'}",
            where=file.name,
            do="map them, such as columns: {prompt: question, completion: answer}; formats are"
            f" {', '.join(FORMAT_NAMES)}",
        )
    return recognised


def _note_format(facts: DataFacts, recognised: Recognised) -> None:
    if recognised.format not in facts.formats:
        facts.formats.append(recognised.format)
    facts.also_fits += [name for name in recognised.also if name not in facts.also_fits]


@dataclass(frozen=True, slots=True)
class _Reader:
    options: DataOptions
    file: DataFile
    format: FormatName
    columns: Columns
    labels: Labels
    root: Path

    def shown(self, where: str) -> str:
        """`where` with the file as the plan names it."""
        return where.replace(str(self.file.path), self.file.name, 1)


def _examples(row: TableRow | InputError, reader: _Reader, ids: Ids, use: str) -> Iterator[Given | Refused]:
    if isinstance(row, InputError):
        yield _refused(reader, reader.shown(row.where or reader.file.name), row.what, None)
        return
    where = reader.shown(row.where)
    try:
        asked = read_asked(row.values, reader.format, reader.columns, turns=reader.options.turns)
        part = _part(row.values, reader)
        own = _own_id(row.values, reader.columns)
        attributes = _attributes(row.values, reader.options)
    except BadRow as error:
        yield _refused(reader, where, str(error), row.values)
        return
    if reader.options.take is not None:
        if part not in (reader.options.take, None):
            return
        part = None
    for number, one in enumerate(asked, start=1):
        kind, instruction, context = _posed(one, row.values, reader)
        targets = tuple(_named(text, row.values, reader) for text in one.answers)
        content = content_id(kind, instruction, context or "", *targets, length=32)
        first = ids.earlier(content, f"{use} {part}", where)
        if first is not None:
            yield Refused(
                id=content_id(where, content),
                source_id=reader.file.name,
                check="duplicate",
                reason=f"{where}: the same prompt and answer stand at {first}",
                instruction=instruction,
                target=targets[0],
            )
            continue
        id = ids.new(own if own is None or len(asked) == 1 else f"{own}.{number}", reader.file.name, content)
        source = reader.columns.get(row.values, "source_id")
        passage = (
            content_id("passage", context) if kind == "question_answer" and context is not None else None
        )
        yield Given(
            Example(
                id=id,
                # A row that names no source is a source of its own; but what is asked about one passage stays
                # together, and so do the turns of one conversation.
                source_id=str(source)
                if source is not None
                else passage or own or (id if len(asked) == 1 else where),
                kind=kind,
                instruction=instruction,
                target=targets[0],
                context=context,
                chunk_id=passage,
                attributes=attributes,
                other_targets=targets[1:],
                earlier=_earlier(kind, one),
            ),
            part,
        )


def _posed(asked: Asked, values: Mapping[str, Any], reader: _Reader) -> tuple[Kind, str, str | None]:
    """Kind, instruction and what stands with it, so that `student_prompt` gives what the student is to see."""
    own = _as_written(asked, values)
    if own is not None:
        return own
    if asked.earlier or asked.system:
        return "conversation", asked.instruction, transcript(asked.system, asked.earlier)
    if reader.format == "question_answer":
        return "question_answer", asked.instruction, asked.context
    kind: Kind = "classification" if reader.format == "text_label" else "instruction"
    if reader.options.instruction is not None and asked.context is None:
        return kind, reader.options.instruction, asked.instruction
    return kind, asked.instruction, asked.context


def _earlier(kind: Kind, asked: Asked) -> tuple[dict[str, str], ...]:
    """What was said before, turn by turn."""
    if kind != "conversation":
        return ()
    system = [("system", asked.system)] if asked.system else []
    return tuple({"role": role, "content": text} for role, text in (*system, *asked.earlier))


def _as_written(asked: Asked, values: Mapping[str, Any]) -> tuple[Kind, str, str | None] | None:
    """The parts of a prompt that tunesmith itself put together, where a row of `prepare` still tells them."""
    kind, instruction, context = values.get("kind"), values.get("instruction"), values.get("context")
    if kind not in ("question_answer", "summary", "instruction", "classification", "conversation"):
        return None
    if not isinstance(instruction, str) or not isinstance(context, str | None) or asked.context is not None:
        return None
    if kind == "summary" and context is None:
        return None
    is_same = student_prompt(kind, instruction, context) == asked.instruction
    return (kind, instruction, context) if is_same else None


def _named(text: str, values: Mapping[str, Any], reader: _Reader) -> str:
    """The name of a class label, from the plan or from the set itself; other texts as they are."""
    if reader.format != "text_label":
        return text
    if reader.options.labels:
        return reader.options.labels.get(text, text)
    return reader.labels.get(reader.columns.name(values, "label") or "", {}).get(text, text)


def _part(values: Mapping[str, Any], reader: _Reader) -> SplitName | None:
    """The part the row itself names, else the file's."""
    value = reader.columns.get(values, "split")
    if value is None:
        return reader.file.part
    part = PART_NAMES.get(str(value).strip().lower())
    if part is None:
        raise BadRow(f"split is {value!r}, which is none of train, validation, test")
    return part


def _own_id(values: Mapping[str, Any], columns: Columns) -> str | None:
    value = columns.get(values, "id")
    return str(value) if isinstance(value, str | int) and str(value).strip() else None


def _attributes(values: Mapping[str, Any], options: DataOptions) -> dict[str, str]:
    kept = values.get("attributes")
    found = {str(key): str(part) for key, part in kept.items()} if isinstance(kept, Mapping) else {}
    for name in options.attributes:
        value = values.get(name)
        if value is None:
            raise BadRow(f"there is no {name}, which the plan keeps as an attribute")
        found[name] = str(value)
    return found


def _refused(reader: _Reader, where: str, reason: str, values: Mapping[str, Any] | None) -> Refused:
    return Refused(
        id=content_id(where),
        source_id=reader.file.name,
        check="format",
        reason=f"{where}: {reason}",
        raw=None if values is None else str(dict(values)),
    )


def _unused(
    head: Sequence[TableRow | InputError], format: FormatName, columns: Columns, options: DataOptions
) -> set[str]:
    there: set[str] = set()
    used: set[str] = {"attributes", *options.attributes}
    for row in head:
        if isinstance(row, TableRow):
            there |= set(map(str, row.values))
            used |= columns.used(row.values, format)
    return there - used


def _stop_when_too_bad(bad: Sequence[str], facts: DataFacts, bad_rows: float) -> None:
    if not bad or (facts.examples and len(bad) <= bad_rows * facts.rows):
        return
    more = f" (and {len(bad) - SHOWN:,} more)" if len(bad) > SHOWN else ""
    raise GateError(
        f"{len(bad):,} of {facts.rows:,} rows cannot be used; {'; '.join(bad[:SHOWN])}{more}",
        where=f"data: {facts.name}",
        do=f"mend them, map the columns, name the format ({', '.join(FORMAT_NAMES)}), or raise prepare.bad_rows:"
        " unusable rows are then kept in prepare/refused.jsonl",
    )
