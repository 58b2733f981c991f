"""Words and patterns that several rules look for: pronouns, quantities with units, dates."""

from __future__ import annotations

import re

from tunesmith.synthesize.wordlists import word_set

ANAPHORA = re.compile(
    r"\b(?:this|these|those|such|there|here|another|others?|the (?:same|other|former|latter|above|"
    r"following)|mentioned|aforementioned|we|our|us|you|your|I|my)\b",
)

PRONOUN = re.compile(r"\b(?:it|they|them|he|she|him|his|hers|its|their|itself|themselves)\b", re.IGNORECASE)

VACUOUS = word_set(
    "advantage difference reason way kind part problem thing role example effect result purpose use case"
    " place question fact time sense step number lot need form point aspect attention opportunity issue"
    " approach challenge topic one work place care"
)

MEASURE_NOUNS = word_set(
    "height depth thickness width length temperature value capacity volume area pressure speed distance"
    " cost price share power efficiency output diameter rate level weight mass density age g-value u-value"
    " lifetime lifespan frequency range budget target turnover population"
)

UNITS = (
    r"(?:°\s?[CFK]?|%|per ?cent(?:age points)?|percent|degrees?(?: Celsius| Fahrenheit)?|kelvins?|"
    r"(?:kilo|mega|giga|tera)?watts?(?:-hours?)?|[kMGT]W[h]?|"
    r"(?:kilo|mega|giga)?joules?|[kMG]J|(?:milli|centi|kilo|nano|micro)?met(?:re|er)s?|mm|cm|km|"
    r"m²|m³|(?:square|cubic) (?:kilo|centi)?met(?:re|er)s?|hectares?|acres?|"
    r"lit(?:re|er)s?|(?:milli|kilo)?grams?|kg|tonnes?|tons?|bars?|pascals?|volts?|amperes?|hertz|decibels?|lux|"
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?|centuries|"
    r"euros?|dollars?|pounds?|cents?|inches|feet|miles?|gallons?|times)"
)

NUMBER_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|sixteen|eighteen|"
    r"twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    r"a hundred|a thousand|a dozen|half a|a quarter of an?|three quarters|two thirds|one third|a third|a quarter|half)"
)

_NUM = rf"(?:[-−]?\d[\d.,]*\d|[-−]?\d|{NUMBER_WORD})(?: (?:hundred|thousand|million|billion|trillion))?(?: and a half)?"

HEDGE = (
    r"(?:(?:about|around|roughly|approximately|nearly|almost|over|more than|less than|fewer than|"
    r"at least|at most|up to|only|just|some|as much as|as many as|"
    r"no more than|well over|between|under|usually|typically) )*"
)

QUANTITY = rf"{HEDGE}(?:[€$£])?{_NUM}(?: ?(?:to|and|or|–|-) ?(?:[€$£])?{_NUM})?"

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"

YEAR = (
    rf"(?:the (?:early |late |mid-?)?)?(?:(?:\d{{1,2}} )?{_MONTH} (?:\d{{1,2}}, )?)?(?:1[5-9]|20|21)\d\ds?\b"
)

DATE = re.compile(
    rf"^(?:early |late )?(?:the (?:end|beginning|start) of )?(?:the year )?{YEAR}$|^{_MONTH}$|^the "
    rf"(?:\d+th|nineteenth|twentieth) century$"
)
