"""The section on data: what was read, what became of it, and what was turned down and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.records import Note, Refused
from tunesmith.report.section import Section
from tunesmith.report.study import Source, Study
from tunesmith.report.words import count, plain_name, plural, share, shortened, teacher_words

SOURCES_SHOWN = 60
FILES_SHOWN = 30
_TEXT_LETTERS = 400


def data_section(study: Study) -> Section | None:
    steps = _steps(study)
    if not steps and not study.notes and not study.leaks:
        return None
    sources = _source_lines(study)
    refused_files = [note for note in study.notes if note.is_refusal]
    return Section(
        "data",
        "Data",
        "data.html.j2",
        {
            "steps": steps,
            "unit": "drafts" if study.examples or study.refused else "rows",
            "refused": _refused_lines(
                [*study.refused, *study.refused_rows],
                len(study.examples) + len(study.refused) or len(study.rows) + len(study.refused_rows),
            ),
            "lengths": _length_lines(study),
            "window": count(study.window or 0),
            "base": study.base,
            "source_word": _source_word(study),
            "sources": sources[:SOURCES_SHOWN],
            "sources_left_out": max(0, len(sources) - SOURCES_SHOWN),
            "notes": _note_lines([note for note in study.notes if not note.is_refusal]),
            "refused_files": refused_files[:FILES_SHOWN],
            "files_left_out": max(0, len(refused_files) - FILES_SHOWN),
        },
    )


def _steps(study: Study) -> list[dict[str, Any]]:
    """The way from files to rows; `part` is the share of the drafts, for the length of the bar."""
    steps: list[dict[str, Any]] = []
    if study.sources:
        n_refused = sum(note.is_refusal for note in study.notes)
        words = sum(source.words for source in study.sources)
        lost = f"; {plural(n_refused, 'file')} refused" if n_refused else ""
        steps.append(_step("Documents read", len(study.sources), f"{count(words)} words{lost}"))
        steps.append(
            _step(
                "Passages",
                sum(source.chunks for source in study.sources),
                "pieces that a question is asked about",
            )
        )
    for one in study.data:
        steps.append(_step(str(one["name"]), int(one["rows"]), _data_words(one)))
    drafts = len(study.examples) + len(study.refused)
    if drafts:
        steps.append(
            _step("Drafts written", drafts, f"{_written(study)} by {teacher_words(study.teacher)}", 1.0)
        )
        lost = f"{plural(len(study.refused), 'draft')} refused ({share(len(study.refused), drafts)})"
        steps.append(_step("Accepted", len(study.examples), lost, len(study.examples) / drafts))
    if study.rows:
        whole = max(drafts, len(study.rows))
        lost = f"{count(len(study.refused_rows))} refused while preparing" if study.refused_rows else ""
        steps.append(_step("Rows", len(study.rows), lost, len(study.rows) / whole))
        for split, use in (
            ("train", "learnt from"),
            ("validation", "to pick the best step"),
            ("test", "for the verdict"),
        ):
            rows = [row for row in study.rows if row.split == split]
            documents = plural(len({row.source_id for row in rows}), _source_word(study))
            steps.append(
                _step(split, len(rows), f"{use}; from {documents}", len(rows) / whole, is_split=True)
            )
    return steps


def _source_word(study: Study) -> str:
    """What rows are held out together by: without documents it may be a product, or whatever the plan says."""
    return "document" if study.sources else "source"


def _written(study: Study) -> str:
    kinds = {example.kind for example in study.examples}
    return "questions and answers" if kinds <= {"question_answer"} else "texts"


def _data_words(facts: Mapping[str, Any]) -> str:
    """What was found in a set of finished rows."""
    words = [f"finished rows ({', '.join(map(plain_name, facts['formats']))})"]
    if facts["refused"]:
        words.append(f"{count(facts['refused'])} refused")
    if facts.get("share"):
        words.append(f"mixed in as {100 * float(facts['share']):g} % of training")
    if facts.get("license"):
        words.append(f"licence {facts['license']}")
    return "; ".join(words)


def _step(
    name: str, size: int, words: str, part: float | None = None, *, is_split: bool = False
) -> dict[str, Any]:
    return {"name": name, "size": count(size), "words": words, "part": part, "is_split": is_split}


def _length_lines(study: Study) -> list[dict[str, str]]:
    """Tokens of each split: median, 90 %, 99 %, longest."""
    return [
        {
            "split": split,
            **{part: ", ".join(count(n) for n in one[part]) for part in ("prompt", "answer", "whole")},
            "over": f"{count(one['over_window'])} ({share(one['over_window'], one['rows'])})",
        }
        for split, one in study.lengths.items()
        if one["rows"]
    ]


def _refused_lines(refused: Sequence[Refused], drafts: int) -> list[dict[str, Any]]:
    """Refusals by check, the most frequent first, with the first of each as an example."""
    first: dict[str, Refused] = {}
    for item in refused:
        first.setdefault(item.check, item)
    counted = Counter(item.check for item in refused)
    return [
        {
            "check": plain_name(check),
            "size": count(times),
            "share": share(times, drafts),
            "reason": shortened(first[check].reason, _TEXT_LETTERS),
            "source_id": first[check].source_id,
            "question": shortened(first[check].instruction or "", _TEXT_LETTERS),
            "answer": shortened(first[check].target or "", _TEXT_LETTERS),
            "raw": shortened(first[check].raw or "", _TEXT_LETTERS),
        }
        for check, times in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    ]


def _source_lines(study: Study) -> list[dict[str, Any]]:
    accepted = Counter(example.source_id for example in study.examples)
    refused = Counter(item.source_id for item in study.refused)
    rows = Counter(row.source_id for row in study.rows)
    splits: dict[str, set[str]] = {}
    for row in study.rows:
        splits.setdefault(row.source_id, set()).add(row.split)
    known = {source.source_id: source for source in study.sources}
    names = list(dict.fromkeys([*known, *sorted({*accepted, *refused, *rows})]))
    order = {"train": 0, "validation": 1, "test": 2}
    return [
        {
            "source_id": name,
            "title": _title(known.get(name)),
            "words": count(known[name].words) if name in known else None,
            "tokens": _size(known.get(name), "tokens"),
            "pages": _size(known.get(name), "pages"),
            "chunks": count(known[name].chunks) if name in known else None,
            "accepted": count(accepted[name]),
            "refused": count(refused[name]),
            "rows": count(rows[name]),
            "split": " and ".join(sorted(splits.get(name, ()), key=lambda split: order[split])),
        }
        for name in names
    ]


def _size(source: Source | None, name: str) -> str | None:
    value: int | None = getattr(source, name, None)
    return None if value is None else count(value)


def _title(source: Source | None) -> str:
    """The title, where it says more than the file name."""
    return source.title if source and source.title and source.title not in source.source_id else ""


def _note_lines(notes: Sequence[Note]) -> list[dict[str, Any]]:
    """Reading notes by rule: how often, in how many documents, and the first one as an example."""
    by_rule: dict[str, list[Note]] = {}
    for note in notes:
        by_rule.setdefault(note.rule, []).append(note)
    return [
        {
            "rule": plain_name(rule),
            "size": count(sum(note.count for note in found)),
            "documents": count(len({note.source_id for note in found})),
            "example": shortened(found[0].text, _TEXT_LETTERS),
            "where": _where(found[0]),
        }
        for rule, found in sorted(
            by_rule.items(), key=lambda entry: (-sum(note.count for note in entry[1]), entry[0])
        )
    ]


def _where(note: Note) -> str:
    return note.source_id if note.page is None else f"{note.source_id}, page {note.page}"
