"""What the command line shows of a few requests to the teacher."""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.display.console import plain_console
from tunesmith.records import Example, Refused
from tunesmith.synthesize.budget import Unanswered
from tunesmith.trial import Tried


def show_tried(tried: list[Tried], *, trace: bool) -> None:
    console = plain_console()
    for number, one in enumerate(tried, start=1):
        kind = f", {one.kind}" if one.kind else ""
        console.print(
            f"── {number} of {len(tried)}: {one.source_id}, passage {one.chunk_id}{kind}", markup=False
        )
        if trace:
            for line in _asked_and_said(one):
                console.print(line, markup=False, soft_wrap=True)
        for record in one.records:
            console.print(_verdict(record), markup=False, soft_wrap=True)
        if not one.records:
            later = any(other.chunk_id == one.chunk_id for other in tried[number:])
            said = (
                "what became of it stands at the last request about it" if later else "nothing was made of it"
            )
            console.print(f"  ({said})", markup=False)
    made = sum(isinstance(record, Example) for one in tried for record in one.records)
    refused = sum(len(one.records) for one in tried) - made
    console.print(f"{made} examples, {refused} refused", markup=False)


def _asked_and_said(one: Tried) -> Iterator[str]:
    for message in one.messages:
        yield f"{message['role']}:"
        yield _indented(message["content"])
    if isinstance(one.reply, Unanswered):
        yield f"no reply: {one.reply.reason}"
    elif one.reply is not None:
        tokens = f"{_or_unknown(one.reply.prompt_tokens)} + {_or_unknown(one.reply.completion_tokens)} tokens"
        yield f"reply ({tokens}, {one.reply.finish_reason or one.reply.outcome}):"
        yield _indented(one.reply.text)
    if one.messages:
        yield "verdict:"


def _verdict(record: Example | Refused) -> str:
    if isinstance(record, Example):
        return f"  ✓ {record.instruction}\n    → {record.target}"
    said = record.instruction or (record.raw or "")[:120]
    return f"  ✗ {record.check}: {record.reason}" + (f"\n    {said}" if said else "")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _or_unknown(count: int | None) -> str:
    return "?" if count is None else str(count)
