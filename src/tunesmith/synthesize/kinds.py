"""From the entries of a reply to examples, kind by kind.

| kind | what the student is asked | what it should answer |
|---|---|---|
| question_answer | a question | its answer |
| summary | to summarise the passage | the summary |
| instruction | a task that the passage lets one do | the response |
| classification | a text | its label |
| conversation | a conversation up to its last question | the answer |
| segmentation | a text without paragraphs | the same text in paragraphs |
| paraphrase | a text | the same in other words |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tunesmith.records import Chunk, Example, Kind, Refused, Scenario, content_id
from tunesmith.synthesize.checks.words import numbers, stated_numbers
from tunesmith.synthesize.replies import Entry, find_quote

SUMMARISE = "Summarise the passage in one sentence."
SEGMENT = "Split the text into paragraphs. Change no word."
PARAPHRASE = "Say the same in other words."
LEAST_KEPT_WORDS = 0.98
"""Share of a passage's words that have to come back when it is split into paragraphs."""


class Unfit(Exception):
    """An entry that is no example. `check` and `reason` go into the refusal."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(reason)
        self.check = check
        self.reason = reason


Source = Chunk | Scenario
"""What an example is about."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to be made: what is asked (a key of `asks.FORMS`), about what, and what else goes into the prompt."""

    form: str
    source: Source
    kind: Kind
    """The kind of example that comes of it."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further names of the prompt file: `count`, `label`, `question`, …"""

    @property
    def names(self) -> dict[str, Any]:
        return {**names_of(self.source), **self.extra}

    @property
    def origin(self) -> tuple[str, str]:
        return self.source.source_id, self.source.id


def names_of(source: Source) -> dict[str, Any]:
    """What a prompt file can say of a passage or a scenario."""
    if isinstance(source, Scenario):
        return {
            "attributes": source.attributes,
            "texts": source.texts,
            "criteria": source.criteria,
            "instruction": source.instruction,
            "variant": source.variant,
        }
    return {"passage": source.text, "title": source.title, "heading": source.heading or ""}


def build_example(ask: Ask, entry: Entry, teacher: str) -> Example:
    """The example that an entry holds. Raises `Unfit` where it holds none."""
    instruction, target, attributes, context, earlier = _BUILDERS[ask.form](ask, entry)
    if entry.is_repaired:
        attributes["repaired"] = "yes"
    source = ask.source
    if isinstance(source, Scenario):
        return Example(
            id=content_id(source.id, target),
            source_id=source.source_id,
            kind=ask.kind,
            instruction=instruction,
            target=target,
            chunk_id=source.id,
            teacher=teacher,
            attributes={**source.attributes, **attributes},
        )
    quote = entry.text("evidence")
    span = find_quote(quote, source.text)
    if span is None and quote:
        attributes["quote"] = quote
    # Two passages may well have the same question and answer; not so where the passage is what is worked on.
    origin = source.text if instruction in (SUMMARISE, SEGMENT, PARAPHRASE) else ""
    return Example(
        id=content_id(source.source_id, ask.kind, instruction, target, origin),
        source_id=source.source_id,
        kind=ask.kind,
        instruction=instruction,
        target=target,
        context=context,
        chunk_id=source.id,
        evidence_start=None if span is None else source.start + span[0],
        evidence_end=None if span is None else source.start + span[1],
        first_page=source.first_page,
        last_page=source.last_page,
        teacher=teacher,
        attributes=attributes,
        earlier=earlier,
    )


def refuse_reply(ask: Ask, check: str, reason: str, raw: str | None) -> Refused:
    """A reply, or a part of one, that is no example; kept with what the teacher said."""
    return Refused(
        id=content_id(
            ask.source.source_id, ask.source.id, ask.form, reason, raw or "", str(sorted(ask.extra.items()))
        ),
        source_id=ask.source.source_id,
        check=check,
        reason=reason,
        raw=raw,
        chunk_id=ask.source.id,
    )


class Built(NamedTuple):
    """The parts of an example that an entry says."""

    instruction: str
    target: str
    attributes: dict[str, str]
    context: str | None
    """What the student is shown besides the instruction."""
    earlier: tuple[dict[str, str], ...] = ()
    """Turns of a conversation before the instruction."""


def _passage(ask: Ask) -> str | None:
    return ask.source.text if isinstance(ask.source, Chunk) else None


def _question_answer(ask: Ask, entry: Entry) -> Built:
    return Built(entry.text("question"), entry.text("answer"), {}, _passage(ask))


def _answer(ask: Ask, entry: Entry) -> Built:
    return Built(str(ask.extra["question"]), entry.text("answer"), {}, _passage(ask))


def _unanswerable(ask: Ask, entry: Entry) -> Built:
    return Built(entry.text("question"), str(ask.extra["refusal"]), {"answerable": "no"}, _passage(ask))


def _summary(ask: Ask, entry: Entry) -> Built:
    return Built(SUMMARISE, entry.text("summary"), {}, _passage(ask))


