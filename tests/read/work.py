"""How much work a function does, counted rather than timed, so that a busy machine changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def count_lines_of_python(function: Callable[[], object], package: str) -> int:
    """Lines run in the code of a package while the function runs. What happens within one call of a C function, such as
    a regular expression, is not seen."""
    count = 0

    def watch_lines(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
        return watch_lines

    def watch_calls(frame: FrameType, event: str, argument: Any) -> Any:
        return watch_lines if package in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(watch_calls)
    try:
        function()
    finally:
        sys.settrace(before)
    return count
