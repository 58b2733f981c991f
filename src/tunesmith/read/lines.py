"""Lines of print as one text: what a line end parts and what it breaks.

An address of the web or of a mailbox that a line end breaks is put together again, so that it can be followed, and
replaced as a whole where the plan says so. Only breaks that can be told from the end of a sentence are mended: at a
sign that ends no address and no sentence (`/`, `-`, `_`, `=`, `@`, …), or before one that begins no word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tunesmith.read.blocks import HYPHEN_MARK

_HYPHENS = ("-", "\u00ad", "\u2010")
_SPACES = re.compile(r"[ \t\r\n\u00a0]+")
_LAST = re.compile(r"\S+$")
_FIRST = re.compile(r"\S+")
_URL = re.compile(r"(?:https?|ftp)://\S*$|www(?:\.\S*)?$", re.IGNORECASE)
_MAIL_HEAD = re.compile(r"(?<![\w.+%-])\w[\w.+%'’-]*@(?:[\w-]+\.)*[\w-]*$")
"""A mailbox as far as it goes: its name, the sign, and no more than a part of its place."""
_LIKE_A_PATH = re.compile(r"[/_=?&%#~]|\w\.\w|\d")
"""In the first word of the next line: it is no word of a sentence."""
_FILE = re.compile(
    r"[\w-]+\.(?:html?|pdf|php|aspx?|jsp|xml|docx?|xlsx?|pptx?|csv|zip|jpe?g|png)\b", re.IGNORECASE
)
_NO_PATHS = re.compile(r"(?:and/or|he/she|she/he|his/her|him/her|s/he|\d[\d.,]*%?)[.,;:!?)]*$", re.IGNORECASE)


def flow_lines(lines: Iterable[str]) -> str:
    """Lines as one line; a word broken at a line end keeps the hyphen mark and gets no space."""
    text = ""
    for line in lines:
        line = line.strip()
        if breaks_address(text, line):
            text = text.removesuffix(HYPHEN_MARK) + ("-" if text.endswith(HYPHEN_MARK) else "")
        elif text.endswith(_HYPHENS) and text[-2:-1].isalpha() and line[:1].isalpha():
            text = text[:-1] + HYPHEN_MARK  # Pdfium leaves the hyphen before a capital.
        elif text and not text.endswith(HYPHEN_MARK):
            text += " "
        text += line
    return re.sub(rf"{HYPHEN_MARK}\s+", HYPHEN_MARK, _SPACES.sub(" ", text)).strip()


def breaks_address(before: str, after: str) -> bool:
    """Whether the line end between two texts stands within an address of the web or of a mailbox."""
    last, first = _LAST.search(before[-300:].replace(HYPHEN_MARK, "-")), _FIRST.match(after)
    if last is None or first is None:
        return False
    head, tail = last[0], first[0]
    if (url := _URL.search(head)) is not None:
        return _url_goes_on(url[0], tail)
    return _mailbox_goes_on(head, tail)


def _url_goes_on(url: str, tail: str) -> bool:
    place = url.partition("://")[2] or url
    if url.endswith("://"):
        return tail[0].isalnum()
    if url[-1] in "-_=?&%#~@":
        return tail[0].isalnum() or tail[0] in "/%~"
    if url[-1] == "/":
        return _is_path(tail)
    if url[-1] == "." and tail[0].islower():  # www.example. / org/path
        return place.count(".") == 1 or _is_path(tail)
    if tail[0] in "/?#&=_.-" and tail[1:2].isalnum():
        return True
    # Within a word: what follows is the name of a file, or the place has no dot but that of www.
    if "/" in place and _FILE.match(tail):
        return True
    return (
        place.lower().startswith("www.") and place.count(".") == 1 and bool(re.match(r"[\w-]*[./]\w", tail))
    )


def _is_path(word: str) -> bool:
    return bool(_LIKE_A_PATH.search(word)) and not _NO_PATHS.match(word)


def _mailbox_goes_on(head: str, tail: str) -> bool:
    if (mailbox := _MAIL_HEAD.search(head)) is not None:
        place = mailbox[0].partition("@")[2]
        if not place or place.endswith("-"):
            return bool(re.match(r"\w[\w-]*\.\w", tail))
        if place.endswith("."):
            # name@example. / org; of name@example.co. the next line may be a sentence
            return tail[0].islower() and (place.count(".") == 1 or bool(re.match(r"[a-z]{2,3}(?!\w)", tail)))
        return bool(re.match(r"\.[a-z]{2,}", tail)) or (
            "." not in place and bool(re.match(r"[\w-]+\.\w", tail))
        )
    if re.match(r"@\w[\w-]*\.\w", tail):
        return head[-1].isalnum()
    if re.match(r"\w[\w.+%-]*@\w[\w-]*\.\w", tail):
        # name_ / one@example.org; “… the house. / one@example.org” is a sentence and an address
        return (head[-1] in "_+%-" and len(head) > 1) or (
            head[-1] == "." and bool(re.search(r"[._\d]\w+\.$", head))
        )
    return False
