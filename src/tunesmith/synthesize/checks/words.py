"""Words and numbers of a text, in the form in which texts are compared."""

from __future__ import annotations

import re
import unicodedata


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’.,-][^\W_]+)*", text)


def normalise(text: str) -> str:
    """Case, accents' encoding, punctuation and spaces folded, so that equal texts are equal strings."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", folded))


_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
}


def numbers(text: str) -> set[str]:
    """Numbers as plain digit strings: "1,200" and "1200" are one; "3.50" and "3.5" are one."""
    found = set()
    for match in _NUMBER.findall(text):
        plain = re.sub(r",(?=\d{3}\b)", "", match)
        found.add(plain.rstrip("0").rstrip(".") if "." in plain else plain)
    return found


def stated_numbers(text: str) -> set[str]:
    """Numbers of a text, those written as words included."""
    return numbers(text) | {NUMBER_WORDS[word] for word in normalise(text).split() if word in NUMBER_WORDS}
