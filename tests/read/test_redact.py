"""What is replaced by placeholders, what is left alone though it looks like it, and that nothing else is kept."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.read.pdf_maker import column, write_pdf
from tunesmith.errors import MissingError
from tunesmith.read.identifiers import Found, has_remainder_one, passes_luhn, without_overlaps
from tunesmith.read.redact import Redactor
from tunesmith.read.stage import ChunkOptions, ReadOptions, chunk_documents, read_documents
from tunesmith.records import Document, Note

ALL = ("email", "phone", "url", "card", "iban", "ip")


def found(text: str, *kinds: Any, region: str | None = None) -> list[str]:
    return [text[one.start : one.end] for one in Redactor(kinds or ALL, region=region).find(text)]


def test_the_check_digits() -> None:
    # The example of ISO/IEC 7812-1, and its last digit changed.
    assert passes_luhn("79927398713")
    assert not passes_luhn("79927398710")
    # The examples of Germany and the United Kingdom in SWIFT's registry, and two digits swapped.
    assert has_remainder_one("DE89370400440532013000")
    assert has_remainder_one("GB29NWBK60161331926819")
    assert not has_remainder_one("DE98370400440532013000")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to Jo.Smith+news@mail.example.co.uk.", ["Jo.Smith+news@mail.example.co.uk"]),
        (
            "jo (at) example.org, jo [at] example [dot] org",
            ["jo (at) example.org", "jo [at] example [dot] org"],
        ),
        ("‘müller@bücher.de’", ["müller@bücher.de"]),
        ("a@b, @handle, 5 @ 3.50 each, user@localhost", []),
    ],
)
def test_emails(text: str, expected: list[str]) -> None:
    assert found(text, "email") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://a.example/b(c)?d=e#f).", ["https://a.example/b(c)?d=e#f"]),
        ("(www.example.org/x), ftp://h/y", ["www.example.org/x", "ftp://h/y"]),
        ("the http protocol, www. and e.g.this", []),
    ],
)
def test_links(text: str, expected: list[str]) -> None:
    assert found(text, "url") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Numbers that schemes publish for testing.
        ("4111 1111 1111 1111 and 5555-5555-5555-4444", ["4111 1111 1111 1111", "5555-5555-5555-4444"]),
        ("378282246310005, 3782 822463 10005", ["378282246310005", "3782 822463 10005"]),
        ("In 2024 4111 1111 1111 1111 was used", ["4111 1111 1111 1111"]),
        ("4111 1111 1111 1112", []),
        # An ISBN whose digits pass Luhn's check, an order number with a prefix of no scheme, decimals, a hash.
        ("ISBN 9780306406157 and 978-0-306-40615-7 and 9791234567896", []),
        ("order 1234567812345670", []),
        ("0.4111111111111111 and 4111111111111111.5", []),
        ("1234 5678 9012 3456 | 2345 6789 0123 4567", []),
    ],
)
def test_cards(text: str, expected: list[str]) -> None:
    assert found(text, "card") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF", ["DE89 3704 0044 0532 0130 00"]),
        ("GB29NWBK60161331926819, no12", ["GB29NWBK60161331926819"]),
        ("DE89 3704 0044 0532 0130 01", []),
        ("DE89370400440532013000X", []),
        ("XX89370400440532013000, AB12 sensors", []),
    ],
)
def test_ibans(text: str, expected: list[str]) -> None:
    assert found(text, "iban") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host 192.168.0.1:80 and 10.0.0.255/8.", ["192.168.0.1", "10.0.0.255"]),
        (
            "at 2001:db8::1 or ::1, fe80::1ff:fe23:4567:890a",
            ["2001:db8::1", "::1", "fe80::1ff:fe23:4567:890a"],
        ),
        ("version 1.2.3.4, v1.2.3.4, release 10.0.0.1, section 4.2.1.3", []),
        ("## 4.2.1.3 Heating of rooms", []),
        ("OID 1.3.6.1.4.1, 999.1.1.1, 1.2.3, 1.2.3.4.5, 12.5.2024", []),
        ("at 12:30:45, 00:1b:44:11:3a:b7, Face::Add, a::b, std::x", []),
    ],
)
def test_addresses_are_told_from_versions_sections_and_times(text: str, expected: list[str]) -> None:
    assert found(text, "ip") == expected


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("Call +49 30 123456 or +1 650-253-0000.", None, ["+49 30 123456", "+1 650-253-0000"]),
        ("Call 650-253-0000 or (650) 253-0000.", None, []),
        ("Call 650-253-0000 or (650) 253-0000.", "US", ["650-253-0000", "(650) 253-0000"]),
        ("Tel. 6502530000", "US", ["6502530000"]),
        ("The plant made 6502530000 J of heat", "US", []),
        ("030/1234567, 0049 30 1234567", "DE", ["030/1234567", "0049 30 1234567"]),
    ],
)
def test_phones(text: str, region: str | None, expected: list[str]) -> None:
    assert found(text, "phone", region=region) == expected


NUMBERS = """\
year | homes | kWh | share
2015 | 4155550132 | 3125550143 | 33.1
2016 650 253 0000 312 555 0100 17
2017 | 1,234 567 8901 | 12.5 | 0.14
1985 1986 1987 1988 1989 1990 1991 1992
+12.5 +13.7 +14.2 +15.1 +16.6 +17.0
4532 1234 5678 9012 1111 2222 3333 4444
978-3-16-148410-0 ISSN 2049-3630 doi 10.1000/182
2024-05-17 12:30:45 1.10.2.4 and 50.0755, 14.4378
"""


@pytest.mark.parametrize("region", [None, "US", "DE", "GB"])
def test_tables_of_numbers_hold_no_phones_cards_or_accounts(region: str | None) -> None:
    assert found(NUMBERS, "phone", "card", "iban", "email", region=region) == []


def test_of_two_that_overlap_the_first_is_kept() -> None:
    spans = [Found(5, 9, "url", "a"), Found(0, 6, "ip", "b"), Found(0, 5, "ip", "c"), Found(8, 12, "ip", "d")]
    assert [one.key for one in without_overlaps(spans)] == ["c", "a"]
    assert found("https://a.example/?u=jo@example.org") == ["https://a.example/?u=jo@example.org"]
    assert found("https://a.example/?u=jo@example.org", "email") == ["jo@example.org"]


# Documents

SECRETS = (
    "jo@example.org",
    "ann@example.org",
    "+49 30 123456",
    "+4930123456",
    "DE89 3704",
    "0532 0130",
    "192.168.0.1",
)
LETTER = (
    "# Reply to jo@example.org\n\nWrite to Jo@Example.org or ann@example.org, or call +49 30 123456.\n\n"
    "## Paying into DE89 3704 0044 0532 0130 00\n\nAgain jo@example.org. The server is 192.168.0.1 as before.\n"
)


def read(root: Path, **options: Any) -> list[Document | Note]:
    return list(read_documents(ReadOptions(documents=".", redact=ALL, **options), root))


def test_one_value_has_one_placeholder_within_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(LETTER)
    (document,) = read(tmp_path)
    assert isinstance(document, Document)
    assert document.title == "Reply to [EMAIL_1]"
    assert document.text == (
        "# Reply to [EMAIL_1]\n\nWrite to [EMAIL_1] or [EMAIL_2], or call [PHONE_1].\n\n"
        "## Paying into [IBAN_1]\n\nAgain [EMAIL_1]. The server is [IP_1] as before."
    )
    assert {note.rule: note.count for note in document.notes} == {
        "redacted_email": 4, "redacted_phone": 1, "redacted_iban": 1, "redacted_ip": 1,
    }  # fmt: skip
    assert "4 e-mail addresses, 2 different" in document.notes[0].text
    for passage in chunk_documents([document], ChunkOptions(tokens=16)):
        assert document.text[passage.start : passage.end] == passage.text


def test_nothing_is_replaced_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(LETTER)
    (document,) = read_documents(ReadOptions(documents="."), tmp_path)
    assert isinstance(document, Document)
    assert "jo@example.org" in document.text
    assert not document.notes


def test_a_placeholder_that_stands_in_the_text_already_is_not_given_again(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The form says [EMAIL_1]. Write to jo@example.org.")
    (document,) = read(tmp_path)
    assert isinstance(document, Document)
    assert document.text == "The form says [EMAIL_1]. Write to [EMAIL_2]."


def test_pages_stay_right(tmp_path: Path) -> None:
    first, second = (
        "Write to somebody.with.a.long.name@mail.example.org today.",
        "The second page starts here.",
    )
    write_pdf(tmp_path / "a.pdf", [column([first]), column([second]), []])
    (document,) = read(tmp_path)
    assert isinstance(document, Document)
    head = "Write to [EMAIL_1] today.\n\n"
    assert document.text == head + second
    assert document.page_starts == (0, len(head), len(document.text))
    passages = list(chunk_documents([document], ChunkOptions()))
    assert (passages[0].first_page, passages[-1].last_page) == (1, 2)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["jo@example.org", "+49 30 123456", "192.168.0.1", "word", "\n\n", ". ", "[EMAIL_1]", "é🔥"]
        ),
        max_size=12,
    ),
    st.lists(st.integers(min_value=0, max_value=60), max_size=4),
)
def test_whatever_lies_between_stays_and_pages_keep_their_first_word(
    pieces: list[str], starts: list[int]
) -> None:
    text = " ".join(pieces)
    pages = tuple(sorted(min(start, len(text)) for start in starts))
    given_document = Document("id", "a.pdf", "T", text, pages)
    redactor = Redactor(ALL)
    spans = redactor.find(text)
    document = redactor.redact(given_document)
    assert isinstance(document, Document)
    assert redactor.find(document.text) == []
    assert len(document.page_starts) == len(pages)
    for before, after in zip(pages, document.page_starts, strict=True):
        inside = next((one for one in spans if one.start < before < one.end), None)
        rest = text[inside.end if inside else before :]
        expected = Redactor(ALL).redact(Document("id", "a.pdf", "T", rest))
        assert isinstance(expected, Document)
        kind = [word.partition("_")[0] for word in document.text[after:].split()]
        assert kind == [word.partition("_")[0] for word in expected.text.split()]


def everything_in(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*")) if path.is_file())


def test_nothing_of_the_original_is_kept_in_the_run(tmp_path: Path) -> None:
    """Also not in notes about what was cut, in the names and titles of rows, nor in refusals."""
    from tunesmith.pipeline import run_plan
    from tunesmith.plan import Plan

    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.md").write_text(LETTER + "\nA valve is a part that stops the flow of water in a pipe.\n")
    rows = [
        {"id": "jo@example.org", "text": "A pump moves water. Mail jo@example.org.", "by": "ann@example.org"},
        {"id": "2", "text": "A fan moves air. Mail ann@example.org.", "by": "ann@example.org"},
        {"id": "3", "text": "A fan moves air. Mail jo@example.org.", "by": "ann@example.org"},
        {"id": "4", "text": "A coil holds heat.", "by": ""},
    ]
    (documents / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    footer = [f"Contact jo@example.org and nobody else, page {page}" for page in range(1, 4)]
    pages = [
        column([f"{what} moves heat from a cold place.", *[""] * 40, foot])
        for what, foot in zip(("A pump", "One fan", "Air"), footer, strict=True)
    ]
    write_pdf(documents / "b.pdf", pages)
    plan = Plan.model_validate(
        {"name": "s", "read": {"documents": "documents", "redact": list(ALL), "source_column": "by"}}
    )
    run_plan(plan, tmp_path, tmp_path / "run", until="read")
    kept = everything_in(tmp_path / "run")
    for secret in SECRETS:
        assert secret.casefold() not in kept.casefold(), secret
    assert "[EMAIL_1]" in kept
    assert "repeated_line" in kept
    assert "word for word the same" in kept
    assert '"redacted"' in (tmp_path / "run/manifest.json").read_text()


# Options and names


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"redact": ["person"]}, "needs redact_model"),
        ({"redact": ["email"], "redact_model": "x"}, "redact_model has no effect"),
        ({"redact": ["email"], "phone_region": "DE"}, "phone_region has no effect"),
        ({"redact": ["phone"], "phone_region": "Germany"}, "no country code"),
        ({"redact": ["passport"]}, "Input should be"),
    ],
)
def test_options_that_cannot_work_say_so(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ReadOptions(documents=".", **options)
    assert ReadOptions(documents=".", redact="email").redact == ("email",)  # type: ignore[arg-type]


def test_names_without_spacy_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "spacy":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=r"tunesmith\[names\]"):
        Redactor(("person",), model="en_core_web_sm")


def test_names_by_a_spacy_pipeline(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([
        {"label": "PERSON", "pattern": "Ann Smith"}, {"label": "ORG", "pattern": "Acme Ltd"},
        {"label": "GPE", "pattern": "Oslo"},
    ])  # fmt: skip
    nlp.to_disk(tmp_path / "pipeline")
    text = "# Ann Smith\n\nAnn Smith of Acme Ltd in Oslo, ann@acme.example."
    redactor = Redactor(("person", "organisation", "email"), model=str(tmp_path / "pipeline"))
    document = redactor.redact(Document("id", "a.md", "Ann Smith", text))
    assert isinstance(document, Document)
    assert document.text == "# [PERSON_1]\n\n[PERSON_1] of [ORGANISATION_1] in Oslo, [EMAIL_1]."
    assert document.title == "[PERSON_1]"
    with pytest.raises(MissingError, match="no spaCy pipeline 'nowhere'"):
        Redactor(("person",), model="nowhere")
    spacy.blank("en").to_disk(tmp_path / "bare")
    with pytest.raises(MissingError, match="finds no names"):
        Redactor(("person",), model=str(tmp_path / "bare"))
