"""The stage as a whole: samples, refusals, real PDFs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.read.pdf_maker import column, write_pdf
from tunesmith.errors import InputError, MissingError
from tunesmith.read.stage import ChunkOptions, ReadOptions, chunk_documents, read_documents
from tunesmith.records import Document, Note

SAMPLES = Path(__file__).resolve().parents[2] / "src" / "tunesmith" / "samples" / "documents"
SENTENCE = "A heat pump moves heat from a cold place to a warm place."


def read(folder: Path, **options: object) -> tuple[dict[str, Document], dict[str, Note]]:
    records = list(read_documents(ReadOptions(documents=str(folder), **options), folder))  # type: ignore[arg-type]
    documents = {record.source_id: record for record in records if isinstance(record, Document)}
    refused = {record.source_id: record for record in records if isinstance(record, Note)}
    assert all(note.is_refusal for note in refused.values())
    return documents, refused


def encrypt(source: Path, target: Path, password: str) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(source))
    writer.encrypt(password, algorithm="RC4-128")
    writer.write(target)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    encrypt(write_pdf(tmp_path / "plain.pdf", [column([SENTENCE])]), tmp_path / "secret.pdf", "s3same")
    return tmp_path


def test_bad_files_become_notes_and_the_rest_goes_on(secret: Path) -> None:
    write_pdf(secret / "scanned.pdf", [[], []], image_on=(0, 1))
    write_pdf(secret / "blank.pdf", [[]])
    (secret / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing of use")
    (secret / "empty.md").write_bytes(b"")
    (secret / "spaces.md").write_text(" \n\n \n")
    (secret / "program.txt").write_bytes(b"\x7fELF\x02\x01" + b"\x00\x01" * 40)
    (secret / "photo.jpg").write_bytes(b"\xff\xd8")
    (secret / "good.md").write_text(SENTENCE)
    documents, refused = read(secret)
    assert sorted(documents) == ["good.md", "plain.pdf"]
    assert {name: note.rule for name, note in refused.items()} == {
        "blank.pdf": "no_text", "broken.pdf": "broken", "empty.md": "empty", "photo.jpg": "unknown_format",
        "program.txt": "binary", "scanned.pdf": "no_text", "secret.pdf": "encrypted", "spaces.md": "no_text",
    }  # fmt: skip
    assert "OCR" in refused["scanned.pdf"].text
    assert "read.password_env" in refused["secret.pdf"].text


def test_a_password_opens_encrypted_files(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDF_PASSWORD", "s3same")
    documents, refused = read(secret, password_env="PDF_PASSWORD")
    assert not refused
    assert documents["secret.pdf"].text == documents["plain.pdf"].text == SENTENCE


def test_a_wrong_password_is_named_and_never_shown(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDF_PASSWORD", "wr0ng")
    _, refused = read(secret, password_env="PDF_PASSWORD")
    assert "does not open it" in refused["secret.pdf"].text
    assert "wr0ng" not in refused["secret.pdf"].text


def test_a_missing_password_variable_stops_at_once(secret: Path) -> None:
    with pytest.raises(MissingError, match="NO_SUCH_VARIABLE is not set"):
        read(secret, password_env="NO_SUCH_VARIABLE")


def test_pages_without_text_are_noted(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", [column([SENTENCE]), [], []], image_on=(1,))
    documents, _ = read(tmp_path)
    notes = {note.page: note.text for note in documents["a.pdf"].notes if note.rule == "no_text"}
    assert notes == {2: "The page is an image without text: it needs OCR", 3: "The page is blank"}
    assert documents["a.pdf"].page_starts == (0, len(SENTENCE), len(SENTENCE))


def test_a_pdf_with_junk_before_its_header_is_read(tmp_path: Path) -> None:
    whole = write_pdf(tmp_path / "a.pdf", [column([SENTENCE])])
    (tmp_path / "b.pdf").write_bytes(b"HTTP/1.1 200 OK\r\n" * 100 + whole.read_bytes())
    documents, _ = read(tmp_path)
    assert documents["b.pdf"].text == SENTENCE


def test_large_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("heat " * 1000)
    (tmp_path / "b.txt").write_text(SENTENCE)
    documents, refused = read(tmp_path, max_file_mb=0.004)
    assert list(documents) == ["b.txt"]
    assert "0.004 MB" in refused["a.txt"].text


def test_references_are_cut_or_kept(tmp_path: Path) -> None:
    entry = "Smith, J. (2010). Heat pumps in homes. Energy Journal, 12(3), pp. 4-9."
    (tmp_path / "a.md").write_text(f"# Heat\n\n{SENTENCE}\n\n## References\n\n- {entry}\n- {entry}\n")
    assert "Smith" not in read(tmp_path)[0]["a.md"].text
    assert "Smith" in read(tmp_path, references="keep")[0]["a.md"].text


def test_hyphens_are_voted_on_over_all_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("We take a long-\nterm view of the com-\npressor here.")
    (tmp_path / "b.txt").write_text("Long-term plans name the compressor.")
    document = read(tmp_path)[0]["a.txt"]
    assert document.text == "We take a long-term view of the compressor here."
    assert {note.rule: note.count for note in document.notes} == {"hyphen_joined": 1, "hyphen_kept": 1}


def test_ids_depend_on_name_and_text_only(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text(SENTENCE)
    first, second = (read(tmp_path / folder)[0]["a.md"] for folder in ("one", "two"))
    assert first.id == second.id
    (tmp_path / "two" / "a.md").write_text(SENTENCE + " Again.")
    assert read(tmp_path / "two")[0]["a.md"].id != first.id


def test_nothing_to_read_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read(tmp_path / "missing")


# The sample documents


@pytest.fixture(scope="module")
def samples() -> dict[str, Document]:
    documents, refused = read(SAMPLES)
    assert not refused
    return documents


def test_every_sample_document_is_read(samples: dict[str, Document]) -> None:
    assert len(samples) == 24
    assert {Path(name).suffix for name in samples} == {".md", ".txt", ".html", ".pdf"}
    for name, document in samples.items():
        assert 450 <= len(re.findall(r"\w+", document.text)) <= 850, name
        assert document.text.startswith(f"# {document.title}"), name
        assert document.text.count("\n## ") >= 4, name


def test_sample_documents_share_no_sentence(samples: dict[str, Document]) -> None:
    seen: dict[str, str] = {}
    for name, document in samples.items():
        for sentence in re.findall(r"[A-Z][^.|#\n]{30,}\.", document.text):
            assert seen.setdefault(sentence, name) == name, sentence


def test_sample_pdfs_lose_their_furniture_and_references(samples: dict[str, Document]) -> None:
    for name in ("air-tightness.pdf", "energy-audits.pdf", "heat-meters.pdf"):
        document = samples[name]
        assert len(document.page_starts) == 2
        assert "Page 1 of 2" not in document.text
        assert sum(note.count for note in document.notes if note.rule == "hyphen_joined") >= 1
    meters = samples["heat-meters.pdf"].text
    assert "Felsmann" not in meters
    assert meters.endswith("reveal when a family is away.")
    assert "plants because it needs more power than a small battery can supply." in meters, (
        "over the column border"
    )


def test_sample_passages_fit_and_their_spans_are_exact(samples: dict[str, Document]) -> None:
    passages = list(chunk_documents(samples.values(), ChunkOptions()))
    assert len(passages) > 90
    for passage in passages:
        document = samples[passage.source_id]
        assert document.text[passage.start : passage.end] == passage.text
        assert passage.n_tokens <= 200
        assert passage.heading


# Real PDFs


@pytest.fixture(scope="module")
def reports(shared_data: Path) -> dict[str, Document]:
    documents, refused = read(shared_data / "pdfs")
    assert not refused
    assert len(documents) == 4
    return {name.split("_")[0]: document for name, document in documents.items()}


def rule_counts(document: Document) -> dict[str, int]:
    counts: dict[str, int] = {}
    for note in document.notes:
        counts[note.rule] = counts.get(note.rule, 0) + note.count
    return counts


def test_journal_article_in_two_columns(reports: dict[str, Document]) -> None:
    article = reports["10"]
    assert (
        article.title == "SUSTAINABLE DEVELOPMENT IN COMPANIES: THEORETICAL DREAM OR IMPLEMENTABLE REALITY?"
    )
    assert "Corporate Ownership & Control / Volume" not in article.text
    assert "pp.197-218" not in article.text, "references are cut"
    assert article.text.endswith("shifts to a challenging but implementable reality.")
    assert "## 4.10 Create learning companies" in article.text
    # From the left column to the right one, and from page 1 to page 2.
    assert "society’s expectations of business are constantly changing" in article.text
    assert "lead to an increased awareness of the ethical and social responsibilities" in article.text
    counts = rule_counts(article)
    assert counts["repeated_line"] == 26, "a header and a number on each of 13 pages"
    assert counts["references"] > 60


def test_government_report_with_footnotes_and_a_table(reports: dict[str, Document]) -> None:
    report = reports["Government"]
    assert "on the Roadmap was completed" in report.text
    assert "the DNSH principle, OECD Climate Tracking methodology). Going forward" in report.text
    assert "X X X" not in report.text
    assert "https://julkaisut" not in report.text
    assert rule_counts(report)["footnotes"] == 8
    assert len(report.page_starts) == 19


def test_report_full_of_figures(reports: dict[str, Document]) -> None:
    report = reports["integralbusinessreport"]
    for label in ("Quality assurance", "Trust\n", "47.8%", "Bioscience"):
        assert label not in report.text
    assert "Integral Business 1" not in report.text
    assert (
        "two global organisations, the World Wide Fund for Nature and Unilever, came together" in report.text
    )


def test_passages_of_real_reports_read_as_prose(reports: dict[str, Document]) -> None:
    """At least 97 of 100 passages hold a sentence; hardly a word is glued, and no control character is left."""
    passages = list(chunk_documents(reports.values(), ChunkOptions()))
    assert len(passages) > 200
    with_sentence = sum(bool(re.search(r"[A-Z‘“(].{25,}[.:;!?]", passage.text, re.S)) for passage in passages)
    assert with_sentence >= 0.97 * len(passages)
    text = "".join(document.text for document in reports.values())
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\u00ad]", text)
    glued = re.findall(r"[^\W\d_]{26,}", text)
    assert len(glued) <= 2, glued
