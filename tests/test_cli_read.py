"""`tunesmith read`: a table to check against the files, the text of one, and why others were refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.read.pdf_maker import column, write_pdf
from tunesmith.cli import main

ENTRY = "Smith, J. (2010). Heat pumps in homes. Energy Journal, 12(3), pp. 4-9."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text(
        f"# Heat\n\nHeat flows. Write to jo@example.org.\n\n## References\n\n- {ENTRY}\n- {ENTRY}\n"
    )
    write_pdf(docs / "b.pdf", [column(["A pump moves heat."]), column(["A valve stops it."])])
    (docs / "c.jpg").write_bytes(b"\xff\xd8")
    rows = [{"text": "One row of it."}, {"text": "Another row of it."}, {"text": ""}]
    (docs / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_the_table_has_a_line_for_each_file_and_the_sums(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["read", "docs", "redact=[email]", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    files = {facts["name"]: facts for facts in found["files"]}
    # Words parted by spaces: # Heat; Heat flows.; Write to [EMAIL_1]. The heading is in no passage; the sentences are
    # Heat flows . Write to [ EMAIL_1 ] . = 9 words and marks, x 1.25 = 11.25 tokens.
    assert (files["a.md"]["words"], files["a.md"]["passages"], files["a.md"]["pages"]) == (7, 1, None)
    assert files["a.md"]["tokens"] == 12
    assert files["a.md"]["notes"]["references"] == 3
    assert files["a.md"]["redacted"] == {"email": 1}
    assert (files["b.pdf"]["pages"], files["b.pdf"]["words"]) == (2, 8)
    assert files["c.jpg"]["documents"] == 0
    assert "No reader for .jpg" in files["c.jpg"]["refused"][0]
    assert (files["d.jsonl"]["documents"], files["d.jsonl"]["words"]) == (2, 8)
    assert files["d.jsonl"]["refused"] == ["d.jsonl:3: there is no text in text"]
    assert (found["total"]["documents"], found["total"]["words"], found["total"]["pages"]) == (4, 23, 2)


def test_people_see_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "docs"]) == 0
    printed = capsys.readouterr().out
    assert "d.jsonl (2 rows)" in printed
    assert "3 references" in printed
    assert "3 files" in printed
    assert "refused: c.jpg: No reader for .jpg" in printed
    assert "refused: d.jsonl:3: there is no text in text" in printed


def test_the_text_and_the_passages_of_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "docs", "--show", "a.md"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Heat\n\nHeat flows. Write to jo@example.org.\n")
    assert "Cut a list of references from “References” to the end" in printed
    assert main(["read", "docs", "--show", "b.pdf", "--passages"]) == 0
    printed = capsys.readouterr().out
    assert "── b.pdf, passage 1:" in printed
    assert "page 1–2" in printed
    assert main(["read", "docs", "--show", "d.jsonl", "--passages", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["passages"][0]["text"] for one in found] == ["One row of it.", "Another row of it."]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["docs", "--show", "a.mdd"], "did you mean a.md?"),
        (["docs", "--show", "c.jpg"], "No reader for .jpg"),
        (["docs/c.jpg"], "nothing could be read; c.jpg: No reader"),
        (["nowhere"], "there is no such file or folder"),
        (["docs", "redcat=[email]"], "redcat"),
        (["plan.yaml", "docs"], "a plan names its documents itself"),
    ],
)
def test_what_cannot_be_shown_says_why(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["read", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_plan_shows_what_it_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "plan.yaml").write_text("read: {documents: docs/a.md, references: keep}\n")
    assert main(["read", "plan.yaml", "read.redact=email", "--show", "a.md"]) == 0
    printed = capsys.readouterr().out
    assert "[EMAIL_1]" in printed
    assert "Smith, J." in printed
