"""Prints pairs that a teacher wrote about a folder of documents, for a person to read and judge.

    python tools/read_pairs.py DOCUMENTS… [--number 20] [--seed 1] [--all] [--refused] [--passages]

Reads, cuts and checks as `tunesmith run` does with its defaults, with the built-in teacher. Nothing is written.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SOURCE))

from tunesmith.read.stage import ReadOptions, chunk_documents, read_documents  # noqa: E402
from tunesmith.records import Document, Example, Refused  # noqa: E402
from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher, synthesize_examples  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", nargs="+", help="files, folders or patterns")
    parser.add_argument("--number", type=int, default=20, help="how many pairs to draw")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="print every pair, in order")
    parser.add_argument(
        "--refused", action="store_true", help="print what the checks refused, with the reasons"
    )
    parser.add_argument("--passages", action="store_true", help="print the passage of each pair as well")
    parser.add_argument("--kinds", nargs="+", default=["question_answer"])
    arguments = parser.parse_args()

    reading = ReadOptions(documents=[str(Path(path).resolve()) for path in arguments.documents])
    documents = [record for record in read_documents(reading, Path.cwd()) if isinstance(record, Document)]
    texts = {document.source_id: document.text for document in documents}
    chunks = list(chunk_documents(documents, reading.chunk))
    options = SynthesizeOptions(kinds=tuple(arguments.kinds))
    with tempfile.TemporaryDirectory() as folder:
        teacher = open_teacher(options, Path(folder) / "journal.sqlite")
        records = list(synthesize_examples(chunks, teacher, options))
    examples = [record for record in records if isinstance(record, Example)]
    refused = [record for record in records if isinstance(record, Refused)]

    chosen = examples
    if not arguments.all:
        chosen = random.Random(arguments.seed).sample(examples, min(arguments.number, len(examples)))
    for number, example in enumerate(chosen, start=1):
        evidence = " ".join(texts[example.source_id][example.evidence_start : example.evidence_end].split())
        print(f"{number:3}. [{example.attributes.get('rule', example.kind)}] {example.source_id}")
        if arguments.passages:
            print(textwrap.indent(textwrap.fill(example.context or "", 116), "     | "))
        print(f"     evidence: {evidence}\n     Q: {example.instruction}\n     A: {example.target}")
    if arguments.refused:
        for record in refused:
            print(
                f"  refused by {record.check}: {record.reason}\n     Q: {record.instruction}\n     A: {record.target}"
            )
    words = sum(len(text.split()) for text in texts.values())
    rules = Counter(example.attributes.get("rule", example.kind) for example in examples)
    checks = Counter(record.check for record in refused)
    print(
        f"\n{len(documents)} documents, {words} words, {len(chunks)} chunks, {len(examples)} examples"
        f" ({600 * len(examples) / max(words, 1):.1f} in 600 words), {len(refused)} refused "
        f"{dict(checks)}\nrules: {dict(rules.most_common())}"
    )


if __name__ == "__main__":
    main()
