"""Build the training mixture and the held-out sets.

    python prepare.py --corpus CORPUS --instructions alpaca_libre.jsonl --wordnet /usr/share/wordnet

Writes under `--work`: `phase{0,1,2}.npz` (packed sequences, short to long), `heldout.npz` (plain text) and
`heldout_questions.jsonl` (passages of held-out modules), and `data.json` (what went in, in tokens).
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import questions
from facts import fact_passage
from overlap import RUN, runs
from questions import Pair, answer_of, lower_first, pairs_of
from sources import (
    Entry,
    Section,
    is_held_out,
    is_prose,
    read_instructions,
    read_openstax,
    read_stories,
    read_wordnet,
    sentences,
)
from tokenizers import Tokenizer

from tunesmith.prepare.prompts import student_prompt

PROMPT_WEIGHT, ANSWER_WEIGHT, TEXT_WEIGHT = (
    2,
    8,
    4,
)  # quarters: a prompt token counts half, an answer token twice


@dataclass(frozen=True)
class Phase:
    """Sequences of one length; passages grow with it."""

    length: int
    tokens: int
    words: tuple[int, int]
    tasks: float


PHASES = (
    Phase(256, 20_000_000, (20, 95), 0.6),
    Phase(512, 24_000_000, (50, 220), 0.6),
    Phase(768, 8_000_000, (80, 330), 0.75),
)


@dataclass(frozen=True)
class Turn:
    user: str
    answer: str


@dataclass(frozen=True)
class Material:
    """The training part of every source."""

    sections: list[Section]
    definitions: list[Entry]
    exercises: list[Entry]
    glosses: list[Entry]
    instructions: list[tuple[str, str, str]]
    stories: list[Section]
    plots: list[Entry]


def ask(passage: str, question: str) -> str:
    return student_prompt("question_answer", question, passage)


def summarise(passage: str) -> str:
    return student_prompt("summary", "", passage)


def instruct(instruction: str, given: str) -> str:
    return student_prompt("instruction", instruction, given or None)


def windows(
    sections: list[Section], words: tuple[int, int], generator: random.Random
) -> Iterator[tuple[str, str]]:
    """Passages without end: runs of consecutive sentences of a section, from books in random order."""
    prose = [(section.title, [block for block in section.blocks if is_prose(block)]) for section in sections]
    prose = [(title, blocks) for title, blocks in prose if blocks]
    while True:
        for title, blocks in generator.sample(prose, len(prose)):
            for _ in range(6):
                wanted = generator.randint(*words)
                block = generator.randrange(len(blocks))
                line_list = sentences(blocks[block])
                start = generator.randrange(len(line_list)) if generator.random() < 0.4 else 0
                taken: list[str] = []
                for sentence in line_list[start:] + [
                    line for later in blocks[block + 1 : block + 4] for line in sentences(later)
                ]:
                    if taken and sum(len(line.split()) for line in [*taken, sentence]) > wanted:
                        break
                    taken.append(sentence)
                passage = " ".join(taken)
                if words[0] * 0.6 <= len(passage.split()) <= words[1] * 1.15:
                    yield title, passage


def choose(pairs: list[Pair], wanted: int, generator: random.Random) -> list[Pair]:
    """Rare kinds first in chance, one question per sentence where possible."""
    counts = Counter(pair.kind for pair in pairs)
    rated = sorted(
        pairs,
        key=lambda pair: generator.random() ** (counts[pair.kind] ** 0.5 if pair.kind != "cloze" else 9),
        reverse=True,
    )
    chosen: list[Pair] = []
    for pair in rated:
        if all(pair.sentence != other.sentence for other in chosen):
            chosen.append(pair)
        if len(chosen) == wanted:
            break
    return chosen


def turns_of(passage: str, pairs: list[Pair], generator: random.Random) -> list[Turn]:
    """The first question comes with the passage in the student's literal prompt; more follow alone."""
    turns: list[Turn] = []
    for pair in pairs:
        question = pair.question[0].upper() + pair.question[1:]
        turns.append(
            Turn(f"Question: {question}" if turns else ask(passage, question), answer_of(pair, generator))
        )
    return turns


def with_article(term: str) -> str:
    return f"an {term}" if term[0].lower() in "aeiou" else f"a {term}"


