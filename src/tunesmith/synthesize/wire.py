"""What goes over the wire to an OpenAI-compatible server and comes back, and what it means."""

from __future__ import annotations

import contextlib
import json
import time
from email.utils import parsedate_to_datetime

from tunesmith.synthesize.formats import read_first_tokens
from tunesmith.synthesize.journal import Reply


def read_envelope(data: bytes) -> Reply | None:
    """The first choice of a chat completion, or `None` when the data is none (a proxy's page, a cut body)."""
    try:
        value = json.loads(data)
        choice = value["choices"][0]
        content = choice["message"].get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    usage = value.get("usage") or {}
    return Reply(
        "answered",
        content if isinstance(content, str) else "",
        choice.get("finish_reason"),
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        read_first_tokens(choice),
    )


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def is_filtered(text: str) -> bool:
    """Some servers say with HTTP 400 that their content filter stopped the prompt."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        return bool(json.loads(text)["error"].get("code") == "content_filter")
    return False


def shown(text: str) -> str:
    """The server's complaint on one short line."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        error = json.loads(text)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    return " ".join(text.split())[:200]


def seconds_to_wait(retry_after: str | None) -> float | None:
    """Retry-After as seconds from now: a number, or an HTTP date."""
    if retry_after is None:
        return None
    try:
        return min(max(float(retry_after), 0.0), 3600.0)
    except ValueError:
        pass
    try:
        return min(max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0), 3600.0)
    except (ValueError, TypeError):
        return None
