"""Fixtures every test folder may use. Tests run offline, on one thread, with tiny models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two OpenMP threads on a busy machine can be several times slower than one; a test that reaches a hub is a bug.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets that are not part of the repository: tests that use them are skipped where they are missing."""
    folder = Path(os.environ.get("TUNESMITH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data here: set TUNESMITH_DATA to a folder that holds it")
    return folder
