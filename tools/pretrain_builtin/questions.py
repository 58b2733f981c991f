"""Questions with answers from single sentences, by rules: no model, no part-of-speech tagger.

Every rule is a short function from a sentence to `Pair`s. A rule that is unsure returns nothing; wrong grammar in a
question is tolerable (it is training text), a wrong answer is not: each answer is copied from the sentence.
"""

# ruff: noqa: SIM905 (a list of a hundred words reads best as one string)

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from sources import sentences

NUMBER_WORDS = (
    "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred thousand"
).split()
NUMBER = (
    r"(?:about |around |nearly |almost |over |more than |at least )?"
    rf"(?:\d[\d,.]*\d|\d|{'|'.join(NUMBER_WORDS)})(?: (?:million|billion|thousand|hundred))?"
)
MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DATE = rf"(?:{MONTH} (?:\d{{1,2}}, )?)?(?:1[0-9]|20)\d\d(?:s)?"
PRONOUN = re.compile(
    r"^(it|this|that|these|those|they|he|she|we|you|i|there|here|one|some|many|most|such|what|which|who|when|if|as|in|on|at|by|for"
    r"|but|and|or|so|yet|however|thus|although|while|because|since|after|before|another|other|its|their|his|her|our|both|each)\b",
    re.I,
)
AUXILIARY = "is are was were can could may might must will would should".split()
IRREGULAR = {
    "begin": "began",
    "become": "became",
    "bring": "brought",
    "build": "built",
    "buy": "bought",
    "choose": "chose",
    "come": "came",
    "draw": "drew",
    "fall": "fell",
    "find": "found",
    "fight": "fought",
    "fly": "flew",
    "get": "got",
    "give": "gave",
    "go": "went",
    "grow": "grew",
    "have": "had",
    "hold": "held",
    "keep": "kept",
    "lead": "led",
    "leave": "left",
    "lose": "lost",
    "make": "made",
    "mean": "meant",
    "meet": "met",
    "pay": "paid",
    "rise": "rose",
    "run": "ran",
    "say": "said",
    "see": "saw",
    "sell": "sold",
    "send": "sent",
    "speak": "spoke",
    "spend": "spent",
    "stand": "stood",
    "take": "took",
    "teach": "taught",
    "tell": "told",
    "think": "thought",
    "win": "won",
    "write": "wrote",
}
REGULAR = (
    "absorb accept act add affect aim allow appear apply argue arrive ask attack attract avoid believe belong "
    "block call carry cause change claim collect combine compare complete conquer consider consist "
    "consume contain contribute "
    "control convert cover create cross cut decide declare decrease defeat define deliver demand depend "
    "describe destroy "
    "detect determine develop differ direct discover discuss divide dominate earn emphasize employ "
    "enable encourage end ensure "
    "enter establish estimate examine exist expand expect experience explain explore express face focus "
    "follow force form "
    "function gain generate govern happen help identify ignore improve include increase indicate "
    "influence inspire introduce "
    "invade invent invest involve join kill lack last launch learn lie limit live look lower maintain "
    "manage mark measure "
    "move need object observe occupy occur offer open operate oppose organize own pass perform play "
    "possess prefer present "
    "prevent produce promote propose protect prove provide publish pull push raise reach receive "
    "recognize recommend reduce refer "
    "reflect refuse reject release rely remain remove replace represent require resist respond return "
    "reveal save seek seem "
    "separate serve settle share show sign start state stimulate stop store study suffer suggest supply "
    "support surround survive "
    "threaten trade transfer transform transport travel treat try turn unite use vary view visit vote "
    "want warn work"
).split()


def _past(verb: str) -> str:
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return {
        "control": "controlled",
        "stop": "stopped",
        "refer": "referred",
        "prefer": "preferred",
        "cut": "cut",
    }.get(verb, verb + "ed")


def _third(verb: str) -> str:
    if verb == "have":
        return "has"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "ch", "sh", "o")) else "s")


COMMON: set[str] = set()
FORMS: dict[str, tuple[str, str]] = {}
for _verb in [*IRREGULAR, *REGULAR]:
    FORMS[_past(_verb)] = (_verb, "did")
    FORMS[_third(_verb)] = (_verb, "does")
VERB = "|".join(sorted(FORMS, key=len, reverse=True))