def glossary(entries: list[Entry], generator: random.Random) -> tuple[str, list[Pair]]:
    """Some definitions as a passage (sentences or lines), with questions both ways."""
    lines: list[str] = []
    pairs: list[Pair] = []
    listed = generator.random() < 0.3
    for entry in entries:
        term, meaning = entry.head, entry.body.rstrip(". ")
        countable = (
            re.match(r"(a|an|the|any|one) ", meaning) and not term.endswith("s") and not term[0].isupper()
        )
        subject = with_article(term) if countable else term
        if listed:
            line = f"{term}: {meaning}"
        else:
            form = generator.choice(
                ["{0} is {1}.", "{0} is {1}.", "{0} means {1}.", "The term {2} means {1}."]
            )
            line = form.format(subject[0].upper() + subject[1:], meaning, term)
        asked = generator.choice(
            [f"What is {subject}?", f"What is {subject}?", f"What does {term} mean?", f"Define {term}."]
        )
        pairs.append(Pair("gloss", asked, meaning, line))
        if generator.random() < 0.3:
            pairs.append(Pair("subject", f"Which term means {meaning}?", term, line))
        lines.append(line)
    return ("\n" if listed else " ").join(lines), pairs


class Tasks:
    """Draws one conversation at a time from the mixture."""

    # The shares are of conversations, not of tokens.
    SHARES = {
        "textbook": 42,
        "facts": 20,
        "glossary": 14,
        "summary": 8,
        "repeat": 5,
        "instruction": 4,
        "exercise": 3,
        "definition": 3,
        "plot": 1,
    }

    def __init__(self, material: Material, phase: Phase, generator: random.Random) -> None:
        self.material, self.phase, self.generator = material, phase, generator
        self.windows = windows(material.sections, phase.words, generator)
        self.blocks: dict[str, list[str]] = {}
        for section in material.sections:
            self.blocks.setdefault(section.group, []).extend(
                block for block in section.blocks if is_prose(block)
            )

    def draw(self) -> tuple[str, list[Turn]]:
        kind = self.generator.choices(list(self.SHARES), list(self.SHARES.values()))[0]
        turns: list[Turn] = getattr(self, kind)()
        return kind, turns

    def textbook(self) -> list[Turn]:
        title, passage = next(self.windows)
        pairs = pairs_of(passage, self.generator)
        chosen = choose(pairs, self.generator.choice([1, 2, 3, 4, 5]), self.generator)
        if self.generator.random() < 0.06 and title:
            chosen.append(
                Pair(
                    "title",
                    self.generator.choice(["What is the passage about?", "What is a good title?"]),
                    title,
                    title,
                )
            )
        return turns_of(passage, chosen, self.generator)

    def facts(self) -> list[Turn]:
        low, high = self.phase.words
        _, passage, pairs = fact_passage(self.generator, self.generator.randint(low, min(high, 160)))
        return turns_of(
            passage,
            self.generator.sample(pairs, min(len(pairs), self.generator.randint(1, 5))),
            self.generator,
        )

    def glossary(self) -> list[Turn]:
        source = self.material.glosses if self.generator.random() < 0.5 else self.material.definitions
        passage, pairs = glossary(
            self.generator.sample(source, self.generator.randint(2, 3 + self.phase.words[1] // 30)),
            self.generator,
        )
        return turns_of(
            passage,
            self.generator.sample(pairs, min(len(pairs), self.generator.randint(1, 4))),
            self.generator,
        )

    def summary(self) -> list[Turn]:
        """The opening sentence stands for the summary: textbook paragraphs open with their topic."""
        _, passage = (
            next(self.windows)
            if self.generator.random() < 0.8
            else fact_passage(self.generator, self.phase.words[0] + 20)[:2]
        )
        lines = sentences(passage)
        return [Turn(summarise(passage), lines[0])] if len(lines) > 2 and len(lines[0].split()) < 35 else []

    def repeat(self) -> list[Turn]:
        """Copying in its purest form; half of the time of words in random order."""
        _, passage = next(self.windows)
        words = passage.split()[: self.phase.words[1] // 2]
        if self.generator.random() < 0.5:
            self.generator.shuffle(words)
        text = " ".join(words)
        return [Turn(f"Repeat the text.\n\n{text}", text)]

    def instruction(self) -> list[Turn]:
        instruction, given, output = self.generator.choice(self.material.instructions)
        return [Turn(instruct(instruction, given), output)]

    def exercise(self) -> list[Turn]:
        """An exercise with the paragraph of its module that shares most words with the answer, or alone."""
        entry = self.generator.choice(self.material.exercises)
        blocks = self.blocks.get(entry.group, [])
        wanted = set(re.findall(r"[a-z]{4,}", entry.body.lower()))
        if not blocks or len(wanted) < 2:
            return [Turn(entry.head, entry.body)]
        best = max(
            blocks,
            key=lambda block: (
                len(wanted & set(re.findall(r"[a-z]{4,}", block.lower()))) / (20 + len(block.split())) ** 0.5
            ),
        )
        covered = len(wanted & set(re.findall(r"[a-z]{4,}", best.lower()))) / len(wanted)
        if covered < 0.6 or len(best.split()) > self.phase.words[1]:
            return [Turn(entry.head, entry.body)]
        return [Turn(ask(best, entry.head), entry.body)]

    def definition(self) -> list[Turn]:
        source = self.material.definitions if self.generator.random() < 0.7 else self.material.glosses
        turns = []
        for entry in self.generator.sample(source, 3):
            asked = self.generator.choice(["What is {0}?", "Define {0}.", "What does {0} mean?"]).format(
                lower_first(entry.head)
            )
            turns.append(Turn(asked, entry.body[0].upper() + entry.body[1:].rstrip(".") + "."))
        return turns

    def plot(self) -> list[Turn]:
        entry = self.generator.choice(self.material.plots)
        story = next(section for section in self.material.stories if section.group == entry.group)
        prose = [block for block in story.blocks if len(block.split()) > 25]
        if not prose:
            return []
        block = self.generator.choice(prose)
        return [Turn(f"{entry.head}\n\n{' '.join(block.split()[: self.phase.words[1]])}", entry.body)]


class Packer:
    """Fills sequences to the last token: whole conversations first, then plain text up to the edge.

    Every document carries a number within its sequence, so that attention stays inside it.
    """

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self.tokenizer, self.length = tokenizer, length
        self.begin, self.end, self.user, self.assistant = (
            tokenizer.token_to_id(name) for name in ("<|begin|>", "<|end|>", "<|user|>", "<|assistant|>")
        )

    def conversation(self, turns: list[Turn]) -> tuple[list[int], list[int]]:
        tokens, weights = [self.begin], [0]
        for turn in turns:
            user = [self.user, *self.tokenizer.encode(turn.user.strip()).ids, self.assistant]
            answer = [*self.tokenizer.encode(turn.answer.strip()).ids, self.end]
            tokens += user + answer
            weights += [PROMPT_WEIGHT] * len(user) + [ANSWER_WEIGHT] * len(answer)
        return tokens, weights


class TextStream:
    """Sections one after another, cut wherever a sequence has room."""

    def __init__(self, sections: list[Section], tokenizer: Tokenizer, generator: random.Random) -> None:
        self.sections, self.tokenizer, self.generator = sections, tokenizer, generator
        self.order: list[int] = []
        self.left: list[int] = []

    def take(self, room: int) -> list[int]:
        if not self.left:
            if not self.order:
                self.order = self.generator.sample(range(len(self.sections)), len(self.sections))
            section = self.sections[self.order.pop()]
            blocks = [block for block in section.blocks if block.count("[formula]") <= 2]
            text = "\n\n".join([section.title, *blocks] if section.title else blocks)
            self.left = [*self.tokenizer.encode(text).ids, self.tokenizer.token_to_id("<|end|>")]
        taken, self.left = self.left[:room], self.left[room:]
        return taken


def pack(
    packer: Packer, tasks: Tasks, stream: TextStream, phase: Phase, counts: Counter[str]
) -> dict[str, np.ndarray]:
    rows = phase.tokens // phase.length
    tokens = np.zeros((rows, phase.length), np.uint16)
    weights = np.zeros((rows, phase.length), np.uint8)
    documents = np.zeros((rows, phase.length), np.uint8)
    waiting: list[tuple[str, list[int], list[int]]] = []
    task_tokens = all_tokens = 0
    for row in range(rows):
        filled = number = 0
        while task_tokens <= phase.tasks * (all_tokens + filled) or waiting:
            if not waiting:
                kind, turns = tasks.draw()
                while turns:
                    ids, marks = packer.conversation(turns)
                    if len(ids) <= phase.length:
                        break
                    turns = turns[:-1]
                if not turns:
                    continue
                waiting.append((kind, ids, marks))
            kind, ids, marks = waiting[0]
            if filled + len(ids) > phase.length:
                break
            waiting.clear()
            span = slice(filled, filled + len(ids))
            tokens[row, span], weights[row, span], documents[row, span] = ids, marks, number
            filled, number, task_tokens = filled + len(ids), number + 1, task_tokens + len(ids)
            counts[kind] += len(ids)
        while filled < phase.length:
            piece = [packer.begin, *stream.take(phase.length - filled - 1)]
            span = slice(filled, filled + len(piece))
            tokens[row, span], weights[row, span], documents[row, span] = piece, TEXT_WEIGHT, number
            weights[row, filled] = 0
            filled, number = filled + len(piece), number + 1
            counts["text"] += len(piece)
        all_tokens += phase.length
    return {"tokens": tokens, "weights": weights, "documents": documents}


def without_copies(held: list[Section], train: list[Section], most: float = 0.05) -> list[Section]:
    """Held-out sections that the training text does not hold as well: textbooks share chapters with one another."""
    wanted = [set(runs("\n".join(section.blocks), RUN)) for section in held]
    every = set().union(*wanted)
    seen: set[int] = set()
    for section in train:
        seen |= every.intersection(runs("\n".join(section.blocks), RUN))
    return [
        section for section, mine in zip(held, wanted, strict=True) if len(mine & seen) <= most * len(mine)
    ]


def held_out_questions(
    sections: list[Section], number: int, generator: random.Random
) -> list[dict[str, object]]:
    """Passages of held-out modules with questions of the surer rules."""
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    for title, passage in windows(sections, (60, 180), generator):
        pairs = [
            pair
            for pair in pairs_of(passage, generator)
            if pair.kind not in {"cloze", "mention", "opening", "event"}
        ]
        for pair in choose(pairs, 2, generator):
            if pair.question not in seen:
                seen.add(pair.question)
                rows.append(
                    {
                        "title": title,
                        "context": passage,
                        "question": pair.question[0].upper() + pair.question[1:],
                        "answers": [pair.span],
                        "sentence": pair.sentence,
                        "kind": pair.kind,
                    }
                )
        if len(rows) >= number:
            return rows
    return rows


def load(corpus: Path, instructions: Path, wordnet: Path) -> tuple[Material, list[Section]]:
    sections, definitions, exercises = read_openstax(corpus / "openstax.jsonl.gz")
    stories, plots = read_stories(corpus / "squality.jsonl.gz")
    train, held = (
        [section for section in sections + stories if is_held_out(section.group) == flag]
        for flag in (False, True)
    )
    kept = lambda entries: [entry for entry in entries if not is_held_out(entry.group)]  # noqa: E731
    material = Material(
        [section for section in train if section.title],
        kept(definitions),
        kept(exercises),
        kept(read_wordnet(wordnet)),
        read_instructions(instructions),
        [section for section in train if not section.title],
        kept(plots),
    )
    return material, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--instructions", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--work", type=Path, default=Path("build/pretrain_builtin"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phases", type=int, nargs="*", default=[0, 1, 2], help="build only these")
    options = parser.parse_args()
    material, held = load(options.corpus, options.instructions, options.wordnet)
    questions.learn_common_words([block for section in material.sections[::3] for block in section.blocks])
    tokenizer = Tokenizer.from_file(str(options.work / "tokenizer" / "tokenizer.json"))
    report: dict[str, object] = {"seed": options.seed}
    for number in options.phases:
        # A generator of its own for each phase: one can be built again without the others.
        phase, generator = PHASES[number], random.Random(10 * options.seed + number)
        stream = TextStream(material.sections + material.stories, tokenizer, generator)
        counts: Counter[str] = Counter()
        packed = pack(
            Packer(tokenizer, phase.length), Tasks(material, phase, generator), stream, phase, counts
        )
        np.savez(options.work / f"phase{number}.npz", **packed)
        report[f"phase{number}"] = {"length": phase.length, **dict(counts.most_common())}
        print(number, report[f"phase{number}"], flush=True)
    held = without_copies(held, material.sections + material.stories)
    ids = [
        token
        for section in held
        for token in [*tokenizer.encode("\n\n".join([section.title, *section.blocks])).ids, 2]
    ]
    size = sum(len("\n\n".join([section.title, *section.blocks]).encode()) for section in held)
    np.savez(options.work / "heldout.npz", tokens=np.array(ids, np.uint16), bytes=size)
    asked = held_out_questions(
        [section for section in held if section.title], 600, random.Random(options.seed + 1)
    )
    with open(options.work / "heldout_questions.jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in asked)
    report["held_out"] = {
        "modules": len({section.group for section in held}),
        "tokens": len(ids),
        "bytes": size,
        "questions": len(asked),
    }
    if (options.work / "data.json").exists():
        report = {**json.loads((options.work / "data.json").read_text(encoding="utf-8")), **report}
    (options.work / "data.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(report["held_out"])


if __name__ == "__main__":
    main()
