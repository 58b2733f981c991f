"""Which evaluation texts share long runs of words with the training sources.

    python overlap.py --corpus CORPUS --instructions alpaca_libre.jsonl --against samples/*.md xquad_en.jsonl …

A run of 13 equal words in a row counts as shared. JSON Lines are read field by field, other files as text.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from sources import read_instructions, read_openstax, read_stories, read_wordnet

RUN = 13


def runs(text: str, length: int) -> Iterator[int]:
    words = re.findall(r"\w+", text.lower())
    for start in range(len(words) - length + 1):
        yield hash(tuple(words[start : start + length]))


def training_texts(corpus: Path, instructions: Path, wordnet: Path) -> Iterator[str]:
    """Everything the mixture is made of, whatever was drawn of it (held-out modules too)."""
    sections, definitions, exercises = read_openstax(corpus / "openstax.jsonl.gz")
    stories, plots = read_stories(corpus / "squality.jsonl.gz")
    for section in [*sections, *stories]:
        yield "\n".join([section.title, *section.blocks])
    for entry in [*definitions, *exercises, *plots, *read_wordnet(wordnet)]:
        yield f"{entry.head} {entry.body}"
    for row in read_instructions(instructions):
        yield "\n".join(row)


def texts_of(path: Path) -> Iterator[str]:
    content = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".jsonl":
        yield content
        return
    for line in content.splitlines():
        for value in json.loads(line).values():
            yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--instructions", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--against", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    # The evaluation side is the small one: hold it, and stream the training side past it.
    wanted: dict[int, set[Path]] = {}
    for path in options.against:
        for text in set(texts_of(path)):
            for run in runs(text, RUN):
                wanted.setdefault(run, set()).add(path)
    totals = dict.fromkeys(options.against, 0)
    for paths in wanted.values():
        for path in paths:
            totals[path] += 1
    shared = dict.fromkeys(options.against, 0)
    for text in training_texts(options.corpus, options.instructions, options.wordnet):
        for run in runs(text, RUN):
            for path in wanted.pop(run, ()):  # each run counts once
                shared[path] += 1
    for path in options.against:
        print(f"{path.name}: {shared[path]} of {totals[path]} runs of {RUN} words shared")


if __name__ == "__main__":
    main()
