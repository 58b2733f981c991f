"""How much, how many, how long, what share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.nouns import Span, head_noun
from tunesmith.synthesize.questions import Piece, joined, pieces, tidy
from tunesmith.synthesize.rules.patterns import HEDGE, MEASURE_NOUNS, NUMBER_WORD, QUANTITY, UNITS, VACUOUS
from tunesmith.synthesize.rules.statement import (
    Draft,
    Statement,
    cannot_stand,
    is_simple,
    question,
    rest_of,
    with_context,
)

_OBJECT_AMOUNT = re.compile(rf"^(?P<amount>{QUANTITY} ?(?P<unit>{UNITS}))(?: (?P<of>of) (?P<what>.+))?$")


_OBJECT_COUNT = re.compile(
    rf"^(?P<amount>{QUANTITY}) (?P<what>(?:[a-z-]+ ){{0,3}}[a-z-]+s)(?P<more>(?: of| in| with| from| for)? .*)?$"
)


_NOUN_OF_AMOUNT = re.compile(
    rf"^(?:an?|the|its|their) (?P<noun>(?:[\w-]+ ){{0,3}}(?P<head>[\w-]+)) of "
    rf"(?P<amount>{QUANTITY}(?: ?{UNITS})?(?: per .+)?)$"
)


_MONEY_VERBS = frozenset(["cost", "pay", "save", "spend", "invest", "earn"])


def amount(statement: Statement) -> Iterator[Draft]:
    """S V 4 kilowatt-hours of energy -> How much energy does S V?"""
    clause = statement.clause
    if not is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    particle, parts = pieces(clause)
    if not parts:
        return
    yield from _dimension(statement)
    whole = parts[0]
    text = clause.slice(whole.span) if whole.opener == "" else ""
    others = joined(clause, [part.span for part in parts[1:]])
    tail = f"{particle} {others}"
    if whole.is_absorbed:
        return
    if clause.is_copula and clause.words[clause.finite].lower in {"is", "are", "was", "were"}:
        head = head_noun(clause.words, clause.subject)
        match = _OBJECT_AMOUNT.match(text)
        if (
            match
            and not match["of"]
            and head is not None
            and clause.words[head].lower in MEASURE_NOUNS
            and not others
        ):
            yield Draft(
                "amount",
                with_context(statement, f"What {clause.words[clause.finite].lower} {statement.subject}")
                + "?",
                text,
            )
        return
    if clause.is_passive:
        return
    match = _NOUN_OF_AMOUNT.match(text)
    if match and match["head"].lower() in MEASURE_NOUNS:
        yield Draft("amount", question(statement, f"What {match['noun']}", tail), match["amount"])
        return
    match = _OBJECT_AMOUNT.match(text)
    if match:
        unit, what = match["unit"], match["what"]
        if unit in {"%", "percent", "per cent"} and what:
            yield Draft("share", question(statement, f"What percentage of {what}", tail), match["amount"])
        elif what and re.match(r"[a-z-]+(?: [a-z-]+)?$", what) and unit != "times":
            yield Draft("amount", question(statement, f"How much {what}", tail), match["amount"])
        elif not what and clause.base in _MONEY_VERBS:
            yield Draft("amount", question(statement, "How much", tail), match["amount"])
        elif (
            not what
            and clause.base in {"last", "take"}
            and re.match(r"(?:second|minute|hour|day|week|month|year)", unit)
        ):
            yield Draft("duration", question(statement, "How long", tail), match["amount"])
        return
    match = _OBJECT_COUNT.match(text)
    if match and not re.match(UNITS, match["what"]) and _is_countable(clause, whole.span):
        yield Draft(
            "count",
            question(statement, f"How many {match['what']}", f"{particle} {match['more'] or ''} {others}"),
            f"{match['amount']} {match['what']}",
        )


def _is_countable(clause: Clause, span: Span) -> bool:
    first, end = span
    head = head_noun(clause.words, span)
    if head is None or clause.words[head].tag != "NNS":
        return False
    listed = any(
        word.lower in {"and", "or"} or word.text == ","
        for word in clause.words[first:end]
        if word.tag != "CD"
    )
    return not listed and clause.words[head].lower.rstrip("s") not in VACUOUS


def _dimension(statement: Statement) -> Iterator[Draft]:
    """Vertical boreholes are usually 50 to 200 metres deep -> How deep are vertical boreholes usually?"""
    text = rest_of(statement)
    match = re.match(
        rf"^(?P<adverb>usually |typically |often |normally |only )?(?P<amount>{QUANTITY} ?{UNITS}) "
        rf"(?P<way>deep|wide|long|high|thick|tall|old)\b(?P<more>.*)$",
        text,
    )
    if match and len(match["more"].split()) <= 6:
        adverb = (match["adverb"] or "").replace("only ", "")
        yield Draft(
            "dimension",
            question(statement, f"How {match['way']}", f"{adverb}{match['more']}"),
            f"{match['amount']} {match['way']}",
        )


def measured_phrase(statement: Statement) -> Iterator[Draft]:
    """… at 58 °C -> At what temperature …?   … in three stages -> In how many stages …?"""
    clause = statement.clause
    if not is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        if part.is_absorbed or not part.opener:
            continue
        text = clause.slice(part.span)
        others = tidy(
            f"{particle} " + joined(clause, [p.span for number, p in enumerate(parts) if number != index])
        )
        head = _measured_head(part, text)
        if head and (others or clause.is_passive or index == 0):
            yield Draft("measure", question(statement, head, others), text)
            return


def _measured_head(part: Piece, text: str) -> str | None:
    opener = part.opener
    inside = text.split(" ", 1)[1] if " " in text else ""
    if opener == "at" and re.fullmatch(
        rf"{QUANTITY} ?(?:°\s?[CF]|degrees? (?:Celsius|Fahrenheit))(?: or (?:more|less))?", inside
    ):
        return "At what temperature"
    if opener == "at" and re.fullmatch(rf"{QUANTITY} degrees", inside):
        return "At how many degrees"
    match = re.fullmatch(
        rf"an? (?:average |mean |constant |maximum |minimum )?(?P<noun>[a-z-]+) of {QUANTITY}(?: ?{UNITS})?",
        inside,
    )
    if match and match["noun"] in MEASURE_NOUNS:
        return f"{opener.capitalize()} what {match['noun']}"
    match = re.fullmatch(
        rf"{QUANTITY} (?P<unit>seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?)", inside
    )
    if match and opener in {"for", "after", "within"}:
        unit = match["unit"] if match["unit"].endswith("s") else match["unit"] + "s"
        return {
            "for": "For how long",
            "after": f"After how many {unit}",
            "within": f"Within how many {unit}",
        }[opener]
    if opener == "by" and re.fullmatch(rf"{QUANTITY} ?(?:%|percent|per cent|{UNITS})", inside):
        return "By how much"
    match = re.fullmatch(rf"{HEDGE}(?:{NUMBER_WORD}|\d+) (?P<what>(?:[a-z-]+ )?[a-z-]+s)", inside)
    if match and opener in {"in", "into", "from", "on", "with"} and not re.match(UNITS, match["what"]):
        return f"{opener.capitalize()} how many {match['what']}"
    return None


_SUBJECT_SHARE = re.compile(
    rf"^(?P<amount>{QUANTITY} ?(?:%|percent|per cent)) of (?P<what>.+)$", re.IGNORECASE
)


_SUBJECT_FRACTION = re.compile(
    r"^(?P<amount>(?:(?:about|roughly|nearly|almost|over|more than|some|around) )?(?:two|three|"
    r"one|a|four) (?:thirds?|quarters?|fifths?)) of (?P<what>.+)$",
    re.IGNORECASE,
)


_SUBJECT_COUNT = re.compile(
    rf"^(?P<amount>{QUANTITY}) (?P<what>(?:[a-z-]+ )*[a-z-]+s(?: .+)?)$", re.IGNORECASE
)


def subject_amount(statement: Statement) -> Iterator[Draft]:
    """20 percent of the heat leaves the room -> What percentage of the heat leaves the room?"""
    clause = statement.clause
    if clause.is_negative or cannot_stand(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    verb = with_context(statement, clause.slice((clause.finite, clause.rest[1])))
    if match := _SUBJECT_SHARE.match(statement.subject):
        yield Draft("share", f"What percentage of {match['what']} {verb}?", match["amount"])
    elif match := _SUBJECT_FRACTION.match(statement.subject):
        yield Draft("share", f"What share of {match['what']} {_singular(verb)}?", match["amount"])
    elif (
        (match := _SUBJECT_COUNT.match(statement.subject))
        and not re.match(rf"(?:{UNITS}|quarters|thirds|fifths)\b", match["what"])
        and "one" not in match["amount"].lower()
    ):
        yield Draft("count", f"How many {match['what']} {verb}?", match["amount"])


def _singular(verb: str) -> str:
    head, _, rest = verb.partition(" ")
    return f"{ {'are': 'is', 'were': 'was', 'have': 'has'}.get(head, head) } {rest}"
