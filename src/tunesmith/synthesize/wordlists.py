"""The closed classes of English, and lists of words written as plain text."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text that holds nothing else: easier to read and to mend than a list of quoted strings."""
    return frozenset(text.split())


def phrase_set(text: str) -> frozenset[str]:
    """The phrases of a text that are kept apart by commas."""
    return frozenset(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


MODALS = word_set("can cannot could may might must shall should will would")
_CLOSED = {
    "DT": word_set("a an the this these those each every some any no both all another either neither"),
    "PRP": word_set(
        "it they he she we you i them him us me itself themselves himself herself one's oneself ourselves"
    ),
    "PRP$": word_set("its their his her our your my whose"),
    "CC": word_set("and or but nor"),
    "IN": word_set(
        "of in on at by for with from into onto between among through during within without against under"
        " over above below behind beside besides beyond near across along around round about after before"
        " since until till because although though while whereas if unless than as per via despite towards"
        " toward upon throughout inside outside like unlike except whether that amid concerning regarding"
        " versus off up down"
    ),
    "TO": word_set("to"),
    "WDT": word_set("which"),
    "WP": word_set("who whom what"),
    "WRB": word_set("when where why how whenever wherever"),
    "RB": word_set(
        "not n't also only very often usually mainly mostly nearly almost just even still already always"
        " never sometimes rarely seldom therefore thus hence however moreover furthermore instead nevertheless"
        " meanwhile then there here now again too so quite rather roughly approximately typically generally"
        " normally largely partly highly fully once twice soon together apart away back far well perhaps"
        " indeed likewise otherwise accordingly consequently today yet hardly"
    ),
    "MD": MODALS,
    "VBZ": word_set("is has does"),
    "VBP": word_set("are have do"),
    "VBD": word_set("was were had did"),
    "VB": word_set("be"),
    "VBN": word_set("been done"),
    "VBG": word_set("being having"),
    "CD": word_set(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand"
        " million billion dozen half"
    ),
    "JJ": word_set(
        "such same other own many most more less few fewer several much certain various first second third"
        " fourth last next main large small common possible different new old high low good bad best better"
        " worse able due average overall solid liquid cold warm hot dry wet inner outer indoor outdoor heavy"
        " light thick thin deep wide long short cheap expensive present free closed open sealed"
    ),
    "NN": word_set(
        "heating cooling building lighting glazing coating ceiling flooring housing bearing tubing piping"
        " wiring packaging manufacturing planning engineering marketing accounting reporting training funding"
        " banking monitoring balancing processing recycling casing opening surrounding timber draught mould thing"
        " something anything nothing everything"
    ),
    "NNS": word_set("surroundings savings earnings findings people buildings heatings coatings"),
}
CLOSED = {word: tag for tag, group in _CLOSED.items() for word in group}
"""Word -> its Penn tag, whatever the lexicon says."""