SUBJECT = r"(?P<subject>[A-Z][\w’'-]*(?: [\w’'-]+){0,5}?)"
STATE = re.compile(rf"^{SUBJECT} (?P<aux>is|are|was|were) (?P<rest>(?:a|an|the|one of|any|all|that)\b .+)$")
AUX = re.compile(rf"^{SUBJECT} (?P<aux>{'|'.join(AUXILIARY)}) (?P<rest>(?!not\b).+)$")
ACTION = re.compile(rf"^{SUBJECT} (?P<verb>{VERB}) (?P<rest>.+)$")
LEADING_DATE = re.compile(rf"^(?:In|By|On|During) (?P<date>{DATE}),? (?P<main>[a-zA-Z].+)$")
PLACE = re.compile(r"(?P<place>\b(?:in|at|near|from) (?:the )?[A-Z][a-z]+(?: [A-Z][a-z]+){0,2})\b")
REASON = re.compile(r"^(?P<main>.+?),? (?P<why>because (?:of )?.+)$")
PURPOSE = re.compile(r"^(?P<main>.{20,120}?) (?P<why>(?:in order )?to [a-z]+ .+)$")


@dataclass(frozen=True)
class Pair:
    """One question, the short answer (a span) and the sentence that holds it."""

    kind: str
    question: str
    span: str
    sentence: str


