"""Mending: unicode, hyphens by vote, references, debris."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.read.blocks import HYPHEN_MARK, PAGE_MARK, Block, RawDocument
from tunesmith.read.clean import HyphenVote, Vocabulary, compose_document, mend_hyphens, mend_unicode
from tunesmith.read.debris import drop_debris, name_debris
from tunesmith.read.layout import join_interrupted
from tunesmith.read.references import cut_references, is_reference_heading, looks_like_reference

H, P = HYPHEN_MARK, PAGE_MARK


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eﬃcient ﬂow of ﬁne air", "efficient flow of fine air"),
        ("e\u0301te\u0301", "été"),
        ("ther\u00admo\u200bstat\ufeff", "thermostat"),
        ("a\u00a0b\u202fc", "a b c"),
        ("bell\x07 and \ue000private", "bell and private"),
        ("non\u2011renewable", "non-renewable"),
        ("society‟s „end in sight‟", "society’s ‘end in sight’"),
        ("„Heizung“ bleibt", "„Heizung“ bleibt"),
        ("m² and CO₂ stay", "m² and CO₂ stay"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_unicode_is_mended(text: str, expected: str) -> None:
    assert mend_unicode(text) == expected


@given(st.text())
def test_mending_unicode_is_done_after_one_pass(text: str) -> None:
    mended = mend_unicode(text)
    assert mend_unicode(mended) == mended == unicodedata.normalize("NFC", mended)


def vocabulary(*texts: str) -> Vocabulary:
    words = Vocabulary()
    words.add(texts)
    return words


@pytest.mark.parametrize(
    ("broken", "corpus", "expected"),
    [
        (f"the compres{H}sor", "A compressor.", "the compressor"),
        (f"a short{H}term view", "Short-term gain.", "a short-term view"),
        (f"multi{H}generational", "", "multigenerational"),
        (f"well{H}known", "well-known wellknown well-known", "well-known"),
        (f"Guimaraes{H}Costa", "", "Guimaraes-Costa"),
        (f"HEAT{H}PUMPS", "", "HEATPUMPS"),
        (f"three{H}to-five", "three-to-five", "three-to-five"),
        (f"end{H}", "", "end-"),
    ],
)
def test_a_broken_word_is_joined_unless_the_hyphenated_form_is_commoner(
    broken: str, corpus: str, expected: str
) -> None:
    assert mend_hyphens(broken, vocabulary(corpus), HyphenVote()) == expected


def test_broken_words_do_not_vote_for_themselves() -> None:
    words = vocabulary(f"short{H}term")
    assert words.counts["shortterm"] == words.counts["short"] == words.counts["term"] == 0


@given(st.text(alphabet=f"ab-{H}{P} .é漢", max_size=60))
def test_no_mark_of_a_broken_word_survives_and_no_letter_is_lost(text: str) -> None:
    mended = mend_hyphens(text, Vocabulary(), HyphenVote())
    assert H not in mended
    assert [c for c in mended if c.isalpha()] == [c for c in text if c.isalpha()]
    assert mended.count(P) == text.count(P)


def test_page_starts_are_kept_through_cleaning() -> None:
    blocks = [
        Block("Title", "heading", 1, page=1),
        Block(f"It goes {P}on, with a bro{H}{P}ken word.", page=1),
        Block("Later.", page=5),
    ]
    document = compose_document(RawDocument("a.pdf", None, blocks, n_pages=6), blocks, Vocabulary())
    assert document.text == "# Title\n\nIt goes on, with a broken word.\n\nLater."
    starts = [document.text[start : start + 8] for start in document.page_starts]
    assert starts == ["# Title\n", "on, with", "word.\n\nL", "Later.", "Later.", ""]


def test_rows_and_items_keep_their_lines_and_text_cannot_pose_as_a_heading() -> None:
    blocks = [
        Block("one", "item"),
        Block("two", "item"),
        Block("a | b", "row"),
        Block("c | d", "row"),
        Block("# 1 fan"),
    ]
    document = compose_document(RawDocument("my_file.txt", None, blocks), blocks, Vocabulary())
    assert document.text == "- one\n- two\n\na | b\nc | d\n\n\\# 1 fan"
    assert document.title == "my file"
    assert document.page_starts == ()


# References


@pytest.mark.parametrize(
    ("text", "expected"),
    [("References", True), ("7. REFERENCES", True), ("Bibliography:", True), ("Literaturverzeichnis", True),
     ("References to the law", False), ("The references", False)],
)  # fmt: skip
def test_reference_headings(text: str, expected: bool) -> None:
    assert is_reference_heading(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Porter, M. E. and Kramer, M. (2006). Strategy and society. Harvard Business Review, 84(12), 78-92.",
            True,
        ),
        ("[3] Directive 2014/32/EU of the European Parliament (2014).", True),
        ("12. EN 1434-1:2022. Thermal energy meters.", True),
        ("In 1852 Lord Kelvin described the idea of a heat pump.", False),
        ("The pump works well because the lift is small.", False),
    ],
)
def test_entries_are_told_from_prose(text: str, expected: bool) -> None:
    assert looks_like_reference(text) is expected


ENTRY = "Smith, J. (2010). Heat pumps in homes. Energy Journal, 12(3), pp. 4-9."


def cut(*blocks: Block) -> list[str]:
    return [block.text for block in cut_references(blocks, "a.pdf")[0]]


def test_the_list_is_cut_and_the_good_half_of_the_page_stays() -> None:
    before, after = (
        Block("Prose before.", page=3),
        Block("Heat pumps are machines that move heat. They are quiet.", page=3),
    )
    heading = Block("References", "heading", 2, page=3)
    appendix = Block("Appendix", "heading", 2, page=3)
    kept, notes = cut_references(
        [before, heading, Block(ENTRY, page=3), Block(ENTRY, page=3), appendix, after], "a.pdf"
    )
    assert [block.text for block in kept] == ["Prose before.", "Appendix", after.text]
    (note,) = notes
    assert (note.rule, note.page, note.count) == ("references", 3, 3)
    assert "on page 3" in note.text
    assert "Appendix" in note.text


def test_prose_after_the_list_without_a_heading_stays() -> None:
    prose = "The house was built of brick and has thick walls that keep it warm."
    blocks = [
        Block("References", "heading", 1),
        *(Block(text) for text in (ENTRY, ENTRY, prose, prose, ENTRY)),
    ]
    assert cut(*blocks) == [prose, prose, ENTRY]


def test_a_heading_called_references_above_prose_cuts_nothing() -> None:
    prose = "References are given by former customers, who tell how they liked the work."
    assert cut(Block("References", "heading", 2), Block(prose), Block(prose)) == ["References", prose, prose]
    assert cut(Block("References", "heading", 2)) == ["References"]


# Debris


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Introduction ........................ 3", "contents_line"),
        ("Energy X X X X", "numbers"),
        ("12.5 % 13.1 % 2004", "numbers"),
        ("Figure 3: Sales by region", "caption"),
        ("Table 2 shows that the losses grow with the height of the tank.", ""),
        ("Source: Ministry of Energy, 2004", "contact"),
        ("Tel: +358 9 1234", "contact"),
        ("Risk reduction", "fragment?"),
        (
            "Market Corporate Quality Earnings Cash flow Segment Product Customers growth share strategy",
            "fragment?",
        ),
        ("The tank is full.", ""),
        ("In 2004, 12 of 30 houses had 3 tanks, and 5 had 4.", ""),
        ("the pump moves the heat from the ground to the house and on to", ""),
    ],
)
def test_debris_is_named(text: str, rule: str) -> None:
    assert name_debris(Block(text)) == rule


def test_labels_of_a_figure_are_dropped_together_and_counted() -> None:
    prose = Block("The figure shows how the parts work together.", page=2)
    labels = [Block(text, page=2) for text in ("Customers", "Quality assurance", "Society", "Energy saving")]
    kept, notes = drop_debris([prose, *labels, prose], "a.pdf")
    assert kept == [prose, prose]
    (note,) = notes
    assert (note.rule, note.count, note.page) == ("fragments", 4, 2)
    assert "Quality assurance" in note.text


def test_a_lone_short_line_stays_and_so_do_lists() -> None:
    blocks = [Block("We will save heat."), Block("Sincerely yours"), Block("We did so.")]
    assert drop_debris(blocks, "a.pdf")[0] == blocks
    items = [Block(text, "item") for text in ("new pumps", "new pipes", "new tanks", "new fans")]
    assert drop_debris(items, "a.pdf")[0] == items


def test_bold_cells_above_a_table_go_with_it_but_a_large_heading_stays() -> None:
    large = Block("Results", "heading", 1)
    bold = Block("Year", "heading", 3, is_weak=True)
    rows = [Block("Energy X X X"), Block("Poverty, incomes"), Block("Water X X X")]
    assert drop_debris([large, bold, *rows], "a.pdf")[0] == [large]


def test_a_side_note_repeated_word_for_word_is_kept_once() -> None:
    note = "integrate: to make up as a whole; to make entire; to combine; to find the total value of."
    kept, notes = drop_debris(
        [Block(note, page=1), Block("Other text is here.", page=2), Block(note, page=3)], "a.pdf"
    )
    assert len(kept) == 2
    assert (notes[0].rule, notes[0].page) == ("repeated_text", 3)


# Sentences that go on elsewhere


def test_a_paragraph_goes_on_over_the_page_border() -> None:
    first = Block("The pump takes heat from the", page=1, reaches_edge=True)
    second = Block("ground and warms the house.", page=2)
    (joined,) = join_interrupted([first, second])
    assert joined.text == f"The pump takes heat from the {P}ground and warms the house."


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Block("It ends here.", page=1, reaches_edge=True), Block("Next one.", page=2)),
        (Block("A short label", page=1), Block("Next one begins.", page=1)),
        (Block("It goes", page=1, reaches_edge=True, size=9), Block("on in other print.", page=1, size=7)),
        (Block("Heading", "heading", 1, page=1, reaches_edge=True), Block("goes under it.", page=1)),
    ],
)
def test_other_neighbours_stay_apart(first: Block, second: Block) -> None:
    assert len(join_interrupted([first, second])) == 2
