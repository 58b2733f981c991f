"""Lists of words, written as plain text."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text that holds nothing else: easier to read and to mend than a list of quoted strings."""
    return frozenset(text.split())


def phrase_set(text: str) -> frozenset[str]:
    """The phrases of a text that are kept apart by commas."""
    return frozenset(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())
