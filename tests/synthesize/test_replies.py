"""What models really send back: each shape is read right or refused with its reason."""

from __future__ import annotations

import json

import pytest

from tunesmith.synthesize.asks import FORMS
from tunesmith.synthesize.replies import Entry, Unreadable, find_quote, read_reply

PAIR = {"question": "What is it?", "answer": "A pump.", "evidence": "A pump is here."}
WANTED = Entry(PAIR, is_repaired=False)
MENDED = Entry(PAIR, is_repaired=True)
PLAIN = json.dumps({"pairs": [PAIR]})


def read(text: str, form: str = "question_answer", *, is_cut: bool = False) -> list[Entry | Unreadable]:
    return read_reply(FORMS[form], text, is_cut=is_cut)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"\ufeff{PLAIN}\n",
        f"```json\n{PLAIN}\n```",
        f"Here you are:\n```\n{PLAIN}\n```\nGood luck!",
        f"<think>Let me see {{...}}</think>{PLAIN}",
        json.dumps([PAIR]),
        json.dumps(PAIR),
        json.dumps({"pairs": [PAIR], "note": "done"}),
    ],
)
def test_valid_json_in_every_wrapping(text: str) -> None:
    assert read(text) == [WANTED]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("}]", "},]"),
        f"Sure! {PLAIN}",
        PLAIN.replace('"', "'"),
        PLAIN.replace('"question":', "question:"),
    ],
)
def test_broken_json_is_mended_and_marked(text: str) -> None:
    assert read(text) == [MENDED]


def test_one_object_a_line_keeps_them_all() -> None:
    other = {"question": "Who?", "answer": "Ann.", "evidence": "Ann was here."}
    found = read(f"{json.dumps(PAIR)}\n{json.dumps(other)}")
    assert found == [MENDED, Entry(other, is_repaired=True)]


def test_answers_of_more_than_one_line_survive() -> None:
    (found,) = read(json.dumps({"pairs": [PAIR | {"answer": "First.\nSecond."}]}))
    assert isinstance(found, Entry)
    assert found.text("answer") == "First.\nSecond."


def test_cut_reply_is_never_mended() -> None:
    cut = PLAIN[:-20]
    (found,) = read(cut, is_cut=True)
    assert found == Unreadable("the reply was cut at max_tokens", cut)
    # The same text, not marked as cut, would be mended into a pass.
    assert isinstance(read(cut)[0], Entry)
    # A reply that is whole although the server says "length" is whole.
    assert read(PLAIN, is_cut=True) == [WANTED]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the reply is empty"),
        ("<think>hm</think>", "the reply is empty"),
        ("I cannot help with that.", "not the JSON that was asked for"),
        ("{}", "not the JSON that was asked for"),
        ('{"pairs": "none"}', "not the JSON that was asked for"),
        ("42", "not the JSON that was asked for"),
        ('{"pairs": ["What is it?"]}', "no object"),
        ('{"pairs": [{"question": "What?"}]}', "no answer"),
        ('{"pairs": [{"question": " ", "answer": 7}]}', "no question and no answer"),
        ('{"pairs": [null]}', "no object"),
    ],
)
def test_what_cannot_be_read_keeps_its_raw_text(text: str, says: str) -> None:
    (found,) = read(text)
    assert isinstance(found, Unreadable)
    assert says in found.reason
    assert found.raw == text


def test_one_bad_item_costs_no_other() -> None:
    found = read(json.dumps({"pairs": [PAIR, {"question": "What?"}, PAIR]}))
    assert [type(item) for item in found] == [Entry, Unreadable, Entry]


def test_empty_list_is_a_fair_answer() -> None:
    assert read('{"pairs": []}') == []
    assert read("[]") == []


def test_summary() -> None:
    assert read('{"summary": "Pumps.", "evidence": "A pump."}', "summary") == [
        Entry({"summary": "Pumps.", "evidence": "A pump."})
    ]
    (found,) = read('{"text": "Pumps."}', "summary")
    assert isinstance(found, Unreadable)


def test_quote_is_found_whatever_its_spaces_and_quotes() -> None:
    passage = "The town’s\n  pump – an old one – is “loud”."
    assert find_quote("The town's pump - an old one", passage) == (0, passage.index("one") + 3)
    assert find_quote('“is "loud"”', passage) == (passage.index("is"), passage.index(".") - 1)
    assert find_quote("an old one.", passage) == (passage.index("an old"), passage.index("one") + 3)
    assert find_quote("the town's pump", passage) is None
    assert find_quote("…", passage) is None
    assert find_quote("pump (loud", "a pump (loud") == (2, 12)
