"""PDFs that unfold to gigabytes or take too long cost one file, not the run."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.read.pdf_maker import assemble, column, write_pdf
from tunesmith.read.blocks import Unreadable
from tunesmith.read.pdf import extract_pdf
from tunesmith.read.pdf_worker import PdfWorker


def write_bomb(path: Path, n_megabytes: int) -> Path:
    """One page whose content stream unfolds to so many megabytes of text operators."""
    packer = zlib.compressobj(1)
    unit = b"BT /F1 9 Tf 70 700 Td (heat) Tj ET\n" * 30_000
    content = b"".join(packer.compress(unit) for _ in range(n_megabytes)) + packer.flush()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(content) + content + b"\nendstream",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 3 0 R >> >> >>",
    ]
    path.write_bytes(assemble(objects, has_info=False))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "good.pdf", [column(["A heat pump moves heat."])])


def test_the_worker_gives_what_the_function_gives(good: Path) -> None:
    with PdfWorker() as worker:
        assert worker.extract(good, None) == extract_pdf(good)
        with pytest.raises(Unreadable, match="Not a PDF"):
            worker.extract(Path(__file__), None)
        assert worker.extract(good, None) == extract_pdf(good)


def test_a_bomb_is_refused_for_its_memory_and_the_next_file_is_read(tmp_path: Path, good: Path) -> None:
    bomb = write_bomb(tmp_path / "bomb.pdf", n_megabytes=150)
    assert bomb.stat().st_size < 10_000_000
    with PdfWorker(max_memory_mb=200, max_seconds=30) as worker:
        with pytest.raises(Unreadable) as caught:
            worker.extract(bomb, None)
        assert caught.value.rule == "too_heavy"
        assert worker.extract(good, None).pages[0].lines


def test_a_slow_file_is_given_up_in_time(tmp_path: Path, good: Path) -> None:
    bomb = write_bomb(tmp_path / "bomb.pdf", n_megabytes=60)
    with PdfWorker(max_seconds=1.5) as worker:
        with pytest.raises(Unreadable) as caught:
            worker.extract(bomb, None)
        assert caught.value.rule == "too_slow"
        assert "1.5 seconds" in caught.value.text
        # The slow process is gone, so the next file has one of its own.
        assert worker._process is None
    with PdfWorker() as worker:
        assert worker.extract(good, None).pages[0].lines
