"""Markdown, HTML and plain text as blocks; encodings."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tunesmith.read.blocks import HYPHEN_MARK, Block, Unreadable
from tunesmith.read.html import declared_charset, parse_html
from tunesmith.read.markdown import inline_text, parse_markdown
from tunesmith.read.plain import decode_text, parse_plain_text


def shape(blocks: list[Block]) -> list[tuple[str, str]]:
    names = {"paragraph": "p", "item": "i", "row": "r"}
    return [
        (f"h{block.level}" if block.kind == "heading" else names[block.kind], block.text) for block in blocks
    ]


MARKDOWN = """---
title: "All about heat"
---
# Heat ##

A **pump** moves _heat_ from
a [cold](http://x.y/z_(1)) place.
Setext
------
- one
  goes on
* [x] two
1. three

| Glass | U |
|---|--:|
| single | 5.8 |

> Quoted `a * b` text.

![image](x.png)
[ref]: http://x.y
<!-- hidden
text -->
```python
# no heading
x = 1
```
***
Last&nbsp;line\\* with snake_case and 3 * 4 * 5.[^1]
"""


def test_markdown_becomes_what_people_see() -> None:
    blocks, title = parse_markdown(MARKDOWN)
    assert title == "All about heat"
    assert shape(blocks) == [
        ("h1", "Heat"),
        ("h2", "A pump moves heat from a cold place. Setext"),
        ("i", "one goes on"),
        ("i", "two"),
        ("i", "three"),
        ("r", "Glass | U"),
        ("r", "single | 5.8"),
        ("p", "Quoted a * b text."),
        ("r", "# no heading"),
        ("r", "x = 1"),
        ("p", "Last\u00a0line* with snake_case and 3 * 4 * 5."),
    ]


def test_an_unclosed_fence_does_not_swallow_the_document() -> None:
    blocks, _ = parse_markdown("```\ncode\n\nProse comes after.\n\n# Heading\n")
    assert shape(blocks) == [("r", "code"), ("p", "Prose comes after."), ("h1", "Heading")]


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("***both***", "both"),
        ("**a *b* c**", "a b c"),
        ("[**bold**](u) and **[link](u)**", "bold and link"),
        ("``a`b``", "a`b"),
        ("2*3*4 and a_b_c", "2*3*4 and a_b_c"),
        ("<b>x</b> 1 < 2 &amp; 3 > 2", "x 1 < 2 & 3 > 2"),
        ("<https://x.y>", "https://x.y"),
        ("~~gone~~", "gone"),
        ("plain", "plain"),
    ],
)
def test_inline_markup(marked: str, plain: str) -> None:
    assert inline_text(marked) == plain


HTML = """<!DOCTYPE html><html><head><title>Heat &amp; more</title><style>p {color: red}</style></head><body>
<nav><ul><li><a href="/">Home</a></li></ul></nav><script>if (a < b) { document.write("<p>no</p>") }</script>
<h1>Heat</h1><p>A pump<br>moves <b>heat</b>.<p>Unclosed paragraph
<ul><li>one</li><li><p>two</p></li></ul>
<table><tr><th>Glass</th><th>U</th></tr><tr><td>single</td><td>5.8</td></tr></table>
<div hidden>Not shown</div><div style="display: none">Nor this</div><!-- nor <p>this</p> -->
<pre>x = 1
y = 2</pre>
<p>1 < 2 &lt; 3</p><footer>Imprint</footer></body></html>"""


def test_html_keeps_the_prose_and_says_what_it_left_out() -> None:
    content = parse_html(HTML)
    assert content.title == "Heat & more"
    assert shape(content.blocks) == [
        ("h1", "Heat"),
        ("p", "A pump moves heat."),
        ("p", "Unclosed paragraph"),
        ("i", "one"),
        ("i", "two"),
        ("r", "Glass | U"),
        ("r", "single | 5.8"),
        ("r", "x = 1"),
        ("r", "y = 2"),
        ("p", "1 < 2 < 3"),
    ]
    assert content.n_skipped == {"style": 1, "nav": 1, "script": 1, "div": 2, "footer": 1}


def test_a_navigation_that_never_ends_does_not_swallow_the_page() -> None:
    content = parse_html("<nav><a>Home</a><h1>Heat</h1><p>A pump moves heat.</p>")
    assert ("p", "A pump moves heat.") in shape(content.blocks)


def test_the_declared_charset_is_found() -> None:
    assert declared_charset(b'<meta charset="ISO-8859-1">') == "iso-8859-1"
    assert declared_charset(b'<meta http-equiv="x" content="text/html; charset=utf-8">') == "utf-8"
    assert declared_charset(b"<p>charset=x</p>") is None


def test_plain_text_is_re_flowed_and_its_headings_found() -> None:
    text = (
        "HEATING AT HOME\n===============\n\nHow it works\n\nA pump moves heat from a cold place to a warm place by "
        "compres-\nsing a gas.\n\n- one\n- two\n  goes on\n\nBye\n"
    )
    assert shape(parse_plain_text(text)) == [
        ("h1", "HEATING AT HOME"),
        ("h2", "How it works"),
        ("p", f"A pump moves heat from a cold place to a warm place by compres{HYPHEN_MARK}sing a gas."),
        ("i", "one"),
        ("i", "two goes on"),
        ("p", "Bye"),
    ]


def test_many_short_lines_are_no_headings_and_long_lines_are_paragraphs() -> None:
    assert [kind for kind, _ in shape(parse_plain_text("Roses\n\nViolets\n\nSugar\n\nHoney and milk\n"))] == [
        "p"
    ] * 4
    long = "A sentence that goes on and on. " * 6
    assert len(parse_plain_text(f"{long}\n{long}\n")) == 2
    assert len(parse_plain_text("First page.\fSecond page.")) == 2


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("Wärme 20 °C".encode(), "Wärme 20 °C", "utf-8"),
        ("Wärme".encode("utf-8-sig"), "Wärme", "utf-8"),
        ("Wärme".encode("utf-16"), "Wärme", "utf-16"),
        ("Wärme und Kälte".encode("utf-16-le"), "Wärme und Kälte", "utf-16-le"),
        ("Wärme und Kälte".encode("utf-16-be"), "Wärme und Kälte", "utf-16-be"),
        ("Wärme".encode("utf-32"), "Wärme", "utf-32"),
        ("Wärme – 20 °C".encode("cp1252"), "Wärme – 20 °C", "cp1252"),
    ],
)
def test_encodings(data: bytes, text: str, encoding: str) -> None:
    decoded = decode_text(data)
    assert (decoded.text, decoded.encoding, decoded.n_replaced) == (text, encoding, 0)


def test_a_stray_byte_does_not_change_the_encoding_of_the_file() -> None:
    decoded = decode_text("Wärme und Käl".encode() + b"\xe4" + b"te")
    assert decoded.text == "Wärme und Käl\ufffdte"
    assert decoded.n_replaced == 1


@pytest.mark.parametrize(
    ("data", "rule"),
    [(b"\x7fELF\x02\x01\x00\x00\x00\x00\x00\x00\x03\x00>\x00", "binary"),
     (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "pointer")],
)  # fmt: skip
def test_what_is_no_text_is_refused(data: bytes, rule: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode_text(data)
    assert caught.value.rule == rule


HOSTILE = {
    "markdown": (parse_markdown, ["**a ", "`a ``b ", "![", "[a](", "<!--", "[^a", "_a", "<a ", "|", "- "]),
    "html": (parse_html, ["<", "<a ", "<!--", "<!", "<a b='", "<nav>", "</", "&#", "<table><td>"]),
    "text": (parse_plain_text, ["a-\n", " ", "- ", "\n\n\n "]),
}


@pytest.mark.parametrize(
    ("parse", "unit"), [(parse, unit) for parse, units in HOSTILE.values() for unit in units]
)
def test_openers_without_an_end_cost_no_more_than_their_length(
    parse: Callable[[str], object], unit: str
) -> None:
    """Regular expressions can only be watched by their time, so it is held against that of a quarter of the text:
    four times as long, or sixteen times where the work is a square. A moment is too short to compare."""

    def seconds(n_chars: int) -> float:
        start = time.process_time()
        parse(unit * (n_chars // len(unit)))
        return time.process_time() - start

    small, large = seconds(15_000), seconds(60_000)
    assert large < max(10 * small, 0.3)
