"""HTML as blocks, with the parser of the standard library."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from tunesmith.read.blocks import Block
from tunesmith.read.markdown import drop_comments

_SKIPPED = {
    "script", "style", "template", "noscript", "nav", "footer", "aside", "form", "button", "select", "iframe", "svg",
    "canvas", "object", "audio", "video", "map", "dialog", "menu",
}  # fmt: skip
"""Elements that hold no prose of the page."""
_PARAGRAPHS = {
    "p", "div", "section", "article", "main", "header", "body", "blockquote", "figure", "figcaption", "dl", "dt", "dd",
    "ul", "ol", "table", "thead", "tbody", "tfoot", "caption", "address", "details", "summary", "hr", "fieldset",
    "center", "html", "head",
}  # fmt: skip
_VOID = {"br", "img", "hr", "input", "meta", "link", "col", "wbr", "area", "base", "embed", "source", "track"}
_SPACES = re.compile(r"[ \t\r\n\f]+")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_HIDDEN_ROLES = {"navigation", "banner", "contentinfo", "search", "menu"}


@dataclass(slots=True)
class HtmlContent:
    title: str | None
    blocks: list[Block]
    charset: str | None = None
    n_skipped: dict[str, int] = field(default_factory=dict)


def parse_html(text: str) -> HtmlContent:
    """Headings, paragraphs, entries of lists and rows of tables; scripts, styles, navigation and footers dropped."""
    parser = _Reader()
    parser.feed(_plain_tags_only(text))
    parser.close()
    if parser.unclosed:  # A navigation that never ends must not swallow the page.
        without = re.sub(rf"<{parser.unclosed}\b[^<>]*>", "", text, flags=re.I)
        if without != text:
            return parse_html(without)
    return parser.finish()


_DECLARATION = re.compile(r"<[!?][^<>]*>")
_NO_TAG = re.compile(
    r"<(?!/?[A-Za-z][^<>]*>)(?!/?[A-Za-z](?:[^<>\"']*(?:\"[^\"]{0,300}\"|'[^']{0,300}')){1,8}[^<>\"']*>)"
)


def _plain_tags_only(text: str) -> str:
    """Without comments and declarations, and with every `<` that opens no tag escaped: the parser needs time that
    grows with the square of their number otherwise."""
    return _NO_TAG.sub("&lt;", _DECLARATION.sub("", drop_comments(text)))


_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{2,40})", re.I)


def declared_charset(data: bytes) -> str | None:
    """The encoding that a page names in its first 2,048 bytes."""
    match = _CHARSET.search(data[:2048])
    return match[1].decode("ascii").lower() if match else None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title: list[str] = []
        self.n_skipped: dict[str, int] = {}
        self._text: list[str] = []
        self._cells: list[str] | None = None
        self._skipping: list[str] = []
        self._in_title = False
        self._in_pre = False
        self._heading = 0
        self._item_depth = 0

    @property
    def unclosed(self) -> str | None:
        """The skipped element that was still open at the end of the page."""
        return self._skipping[0] if self._skipping else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            if tag not in _VOID:
                self._skipping.append(tag)
            return
        if tag in _SKIPPED or (tag not in _VOID and _is_hidden(dict(attrs))):
            self._end_block()
            self.n_skipped[tag] = self.n_skipped.get(tag, 0) + 1
            self._skipping.append(tag)
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._text.append("\n" if self._in_pre else " ")
        elif re.fullmatch(r"h[1-6]", tag):
            self._end_block()
            self._heading = int(tag[1])
        elif tag == "li":
            self._end_block()
            self._item_depth += 1
        elif tag == "tr":
            self._end_block()
            self._end_row()
            self._cells = []
        elif tag in ("td", "th"):
            self._end_cell()
            self._text.clear()
        elif tag == "pre":
            self._end_block()
            self._in_pre = True
        elif tag in _PARAGRAPHS:
            self._end_block()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID or tag in ("p", "div"):
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag in self._skipping:  # An unclosed element inside ends with its parent.
                while self._skipping and self._skipping.pop() != tag:
                    pass
            return
        if tag == "title":
            self._in_title = False
        elif re.fullmatch(r"h[1-6]", tag):
            self._end_block()
            self._heading = 0
        elif tag == "li":
            self._end_block()
            self._item_depth = max(0, self._item_depth - 1)
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag in ("tr", "table"):
            self._end_cell()
            self._end_row()
        elif tag == "pre":
            self._end_block()
            self._in_pre = False
        elif tag in _PARAGRAPHS:
            self._end_block()

    def handle_data(self, data: str) -> None:
        if self._skipping:
            return
        (self.title if self._in_title else self._text).append(data)

    def _end_block(self) -> None:
        if self._cells is not None:  # Inside a cell a paragraph is only a space.
            self._text.append(" ")
            return
        text = "".join(self._text)
        self._text.clear()
        if self._in_pre:
            self.blocks.extend(Block(line.rstrip(), "row") for line in text.split("\n") if line.strip())
            return
        text = _SPACES.sub(" ", text).strip()
        if not text:
            return
        if self._heading:
            self.blocks.append(Block(text, "heading", self._heading))
        else:
            self.blocks.append(Block(text, "item" if self._item_depth else "paragraph"))

    def _end_cell(self) -> None:
        if self._cells is None:
            return
        text = _SPACES.sub(" ", "".join(self._text)).strip()
        self._text.clear()
        if text:
            self._cells.append(text)

    def _end_row(self) -> None:
        cells, self._cells = self._cells, None
        if not cells:
            return
        # A row with one long cell is a layout, not a table.
        is_prose = len(cells) == 1 and len(cells[0].split()) > 12
        self.blocks.append(
            Block(cells[0] if is_prose else " | ".join(cells), "paragraph" if is_prose else "row")
        )

    def finish(self) -> HtmlContent:
        self._end_cell()
        self._end_row()
        self._end_block()
        title = _SPACES.sub(" ", "".join(self.title)).strip()
        return HtmlContent(title or None, self.blocks, n_skipped=self.n_skipped)


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") in _HIDDEN_ROLES
        or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
    )
