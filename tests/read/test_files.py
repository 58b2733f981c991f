"""Which files are meant, and the names they go by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import InputError
from tunesmith.read.files import find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "docs/b.md",
        "docs/a.txt",
        "docs/sub/c.pdf",
        "docs/.hidden/x.md",
        "docs/.DS_Store",
        "more/a.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    return tmp_path


def names(documents: str | list[str], root: Path) -> list[str]:
    return [file.source_id for file in find_files(documents, root)]


def test_a_folder_is_read_whole_sorted_and_without_hidden_files(folder: Path) -> None:
    assert names("docs", folder) == ["a.txt", "b.md", "sub/c.pdf"]


def test_globs_files_and_lists(folder: Path) -> None:
    assert names("docs/*.md", folder) == ["b.md"]
    assert names("docs/**/*", folder) == ["a.txt", "b.md", "sub/c.pdf"]
    assert names(["docs/b.md", "docs"], folder) == ["a.txt", "b.md", "sub/c.pdf"], (
        "a file named twice counts once"
    )
    assert names(str(folder / "docs" / "b.md"), Path("/")) == ["b.md"]


def test_files_of_one_name_go_by_their_folders_too(folder: Path) -> None:
    assert names(["docs", "more"], folder) == ["b.md", "docs/a.txt", "more/a.txt", "sub/c.pdf"]


@pytest.mark.parametrize(
    ("documents", "what"),
    [
        ("missing", "no such file"),
        ("docs/*.docx", "no file matches"),
        ("empty", "no file in it"),
        ([], "no file in any"),
    ],
)
def test_nothing_found_says_what_where_and_what_to_do(
    folder: Path, documents: str | list[str], what: str
) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=what) as caught:
        find_files(documents, folder)
    assert caught.value.where
    assert caught.value.where.startswith("read.documents")
    assert caught.value.do
