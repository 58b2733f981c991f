"""One request to a model: what is sent, and the name under which its reply is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.records import content_id

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Request:
    key: str
    """Names the request by its content: who is asked, and the body."""
    text: str
    """The body as canonical JSON: model, messages and settings, without the wanted format."""
    schema: Mapping[str, Any] | None
    """JSON schema of the reply; `None` where free text is wanted."""
    max_tokens: int
    """Longest reply: the most that it can cost."""
    menu: tuple[str, ...] = ()
    """Where the reply is to be one of these words and nothing else; the schema holds the same menu as an object."""

    @property
    def most_prompt_tokens(self) -> float:
        """Tokens of the prompt, rather too many: English has 4 to 5 bytes a token, other scripts about 3."""
        return len(self.text) / 3 if self.text.isascii() else len(self.text.encode("utf-8", "replace")) / 3


def make_request(
    address: str, body: Mapping[str, Any], schema: Mapping[str, Any] | None, menu: tuple[str, ...] = ()
) -> Request:
    """The request of that body.

    Args:
        address: of the server; for a model in this process, what names its weights and settings.
        body: what the server gets; `max_tokens` is in it.
        schema: JSON schema of the reply.
        menu: words of which the reply is to be one.
    """
    text = _CANONICAL.encode(body)
    return Request(content_id(address, text, *menu, length=32), text, schema, int(body["max_tokens"]), menu)


def longer(address: str, request: Request) -> Request:
    """The same request with room for a reply twice as long."""
    body = json.loads(request.text)
    body["max_tokens"] = 2 * request.max_tokens
    return make_request(address, body, request.schema, request.menu)


def tokens_in(text: str) -> int:
    """About as many tokens as a tokenizer would make: 1.25 for each word and mark of punctuation."""
    marks = sum(text.count(mark) for mark in ".,;:!?()\"'")
    return round(1.25 * (len(text.split()) + marks))
