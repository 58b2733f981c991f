"""What an installed tunesmith needs beside its code is named in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "tunesmith"


def test_every_file_of_the_package_is_packed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["tunesmith"]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    files = [
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and not path.name.startswith(".")
    ]
    assert len(files) > 20
    assert [path.relative_to(PACKAGE) for path in files if path not in packed] == []


def test_the_built_in_model_fits_its_bar() -> None:
    """The folder stands in every clone and every wheel for ever: at most 24 MB."""
    folder = PACKAGE / "models" / "builtin" / "base"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 24_000_000
