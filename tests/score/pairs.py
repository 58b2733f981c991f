"""Pairs of texts that have broken metrics before, and predictions made of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tunesmith.records import Prediction

WORDS = [
    *(
        "the",
        "a",
        "of",
        "heat",
        "pump",
        "pumps",
        "pumping",
        "warms",
        "warming",
        "rooms",
        "room",
        "quickly",
        "was",
        "is",
    ),
    *(
        "installed",
        "installation",
        "not",
        "without",
        "water",
        "tank",
        "tanks",
        "35",
        "1,200",
        "°C",
        "U.S.",
        "e.g.",
    ),
    *(
        "co-operate",
        "don't",
        "café",
        "naïve",
        "generation",
        "generating",
        "general",
        "universal",
        "university",
    ),
]

ODD: tuple[tuple[str, str], ...] = (
    ("", "The pump is outside."),
    ("   \n ", "The pump is outside."),
    ("yes", "yes"),
    ("Yes.", "yes"),
    ("x", "The pump is outside."),
    ("🙂🙂 👩‍🔧", "🙂 yes 👩‍🔧"),
    ("熱ポンプは外の空気から熱を取ります。", "熱ポンプは外の空気から熱を集めます。"),
    ("これはペンです", "これはペンです"),
    ("one two three\nfour five six", "four five six\none two three"),
    ("first line here\n\nsecond line here\n", "second line\nfirst line here too\n"),
    ("a\nb\na b c d\nc d a b", "a b c\nb a d c\nd"),
    ("“quoted” — dash… <unk> &amp; &lt;b&gt;", '"quoted" - dash... <unk> & <b>'),
    ("the the the the the the", "the pump the tank"),
    ("THE PUMP IS OUTSIDE", "the pump is outside"),
    ("1,200.50 kWh/m² at 35 °C", "1200.5 kWh/m2 at 35°C"),
    ("the pump is outside .", "The pump is outside."),
    ("...", "!!!"),
)


def text_pairs(
    count: int = 200, *, words: Sequence[int] = (1, 3, 8, 20, 60), long: int = 2000
) -> list[tuple[str, str]]:
    """(answer, reference): the odd ones, one pair of `long` words, and random edits of random sentences."""
    rng = random.Random(3)
    text = _sentence(rng, long)
    pairs = [*ODD, (_edited(rng, text), text)]
    while len(pairs) < count:
        reference = _sentence(rng, rng.choice(words))
        pairs.append((_edited(rng, reference), reference))
    return pairs


def _sentence(rng: random.Random, n_words: int) -> str:
    text = " ".join(rng.choice(WORDS) for _ in range(n_words))
    return text.capitalize() + rng.choice([".", "", "?"])


def _edited(rng: random.Random, text: str) -> str:
    kept = [word if rng.random() < 0.7 else rng.choice(WORDS) for word in text.split() if rng.random() < 0.9]
    if rng.random() < 0.2:
        rng.shuffle(kept)
    return "\n".join(" ".join(kept[start : start + 25]) for start in range(0, len(kept), 25))


def predictions(pairs: Sequence[tuple[str, str | Sequence[str]]], system: str = "base") -> list[Prediction]:
    """One prediction per (answer, reference or references), ids and sources by position."""
    return [
        prediction(answer, reference, id=str(i), system=system) for i, (answer, reference) in enumerate(pairs)
    ]


def prediction(answer: str, reference: str | Sequence[str] = "reference", **fields: object) -> Prediction:
    """A prediction with what the test does not care about filled in."""
    known: dict[str, object] = {
        "id": "1",
        "source_id": "doc",
        "system": "base",
        "prompt": "",
        "status": "ok",
        **fields,
    }
    references = (reference,) if isinstance(reference, str) else tuple(reference)
    return Prediction(text=answer, references=references, **known)  # type: ignore[arg-type]
