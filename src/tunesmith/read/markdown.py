"""Markdown as blocks: the text people see, without the signs of the markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from tunesmith.read.blocks import Block
from tunesmith.read.lines import flow_lines
from tunesmith.read.plain import normalise_lines

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_FRONT_TITLE = re.compile(r"^title:\s*[\"']?(.+?)[\"']?\s*$", re.M | re.I)
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+|$)(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_RULE = re.compile(r"^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)")
_QUOTE = re.compile(r"^ {0,3}>[ \t]?")
_TABLE_RULE = re.compile(r"^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_LINK_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]*\S+")
# Every inner part has a limit, so that openers without an end cost no more than they are long.
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,500})\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\]\n]*\])")
_LINK = re.compile(r"\[([^\[\]]+)\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\]\n]*\])")
_FOOTNOTE_MARK = re.compile(r"\[\^[^\[\]\n]{1,100}\]:?")
_AUTOLINK = re.compile(r"<((?:https?|mailto):[^<>\s]+)>")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>\n]*)?/?>")
_STRONG = re.compile(
    r"\*\*(?=\S)((?:[^*]|\*(?!\*)){1,2000})(?<=\S)\*\*|__(?=\S)((?:[^_]|_(?!_)){1,2000})(?<=\S)__"
)
_EMPHASIS = re.compile(
    r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])|(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"
)
_STRUCK = re.compile(r"~~(?=\S)([^~]{1,2000})(?<=\S)~~")
_CODE = re.compile(r"(?<!`)(`{1,3})(?!`)([^\n]{1,500}?)(?<!`)\1(?!`)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def parse_markdown(text: str) -> tuple[list[Block], str | None]:
    """The blocks, and the title that the front matter states."""
    text = normalise_lines(text)
    title = None
    if front := _FRONT_MATTER.match(text):
        found = _FRONT_TITLE.search(front[1])
        title = found[1] if found else None
        text = text[front.end() :]
    lines = drop_comments(text).split("\n")
    return list(_parse_lines(lines)), title


def drop_comments(text: str) -> str:
    """HTML comments taken out; one that never ends is left as it is."""
    kept: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[position:start])
        position = end + len("-->")
    return "".join([*kept, text[position:]])


def _parse_lines(lines: Sequence[str]) -> Iterator[Block]:
    pending: list[str] = []
    kind = "paragraph"

    def flush() -> Iterator[Block]:
        if pending:
            text = inline_text(flow_lines(pending)).strip()
            pending.clear()
            if text:
                yield Block(text, "item" if kind == "item" else "paragraph")

    position = 0
    while position < len(lines):
        line = _QUOTE.sub("", lines[position])
        position += 1
        if fence := _FENCE.match(line):
            yield from flush()
            end = _end_of_fence(lines, position, fence[1])
            yield from _code_block(lines[position:end])
            position = end + 1
        elif heading := _HEADING.match(line):
            yield from flush()
            if text := inline_text(heading[2]).strip():
                yield Block(text, "heading", len(heading[1]))
        elif pending and kind == "paragraph" and (under := _UNDERLINE.match(line)):
            text = inline_text(" ".join(pending)).strip()
            pending.clear()
            yield Block(text, "heading", 1 if under[1][0] == "=" else 2)
        elif not line.strip() or _RULE.match(line) or _LINK_DEFINITION.match(line):
            yield from flush()
        elif (
            "|" in line
            and position < len(lines)
            and _TABLE_RULE.match(lines[position])
            and "-" in lines[position]
        ):
            yield from flush()
            end = next((i for i in range(position, len(lines)) if "|" not in lines[i]), len(lines))
            yield from (_row(row) for row in [line, *lines[position + 1 : end]])
            position = end
        elif _ITEM.match(line):
            yield from flush()
            kind = "item"
            pending.append(_ITEM.sub("", line))
        else:
            if not pending:
                kind = "paragraph"
            pending.append(line.strip() if not line.endswith("  ") else line.strip() + " ")
    yield from flush()


def _end_of_fence(lines: Sequence[str], start: int, fence: str) -> int:
    """Index of the closing fence; an unclosed one ends at the next blank line, so that it swallows no document."""
    closing = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
    for index in range(start, len(lines)):
        if closing.match(lines[index]):
            return index
    return next((index for index in range(start, len(lines)) if not lines[index].strip()), len(lines))


def _code_block(lines: Sequence[str]) -> Iterator[Block]:
    """Code keeps its lines, each as a row, because it is no prose to be re-flowed."""
    for line in lines:
        if line.strip():
            yield Block(line.rstrip(), "row")


def _row(line: str) -> Block:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return Block(" | ".join(inline_text(cell).strip() for cell in cells), "row")


def inline_text(text: str) -> str:
    """Text of a line without emphasis, links, images, tags and escapes."""
    if not re.search(r"[*_`\[<&\\~!]", text):
        return text
    kept: list[str] = []

    def keep(content: str) -> str:
        kept.append(content)
        return f"\x00{len(kept) - 1}\x00"

    text = _CODE.sub(lambda match: keep(match[2].strip()), text)
    text = _ESCAPED.sub(lambda match: keep(match[1]), text)
    text = _AUTOLINK.sub(lambda match: keep(match[1]), text)
    text = _FOOTNOTE_MARK.sub("", _IMAGE.sub("", text))
    for _ in range(2):  # A link may stand in an emphasis, and an emphasis in a link.
        text = _LINK.sub(r"\1", text)
        text = _STRONG.sub(lambda match: match[1] or match[2], text)
        text = _EMPHASIS.sub(lambda match: match[1] or match[2], text)
    text = _STRUCK.sub(r"\1", text)
    text = html.unescape(_TAG.sub("", text))
    return re.sub("\x00(\\d+)\x00", lambda match: kept[int(match[1])], text)
