"""Whether an example is written in the language of its passage."""

from __future__ import annotations

import unicodedata

from tunesmith.records import Example
from tunesmith.synthesize.checks.base import About, parts_of
from tunesmith.synthesize.checks.words import normalise
from tunesmith.synthesize.wordlists import word_set

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    "English": word_set(
"the of and to in is that for it with as was on are by this be from at which or have has not what how"
" does"
),
    "German": word_set(
"der die das und ist nicht mit ein eine den von zu im dem auf für des sich auch werden wird wie was"
),
    "French": word_set(
"le la les des est une dans pour qui que sur pas au du avec ce sont par plus et il elle quelle quel"
),
    "Spanish": word_set(
"el la los las es una de que en para con por del se su como más qué cuál son y al lo"
),
    "Italian": word_set(
"il la che di è una per con non del della sono gli nel le dei come più quale anche si"
),
    "Dutch": word_set(
"de het een van en is dat op te zijn met voor niet aan er om ook als wat hoe worden wordt"
),
    "Portuguese": word_set(
"o a os as é uma de que em para com por do da se não mais qual são dos ao na no"
),
    "Swedish": word_set(
"och är att det en som på för med av den till inte ett har om vad hur kan var"
),
    "Finnish": word_set(
"ja on ei että se oli joka mitä kuin myös tai ovat sen niin mikä hän voi sekä miten"
),
}  # fmt: skip


_SHARED = word_set("a as do no is in was on die son per come con par for an de")
"""Words that two of the languages write alike: they tell nothing."""


def _function_words(text: str) -> dict[str, int]:
    """How many function words of each language the text holds."""
    found = [word for word in normalise(text).split() if word not in _SHARED]
    return {
        name: sum(word in function_words for word in found) for name, function_words in FUNCTION_WORDS.items()
    }


def language_of(text: str) -> str | None:
    """The language whose function words stand out, or `None` when the text is too short or of another language."""
    counts = _function_words(text)
    (best, most), (_, second) = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:2]
    return best if most >= 3 and most >= 1.5 * second and most >= 0.1 * len(text.split()) else None


def script_of(text: str) -> str | None:
    """Script of most letters: the first word of their Unicode names (LATIN, CYRILLIC, CJK, …)."""
    counts: dict[str, int] = {}
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "?").split()[0].split("-")[0]
            name = "CJK" if name in {"HIRAGANA", "KATAKANA"} else name
            counts[name] = counts.get(name, 0) + 1
    return max(sorted(counts), key=lambda name: counts[name]) if counts else None


def check_language(example: Example, about: About) -> str | None:
    """Question and answer in the language and script of the passage."""
    if example.context is None:
        return None
    wanted_script = script_of(example.context)
    wanted = language_of(example.context)
    for what, text in parts_of(example):
        script = script_of(text)
        if script and wanted_script and script != wanted_script:
            return f"the {what} is written in {script}, the passage in {wanted_script}"
        language = language_of(text)
        if (
            language
            and wanted
            and language != wanted
            and 2 * _function_words(text)[wanted] < _function_words(text)[language]
        ):
            return f"the {what} is in {language}, the passage in {wanted}"
    return None
