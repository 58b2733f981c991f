"""Sample documents that ship with tunesmith, and the plan of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith.config import load_plan
from tunesmith.plan import Plan

FOLDER = Path(__file__).parent


def demo_plan(overrides: Sequence[str]) -> tuple[Plan, Path]:
    """The demo's plan, and the folder its paths are relative to."""
    return load_plan(FOLDER / "demo.yaml", overrides, Plan), FOLDER
