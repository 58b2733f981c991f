"""What bitsandbytes says on the screen."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import logging
import tunesmith.models
tunesmith.models.quantised.take_no_advice()  # twice, as when modules are loaded again
import bitsandbytes
logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
logger.warning(
    "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please make sure you already `pip install"
    " kernels` and the kernels >= 0.11.1", "No module named 'kernels'"
)
logger.warning("something else is wrong")
"""


def test_one_piece_of_advice_is_kept_off_the_screen_and_nothing_else() -> None:
    """In a process of its own, as a user's: the line comes at the import, before code of ours could hold it."""
    pytest.importorskip("bitsandbytes")
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    assert "something else is wrong" in said
    assert "gemm_4bit_forward" not in said