def _instruction(ask: Ask, entry: Entry) -> Built:
    return Built(entry.text("instruction"), entry.text("response"), {}, _passage(ask))


def _classification(ask: Ask, entry: Entry) -> Built:
    label, text = str(ask.extra["label"]), entry.text("text")
    if re.search(rf"\b{re.escape(label)}\b", text, re.IGNORECASE):
        raise Unfit("label_echo", f"the text names its label: “{label}”")
    return Built(text, label, {"label": label}, None)


def _dialogue(ask: Ask, entry: Entry) -> Built:
    assert isinstance(ask.source, Chunk)
    turns: Sequence[Mapping[str, str]] = entry.fields["turns"]
    roles = [turn["role"].strip().lower() for turn in turns]
    if len(turns) < 2 or roles != ["user", "assistant"] * (len(turns) // 2):
        raise Unfit(
            "format", f"user and assistant have to take turns, from the user on; here: {', '.join(roles)}"
        )
    texts = [turn["text"].strip() for turn in turns]
    # What is shown to the student is the conversation, not the passage, so this is the place to look into the passage.
    strange = sorted(numbers(" ".join(texts[1::2])) - stated_numbers(ask.source.text))
    if strange:
        raise Unfit("grounded", f"the answers' {', '.join(strange)} does not stand in the passage")
    earlier = tuple(zip(("user", "assistant") * len(texts), texts[:-2], strict=False))
    told = "\n\n".join(f"{role.capitalize()}: {text}" for role, text in earlier)
    as_turns = tuple({"role": role, "content": text} for role, text in earlier)
    return Built(texts[-2], texts[-1], {"turns": str(len(turns))}, told or None, as_turns)


def _segmentation(ask: Ask, entry: Entry) -> Built:
    assert isinstance(ask.source, Chunk)
    paragraphs = [" ".join(text.split()) for text in entry.fields["paragraphs"]]
    spans = locate_paragraphs(paragraphs, ask.source.text)
    if len(spans) < 2:
        raise Unfit("fidelity", "the text came back as one paragraph")
    return Built(SEGMENT, "\n\n".join(paragraphs), {"paragraphs": str(len(paragraphs))}, _passage(ask))


def _paraphrase(ask: Ask, entry: Entry) -> Built:
    text = entry.text("paraphrase")
    assert isinstance(ask.source, Chunk)
    if " ".join(text.split()) == " ".join(ask.source.text.split()):
        raise Unfit("fidelity", "the text came back word for word")
    return Built(PARAPHRASE, text, {}, _passage(ask))


def _scenario(ask: Ask, entry: Entry) -> Built:
    assert isinstance(ask.source, Scenario)
    return Built(ask.source.instruction, entry.text("text"), {}, None)


_BUILDERS = {
    "question_answer": _question_answer,
    "answer": _answer,
    "unanswerable": _unanswerable,
    "summary": _summary,
    "instruction": _instruction,
    "classification": _classification,
    "dialogue": _dialogue,
    "segmentation": _segmentation,
    "paraphrase": _paraphrase,
    "scenario": _scenario,
}


def locate_paragraphs(paragraphs: Sequence[str], passage: str) -> list[tuple[int, int]]:
    """Where each paragraph stands in the passage it was cut from, in order.

    Raises:
        Unfit: a paragraph is not there word for word, they are out of order or overlap, or words were left out.
    """
    spans: list[tuple[int, int]] = []
    at = 0
    for number, paragraph in enumerate(paragraphs, start=1):
        found = find_quote(paragraph, passage[at:])
        if found is None:
            raise Unfit("fidelity", f"paragraph {number} does not stand in the passage: “{paragraph[:80]}”")
        spans.append((at + found[0], at + found[1]))
        at += found[1]
    kept = sum(len(passage[start:end].split()) for start, end in spans)
    share = kept / max(1, len(passage.split()))
    if share < LEAST_KEPT_WORDS:
        raise Unfit("fidelity", f"only {share:.0%} of the passage's words came back")
    return spans


def cut_chunk(chunk: Chunk, entry: Entry) -> Iterator[Chunk]:
    """A passage as the paragraphs that a teacher saw in it. Raises `Unfit` where they are not the passage's own."""
    paragraphs = [" ".join(text.split()) for text in entry.fields["paragraphs"]]
    n_words = len(chunk.text.split()) or 1
    for start, end in locate_paragraphs(paragraphs, chunk.text):
        text = chunk.text[start:end]
        yield Chunk(
            id=content_id(chunk.id, str(start), text),
            source_id=chunk.source_id,
            title=chunk.title,
            heading=chunk.heading,
            text=text,
            start=chunk.start + start,
            end=chunk.start + end,
            first_page=chunk.first_page,
            last_page=chunk.last_page,
            n_tokens=max(1, round(chunk.n_tokens * len(text.split()) / n_words)),
        )
