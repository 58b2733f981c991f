"""The built-in teacher: rules over plain sentences, no model. Deterministic, and every answer stands in the passage."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

from tunesmith.errors import InputError
from tunesmith.records import Chunk, Example, Kind, Refused, Scenario, content_id
from tunesmith.synthesize.borrowed import Borrowed
from tunesmith.synthesize.clauses import read_clause
from tunesmith.synthesize.kinds import Source
from tunesmith.synthesize.options import SynthesizeOptions
from tunesmith.synthesize.references import Memory, resolve
from tunesmith.synthesize.rules import ask
from tunesmith.synthesize.rules.statement import Draft
from tunesmith.synthesize.sentences import Sentence, read_sentences
from tunesmith.synthesize.share import n_unanswerable
from tunesmith.synthesize.summaries import central_sentence
from tunesmith.synthesize.tagger import tag_sentence

MOST_PER_SENTENCE = 2


class RuleTeacher:
    """Turns plain statements into questions and answers, and the central sentence of a passage into its summary."""

    name = "builtin"

    def write(self, sources: Iterable[Source], options: SynthesizeOptions) -> Iterator[Example | Refused]:
        """Raises `InputError` for scenarios: rules can turn statements round, not write about a subject."""
        reached: dict[str, int] = {}
        seen: dict[str, tuple[set[str], set[str]]] = {}
        borrowed = Borrowed()
        for chunk in map(_passage, sources):
            capital, small = seen.setdefault(chunk.source_id, (set(), set()))
            capital.update(_NAME.findall(chunk.text))
            small.update(_SMALL.findall(chunk.text))
            names = {name for name in capital if name.lower() not in small}
            # What two chunks share (their overlap) is asked about once.
            already = reached.get(chunk.source_id, 0)
            reached[chunk.source_id] = max(already, chunk.end)
            if "question_answer" in options.kinds:
                for sentence, draft in self._questions(chunk, options.per_chunk, already, names, small):
                    example = _example(
                        chunk, sentence, "question_answer", draft.question, draft.answer, draft.rule
                    )
                    borrowed.lend(example)
                    yield example
                for _ in range(n_unanswerable(chunk.id, options.per_chunk, options.unanswerable)):
                    if (lent := borrowed.borrow(chunk)) is not None:
                        yield _without_answer(chunk, lent, options.unanswerable_answer)
            if "summary" in options.kinds and (found := central_sentence(list(read_sentences(chunk.text)))):
                yield _example(chunk, found, "summary", SUMMARY_INSTRUCTION, found.text, "central_sentence")

    @staticmethod
    def _questions(
        chunk: Chunk, most: int, already: int, names: Container[str], small: Container[str]
    ) -> list[tuple[Sentence, Draft]]:
        found = [
            (sentence, drafts)
            for sentence, drafts in ask_passage(chunk.text, names, small)
            if chunk.start + sentence.end > already or chunk.start + sentence.start >= already
        ]
        # The best question of every sentence comes before any second one, so that the passage is covered evenly.
        chosen = [
            (rank, index, sentence, draft)
            for index, (sentence, drafts) in enumerate(found)
            for rank, draft in enumerate(drafts[:MOST_PER_SENTENCE])
        ]
        chosen = sorted(chosen, key=lambda item: item[:2])[:most]
        return [
            (sentence, draft) for _, _, sentence, draft in sorted(chosen, key=lambda item: (item[1], item[0]))
        ]


_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
"""A capital inside a sentence."""
_SMALL = re.compile(r"\b[a-z]{3,}\b")
SUMMARY_INSTRUCTION = "Summarise the passage in one sentence."


def ask_passage(
    passage: str, names: Container[str] = frozenset(), small: Container[str] = frozenset()
) -> list[tuple[Sentence, list[Draft]]]:
    """Each usable sentence of a passage with the questions the rules ask about it.

    Args:
        passage: the text.
        names: words that the document writes with a capital inside sentences, and never small.
        small: words that the document writes small.
    """
    memory = Memory()
    found = []
    for sentence in read_sentences(passage):
        clause = (
            read_clause(sentence.text, tag_sentence(sentence.text, names, small))
            if sentence.is_usable
            else None
        )
        if clause is None:
            memory.subject = None
            continue
        statement = resolve(clause, memory, is_new_paragraph=sentence.is_first)
        if statement is not None and (drafts := ask(statement)):
            found.append((sentence, drafts))
    return found


def _passage(source: Source) -> Chunk:
    if isinstance(source, Scenario):
        raise InputError(
            "the built-in teacher cannot write about scenarios",
            where="synthesize.teacher",
            do="name a model: a server's address, or a local one",
        )
    return source


def _without_answer(chunk: Chunk, lent: Example, refusal: str) -> Example:
    """A question of another passage, asked about this one."""
    return Example(
        id=content_id(chunk.source_id, "unanswerable", lent.instruction, chunk.text),
        source_id=chunk.source_id,
        kind="question_answer",
        instruction=lent.instruction,
        target=refusal,
        context=chunk.text,
        chunk_id=chunk.id,
        first_page=chunk.first_page,
        last_page=chunk.last_page,
        teacher=RuleTeacher.name,
        attributes={"rule": "borrowed", "answerable": "no"},
    )


def _example(chunk: Chunk, sentence: Sentence, kind: Kind, question: str, answer: str, rule: str) -> Example:
    return Example(
        id=content_id(chunk.source_id, kind, question, answer, chunk.text if kind == "summary" else ""),
        source_id=chunk.source_id,
        kind=kind,
        instruction=question,
        target=answer,
        context=chunk.text,
        chunk_id=chunk.id,
        evidence_start=chunk.start + sentence.start,
        evidence_end=chunk.start + sentence.end,
        first_page=chunk.first_page,
        last_page=chunk.last_page,
        teacher=RuleTeacher.name,
        attributes={"rule": rule},
    )
