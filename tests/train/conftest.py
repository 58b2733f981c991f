"""The tiny model, made once per session."""

from __future__ import annotations

from tests.tiny import tiny_base

__all__ = ["tiny_base"]
