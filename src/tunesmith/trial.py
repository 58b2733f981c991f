"""A few passages through the teacher, to look at: prompt, reply, verdict. The run's results are left alone.

Replies are kept in the run's journal, so that the run itself does not ask for them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError
from tunesmith.pipeline import survey
from tunesmith.plan import Plan
from tunesmith.read.stage import chunk_documents, plan_scenarios, read_documents
from tunesmith.records import Chunk, Document, Example, Refused, as_row
from tunesmith.store import Run, read_rows
from tunesmith.synthesize.budget import Unanswered
from tunesmith.synthesize.endpoint import Item, ModelTeacher
from tunesmith.synthesize.journal import Reply
from tunesmith.synthesize.kinds import Source
from tunesmith.synthesize.stage import open_judge, open_teacher, synthesize_examples


@dataclass
class Tried:
    """One request to a model teacher and what became of it; for another teacher, one passage."""

    source_id: str
    chunk_id: str
    kind: str | None
    messages: list[dict[str, str]]
    """Empty for a teacher that is not asked in words."""
    reply: Reply | Unanswered | None
    records: list[Example | Refused] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "source_id": self.source_id,
            "chunk_id": self.chunk_id,
            "kind": self.kind,
            "messages": self.messages,
            "reply": None if self.reply is None else asdict(self.reply),
            "examples": [as_row(one) for one in self.records if isinstance(one, Example)],
            "refused": [as_row(one) for one in self.records if isinstance(one, Refused)],
        }


def try_teacher(plan: Plan, root: Path, folder: Path, limit: int) -> list[Tried]:
    """What the teacher makes of `limit` passages, spread over the documents.

    Args:
        plan: the checked plan.
        root: the folder that its relative paths are relative to.
        folder: the run folder; only its journal is written.

    Raises:
        InputError: the plan has no documents, or they hold no passage.
        TunesmithError: what would stop the run.
    """
    if plan.read is None or plan.synthesize is None:
        raise InputError(
            "the plan starts from finished rows, so that no teacher is asked", where="synthesize"
        )
    sources = _spread(_sources(plan, root, folder), limit)
    if not sources:
        raise InputError("the documents hold no passage", where="read.documents")
    tried: list[Tried] = []
    teacher = open_teacher(plan.synthesize, folder / "journal.sqlite", root)

    def listen(item: Item[Any], reply: Reply | Unanswered) -> None:
        messages = json.loads(item.request.text)["messages"]
        source_id, chunk_id = item.ask.origin
        tried.append(Tried(source_id, chunk_id, item.ask.form, messages, reply))

    if isinstance(teacher, ModelTeacher):
        teacher.listener = listen
    else:
        tried += [Tried(source.source_id, source.id, None, [], None) for source in sources]
    judge = open_judge(plan.synthesize, folder / "journal.sqlite", root)
    if isinstance(judge, ModelTeacher):
        judge.listener = listen
    records = list(synthesize_examples(sources, teacher, plan.synthesize, judge=judge))
    # What became of a passage stands with the last thing that was asked about it.
    by_chunk = {one.chunk_id: one for one in tried}
    for record in records:
        by_chunk.get(record.chunk_id or "", tried[-1]).records.append(record)
    return tried


def _sources(plan: Plan, root: Path, folder: Path) -> Iterator[Source]:
    """The passages of the run where it has read them, or else read anew, which is quick; or the scenarios."""
    assert plan.read is not None
    if plan.read.scenarios is not None:
        yield from plan_scenarios(plan.read.scenarios).scenarios
        return
    standing = {stage.name: stage.standing for stage in survey(plan, root, Run(folder))}
    if standing.get("read") == "cached" and (folder / "read/chunks.jsonl").exists():
        yield from read_rows(folder / "read/chunks.jsonl", Chunk)
        return
    documents = (record for record in read_documents(plan.read, root) if isinstance(record, Document))
    yield from chunk_documents(documents, plan.read.chunk)


def _spread(sources: Iterator[Source], limit: int) -> list[Source]:
    """`limit` of them at equal distances: the first passages of a document are seldom its usual ones."""
    found = list(sources)
    n = min(limit, len(found))
    return [found[(2 * index + 1) * len(found) // (2 * n)] for index in range(n)]
