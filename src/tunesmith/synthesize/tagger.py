"""Words of an English sentence with the parts of speech they may have: what the built-in teacher's rules look at.

No model. Penn Treebank tags come from the lexicon of Eric Brill's tagger (MIT licence), which the package
`textblob` carries as a text file, from endings where the lexicon is silent, and from a few rules on
neighbours. The lexicon knows one tag for a word; whether `heats` may also be a verb is derived from its
other forms (heat, heated, heating), and `clauses.py` decides."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from tunesmith.errors import MissingError
from tunesmith.synthesize.capitals import is_common_word
from tunesmith.synthesize.forms import IRREGULAR, PAST_ONLY, base_form
from tunesmith.synthesize.wordlists import CLOSED, word_set

_TOKEN = re.compile(
    r"""
    https?://\S+ | www\.\S+ | [\w.+-]+@[\w-]+\.[\w.]+        # addresses
  | (?:[A-Za-z]\.){2,}                                       # U.S., e.g.
  | \b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Fig|Figs|vs|etc|al|approx|cf|Inc|Ltd|Co|Corp)\.(?=\s|,|;|\))
  | [-−]?\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|s)?\b               # 1,200  3.5  1/2  20th  1990s
  | °\s?[CFK]?\b
  | \w+(?:[-‐‑/'’.]\w+)*                                     # words, with inner hyphens and apostrophes
  | \.\.\. | … | --
  | \S
    """,
    re.VERBOSE,
)
_CLITIC = re.compile(r"(?<=\w)(?:n['’]t|['’](?:s|S|re|ve|ll|d|m))$")

BE = {"is", "are", "was", "were"}
HAVE = {"has", "have", "had"}
DO = {"does", "do", "did"}
_SUFFIXES = (
    ("ly", "RB"),
    ("ness", "NN"),
    ("ment", "NN"),
    ("tion", "NN"),
    ("sion", "NN"),
    ("ity", "NN"),
    ("ance", "NN"),
    ("ence", "NN"),
    ("ship", "NN"),
    ("ism", "NN"),
    ("ist", "NN"),
    ("age", "NN"),
    ("ous", "JJ"),
    ("ful", "JJ"),
    ("less", "JJ"),
    ("able", "JJ"),
    ("ible", "JJ"),
    ("ive", "JJ"),
    ("ical", "JJ"),
    ("ic", "JJ"),
    ("al", "JJ"),
    ("ary", "JJ"),
    ("ish", "JJ"),
    ("ing", "VBG"),
    ("ed", "VBN"),
    ("ise", "VB"),
    ("ize", "VB"),
    ("ify", "VB"),
)


@dataclass(frozen=True, slots=True)
class Word:
    """One token. `start` and `end` are its span in the sentence."""

    text: str
    tag: str
    start: int
    end: int
    verb: str = ""
    """VBZ, VBP or VBD when the word may be that; empty when it cannot be a finite verb."""
    is_sure: bool = False
    """True when it is a finite verb and nothing else."""
    keeps_capital: bool = False
    """True for the first word of a sentence when it may be a name, whatever its tag: `British`."""

    @property
    def lower(self) -> str:
        return self.text.lower().replace("’", "'")

    @property
    def is_noun(self) -> bool:
        return self.tag.startswith("NN")


def tokenise(sentence: str) -> list[tuple[str, int, int]]:
    """(token, start, end) in order; clitics ('s, n't, …) are tokens of their own, as in the Penn Treebank."""
    tokens: list[tuple[str, int, int]] = []
    for match in _TOKEN.finditer(sentence):
        text, start, end = match.group(), match.start(), match.end()
        clitic = _CLITIC.search(text)
        if clitic and clitic.start() > 0:
            cut = start + clitic.start()
            tokens += [(text[: clitic.start()], start, cut), (clitic.group(), cut, end)]
        else:
            tokens.append((text, start, end))
    return tokens


@dataclass(frozen=True, slots=True)
class Lexicon:
    tags: dict[str, str]
    verbs: frozenset[str]
    """Base forms of words that occur as verbs."""

    def tag(self, word: str) -> str | None:
        return self.tags.get(word)


@cache
def load_lexicon() -> Lexicon:
    """The lexicon out of the package `textblob`, read as a file: nothing of that package is imported.

    Raises:
        MissingError: the package is not installed.
    """
    try:
        path = Path(str(metadata.distribution("textblob").locate_file("textblob/en/en-lexicon.txt")))
        text = path.read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, FileNotFoundError) as error:
        raise MissingError(
            "the built-in teacher needs the word list of the package textblob", do="pip install textblob"
        ) from error
    tags: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and not line.startswith(";;;"):
            tags.setdefault(parts[0], parts[1].split("|")[0])
    verbs = set()
    for word, tag in tags.items():
        if tag in {"VB", "VBP"}:
            verbs.add(word)
        elif tag in {"VBZ", "VBD", "VBN"} and word.islower():
            verbs.add(base_form(word, tag, tags))
        elif tag == "VBG" and word.endswith("ing") and len(word) > 5:
            stem = word[:-3]
            verbs.add(stem if tags.get(stem) or not tags.get(stem + "e") else stem + "e")
    return Lexicon(tags, frozenset(verb for verb in verbs if len(verb) > 1 and verb.isalpha()))


def tag_sentence(
    sentence: str, names: Container[str] = frozenset(), small: Container[str] = frozenset()
) -> list[Word]:
    """The words with their tags.

    Args:
        sentence: one sentence.
        names: words that the document writes with a capital inside sentences; at the start of one, the
        capital says nothing.
        small: words that the document writes small.
    """
    lexicon = load_lexicon()
    words = [
        Word(text, _first_tag(text, index == 0, lexicon), start, end)
        for index, (text, start, end) in enumerate(tokenise(sentence))
    ]
    if words and words[0].text[0].isupper():
        is_common = is_common_word(words[0].text, lexicon.tags, names, small)
        words[0] = replace(words[0], keeps_capital=not is_common)
        if is_common and words[0].tag == "NNP" and _is_common_opening(words, lexicon):
            words[0] = replace(words[0], tag="NN")
    words = _look_round(words, lexicon)
    return [_with_verb(word, lexicon) for word in words]


def _is_common_opening(words: list[Word], lexicon: Lexicon) -> bool:
    """True for a first word that the lexicon does not have and that nothing behind it shows to be a name."""
    first = words[0]
    at = 2 if len(words) > 2 and words[1].lower in {"and", "&"} else 1
    has_name_after = len(words) > at and words[at].tag in {"NNP", "NNPS"}
    looks_plain = first.text[1:].islower() and first.text.isalpha() and len(first.text) > 2
    return looks_plain and not has_name_after and lexicon.tag(first.text) not in {"NNP", "NNPS"}


def _first_tag(text: str, is_first: bool, lexicon: Lexicon) -> str:
    lower = text.lower()
    if not any(char.isalnum() for char in text):
        return {"’s": "POS", "'s": "POS", "%": "NN"}.get(text, text if len(text) == 1 else ":")
    if text[0].isdigit() or (text[0] in "-−" and text[1:2].isdigit()):
        return "JJ" if text.endswith(("st", "nd", "rd", "th")) else "CD"
    if lower in {"'s", "’s"}:
        return "POS"
    if lower in CLOSED and (is_first or text.islower()):
        return CLOSED[lower]
    if not is_first and text[0].isupper():
        known = lexicon.tag(text)
        return known if known in {"NNP", "NNPS", "JJ"} else "NNP"
    known = lexicon.tag(text) if text.islower() else lexicon.tag(lower)
    if known and known.startswith(("N", "V", "J", "R", "C", "I", "W")):
        return known
    if is_first and lexicon.tag(text) in {"NNP", "NNPS"}:
        return "NNP"
    if is_first and text.isupper() and len(text) > 1:
        return "NNP"
    if is_first and any(char.isdigit() for char in text):
        return "NNP"
    if re.match(r"[^\W\d_][^\W_]+-[A-Z]", text):
        return "NNP"
    if "-" in text:
        last = lower.rsplit("-", 1)[1]
        tail = CLOSED.get(last) or lexicon.tag(last) or _by_ending(last, lexicon)
        return "NN" if tail in {"NN", "VB"} else "NNS" if tail == "NNS" else "JJ"
    if is_first and text[0].isupper() and not known:
        tag = _by_ending(lower, lexicon)
        return "NNP" if tag == "NN" and lower not in lexicon.tags else tag
    return _by_ending(lower, lexicon)


def _by_ending(word: str, lexicon: Lexicon) -> str:
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        base = base_form(word, "VBZ")
        if lexicon.tag(base) in {"VB", "VBP"}:
            return "VBZ"
        return "NNS"
    return next(
        (tag for ending, tag in _SUFFIXES if word.endswith(ending) and len(word) > len(ending) + 2), "NN"
    )


_NOUNS = {"NN", "NNS", "NNP", "NNPS"}


def _look_round(words: list[Word], lexicon: Lexicon) -> list[Word]:
    """What the neighbours tell: after `to` and modals a verb is a base form, after `the` it is none, and so on."""
    done: list[Word] = []
    for index, word in enumerate(words):
        before = done[-1] if done else None
        after = words[index + 1] if index + 1 < len(words) else None
        tag = word.tag
        lower = word.lower
        verb_before = before
        for earlier in reversed(done):
            if earlier.tag != "RB":
                verb_before = earlier
                break
        if index == 0:
            tag = _tag_opening(word, tag, after, lexicon)
        elif lower == "that":
            tag = "WDT" if before is not None and before.tag in _NOUNS | {"CD"} else "IN"
        elif (
            lower in lexicon.verbs
            and verb_before is not None
            and verb_before.tag in {"TO", "MD"}
            and tag != "VBN"
        ):
            # "to" stands before a noun as well: "to heat pumps"; a verb is likelier before a determiner or a
            # noun phrase.
            tag = (
                tag
                if verb_before.tag == "TO" and tag in {"NN", "JJ"} and _is_noun_after_to(done, after)
                else "VB"
            )
        elif (
            tag == "VBZ"
            and before is not None
            and index == 1
            and before.tag in {"CD", "JJ"}
            and lexicon.tag(base_form(lower, "VBZ")) in {"NN", "VB"}
        ):
            tag = (
                "NNS"
                if after is not None
                and (after.tag in {"VB", "VBP", "VBD", "MD"} or after.lower in lexicon.verbs)
                else tag
            )
        elif (
            before is not None
            and before.tag in {"DT", "PRP$", "POS"}
            and tag in {"VB", "VBP", "VBZ", "IN"}
            and lower not in CLOSED
        ):
            tag = "NNS" if tag == "VBZ" else "NN"
        elif (
            verb_before is not None
            and verb_before.lower in _BE_AND_HAVE
            and (tag in {"VBD", "VBN"} or (lower in IRREGULAR and lower != "cost"))
        ) or (
            tag in {"VBD", "VBN"}
            and verb_before is not None
            and (verb_before.lower in BE | HAVE | {"be", "been", "being", "having"})
        ):
            tag = "VBN"
        elif (
            tag in {"VB", "VBP"}
            and lower not in CLOSED
            and before is not None
            and before.tag in {"JJ", "CD", "NN", "IN"}
            and lexicon.tag(lower + "s") == "NNS"
        ) or (
            tag == "JJ"
            and before is not None
            and before.tag in {"DT", "JJ"}
            and _ends_phrase(after)
            and lower not in _PURE_ADJECTIVES
        ):
            tag = "NN"
        elif (
            tag == "POS"
            and before is not None
            and before.lower in {"it", "that", "there", "he", "she", "what"}
        ):
            tag = "VBZ"
        elif (lower == "so" and after is not None and after.lower == "that") or (
            lower == "as" and after is not None and after.tag in {"RB", "JJ"} and lower != "IN"
        ):
            tag = "IN"
        done.append(replace(word, tag=tag))
    return done


_BE_AND_HAVE = BE | HAVE | {"be", "been", "being", "having"}
_PURE_ADJECTIVES = word_set("same such other own many few more most less much able due available")


def _ends_phrase(after: Word | None) -> bool:
    return after is None or after.tag in {"IN", "MD", "VBZ", ",", ".", ":"} or after.lower in BE | HAVE


def _tag_opening(word: Word, tag: str, after: Word | None, lexicon: Lexicon) -> str:
    """The first word: its capital says nothing, and what could be an imperative is mostly a noun or a name."""
    if word.lower == "that":
        return "DT" if after is not None and after.tag in {"NN", "JJ"} else "IN"
    if word.lower.endswith("ing") and after is not None and after.tag in {"DT", "CD", "PRP$"}:
        return "VBG"
    if tag == "VBZ" and after is not None and after.lower == "of":
        return "NNS"
    if tag == "NN" and after is not None and after.tag in {"NNP", "NNPS"} and word.lower not in CLOSED:
        return "NNP"
    if tag == "JJ" and after is not None and after.tag == "NNP" and lexicon.tag(word.text) == "NNP":
        # The lexicon has `hugh` among the adjectives.
        return (
            tag
            if word.lower in CLOSED or lexicon.tag(word.lower + "ly") or not after.text[0].isupper()
            else "NNP"
        )
    if tag in {"VB", "VBP", "VBZ"} and word.lower not in CLOSED and after is not None:
        if after.tag == "NNP" or lexicon.tag(word.text) == "NNP":
            return "NNP"
        if after.tag not in {"DT", "PRP$", "PRP", "TO", "IN"}:
            return "NNS" if tag == "VBZ" else "NN"
    return tag


def _is_noun_after_to(done: list[Word], after: Word | None) -> bool:
    """`to` + noun-or-verb: a noun when a noun goes on or ends the phrase, and the word before `to` asks for a place."""
    asks = {
        "due",
        "owing",
        "thanks",
        "according",
        "from",
        "up",
        "close",
        "next",
        "added",
        "connected",
        "compared",
        "similar",
        "lead",
        "leads",
        "led",
    }
    return len(done) > 1 and done[-2].lower in asks and (after is None or after.tag not in {"DT", "PRP$"})


def _with_verb(word: Word, lexicon: Lexicon) -> Word:
    """Adds the finite verb that the word may be."""
    lower = word.lower
    if word.tag == "MD":
        return replace(word, verb="MD", is_sure=True)
    if lower in BE | HAVE | DO:
        # From the table of closed classes, as a neighbour may have changed the tag: `has had`.
        return word if word.tag == "VBN" else replace(word, verb=CLOSED[lower], is_sure=True)
    if (
        (not lower.isalpha() and "-" not in lower)
        or (word.text[0].isupper() and word.start > 0)
        or lower in CLOSED
    ):
        return word
    lemma = base_form(lower, "VBZ") if lower.endswith("s") and not lower.endswith("ss") else lower
    if lower.endswith("s") and not lower.endswith(("ss", "us", "ous")) and lemma in lexicon.verbs:
        is_noun = lexicon.tag(lower) in {"NNS", "NN"} or lexicon.tag(lemma) in {"NN", "NNS"}
        return replace(word, verb="VBZ", is_sure=not is_noun and word.tag not in {"NN"})
    if lower in IRREGULAR or (lower.endswith("ed") and len(lower) > 4 and word.tag in {"VBD", "VBN", "JJ"}):
        only_past = lower in PAST_ONLY
        same_as_base = IRREGULAR.get(lower) == lower
        return replace(word, verb="VBP" if same_as_base else "VBD", is_sure=only_past)
    if lower in lexicon.verbs and word.tag not in {"VB"} | {"RB", "IN"}:
        return replace(word, verb="VBP", is_sure=word.tag == "VBP" and lexicon.tag(lower) in {"VB", "VBP"})
    if lower in lexicon.verbs and word.tag == "VB":
        return replace(word, verb="VBP")
    return word
