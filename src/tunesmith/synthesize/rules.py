"""From one clause to questions with answers: each rule is a short function that returns nothing when it is unsure.

A rule never invents: the answer is a piece of the sentence, or the sentence's main clause. `ask` runs all rules and drops
what reads badly (a pronoun without its noun, an answer that the question gives away, a vacuous answer).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunesmith.synthesize.clauses import Clause, Span, head_noun
from tunesmith.synthesize.questions import (
    Piece,
    as_answer,
    inverted,
    joined,
    lower_first,
    pieces,
    predicate,
    tidy,
)
from tunesmith.synthesize.tagger import BE, Word


@dataclass(frozen=True, slots=True)
class Draft:
    rule: str
    question: str
    answer: str


@dataclass(frozen=True)
class Statement:
    """A clause that stands alone: its subject is spelled out."""

    clause: Clause
    subject: str
    """The subject as it goes into a question: resolved, with a small first letter where it is no name."""
    is_person: bool = False
    is_actor: bool = False
    """True for people and organisations: `who`, not `what`."""

    @property
    def words(self) -> tuple[Word, ...]:
        return self.clause.words


Rule = Callable[[Statement], Iterator[Draft]]

_VACUOUS = frozenset(
    "advantage difference reason way kind part problem thing role example effect result purpose use case place question fact time sense step"
    " number lot need form point aspect attention opportunity issue approach challenge topic one work place care".split()
)  # fmt: skip
_UNITS = (
    r"(?:°\s?[CFK]?|%|per ?cent(?:age points)?|percent|degrees?(?: Celsius| Fahrenheit)?|kelvins?|(?:kilo|mega|giga|tera)?watts?(?:-hours?)?|[kMGT]W[h]?|"
    r"(?:kilo|mega|giga)?joules?|[kMG]J|(?:milli|centi|kilo|nano|micro)?met(?:re|er)s?|mm|cm|km|m²|m³|(?:square|cubic) (?:kilo|centi)?met(?:re|er)s?|hectares?|acres?|"
    r"lit(?:re|er)s?|(?:milli|kilo)?grams?|kg|tonnes?|tons?|bars?|pascals?|volts?|amperes?|hertz|decibels?|lux|"
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?|centuries|"
    r"euros?|dollars?|pounds?|cents?|inches|feet|miles?|gallons?|times)"
)
_NUMBER_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|sixteen|eighteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    r"a hundred|a thousand|a dozen|half a|a quarter of an?|three quarters|two thirds|one third|a third|a quarter|half)"
)
_NUM = rf"(?:[-−]?\d[\d.,]*\d|[-−]?\d|{_NUMBER_WORD})(?: (?:hundred|thousand|million|billion|trillion))?(?: and a half)?"
_HEDGE = (
    r"(?:(?:about|around|roughly|approximately|nearly|almost|over|more than|less than|fewer than|at least|at most|up to|only|just|some|as much as|as many as|"
    r"no more than|well over|between|under|usually|typically) )*"
)
QUANTITY = rf"{_HEDGE}(?:[€$£])?{_NUM}(?: ?(?:to|and|or|–|-) ?(?:[€$£])?{_NUM})?"
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_YEAR = rf"(?:the (?:early |late |mid-?)?)?(?:(?:\d{{1,2}} )?{_MONTH} (?:\d{{1,2}}, )?)?(?:1[5-9]|20|21)\d\ds?\b"
_DATE = re.compile(rf"^(?:early |late )?(?:the (?:end|beginning|start) of )?(?:the year )?{_YEAR}$|^{_MONTH}$|^the (?:\d+th|nineteenth|twentieth) century$")
_DIMENSION = {"deep": "deep", "wide": "wide", "long": "long", "high": "high", "thick": "thick", "tall": "tall", "old": "old"}
_MEASURE_NOUNS = frozenset(
    "height depth thickness width length temperature value capacity volume area pressure speed distance cost price share power efficiency output"
    " diameter rate level weight mass density age g-value u-value lifetime lifespan frequency range budget target turnover population".split()
)  # fmt: skip
_PLACE_VERBS = frozenset("stand lie sit hang locate place bury live occur appear form grow install find situate mount fit".split())
_GOVERNED = {
    "consist of", "depend on", "depend upon", "lead to", "rely on", "result in", "refer to", "belong to", "contribute to", "focus on", "aim at",
    "deal with", "differ from", "suffer from", "benefit from", "account for", "stand for", "serve as", "act as", "derive from", "arise from", "stem from",
    "respond to", "react to", "connect to", "link to", "base on", "make of", "make from", "know as", "use for", "use as", "define as", "divide into",
    "compose of", "cover with", "fill with", "line with", "associate with", "concern with", "drive by", "power by", "call for", "ask for", "pay for",
    "protect from", "protect against", "draw on", "convert into", "turn into", "build on", "participate in", "engage in", "invest in", "range from",
    "comply with", "apply to", "relate to", "correspond to", "compete with", "combine with", "equip with", "characterise by", "cause by", "influence by",
    "determine by", "measure by", "regulate by", "limit by", "supply by", "name by", "adhere to", "commit to", "enter into", "amount to", "extend to",
}  # fmt: skip


def ask(statement: Statement) -> list[Draft]:
    """All questions worth asking about the statement, the best first; at most one for each answer."""
    found: list[Draft] = []
    answers: set[str] = set()
    if _OF_THE_TEXT.search(statement.subject):
        return found
    for rule in RULES:
        for draft in rule(statement):
            draft = Draft(draft.rule, tidy(draft.question), as_answer(tidy(draft.answer)))
            key = re.sub(r"\W+", " ", draft.answer.lower()).strip()
            if key in answers or not reads_well(draft) or any(_repeats(key, earlier) for earlier in answers):
                continue
            answers.add(key)
            found.append(draft)
    return found


_OF_THE_TEXT = re.compile(r"\b(?:part|section|chapter|figure|table|annex|appendix|paper|article|page|paragraph)s?\b(?! of the (?!report|roadmap|document|paper))", re.IGNORECASE)


def _repeats(answer: str, earlier: str) -> bool:
    """True when a number that was asked for already is the core of the answer."""
    return answer.startswith(earlier) and bool(re.search(r"\d", earlier))


# --- what reads well ------------------------------------------------------------------------------------------------

_ANAPHORA = re.compile(
    r"\b(?:this|these|those|such|there|here|another|others?|the (?:same|other|former|latter|above|following)|mentioned|aforementioned|we|our|us|you|your|I|my)\b",
)
_PRONOUN = re.compile(r"\b(?:it|they|them|he|she|him|his|hers|its|their|itself|themselves)\b", re.IGNORECASE)
_BAD_END = re.compile(r"\b(?:how|when|where|why|whether|if|what|very|so|such|not|more|most|both|the|a|an|and|or|of|in|on|at|by|for|to|with|from|into|as|than|that|which|its|their|is|are|be)[?.]?$", re.IGNORECASE)
_VAGUE = re.compile(
    r"^(?:(?:less|more|fewer|further|better|larger|smaller|higher|lower) (?!than\b)(?!.*\bthan\b)|(?:many|several|some|various|most|numerous|certain) [\w-]+( [\w-]+)?\.$|(?:its|their|his|her) )",
    re.IGNORECASE,
)
_LEANING_REASON = re.compile(r"^(?:Because|Since|So that|If|When) (?:that|this|these|those|such|there|one|he|she)\b(?! \w+ (?:is|are)\b)")
_BAD_START = re.compile(r"^(?:and|or|but|of|than|which|that|who|whom|it|they|he|she|them|him|this|these|those|such|there|not|no longer)\b", re.IGNORECASE)
_GOVERNED_END = re.compile(r"\b(?:of|in|on|at|by|for|to|with|from|into|as)\?$")


def reads_well(draft: Draft) -> bool:
    question, answer = draft.question, draft.answer
    n_question, n_answer = len(question.split()), len(answer.split())
    if not (3 if draft.rule == "definition" else 4) <= n_question <= 24 or not 1 <= n_answer <= 45 or len(question) > 180:
        return False
    body = question.rstrip("?")
    if _ANAPHORA.search(body) or _ANAPHORA.search(re.sub(r"\b(?:another|the same|own|those (?:of|that)|here|there)\b", "", answer) if draft.rule == "definition" else answer):
        return False
    if _BAD_END.search(answer) or _BAD_START.search(answer) or (_BAD_END.search(body) and not _GOVERNED_END.search(question)):
        return False
    if _VAGUE.match(answer) or re.search(r"\b(?:it|them|him)\b", body):
        return False
    if _LEANING_REASON.match(answer) or re.search(r"\bnot only\b|\bbut also\b|for example|for instance|e\.g\.|i\.e\.", question + answer):
        return False
    if re.search(r", (?:and|but|so|or|yet) ", question) or re.search(r" but (?:they|it|he|she|also)\b", answer):
        return False
    if re.search(r"\b(?:in|of|below|above|at|by|for|with|from|to|on|under) that [a-z]+", question + " " + answer):
        return False
    if question.count(",") > 2 or any(char in question for char in ';:"“”[]=|→•') or ".." in question:
        return False
    if any(char in answer for char in "[]=|→•"):
        return False
    if question.count("(") != question.count(")") or answer.count("(") != answer.count(")"):
        return False
    if _is_dangling(body):
        return False
    return not _gives_away(question, answer)


def _is_dangling(body: str) -> bool:
    """True when a pronoun comes before any noun it could stand for: within the first four words of the question."""
    words = body.split()
    return any(_PRONOUN.fullmatch(word.strip(",")) for word in words[:4]) or sum(bool(_PRONOUN.fullmatch(word)) for word in words) > 2


def _content(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9][a-z0-9'-]+", text.lower()) if word not in _FUNCTION and len(word) > 2}


_FUNCTION = frozenset(
    "the and that which with from for into what why how when where who does did are was were has have had can could may might must should will would"
    " its their this than not but also only very more most about because while whereas been being happens".split()
)  # fmt: skip


def _gives_away(question: str, answer: str) -> bool:
    """True when the answer says nothing that the question does not say."""
    said = _content(answer)
    if re.search(r"\d", answer) and not set(re.findall(r"\d+", answer)) <= set(re.findall(r"\d+", question)):
        return False
    if not said:
        return not re.search(rf"\b{_NUMBER_WORD}\b", answer.lower())
    return len(said - _content(question)) == 0


# --- pieces of questions --------------------------------------------------------------------------------------------


def _fronted(statement: Statement) -> str:
    """The phrase before the subject, as it goes to the end of a question; empty when it only ties sentences together."""
    clause = statement.clause
    if clause.fronted is None:
        return ""
    first, end = clause.fronted
    opener = clause.words[first].lower
    if clause.words[first].tag in {"RB", "JJ"} and end - first == 1:
        return ""
    if opener in {"for", "according", "despite", "unlike", "like", "by", "as", "to", "with", "of", "besides", "instead", "due", "in"} and _ties(clause, first, end):
        return ""
    return lower_first(clause.slice(clause.fronted), clause.words, first)


_TIES = re.compile(
    r"^(?:for (?:example|instance|this reason|that reason|these reasons)|in (?:addition|fact|particular|general|contrast|other words|turn|this|that|spite of its name|short|practice)|"
    r"as (?:a result|such|a consequence)|by contrast|on the (?:other|one) hand|to (?:this end|date)|of course|at (?:first|last|the same time)|despite this)\b",
    re.IGNORECASE,
)


def _ties(clause: Clause, first: int, end: int) -> bool:
    return _TIES.match(clause.slice((first, end))) is not None


def _cannot_stand(statement: Statement) -> bool:
    """True when the fronted phrase is needed for the sense but cannot be kept, as `in such cases`."""
    fronted = _fronted(statement)
    return bool(_ANAPHORA.search(fronted)) or bool(_PRONOUN.search(fronted))


def _with_front(statement: Statement, text: str) -> str:
    return tidy(f"{text} {_fronted(statement)}")


def _question(statement: Statement, head: str, tail: str) -> str:
    return f"{head} {inverted(statement.clause, statement.subject, _with_front(statement, tail))}?"


def _main_sentence(statement: Statement) -> str:
    """Subject and predicate as a sentence of its own."""
    clause = statement.clause
    adverbs = clause.slice((clause.subject[1], clause.finite)) if clause.words[clause.subject[1]].tag == "RB" else ""
    text = tidy(f"{statement.subject} {adverbs} {clause.slice((clause.finite, clause.rest[1]))} {_fronted(statement)}")
    return re.sub(r"\b(?:also|therefore|thus|hence|however|nevertheless|moreover|furthermore|consequently) ", "", text)


def _rest(statement: Statement) -> str:
    return statement.clause.slice(statement.clause.rest)


def _is_simple(statement: Statement) -> bool:
    return not statement.clause.is_negative and not _cannot_stand(statement)


# --- definitions ----------------------------------------------------------------------------------------------------

_NO_DEFINITION = frozenset(
    "reason result example problem question thing way case drawback advantage disadvantage consequence aim exception answer fact sign step key"
    " reference defect matter same issue goal objective task".split()
)  # fmt: skip


def definition(statement: Statement) -> Iterator[Draft]:
    """X is a Y that … -> What is X?"""
    clause = statement.clause
    words = clause.words
    if not clause.is_copula or words[clause.finite].lower not in {"is", "are"} or not _is_simple(statement) or clause.fronted_clause:
        return
    first, end = clause.rest
    while first < end and words[first].tag == "RB":
        first += 1
    if first >= end or words[first].lower not in {"a", "an", "the", "any", "anything", "one"} and not _is_bare_plural(words, first, end):
        return
    head = head_noun(words, (first, end))
    subject_head = head_noun(words, clause.subject)
    if head is None or subject_head is None or words[head].lower in _NO_DEFINITION or words[subject_head].lower in _NO_DEFINITION:
        return
    if end - first < 4 or clause.subject[1] - clause.subject[0] > 8 or statement.subject.startswith(("every ", "each ", "most ", "many ", "some ")):
        return
    in_subject = words[clause.subject[0] : clause.subject[1]]
    if any(word.tag in {"WDT", "WP"} for word in in_subject) or in_subject[-1].tag == "VBN":
        return
    if words[clause.subject[0]].tag == "VBG" and not words[clause.subject[0]].is_noun or (
        words[head].lower == words[subject_head].lower and not any(word.tag in {"WDT", "WP"} for word in words[head + 1 : end])
    ):
        return
    leans = words[clause.subject[0]].lower == "the" and clause.subject[1] > subject_head + 1
    if leans and words[first].lower != "the":
        return
    if _is_superlative(words, first, head):
        yield from _superlative(statement, first, head)
        return
    if words[first].lower == "the" and not any(w.lower in {"of", "that", "which", "for", "in", "by", "with"} for w in words[head + 1 : end]):
        return
    verb = words[clause.finite].lower
    who = "Who" if statement.is_person else "What"
    yield Draft("definition", f"{who} {verb} {_with_front(statement, statement.subject)}?", _definition_answer(statement))


def _definition_answer(statement: Statement) -> str:
    """The whole sentence up to what is only added to it: a definition must not lose its second half."""
    clause = statement.clause
    end = clause.rest[1]
    for tail in clause.tails:
        if tail.word in {"when", "if", "where", "until", "while", "because", "and", "so that", "or"} and tail.first == end and not _has_subject(clause, tail.first, tail.end):
            end = tail.end
        elif tail.word in {"when", "if", "where", "until", "because", "so that"} and tail.first == end:
            end = tail.end
        else:
            break
    text = clause.slice((clause.finite, end))
    text = re.sub(r"\b(?:also|therefore|thus|hence|however|nevertheless) ", "", text)
    return f"{statement.subject} {text}"


def _has_subject(clause: Clause, first: int, end: int) -> bool:
    """True when the words after `and` open with a noun phrase, so that they are a sentence of their own."""
    index = first + 1
    return index < end and clause.words[index].tag in {"DT", "PRP", "NN", "NNS", "NNP", "JJ", "CD", "PRP$"}


def _is_bare_plural(words: tuple[Word, ...], first: int, end: int) -> bool:
    head = head_noun(words, (first, end))
    return head is not None and words[head].tag == "NNS" and head - first <= 3 and words[first].tag in {"JJ", "NNS", "NN"}


def _is_superlative(words: tuple[Word, ...], first: int, head: int) -> bool:
    return words[first].lower == "the" and any(
        (word.lower.endswith("est") and word.tag != "NN") or word.lower in {"most", "first", "only", "main", "best", "last"} for word in words[first:head]
    )


def _superlative(statement: Statement, first: int, head: int) -> Iterator[Draft]:
    """Windows are usually the weakest part of the envelope -> What is usually the weakest part of the envelope?"""
    clause = statement.clause
    adverbs = clause.slice((clause.rest[0], first))
    is_past = clause.words[clause.finite].lower in {"was", "were"}
    verb = "was" if is_past else "is"
    if clause.words[head].tag == "NNS":
        verb = "were" if is_past else "are"
    who = "Who" if statement.is_person else "What"
    description = _with_front(statement, clause.slice((first, clause.rest[1])))
    if len(description.split()) >= 3 and len(statement.subject.split()) <= 8:
        yield Draft("superlative", tidy(f"{who} {verb} {adverbs} {description}?"), statement.subject)


# --- reasons, purposes, manner --------------------------------------------------------------------------------------


def reason(statement: Statement) -> Iterator[Draft]:
    """S V … because C -> Why does S V …?"""
    clause = statement.clause
    if _cannot_stand(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    for tail in clause.tails:
        if tail.first != clause.rest[1] and tail.first != clause.rest[1] + 1:
            break
        if tail.word in {"because", "since", "so that"}:
            if clause.is_copula and (tail.word == "so that" or any(word.tag in {"WDT", "WP"} for word in clause.words[clause.rest[0] : clause.rest[1]])):
                break
            if tail.word == "since" and _speaks_of_time(clause, tail.first, tail.end):
                break
            text = clause.slice((tail.first, _reason_end(clause, tail.first)))
            yield Draft("reason", _question(statement, "Why", _rest(statement)), text)
            break
    match = re.search(r"\b(?:because of|due to|owing to|thanks to) ", _rest(statement))
    if match and not clause.tails and statement.clause.words[clause.verb].lower not in BE:
        before, after = _rest(statement)[: match.start()], _rest(statement)[match.start() :]
        yield Draft("reason", _question(statement, "Why", before), after)


def _speaks_of_time(clause: Clause, first: int, end: int) -> bool:
    return clause.words[clause.finite].lower in {"has", "have", "had"} or bool(re.search(rf"^since {_YEAR}", clause.slice((first, end))))


def _reason_end(clause: Clause, first: int) -> int:
    """The end of a reason: it goes on over `and`, and stops at a new thought."""
    end = next(tail.end for tail in clause.tails if tail.first == first)
    for tail in clause.tails:
        if tail.first == end or tail.first == end + 1:
            if tail.word in {"and", "or", "than", "when", "if", "where", "until", "that"} and clause.words[end].text != ";":
                end = tail.end
            elif tail.first > first:
                break
    return end


def manner(statement: Statement) -> Iterator[Draft]:
    """S V O by doing X -> How does S V O?"""
    clause = statement.clause
    if not _is_simple(statement) or clause.fronted_clause or clause.is_copula:
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        first, end = part.span
        if part.opener and any(word.tag == "VBG" for word in clause.words[clause.rest[0] : first]):
            return
        if part.opener != "by" or part.is_absorbed or first + 1 >= end:
            continue
        following = clause.words[first + 1]
        is_doing = following.tag == "VBG" or (following.tag == "RB" and first + 2 < end and clause.words[first + 2].tag == "VBG")
        if is_doing or clause.slice(part.span).startswith("by means of"):
            before = joined(clause, [p.span for p in parts[:index]])
            if not before and not clause.is_passive:
                continue
            yield Draft("manner", _question(statement, "How", f"{particle} {before}"), clause.slice((first, clause.rest[1])))
            return


def purpose(statement: Statement) -> Iterator[Draft]:
    """X is used to do Y -> What is X used for?"""
    clause = statement.clause
    if not clause.is_passive or clause.base not in {"use", "design", "intend", "employ"} or not _is_simple(statement):
        return
    _, parts = pieces(clause)
    if parts and parts[0].opener in {"to do", "for"} and clause.words[clause.finite].lower in {"is", "are", "can"}:
        yield Draft("purpose", f"What {inverted(clause, statement.subject, 'for')}?", _rest(statement))


def effect(statement: Statement) -> Iterator[Draft]:
    """If C, M. -> What happens if C?"""
    clause = statement.clause
    words = clause.words
    if clause.fronted_clause is not None:
        first, end = clause.fronted_clause
        opener = words[first].lower
        condition = lower_first(clause.slice(clause.fronted_clause), words, first)
        if opener in {"if", "when"} and not _starts_dangling(words, first + 1):
            yield Draft("effect", f"What happens {condition}?", _main_sentence(statement))
        elif opener == "because" and not _starts_dangling(words, first + 1) and not _cannot_stand(statement):
            yield Draft("reason", _question(statement, "Why", _rest(statement)), condition)
        return
    for tail in clause.tails:
        if tail.word == "when" and tail.first in {clause.rest[1], clause.rest[1] + 1}:
            last = tail is clause.tails[-1]
            condition = clause.slice((tail.first, tail.end))
            if last and not _PRONOUN.search(condition) and _is_simple(statement) and not clause.is_copula and not clause.is_ambiguous:
                yield Draft("condition", _question(statement, "When", _rest(statement)), condition)
            return


def _starts_dangling(words: tuple[Word, ...], index: int) -> bool:
    return words[index].tag in {"PRP", "PRP$"} or words[index].lower in {"this", "these", "that", "those", "such", "there", "all"}


# --- numbers --------------------------------------------------------------------------------------------------------

_OBJECT_AMOUNT = re.compile(rf"^(?P<amount>{QUANTITY} ?(?P<unit>{_UNITS}))(?: (?P<of>of) (?P<what>.+))?$")
_OBJECT_COUNT = re.compile(rf"^(?P<amount>{QUANTITY}) (?P<what>(?:[a-z-]+ ){{0,3}}[a-z-]+s)(?P<more>(?: of| in| with| from| for)? .*)?$")
_NOUN_OF_AMOUNT = re.compile(rf"^(?:an?|the|its|their) (?P<noun>(?:[\w-]+ ){{0,3}}(?P<head>[\w-]+)) of (?P<amount>{QUANTITY}(?: ?{_UNITS})?(?: per .+)?)$")
_MONEY_VERBS = frozenset("cost pay save spend invest earn".split())


def amount(statement: Statement) -> Iterator[Draft]:
    """S V 4 kilowatt-hours of energy -> How much energy does S V?"""
    clause = statement.clause
    if not _is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
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
        if match and not match["of"] and head is not None and clause.words[head].lower in _MEASURE_NOUNS and not others:
            yield Draft("amount", _with_front(statement, f"What {clause.words[clause.finite].lower} {statement.subject}") + "?", text)
        return
    if clause.is_passive:
        return
    match = _NOUN_OF_AMOUNT.match(text)
    if match and match["head"].lower in _MEASURE_NOUNS:
        yield Draft("amount", _question(statement, f"What {match['noun']}", tail), match["amount"])
        return
    match = _OBJECT_AMOUNT.match(text)
    if match:
        unit, what = match["unit"], match["what"]
        if unit in {"%", "percent", "per cent"} and what:
            yield Draft("share", _question(statement, f"What percentage of {what}", tail), match["amount"])
        elif what and re.match(r"[a-z-]+(?: [a-z-]+)?$", what) and unit != "times":
            yield Draft("amount", _question(statement, f"How much {what}", tail), match["amount"])
        elif not what and clause.base in _MONEY_VERBS:
            yield Draft("amount", _question(statement, "How much", tail), match["amount"])
        elif not what and clause.base in {"last", "take"} and re.match(r"(?:second|minute|hour|day|week|month|year)", unit):
            yield Draft("duration", _question(statement, "How long", tail), match["amount"])
        return
    match = _OBJECT_COUNT.match(text)
    if match and not re.match(_UNITS, match["what"]) and _is_countable(clause, whole.span):
        yield Draft("count", _question(statement, f"How many {match['what']}", f"{particle} {match['more'] or ''} {others}"), f"{match['amount']} {match['what']}")


def _is_countable(clause: Clause, span: Span) -> bool:
    first, end = span
    head = head_noun(clause.words, span)
    if head is None or clause.words[head].tag != "NNS":
        return False
    listed = any(word.lower in {"and", "or"} or word.text == "," for word in clause.words[first:end] if word.tag != "CD")
    return not listed and clause.words[head].lower.rstrip("s") not in _VACUOUS


def _dimension(statement: Statement) -> Iterator[Draft]:
    """Vertical boreholes are usually 50 to 200 metres deep -> How deep are vertical boreholes usually?"""
    clause = statement.clause
    text = _rest(statement)
    match = re.match(rf"^(?P<adverb>usually |typically |often |normally |only )?(?P<amount>{QUANTITY} ?{_UNITS}) (?P<way>deep|wide|long|high|thick|tall|old)\b(?P<more>.*)$", text)
    if match and len(match["more"].split()) <= 6:
        adverb = (match["adverb"] or "").replace("only ", "")
        yield Draft("dimension", _question(statement, f"How {match['way']}", f"{adverb}{match['more']}"), f"{match['amount']} {match['way']}")


def measured_phrase(statement: Statement) -> Iterator[Draft]:
    """… at 58 °C -> At what temperature …?   … for 12 hours -> How long …?   … in three stages -> In how many stages …?"""
    clause = statement.clause
    if not _is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        if part.is_absorbed or not part.opener:
            continue
        text = clause.slice(part.span)
        others = tidy(f"{particle} " + joined(clause, [p.span for number, p in enumerate(parts) if number != index]))
        head = _measured_head(part, text)
        if head and (others or clause.is_passive or index == 0):
            yield Draft("measure", _question(statement, head, others), text)
            return


def _measured_head(part: Piece, text: str) -> str | None:
    opener = part.opener
    inside = text.split(" ", 1)[1] if " " in text else ""
    if opener == "at" and re.fullmatch(rf"{QUANTITY} ?(?:°\s?[CF]|degrees? (?:Celsius|Fahrenheit))(?: or (?:more|less))?", inside):
        return "At what temperature"
    if opener == "at" and re.fullmatch(rf"{QUANTITY} degrees", inside):
        return "At how many degrees"
    match = re.fullmatch(rf"an? (?:average |mean |constant |maximum |minimum )?(?P<noun>[a-z-]+) of {QUANTITY}(?: ?{_UNITS})?", inside)
    if match and match["noun"] in _MEASURE_NOUNS:
        return f"{opener.capitalize()} what {match['noun']}"
    match = re.fullmatch(rf"{QUANTITY} (?P<unit>seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?)", inside)
    if match and opener in {"for", "after", "within"}:
        unit = match["unit"] if match["unit"].endswith("s") else match["unit"] + "s"
        return {"for": "For how long", "after": f"After how many {unit}", "within": f"Within how many {unit}"}[opener]
    if opener == "by" and re.fullmatch(rf"{QUANTITY} ?(?:%|percent|per cent|{_UNITS})", inside):
        return "By how much"
    match = re.fullmatch(rf"{_HEDGE}(?:{_NUMBER_WORD}|\d+) (?P<what>(?:[a-z-]+ )?[a-z-]+s)", inside)
    if match and opener in {"in", "into", "from", "on", "with"} and not re.match(_UNITS, match["what"]):
        return f"{opener.capitalize()} how many {match['what']}"
    return None


_SUBJECT_SHARE = re.compile(rf"^(?P<amount>{QUANTITY} ?(?:%|percent|per cent)) of (?P<what>.+)$", re.IGNORECASE)
_SUBJECT_FRACTION = re.compile(r"^(?P<amount>(?:(?:about|roughly|nearly|almost|over|more than|some|around) )?(?:two|three|one|a|four) (?:thirds?|quarters?|fifths?)) of (?P<what>.+)$", re.IGNORECASE)
_SUBJECT_COUNT = re.compile(rf"^(?P<amount>{QUANTITY}) (?P<what>(?:[a-z-]+ )*[a-z-]+s(?: .+)?)$", re.IGNORECASE)


def subject_amount(statement: Statement) -> Iterator[Draft]:
    """20 percent of the heat leaves the room -> What percentage of the heat leaves the room?"""
    clause = statement.clause
    if clause.is_negative or _cannot_stand(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    verb = _with_front(statement, clause.slice((clause.finite, clause.rest[1])))
    if match := _SUBJECT_SHARE.match(statement.subject):
        yield Draft("share", f"What percentage of {match['what']} {verb}?", match["amount"])
    elif match := _SUBJECT_FRACTION.match(statement.subject):
        yield Draft("share", f"What share of {match['what']} {_singular(verb)}?", match["amount"])
    elif (match := _SUBJECT_COUNT.match(statement.subject)) and not re.match(rf"(?:{_UNITS}|quarters|thirds|fifths)\b", match["what"]) and "one" not in match["amount"].lower():
        yield Draft("count", f"How many {match['what']} {verb}?", match["amount"])


def _singular(verb: str) -> str:
    head, _, rest = verb.partition(" ")
    return f"{ {'are': 'is', 'were': 'was', 'have': 'has'}.get(head, head)} {rest}"


# --- when and where -------------------------------------------------------------------------------------------------

_WHEN = {"in": "When", "on": "When", "during": "When", "since": "Since when", "until": "Until when", "by": "By when", "from": "From when", "before": "Before when", "after": "After when", "around": "When"}


def when(statement: Statement) -> Iterator[Draft]:
    """… in 1852 -> When …?"""
    clause = statement.clause
    if clause.is_negative or clause.fronted_clause or clause.is_ambiguous:
        return
    if clause.fronted is not None:
        first, end = clause.fronted
        text = clause.slice((first + 1, end))
        if clause.words[first].lower in _WHEN and _DATE.match(text):
            head = _WHEN[clause.words[first].lower]
            yield Draft("when", f"{head} {inverted(clause, statement.subject, _rest(statement))}?", clause.slice(clause.fronted))
            return
    if _cannot_stand(statement):
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        text = clause.slice((part.span[0] + 1, part.span[1])).strip(" ,")
        if part.is_absorbed or part.opener not in _WHEN or not _DATE.match(text):
            continue
        others = tidy(f"{particle} " + joined(clause, [p.span for number, p in enumerate(parts) if number != index]))
        if others or index == 0:
            yield Draft("when", _question(statement, _WHEN[part.opener], others.rstrip(" ,")), f"{part.opener} {text}")
            return


def where(statement: Statement) -> Iterator[Draft]:
    """Radiators stand below windows -> Where do radiators stand?   … in Iceland -> Where …?"""
    clause = statement.clause
    if not _is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        if part.is_absorbed or part.opener not in {"in", "at", "on", "below", "above", "under", "near", "behind", "between", "beside", "inside", "outside"}:
            continue
        first, end = part.span
        text = clause.slice((first + 1, end)).strip(" ,")
        is_name = part.opener in {"in", "at"} and all(word.tag in {"NNP", "NNPS", ",", "DT"} or word.lower == "and" for word in clause.words[first + 1 : end]) and not _DATE.match(text)
        is_name = is_name and any(word.tag == "NNP" for word in clause.words[first + 1 : end])
        is_place = index == 0 and clause.base in _PLACE_VERBS and (not clause.is_copula) and not re.match(QUANTITY + r"\b", text)
        if is_place and part.opener in {"in", "on", "at"}:
            is_place = clause.words[first + 1].tag in {"DT", "NNP", "NNS", "NN", "JJ", "CD"} and clause.base not in {"find", "form", "place", "appear", "occur", "grow"}
        if is_name or is_place:
            others = tidy(f"{particle} " + joined(clause, [p.span for number, p in enumerate(parts) if number != index])).rstrip(" ,")
            if is_name and not others and not clause.is_passive:
                continue
            if is_place:
                text = clause.slice((first + 1, parts[-1].span[1])) if all(p.opener in {"in", "of", "on", "between", "near"} for p in parts) else text
                others = "" if all(p.opener in {"in", "of", "on", "between", "near", part.opener} for p in parts) else others
            yield Draft("where", _question(statement, "Where", others), f"{part.opener} {text}")
            return


# --- subject and object ---------------------------------------------------------------------------------------------

_ADVERBIAL = frozenset("through across into onto during from over under without within until by after before since towards upon throughout via".split())
_UNSURE = frozenset({"with", "to", "as", "than", "per", "like", "despite"})
_WEAK_VERBS = frozenset("be have do make take get become remain seem appear tell say show go come play let".split())


def who_or_what(statement: Statement) -> Iterator[Draft]:
    """Aluminium conducts heat … -> What conducts heat …?"""
    clause = statement.clause
    if clause.is_negative or _cannot_stand(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    rest = _rest(statement).rstrip(" ,")
    n_subject = len(statement.subject.split())
    if n_subject > 8 or clause.is_copula or clause.base in {"be", "do", "have", "need", "become", "remain"} or len(rest.split()) < 3:
        return
    if re.match(r"(?:the|most|many|some|several|each|every|any|all|no|both|few|a few|more|less|fewer|rising|people|someone)\b", statement.subject) and not statement.is_person:
        return
    if re.match(QUANTITY + r"\b", statement.subject, re.IGNORECASE) and re.match(r"\d|" + _NUMBER_WORD, statement.subject):
        return
    if _PRONOUN.search(rest) or clause.words[clause.finite].tag == "MD" or clause.words[clause.rest[0]].lower in {"that", "how", "whether"}:
        return
    words = clause.words[clause.subject[0] : clause.subject[1]]
    if not statement.is_person and not statement.is_actor and clause.words[clause.finite].verb == "VBD" and not clause.is_passive and all(w.tag == "NNP" for w in words):
        return
    who = "Who" if statement.is_person or statement.is_actor else "What"
    yield Draft("subject", f"{who} {predicate(clause, _with_front(statement, rest))}?", statement.subject)


def object_of(statement: Statement) -> Iterator[Draft]:
    """Triple glazing adds a third pane -> What does triple glazing add?"""
    clause = statement.clause
    if not _is_simple(statement) or clause.fronted_clause or clause.is_copula or clause.is_passive or clause.is_ambiguous:
        return
    particle, parts = pieces(clause)
    if not parts or parts[0].opener or parts[0].is_absorbed or clause.base in _WEAK_VERBS - {"have"} | {"lie", "stand", "sit", "stay", "last"}:
        return
    if clause.base == "have" and clause.words[clause.finite].tag == "MD" and clause.words[clause.finite].lower not in {"must", "should"} or (clause.base == "have" and clause.verb != clause.finite):
        return
    words = clause.words
    first, end = parts[0].span
    head = head_noun(words, (first, end))
    if head is None or words[first].tag not in {"DT", "NN", "NNS", "NNP", "JJ", "JJR", "CD", "PRP$", "VBN", "VBG", "RB", "JJS"}:
        return
    if words[head].lower.removesuffix("s") in _VACUOUS or words[head].lower in _VACUOUS or words[first].tag == "RB" and words[first].lower not in {"only", "almost", "nearly", "roughly"}:
        return
    if any(word.tag in {"MD", "WRB"} or word.lower in {"whether", "how", "what", "that"} and word.tag == "IN" for word in words[first:end]):
        return
    cut = _trailing(clause, first, end)
    kept: list[Span] = [(cut, end)] if cut < end else []
    answer_end = cut
    if kept and parts[1:] and parts[1].opener in {"of", "for", "between"}:
        return
    for part in parts[1:]:
        if not part.is_absorbed and _is_name_or_date(clause, part):
            kept.append(part.span)
            continue
        if part.opener in _UNSURE and not part.is_absorbed:
            if part.opener == "to" and clause.base in {"give", "bring", "supply", "send", "transfer", "add", "pass", "link", "connect"}:
                kept.append(part.span)
                continue
            return
        if part.is_absorbed and kept:
            kept.append(part.span)
        elif part.is_absorbed or (part.opener not in _ADVERBIAL and part.opener != "to do" and not kept):
            answer_end = part.span[1]
        elif part.opener == "to do":
            if any(word.tag == "VBG" for word in words[first : part.span[0]]):
                return
            if clause.base in {"allow", "enable", "help", "require", "encourage", "use", "cause", "need"}:
                return
            kept.append(part.span)
        else:
            kept.append(part.span)
    tail = f"{particle} {joined(clause, kept)}"
    if _PRONOUN.search(tail):
        return
    yield Draft("object", _question(statement, "What", tail), clause.slice((first, answer_end)).rstrip(" ,"))


_ADVERB_END = re.compile(
    r"\b(?:every (?:\w+ )?(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)|(?:once|twice|(?:\w+ to )?\w+ times) an? (?:day|week|month|year)|long ago|outdoors|indoors|altogether|together|directly"
    r"|upwards|downwards|inwards|outwards|all year|each (?:day|year)|per (?:day|year)|an? (?:day|year|hour))$"
)


def _trailing(clause: Clause, first: int, end: int) -> int:
    """Where the object ends and an adverbial begins: `propane units | outdoors`, `the rod | every two years`."""
    for cut in range(first + 1, end):
        if _ADVERB_END.fullmatch(clause.slice((cut, end))):
            return cut
    return end


def _is_name_or_date(clause: Clause, part: Piece) -> bool:
    first, end = part.span
    text = clause.slice((first + 1, end)).strip(" ,")
    named = all(word.tag in {"NNP", "NNPS", ",", "DT"} for word in clause.words[first + 1 : end])
    return part.opener in {"in", "on", "at"} and (bool(_DATE.match(text)) or (named and part.opener in {"in", "at"}))


def governed(statement: Statement) -> Iterator[Draft]:
    """Double glazing consists of two panes -> What does double glazing consist of?"""
    clause = statement.clause
    if not _is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    _, parts = pieces(clause)
    first, end = clause.rest
    words = clause.words
    start = first
    while start < end and words[start].tag == "RB":
        start += 1
    if start >= end - 1:
        return
    phrase = f"{clause.base} {words[start].lower}"
    if phrase not in _GOVERNED or words[start].lower in {"to"} and words[start + 1].tag == "VB":
        return
    if clause.is_passive != (phrase.split()[0] in {"make", "use", "base", "know", "define", "divide", "compose", "cover", "fill", "line", "connect", "link",
                             "associate", "concern", "drive", "power", "equip", "characterise", "cause", "influence", "determine", "measure", "regulate",
                             "limit", "supply", "name", "protect", "convert", "turn"}):  # fmt: skip
        return
    adverbs = clause.slice((first, start))
    adverbs = adverbs if adverbs.lower() in {"mainly", "mostly", "usually", "largely", "often"} else ""
    answer = clause.slice((start + 1, end)).rstrip(" ,")
    yield Draft("governed", _question(statement, "What", f"{adverbs} {words[start].lower}"), answer)


_AIMS = frozenset("purpose aim goal mission objective role task function intention job".split())


def aim(statement: Statement) -> Iterator[Draft]:
    """The aim of X is to do Y -> What is the aim of X?"""
    clause = statement.clause
    words = clause.words
    first, end = clause.rest
    head = head_noun(words, clause.subject)
    if not clause.is_copula or not _is_simple(statement) or first + 2 >= end or head is None:
        return
    opens = words[first].lower == "to" and words[first + 1].tag in {"VB", "NN", "VBP"}
    if opens and words[head].lower.removesuffix("s") in _AIMS and clause.subject[1] > head + 1:
        yield Draft("aim", f"What {inverted(clause, statement.subject, _fronted(statement))}?", clause.slice((first, end)))


_SAYING = frozenset(
    "show demonstrate believe argue suggest state conclude indicate find assume recognise recognize emphasise emphasize reveal claim note ensure mean expect"
    " recommend stress require fear hope agree propose prove".split()
)  # fmt: skip


def said(statement: Statement) -> Iterator[Draft]:
    """Critics believe that C -> What do critics believe?"""
    clause = statement.clause
    words = clause.words
    first, end = clause.rest
    if clause.is_passive or clause.base not in _SAYING or not _is_simple(statement) or clause.fronted_clause or first + 4 >= end:
        return
    if words[first].lower == "that" and words[first + 1].tag != "PRP" and not clause.is_ambiguous:
        yield Draft("said", f"What {inverted(clause, statement.subject, _fronted(statement))}?", clause.slice((first, end)).rstrip(" ,"))


def duty(statement: Statement) -> Iterator[Draft]:
    """Governments need to work together -> What do governments need to do?"""
    clause = statement.clause
    words = clause.words
    first, end = clause.rest
    if clause.is_passive or clause.is_negative or _cannot_stand(statement) or clause.fronted_clause or clause.is_ambiguous or clause.is_copula:
        return
    if len(statement.subject.split()) < 2 and not _fronted(statement):
        # `What should management do?` has a hundred answers.
        return
    if words[clause.finite].lower in {"must", "should"} and clause.base not in {"be", "have"}:
        answer = clause.slice((clause.verb, end)).rstrip(" ,")
        if len(answer.split()) >= 4:
            yield Draft("duty", _with_front(statement, f"What {words[clause.finite].lower} {statement.subject} do") + "?", answer)
    elif clause.base == "need" and first + 4 < end and words[first].lower == "to" and words[first + 1].lower not in {"be", "have"} and words[first + 1].tag == "VB":
        answer = clause.slice((first + 1, end)).rstrip(" ,")
        yield Draft("duty", _question(statement, "What", "to do"), answer)


RULES: tuple[Rule, ...] = (
    definition, reason, effect, when, amount, measured_phrase, subject_amount, purpose, aim, manner, governed, where, object_of,
    said, duty, who_or_what,
)  # fmt: skip
