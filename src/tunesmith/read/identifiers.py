"""What in a text names a person or an account, found by its form and checked: no model, no network.

| kind | form | check |
|---|---|---|
| `email` | `a@b.org`, `a (at) b.org` | – |
| `url` | with `http`, `https` or `ftp`, or from `www.` on | – |
| `iban` | two letters, two digits, the length of its country (SWIFT's registry) | remainder by 97 (ISO 13616) |
| `card` | 13 to 19 digits as cards print them | prefix and length of a scheme, Luhn (ISO/IEC 7812-1) |
| `ip` | IPv4, IPv6 | `ipaddress`; numbers of versions and sections are none |
| `phone` | what the `phonenumbers` library calls valid | digits in rows of numbers need more than digits |
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["email", "phone", "url", "card", "iban", "ip", "person", "organisation"]


@dataclass(frozen=True, slots=True)
class Found:
    start: int
    end: int
    kind: Kind
    key: str
    """Equal for two spellings of one thing: it decides which placeholders are the same."""


Finder = Callable[[str], Iterable[Found]]


def without_overlaps(found: Iterable[Found]) -> list[Found]:
    """In the order of the text; of two that overlap, the one that came first in `found`."""
    kept: list[Found] = []
    for one in found:
        place = bisect_left(kept, one.start, key=lambda other: other.start)
        is_free_before = place == 0 or kept[place - 1].end <= one.start
        is_free_after = place == len(kept) or one.end <= kept[place].start
        if is_free_before and is_free_after:
            kept.insert(place, one)
    return kept


_AT = r"(?:@|\s?[\[(]at[\])]\s?)"
_DOT = r"(?:\.|\s?[\[(]dot[\])]\s?)"
_EMAIL = re.compile(
    rf"(?<![\w.+%-])\w(?:[\w.+%'’-]*[\w+-])?{_AT}(?:\w(?:[\w-]*\w)?{_DOT})+[^\W\d_]{{2,}}", re.IGNORECASE
)


def find_emails(text: str) -> Iterator[Found]:
    for match in _EMAIL.finditer(text):
        key = re.sub(_DOT, ".", re.sub(_AT, "@", match[0], flags=re.IGNORECASE), flags=re.IGNORECASE)
        yield Found(match.start(), match.end(), "email", key.casefold())


_URL = re.compile(
    r"(?<![\w@])(?:(?:https?|ftp)://(?=\w|\[)|www\.(?=[\w-]+\.\w))[^\s<>\"“”‘’|]+", re.IGNORECASE
)


def find_urls(text: str) -> Iterator[Found]:
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?'")
        while url.endswith((")", "]")) and url.count(url[-1]) > url.count("(" if url[-1] == ")" else "["):
            url = url[:-1].rstrip(".,;:!?'")
        yield Found(match.start(), match.start() + len(url), "url", url)


_LENGTHS = {
    code: length
    for length, codes in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip
"""Country to characters of its IBAN."""
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ \u00a0-]?[A-Za-z0-9])")


def find_ibans(text: str) -> Iterator[Found]:
    for match in _IBAN_START.finditer(text):
        length = _LENGTHS.get(match[0][:2].upper(), 0)
        digits, end = match[0], match.end()
        while len(digits) < length and end < len(text):
            if text[end].isascii() and text[end].isalnum():
                digits += text[end]
            elif text[end] not in " \u00a0-" or text[end - 1] in " \u00a0-":
                break
            end += 1
        is_whole = not (end < len(text) and text[end].isascii() and text[end].isalnum())
        if len(digits) == length and is_whole and has_remainder_one(digits):
            yield Found(match.start(), end, "iban", digits.upper())


def has_remainder_one(iban: str) -> bool:
    """The check of ISO 13616: the first four characters moved to the end, letters as 10 to 35, remainder by 97 is 1."""
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1


_CARD = re.compile(
    r"(?<![\d.,])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})(?!\d|[.,]\d)"
)
_SCHEMES = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|64[4-9]\d|65\d\d|35(?:2[89]|[3-8]\d)|62\d\d)\d{12,15}|(?:50|5[6-9]|6\d)\d{10,17}"
)
"""Visa; Mastercard; American Express; Diners Club; Discover, JCB, UnionPay; Maestro."""


def find_cards(text: str) -> Iterator[Found]:
    place = 0
    while match := _CARD.search(text, place):
        digits = re.sub(r"\D", "", match[0])
        if _SCHEMES.fullmatch(digits) and passes_luhn(digits):
            yield Found(match.start(), match.end(), "card", digits)
            place = match.end()
        else:  # A number of a table may stand before it: 2024 4111 1111 1111 1111.
            place = match.start() + len(re.match(r"\d+", match[0])[0])  # type: ignore[index]


def passes_luhn(digits: str) -> bool:
    """The check of ISO/IEC 7812-1: every second digit from the right doubled, digits summed, divisible by 10."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w|-\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?!\w)")
