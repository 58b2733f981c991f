"""Word documents (.docx) as blocks: a zip file of XML, read with the standard library."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tunesmith.read.blocks import Block, Unreadable

MAX_UNFOLDED_BYTES = 200_000_000
"""A part of the file that unfolds to more is refused: no text is that long, but a zip bomb is."""
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_OLE_HEADER = b"\xd0\xcf\x11\xe0"
_HEADING_NAME = re.compile(r"^(?:heading|überschrift|titre|otsikko|rubrik) ?([1-9])$", re.I)
_SKIPPED = {_W + "del", _W + "moveFrom", _W + "footnoteReference", _W + "instrText", _W + "pPr", _W + "rPr"}


@dataclass(slots=True)
class DocxContent:
    title: str | None
    blocks: list[Block]


def parse_docx(path: Path) -> DocxContent:
    """Headings by style or outline level, paragraphs, entries of lists and rows of tables in the order of the text.

    Raises:
        Unreadable: encrypted (or an old .doc), damaged, or unfolding to more than 200 MB.
    """
    with path.open("rb") as file:
        if file.read(4) == _OLE_HEADER:
            raise Unreadable(
                "encrypted",
                "The file is encrypted, or an old Word file. Save it as .docx without a password.",
            )
    try:
        with zipfile.ZipFile(path) as archive:
            body = _parse(archive, "word/document.xml").find(_W + "body")
            levels = _heading_levels(archive)
            title = _title(archive)
        blocks = list(_blocks(body, levels)) if body is not None else []
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, NotImplementedError, RuntimeError) as error:
        # RuntimeError covers a password on the zip and elements nested beyond any document.
        raise Unreadable("broken", f"Not a Word document that can be opened: {error}") from None
    return DocxContent(title, blocks)


def _parse(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > MAX_UNFOLDED_BYTES:
        raise Unreadable("too_heavy", f"{name} unfolds to more than {MAX_UNFOLDED_BYTES // 1_000_000} MB.")
    data = archive.read(name)
    if b"<!DOCTYPE" in data[:1000]:  # Word writes none; entities that unfold to gigabytes need one.
        raise Unreadable("broken", "The document declares entities of its own, which Word files never do.")
    return ElementTree.fromstring(data)


def _title(archive: zipfile.ZipFile) -> str | None:
    if "docProps/core.xml" not in archive.namelist():
        return None
    found = _parse(archive, "docProps/core.xml").find("{http://purl.org/dc/elements/1.1/}title")
    return found.text if found is not None else None


def _heading_levels(archive: zipfile.ZipFile) -> dict[str, int]:
    """Style id to heading level, by the outline level of the style or by its name."""
    if "word/styles.xml" not in archive.namelist():
        return {}
    levels: dict[str, int] = {}
    for style in _parse(archive, "word/styles.xml").iter(_W + "style"):
        style_id = style.get(_W + "styleId", "")
        name = _value(style.find(_W + "name"))
        outline = _value(style.find(f"{_W}pPr/{_W}outlineLvl"))
        if match := _HEADING_NAME.match(name):
            levels[style_id] = int(match[1])
        elif name.casefold() == "title":
            levels[style_id] = 1
        elif outline.isdigit() and int(outline) < 9:
            levels[style_id] = int(outline) + 1
    return levels


def _value(element: ElementTree.Element | None) -> str:
    return element.get(_W + "val", "") if element is not None else ""


def _blocks(parent: ElementTree.Element, levels: dict[str, int]) -> Iterator[Block]:
    for element in parent:
        if element.tag == _W + "p":
            yield from _paragraph(element, levels)
        elif element.tag == _W + "tbl":
            for row in element.iter(_W + "tr"):
                cells = [" ".join(_text(cell).split()) for cell in row.findall(_W + "tc")]
                if any(cells):
                    yield Block(" | ".join(cells), "row")
        elif element.tag in (_W + "sdt", _W + "sdtContent", _W + "ins"):
            yield from _blocks(element, levels)


def _paragraph(element: ElementTree.Element, levels: dict[str, int]) -> Iterator[Block]:
    text = " ".join(_text(element).split())
    if not text:
        return
    style = _value(element.find(f"{_W}pPr/{_W}pStyle"))
    outline = _value(element.find(f"{_W}pPr/{_W}outlineLvl"))
    level = levels.get(style, int(outline) + 1 if outline.isdigit() and int(outline) < 9 else 0)
    if level:
        yield Block(text, "heading", min(level, 6))
    elif element.find(f"{_W}pPr/{_W}numPr") is not None or "list" in style.casefold():
        yield Block(text, "item")
    else:
        yield Block(text)


def _text(element: ElementTree.Element) -> str:
    """The text below an element, without deleted text, field codes and marks of footnotes."""
    if element.tag in _SKIPPED:
        return ""
    if element.tag == _W + "t":
        return element.text or ""
    if element.tag in (_W + "tab", _W + "br", _W + "cr"):
        return " "
    if element.tag == _W + "noBreakHyphen":
        return "-"
    text = "".join(_text(child) for child in element)
    return text + " " if element.tag == _W + "p" else text
