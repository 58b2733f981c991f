"""English verb forms, in so far as questions need them: `melts` -> does … melt, `stored` -> did … store."""

from __future__ import annotations

import re
from collections.abc import Container

# past and past participle -> base form
_IRREGULAR = """
arose arisen arise, awoke awoken awake, bore borne born bear, beat beaten beat, became become, began begun
begin, bent bend, bound bind, bit bitten bite, bled bleed, blew blown blow, broke broken break, bred breed,
brought bring, built build, burnt burn, bought buy, caught catch, chose chosen choose, clung cling, came
come, crept creep, cut cut, dealt deal, dug dig, did done do, drew drawn draw, drank drunk drink, drove
driven drive, ate eaten eat, fell fallen fall, fed feed, felt feel, fought fight, found find, fled flee,
flew flown fly, forbade forbidden forbid, forgot forgotten forget, froze frozen freeze, got gotten get, gave
given give, went gone go, grew grown grow, hung hang, had have, heard hear, hid hidden hide, held hold, kept
keep, knew known know, laid lay, led lead, leapt leap, learnt learn, left leave, lent lend, lain lie, lit
light, lost lose, made make, meant mean, met meet, overcame overcome, paid pay, proved proven prove, rode
ridden ride, rang rung ring, rose risen rise, ran run, said say, saw seen see, sought seek, sold sell, sent
send, sewed sewn sew, shook shaken shake, shone shine, shot shoot, showed shown show, shrank shrunk shrink,
sang sung sing, sank sunk sink, sat sit, slept sleep, slid slide, spoke spoken speak, spent spend, spun
spin, split split, spread spread, sprang sprung spring, stood stand, stole stolen steal, stuck stick, struck
strike, swept sweep, swelled swollen swell, swam swum swim, swung swing, took taken take, taught teach, tore
torn tear, told tell, thought think, threw thrown throw, undertook undertaken undertake, understood
understand, underwent undergone undergo, woke woken wake, wore worn wear, wove woven weave, won win, wound
wind, withdrew withdrawn withdraw, withstood withstand, wrote written write, put put, set set, let let, hit
hit, shut shut, cost cost, rid rid, cast cast, hurt hurt """
IRREGULAR = {
    form: forms.split()[-1]
    for forms in _IRREGULAR.replace("\n", " ").split(",")
    for form in forms.split()[:-1]
}


def base_form(form: str, tag: str, known: Container[str] = frozenset()) -> str:
    """The infinitive of a finite verb form.

    Args:
        form: the verb as it stands in the sentence.
        tag: its Penn tag: VBZ (melts), VBD (stored), VBN, VBP or VB.
        known: words of the language; they decide between `store` and `stor` for `stored`.
    """
    word = form.lower()
    if tag in {"VB", "VBP"}:
        return "be" if word in {"am", "are"} else word
    if tag == "VBZ":
        return _base_of_third_person(word)
    if word in {"was", "were"}:
        return "be"
    if word in IRREGULAR:
        return IRREGULAR[word]
    return _base_of_past(word, known) if word.endswith("ed") else word


def _base_of_third_person(word: str) -> str:
    special = {
        "is": "be",
        "has": "have",
        "does": "do",
        "goes": "go",
        "undergoes": "undergo",
        "lies": "lie",
        "ties": "tie",
        "dies": "die",
    }
    if word in special:
        return special[word]
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes", "oes")):
        return word[:-2] if word not in {"aches", "caches"} else word[:-1]
    return word[:-1] if word.endswith("s") else word


def _base_of_past(word: str, known: Container[str]) -> str:
    if word.endswith("ied"):
        return word[:-1] if word in {"died", "lied", "tied"} else word[:-3] + "y"
    stem = word[:-2]
    with_e = stem + "e"
    # After one vowel and one consonant the consonant would have been doubled (planned), so that an e was
    # dropped (rated).
    would_double = re.search(r"^[^aeiou]*[aeiou][^aeiouwxy]$", stem) is not None
    if with_e in known and (stem not in known or would_double):
        return with_e
    if stem in known:
        return stem
    if stem[-1] == stem[-2] and stem[-1] not in "sz":
        return stem[:-1]
    return (
        with_e if re.search(r"(?:[cvuz]|[^s]s|[^aeiou]l|[rnd]g|[aeiou]g|[aeiou][^aeiou]+at)$", stem) else stem
    )


def third_person(base: str) -> str:
    """melt -> melts, carry -> carries, have -> has."""
    special = {"be": "is", "have": "has", "do": "does", "go": "goes"}
    if base in special:
        return special[base]
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def _past_only() -> frozenset[str]:
    rows = [row.split() for row in _IRREGULAR.replace("\n", " ").split(",")]
    return frozenset(row[0] for row in rows if len(row) == 3 and row[0] not in (row[1], row[2]))


PAST_ONLY = _past_only()
"""Forms that are a past tense and no participle: grew, began, froze."""
