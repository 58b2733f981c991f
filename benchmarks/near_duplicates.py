"""Near duplicates among many rows: time, memory, and what is found, beside comparing all pairs.

    python benchmarks/near_duplicates.py            # 100,000 rows: time, memory, edited copies found
    python benchmarks/near_duplicates.py --rows 5000

Rows are made of words drawn by Zipf's law, 20 to 80 of them; one in fifty is an edited copy of an earlier one, with one
to four words replaced. Which of the copies have a Jaccard similarity of 0.8 or more is worked out from plain Python
sets. The leak check then looks for the last fifth of the rows in the first four fifths. One thread; nothing is fetched.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time

from tunesmith.duplicates import NearIndex
from tunesmith.prepare.leaks import find_leaks
from tunesmith.records import Row

THRESHOLD = 0.8
PAIRS_TIMED = 20_000
"""Pairs compared one by one, to tell what comparing all pairs would take."""


def made_texts(n: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts, and (copy, original) of those that are edited copies."""
    draw = random.Random(7)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / (place + 10) for place in range(len(words))]
    texts: list[str] = []
    copies: list[tuple[int, int]] = []
    for number in range(n):
        if number % 50 == 49:
            original = 50 * draw.randrange(number // 50 + 1)  # never itself a copy
            text = texts[original].split()
            for place in draw.sample(range(len(text)), draw.randint(1, 4)):
                text[place] = draw.choice(words)
            copies.append((number, original))
            texts.append(" ".join(text))
        else:
            texts.append(" ".join(draw.choices(words, weights, k=draw.randint(20, 80))))
    return texts, copies


def pieces(text: str) -> set[str]:
    return {text[start : start + 5] for start in range(len(text) - 4)}


def similarity(left: str, right: str) -> float:
    a, b = pieces(left), pieces(right)
    return len(a & b) / len(a | b)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    n = parser.parse_args().rows
    texts, copies = made_texts(n)
    near = [
        (copy, original) for copy, original in copies if similarity(texts[copy], texts[original]) >= THRESHOLD
    ]
    print(
        f"{n:,} rows of {sum(map(len, texts)) / n:.0f} characters; {len(copies):,} edited copies, {len(near):,} near"
    )
    before = peak_mb()

    index = NearIndex(THRESHOLD)
    wall, cpu = time.monotonic(), time.process_time()
    refused = {number for number, text in enumerate(texts) if index.add(text) is not None}
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    found = sum(copy in refused for copy, _ in near)
    print(
        f"search: {wall:.1f} s, {cpu:.1f} CPU s, {peak_mb() - before:.0f} MB above the texts' {before:.0f} MB"
    )
    print(
        f"  {found:,} of {len(near):,} near copies found; {len(refused - {c for c, _ in copies}):,} other rows refused"
    )

    draw = random.Random(1)
    pairs = [(draw.randrange(n), draw.randrange(n)) for _ in range(PAIRS_TIMED)]
    start = time.process_time()
    for left, right in pairs:
        similarity(texts[left], texts[right])
    each = (time.process_time() - start) / PAIRS_TIMED
    print(f"comparing all pairs instead: {each * n * (n - 1) / 2 / cpu:,.0f} times the CPU time")

    rows = [
        Row(
            f"r{i}", f"r{i}", text, "yes", "train" if i < 0.8 * n else "test", f"r{i}", "classification", text
        )
        for i, text in enumerate(texts)
    ]
    wall, cpu = time.monotonic(), time.process_time()
    report = find_leaks(rows)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    across = {
        c
        for c, original in copies
        if c >= 0.8 * n > original and similarity(f"{texts[c]} yes", f"{texts[original]} yes") >= THRESHOLD
    }
    seen = {int(leak.held_out_id[1:]) for leak in report.leaks if leak.rule == "near_duplicate"}
    print(f"leak check: {wall:.1f} s, {cpu:.1f} CPU s, peak {peak_mb():.0f} MB; {report.counts}")
    print(f"  {len(across & seen):,} of {len(across):,} near copies across the split found")


if __name__ == "__main__":
    main()