_NOT_AN_ADDRESS = re.compile(
    r"(?:version|versions|ver\.?|release|firmware|build|rev\.?|revision|section|sections|sect?\.|chapter|clause|annex"
    r"|table|figure|fig\.|§§?|step|paragraph|item)\s*[:=#]?\s*$",
    re.IGNORECASE,
)
_LARGEST_SECTION = 30
"""A line that starts with four numbers up to this, then words, is the heading of a section."""


def find_ips(text: str) -> Iterator[Found]:
    for match in _IPV4.finditer(text):
        before = text[max(0, match.start() - 20) : match.start()]
        line = before.rpartition("\n")[2].strip("# -\\") if "\n" in before or match.start() < 20 else before
        numbers = [int(part) for part in match[0].split(".")]
        is_section = not line and max(numbers) <= _LARGEST_SECTION
        if is_section or _NOT_AN_ADDRESS.search(before) or not _is_ip(match[0]):
            continue
        yield Found(match.start(), match.end(), "ip", match[0])
    for match in _IPV6.finditer(text):
        address = match[0] if match[0].endswith("::") else match[0].rstrip(":")
        groups = [group for group in address.split(":") if group]
        # `Face::Add` is a name in a program; an address of letters alone is rarer than that.
        has_digit = any(sign.isdigit() for sign in address)
        if address.count(":") >= 2 and has_digit and groups and _is_ip(address):
            key = ipaddress.ip_address(address).compressed
            yield Found(match.start(), match.start() + len(address), "ip", key)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_MAYBE_PHONE = re.compile(r"\+?[\d(](?:[\s().\-/–\u00a0]{0,3}\d){5,}")
_CUE = re.compile(
    r"(?:telefono?|telephone|tele?fon|tel|phone|call|fax|mobile?|cell|handy|puh|hotline|whatsapp|✆|☎)[^\d\n]{0,12}$",
    re.IGNORECASE,
)
_AROUND = 30
"""Characters on each side that the library is shown of a candidate: it looks at what a number stands in."""


def phones_of(region: str | None) -> Finder:
    """A finder of phone numbers.

    Args:
        region: ISO code of the country whose numbers are written without their country code; `None`: only numbers with
            a plus are found.
    """

    def find(text: str) -> Iterator[Found]:
        from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

        for start, end in _windows(text):
            part = text[start:end]
            yield from _with_a_plus(part, start)
            for match in PhoneNumberMatcher(part, region, leniency=Leniency.VALID, max_tries=1_000_000):
                place = start + match.start
                if match.raw_string.startswith("+") or _is_printed_as_phone(text, place, match.raw_string):
                    key = format_number(match.number, PhoneNumberFormat.E164)
                    yield Found(place, place + len(match.raw_string), "phone", key)

    return find


_WITH_PLUS = re.compile(r"(?<![\w+])\+\d(?:[ \u00a0().\-/–]{0,3}\d){5,24}(?!\w)")


def _with_a_plus(text: str, offset: int) -> Iterator[Found]:
    """Numbers with a plus that other figures follow: `+49 30 123456 192.168.0.1`. The library gives up on those, so the
    last groups are left out until what is left is valid."""
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_valid_number, parse

    for match in _WITH_PLUS.finditer(text):
        number = match[0]
        while len(number) > 6:
            try:
                parsed = parse(number)
                if is_valid_number(parsed):
                    key = format_number(parsed, PhoneNumberFormat.E164)
                    start = offset + match.start()
                    yield Found(start, start + len(number), "phone", key)
                    break
            except NumberParseException:
                pass
            number = re.sub(r"[^\d+]*\d+$", "", number)


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Stretches with enough digits for a phone number, so that prose costs nothing."""
    start = end = 0
    for match in _MAYBE_PHONE.finditer(text):
        if match.start() - _AROUND > end:
            if end:
                yield start, end
            start = max(0, match.start() - _AROUND)
        end = min(len(text), match.end() + _AROUND)
    if end:
        yield start, end


def _is_printed_as_phone(text: str, start: int, number: str) -> bool:
    """Whether a number without a plus is told from a row of figures: by a word before it, by a bracket, dash or stroke,
    or by groups that stand alone."""
    if _CUE.search(text[max(0, start - 24) : start]):
        return True
    if re.search(r"\d[)/-]|\(\d", number):
        return True
    if number.startswith("00"):
        return True
    end = start + len(number)
    neighbours = text[max(0, start - 9) : start].rstrip(" \t|")[-1:] + text[end : end + 9].lstrip(" \t|")[:1]
    return " " in number and not any(sign.isdigit() for sign in neighbours)