def learn_common_words(texts: list[str], minimum: int = 4) -> None:
    """Words often written in lower case inside sentences: their capital at a sentence start is no name."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in re.findall(r"\b[a-z][\w’'-]*", text):
            counts[word] = counts.get(word, 0) + 1
    COMMON.update(word for word, count in counts.items() if count >= minimum)


def lower_first(text: str) -> str:
    """`The tank` inside a sentence is `the tank`; a name keeps its capital."""
    words = text.split()
    first = words[0].lower()
    if first in {"the", "a", "an", "all", "every"} or (first in COMMON and not is_name(text)):
        return text[0].lower() + text[1:]
    return text


def is_name(subject: str) -> bool:
    """Two or three capitalised words without an article look like a person."""
    words = subject.split()
    return (
        2 <= len(words) <= 4
        and all(word[0].isupper() for word in words)
        and words[0] not in {"The", "A", "An"}
    )


def sound_subject(subject: str) -> bool:
    """A noun phrase, as far as a rule can tell: no pronoun, no clause, no adverb at either end."""
    words = subject.split()
    return (
        not PRONOUN.match(subject)
        and not re.search(
            r"\b(that|which|who|she|he|they|and|to|is|are|was|were|be|been|will|can|could|may|might|would|should|must"
            r"|have|has|had|do|does|did|not|also|than|then|often|still|even|always|never|when|if|as|where)\b",
            subject,
        )
        and not words[0].endswith("ly")
        and not words[-1].endswith(("ly", "ing"))
        and words[0]
        not in {
            "Then",
            "Often",
            "Now",
            "Consider",
            "Where",
            "How",
            "Why",
            "With",
            "From",
            "Under",
            "According",
        }
    )


def strip_end(text: str) -> str:
    return text.rstrip(" .!?;,:")


def definition_pairs(sentence: str) -> list[Pair]:
    found = STATE.match(sentence)
    if not found or not sound_subject(found["subject"]):
        return []
    subject, aux, rest = found["subject"], found["aux"], strip_end(found["rest"])
    word = (
        "Who"
        if is_name(subject) and aux in {"was", "is"} and re.match(r"(a|an|the) [\w-]+", rest)
        else "What"
    )
    return [Pair("definition", f"{word} {aux} {lower_first(subject)}?", rest, sentence)]


def auxiliary_pairs(sentence: str) -> list[Pair]:
    """Turn `X was built in 1783 in Paris` round for its date, place, agent, number or reason."""
    found = AUX.match(sentence)
    if not found or not sound_subject(found["subject"]):
        return []
    subject, aux, rest = lower_first(found["subject"]), found["aux"], strip_end(found["rest"])
    pairs: list[Pair] = []
    if date := re.search(rf",? (?:in|on|since|until|by) (?P<date>{DATE})$", rest):
        pairs.append(
            Pair("when", f"When {aux} {subject} {rest[: date.start()]}?", date[0].strip(" ,"), sentence)
        )
    if place := re.search(rf" {PLACE.pattern}$", rest):
        pairs.append(
            Pair("where", f"Where {aux} {subject} {rest[: place.start()]}?", place["place"], sentence)
        )
    if agent := re.search(r"^(?P<done>[a-z]+(?:ed|en|wn|ne|de|lt|nt|ht)) by (?P<agent>.{3,60})$", rest):
        pairs.append(Pair("by", f"What {aux} {subject} {agent['done']} by?", agent["agent"], sentence))
        pairs.append(Pair("who", f"Who or what {agent['done']} {subject}?", agent["agent"], sentence))
    if used := re.search(
        r"^(?P<done>used|designed|needed|required|needed|made|created|built|responsible) (?P<why>(?:to|for) .+)$",
        rest,
    ):
        pairs.append(Pair("purpose", f"What {aux} {subject} {used['done']} for?", used["why"], sentence))
    if made := re.search(
        r"^(?P<done>[a-z]+ed|made|built|found|known|seen|composed) "
        r"(?P<preposition>of|as|into|with|from|in|on) (?P<what>.{3,90})$",
        rest,
    ):
        pairs.append(
            Pair(
                "what", f"What {aux} {subject} {made['done']} {made['preposition']}?", made["what"], sentence
            )
        )
    verb = re.match(
        r"(?P<verb>(?!be |also |not |only |then |even |still |often |both |have |never |always )[a-z]+(?<!ly)) "
        r"(?P<what>.{4,120})$",
        rest,
    )
    if verb and aux not in {"is", "are", "was", "were"}:
        pairs.append(Pair("what", f"What {aux} {subject} {verb['verb']}?", verb["what"], sentence))
    return pairs


def action_pairs(sentence: str) -> list[Pair]:
    """`X holds 300 litres`: ask for the object with do, and for the subject."""
    found = ACTION.match(sentence)
    if not found or not sound_subject(found["subject"]):
        return []
    base, do = FORMS[found["verb"]]
    subject, rest = lower_first(found["subject"]), strip_end(found["rest"])
    pairs: list[Pair] = []
    if share := re.match(
        r"(?P<much>(?:about |roughly |up to |nearly )?[\d.,]+(?: to [\d.,]+)? (?:percent|%)) of (?P<whole>.{3,60})$",
        rest,
    ):
        pairs.append(
            Pair(
                "how many", f"What share of {share['whole']} {do} {subject} {base}?", share["much"], sentence
            )
        )
    if number := re.match(rf"(?P<number>{NUMBER}) (?P<noun>(?:[a-z]+ )?[a-z]{{3,}}s)\b(?P<tail>.*)$", rest):
        tail = number["tail"] if len(number["tail"].split()) < 6 else ""
        pairs.append(
            Pair(
                "how many",
                f"How many {number['noun']} {do} {subject} {base}{tail}?",
                f"{number['number']} {number['noun']}",
                sentence,
            )
        )
    if date := re.search(rf",? (?:in|on|since|until) (?P<date>{DATE})$", rest):
        pairs.append(
            Pair("when", f"When {do} {subject} {base} {rest[: date.start()]}?", date[0].strip(" ,"), sentence)
        )
    if place := re.search(rf" {PLACE.pattern}$", rest):
        pairs.append(
            Pair("where", f"Where {do} {subject} {base} {rest[: place.start()]}?", place["place"], sentence)
        )
    if re.match(r"(a|an|the|[a-z]+s|[a-z]+ [a-z]+s)\b", rest) and len(rest.split()) <= 24:
        pairs.append(Pair("object", f"What {do} {subject} {base}?", rest, sentence))
    who = "Who" if is_name(found["subject"]) else "What"
    if 2 <= len(rest.split()) <= 18:
        pairs.append(Pair("subject", f"{who} {found['verb']} {rest}?", found["subject"], sentence))
    return pairs


def dated_pairs(sentence: str) -> list[Pair]:
    found = LEADING_DATE.match(sentence)
    if not found:
        return []
    main = strip_end(found["main"])
    pairs = [Pair("event", f"What happened in {found['date']}?", main, sentence)]
    inner = main[0].upper() + main[1:]
    if (action := ACTION.match(inner)) and sound_subject(action["subject"]) and len(main.split()) < 22:
        base, do = FORMS[action["verb"]]
        pairs.append(
            Pair(
                "when",
                f"When {do} {lower_first(action['subject'])} {base} {strip_end(action['rest'])}?",
                f"in {found['date']}",
                sentence,
            )
        )
    if (aux := AUX.match(inner)) and sound_subject(aux["subject"]) and len(main.split()) < 22:
        pairs.append(
            Pair(
                "when",
                f"When {aux['aux']} {lower_first(aux['subject'])} {strip_end(aux['rest'])}?",
                f"in {found['date']}",
                sentence,
            )
        )
    return pairs


def reason_pairs(sentence: str) -> list[Pair]:
    found = REASON.match(sentence)
    if not found or len(found["main"].split()) > 18:
        return []
    why = strip_end(found["why"])
    if (aux := AUX.match(found["main"] + " ")) and sound_subject(aux["subject"]):
        return [
            Pair(
                "why", f"Why {aux['aux']} {lower_first(aux['subject'])} {aux['rest'].strip()}?", why, sentence
            )
        ]
    if (action := ACTION.match(found["main"] + " ")) and sound_subject(action["subject"]):
        base, do = FORMS[action["verb"]]
        return [
            Pair(
                "why",
                f"Why {do} {lower_first(action['subject'])} {base} {action['rest'].strip()}?",
                why,
                sentence,
            )
        ]
    return []


def number_pairs(sentence: str) -> list[Pair]:
    """`… loses about 10 percent of its heat …`: ask for the number by what stands round it."""
    pairs: list[Pair] = []
    found = re.search(
        rf"\b(?P<number>{NUMBER}(?: (?:to|and|or) {NUMBER})?) "
        r"(?P<noun>(?:percent|degrees|[a-z]+s|[a-z]+ [a-z]+s)\b)(?P<tail>[^,;:]*)",
        sentence,
    )
    if found and not found["noun"].startswith(("is", "was", "has", "as ", "this")):
        noun, tail = found["noun"], strip_end(found["tail"])
        number = f"{found['number']} {noun}"
        if 2 <= len(tail.split()) <= 12:
            pairs.append(Pair("how many", f"How many {noun}{tail}?", number, sentence))
        before = sentence[: found.start()].strip()
        if 3 <= len(before.split()) <= 12 and not PRONOUN.match(before) and not before.endswith(","):
            pairs.append(
                Pair("how many", f"{before[0].upper() + before[1:]} how many {noun}{tail}?", number, sentence)
            )
    return pairs


def cloze_pairs(sentence: str, generator: random.Random) -> list[Pair]:
    """A blank for a rare-looking word: a long, capitalised or numeric one that occurs once."""
    words = sentence.split()
    if not 8 <= len(words) <= 32:
        return []
    places = [
        place
        for place, word in enumerate(words)
        if place
        and (len(word) > 7 or word[0].isupper() or word[0].isdigit())
        and re.fullmatch(r"[\w’'-]+[.,]?", word)
    ]
    if not places:
        return []
    place = generator.choice(places)
    word = strip_end(words[place])
    blanked = " ".join([*words[:place], words[place].replace(word, "____"), *words[place + 1 :]])
    asked = generator.choice(["Which word is missing", "Fill in the blank", "What goes in the blank"])
    return [Pair("cloze", f"{asked}: {blanked}", word, sentence)]


def mention_pairs(sentence: str, generator: random.Random) -> list[Pair]:
    """Ask for the sentence by two or three words in it, or by its beginning."""
    words = sentence.split()
    if not 7 <= len(words) <= 40:
        return []
    if generator.random() < 0.3:
        opening = " ".join(words[: generator.randint(2, 4)])
        return [
            Pair(
                "opening",
                f'How does the sentence that begins with "{opening}" go on?',
                " ".join(words[len(opening.split()) :]),
                sentence,
            )
        ]
    start = generator.randrange(1, len(words) - 3)
    phrase = strip_end(" ".join(words[start : start + generator.randint(1, 3)]))
    if (
        len(phrase) < 7
        or PRONOUN.match(phrase)
        or re.search(r" (the|a|an|of|to|and|in|by|for|with|that|is|are|it|they)$", phrase)
    ):
        return []
    asked = generator.choice(
        [
            "Which sentence mentions {0}?",
            "What does the passage say about {0}?",
            'Quote the sentence with the words "{0}".',
            "What is said about {0}?",
            "What about {0}?",
            "Tell me about {0}.",
        ]
    )
    return [Pair("mention", asked.format(phrase), sentence, sentence)]


def pairs_of(text: str, generator: random.Random) -> list[Pair]:
    """All pairs the rules find in a passage, sentence by sentence."""
    found: list[Pair] = []
    for sentence in sentences(text):
        if len(sentence.split()) > 45 or "(see" in sentence.lower():
            continue
        found += definition_pairs(sentence) + auxiliary_pairs(sentence) + action_pairs(sentence)
        found += dated_pairs(sentence) + reason_pairs(sentence) + number_pairs(sentence)
        if generator.random() < 0.25:
            found += cloze_pairs(sentence, generator)
        if generator.random() < 0.25:
            found += mention_pairs(sentence, generator)
    return [pair for pair in found if len(pair.question) < 200 and 0 < len(pair.span) < 260]


def answer_of(pair: Pair, generator: random.Random) -> str:
    """Half of the answers are spans, half are whole sentences: the style is left for tuning to settle."""
    if pair.kind in {"cloze", "subject"}:
        style = generator.choices(["span", "dotted", "sentence"], [5, 2, 3])[0]
    else:
        style = generator.choices(["span", "dotted", "sentence"], [3, 2, 5])[0]
    if style == "sentence":
        return pair.sentence
    if style == "dotted":
        return strip_end(pair.span[0].upper() + pair.span[1:]) + "."
    return pair.span
