"""What an audit found: on a page of its own, and in the report of a run without anything said twice."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.report.fake_study import NASTY, fake_study
from tests.report.page import Element, read_page
from tunesmith.report import answer_checks, validity
from tunesmith.report.audit_page import IDS_LISTED, TEXT_LETTERS, audit_section, render_audit
from tunesmith.report.checklist import checklist, told_by_checks
from tunesmith.report.findings import MISTAKES, Audit, AuditedFiles, AuditFinding, EvidenceRow
from tunesmith.report.stage import render_report


def finding(code: str, severity: str = "medium", effect: str = "so it is", **more: object) -> AuditFinding:
    plain = AuditFinding(code, severity, 2, 40, ("q1", "q2"), effect)  # type: ignore[arg-type]
    return replace(plain, **more)  # type: ignore[arg-type]


LEAK = finding(
    "eval_in_train",
    "high",
    "two prompts were trained on",
    rows=(
        EvidenceRow("q1", (("asked", "What is a valve?"), ("in training", "WHAT IS A VALVE"))),
        EvidenceRow("q2", (("asked", "What is a pump?"),)),
    ),
)
FOUND = Audit(
    (LEAK, finding("definition_dependent", "low", "BLEU is 12 or 19")),
    {"fixed_order": "no verdicts were given"},
    (AuditedFiles("predictions", ("base.jsonl", "tuned.jsonl"), "80 answers"),),
    "tunesmith audit --predictions base.jsonl tuned.jsonl",
)


@pytest.fixture(scope="module")
def html() -> str:
    return render_audit(FOUND)


@pytest.fixture(scope="module")
def page(html: str) -> Element:
    return read_page(html)


def lines_of(page: Element, badge: str) -> list[str]:
    return [line.text() for line in page.all("li") if line.all("span", class_=badge)]


def test_the_findings_stand_in_the_order_given_with_size_words_and_effect(page: Element) -> None:
    first, second = page.all("article", class_="finding")
    title, meaning = MISTAKES["eval_in_train"]
    assert f"high {title} 2 of 40 · eval_in_train" in first.text()
    assert meaning in first.text()
    assert "two prompts were trained on" in first.text()
    assert "low" in second.text()
    assert page.all("h1")[0].text() == "2 findings: 1 high, 1 low"


def test_the_texts_of_a_row_stand_side_by_side(page: Element) -> None:
    (table,) = page.all("table", class_="evidence")
    assert table.lines() == [
        ["id", "asked", "in training"],
        ["q1", "What is a valve?", "WHAT IS A VALVE"],
        ["q2", "What is a pump?", "no row"],
    ]


def test_what_was_clean_and_what_could_not_be_seen(page: Element) -> None:
    clean, unseen = lines_of(page, "good"), lines_of(page, "unknown")
    assert len(clean) == len(MISTAKES) - 3
    assert len(unseen) == 1
    assert "fixed_order no verdicts were given" in unseen[0]
    assert not any("eval_in_train" in line for line in (*clean, *unseen))
    assert f"{len(MISTAKES) - 1} of {len(MISTAKES)} known mistakes" in page.text()
    assert "base.jsonl, tuned.jsonl 80 answers" in page.text()
    assert FOUND.command in page.all("pre")[0].text()


def test_long_texts_and_long_lists_are_cut_and_the_rest_is_counted() -> None:
    ids = tuple(f"row-{number:04d}" for number in range(1000))
    row = EvidenceRow(ids[0], (("answer", "x" * 5000),))
    text = read_page(render_audit(Audit((finding("empty_outputs", evidence=ids, rows=(row,)),)))).text()
    assert f"({5000 - TEXT_LETTERS:,} characters more)" in text
    assert "999 further rows: row-0001, " in text
    assert f"row-{IDS_LISTED:04d} … and {999 - IDS_LISTED} more" in text
    assert f"row-{IDS_LISTED + 1:04d}" not in text


def test_nothing_found_is_said() -> None:
    page = read_page(render_audit(Audit(())))
    assert page.all("h1")[0].text() == "No finding"
    assert len(lines_of(page, "good")) == len(MISTAKES)


def test_no_text_becomes_markup_and_no_address_is_asked() -> None:
    row = EvidenceRow(NASTY, ((NASTY, NASTY),))
    audit = Audit(
        (finding("empty_outputs", effect=NASTY, evidence=(NASTY, NASTY + "2"), rows=(row,)),),
        {"fixed_order": NASTY},
        (AuditedFiles(NASTY, (NASTY,), NASTY),),
        NASTY,
    )
    html = render_audit(audit)
    clean = render_audit(
        replace(audit, findings=(finding("empty_outputs", rows=(EvidenceRow("a", (("b", "c"),)),)),))
    )
    page = read_page(html)
    assert {element.tag for element in page.walk()} <= {element.tag for element in read_page(clean).walk()}
    assert NASTY in page.all("pre")[0].text()
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"] or ""
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!#)""", html)


def test_the_same_audit_gives_the_same_bytes(html: str) -> None:
    assert render_audit(FOUND) == html


class TestInTheReport:
    def test_without_an_audit_nothing_is_said_of_one(self) -> None:
        assert audit_section(fake_study(12)) is None

    def test_a_finding_is_told_by_its_check_or_by_the_section_but_not_by_both(self) -> None:
        study = replace(fake_study(12), audit=FOUND)
        html = render_report(study)
        assert html.count("two prompts were trained on") == 1
        assert html.count("BLEU is 12 or 19") == 1
        page = read_page(html)
        (section,) = page.all("section", id="audit")
        assert [item.attributes["id"] for item in section.all("article")] == ["definition_dependent-1"]
        assert "1 of them is told by the checks above" in section.text()
        assert "Audit of this run: 2 findings: 1 high, 1 low." in page.all("section", id="verdict")[0].text()

    def test_every_finding_is_told_somewhere(self) -> None:
        """Also where the check of its matter is missing, for want of records."""
        audit = Audit(tuple(finding(code, effect=f"effect of {code}.") for code in MISTAKES))
        for study in (fake_study(12), replace(fake_study(12), predictions=(), rows=(), training={})):
            html = render_report(replace(study, audit=audit))
            assert [html.count(f"effect of {code}.") for code in MISTAKES] == [1] * len(MISTAKES)

    def test_a_check_is_as_bad_as_the_finding_on_its_matter(self) -> None:
        study = fake_study(12)
        (before,) = [check for check in checklist(study) if check.title == validity.LEAKS]
        assert before.outcome == "good"
        for severity, outcome in (("high", "problem"), ("medium", "look"), ("low", "good")):
            found = Audit((finding("eval_in_train", severity),))
            (after,) = [
                check for check in checklist(replace(study, audit=found)) if check.title == before.title
            ]
            assert (after.outcome, after.detail) == (outcome, f"{before.detail} so it is.")
        assert told_by_checks(replace(study, audit=found)) == list(found.findings)

    def test_an_answer_in_the_words_of_the_passage_shown_is_no_problem_by_itself(self) -> None:
        audit = Audit((finding("verbatim_reference", "high"),))
        outcomes = {}
        for context in ("passage", "none"):
            study = replace(fake_study(12), audit=audit, context=context)  # type: ignore[arg-type]
            (check,) = [check for check in checklist(study) if check.title == answer_checks.EQUAL]
            assert check.detail.startswith("so it is.")
            outcomes[context] = check.outcome
        assert outcomes == {"passage": "look", "none": "problem"}
