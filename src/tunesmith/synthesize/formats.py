"""How a server is asked to keep a reply to its form, and what was learnt of what it takes.

Where the reply is one word of a menu, servers are first asked for the probabilities of its first token, and to write
nothing but the menu (vLLM's `structured_outputs`, before 0.12 `guided_choice`; other servers pass over what they do not
know). Where the server refuses that, for the probabilities alone, and then in the formats of any other reply. Requests
in flight may come back after the format has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.synthesize.journal import Reply
from tunesmith.synthesize.request import Request

FORMATS = ("json_schema", "json_object", "off")
FIRST_TOKEN = ("choice", "logprobs")
MOST_TOKENS, FEWER_TOKENS = 20, 5
"""Likeliest first tokens to be told of: the most that OpenAI and vLLM allow, and the most of stricter servers."""


class Formats:
    """The format for each kind of request: of a menu, of a schema.

    Args:
        first: of `FORMATS`, for requests with a schema; with `off` no request asks for any form.
    """

    def __init__(self, first: str) -> None:
        rest = FORMATS[FORMATS.index(first) :]
        self._ladders = {True: rest if first == "off" else FIRST_TOKEN + rest, False: rest}
        self._at = {True: 0, False: 0}
        self._accepted: set[str] = set()

    def wanted(self, request: Request) -> str:
        """The format to ask in now."""
        has_menu = bool(request.menu)
        return "off" if request.schema is None else self._ladders[has_menu][self._at[has_menu]]

    def answered(self, asked: str, request: Request, reply: Reply) -> None:
        """Learns from a reply that the server gave. A menu that it took no notice of is put otherwise from now on."""
        is_kept_to = reply.first_tokens is not None or reply.text.strip() in request.menu
        if asked in FIRST_TOKEN and not is_kept_to:
            self._step_down(FIRST_TOKEN[-1], request)
        else:
            self._accepted.add(asked)

    def refused(self, asked: str, request: Request) -> bool:
        """Whether the format may be at fault for the server's refusal, so that the request can be sent in another."""
        if request.schema is None or asked == "off" or asked in self._accepted:
            if asked not in self._accepted:
                # No format pleased the server, so that the request itself is at fault, not the format.
                self._at[bool(request.menu)] = 0
            return False
        self._step_down(asked, request)
        return True

    def _step_down(self, asked: str, request: Request) -> None:
        """To the format below `asked`, unless another reply has led further already."""
        has_menu = bool(request.menu)
        self._at[has_menu] = max(self._at[has_menu], self._ladders[has_menu].index(asked) + 1)


def wanted_format(asked: str, request: Request) -> dict[str, Any]:
    """What a request's body gets, to be asked in that format."""
    if asked == "off" or request.schema is None:
        return {}
    if asked == "choice":
        menu = list(request.menu)
        return _first_tokens(MOST_TOKENS) | {"guided_choice": menu, "structured_outputs": {"choice": menu}}
    if asked == "logprobs":
        return _first_tokens(FEWER_TOKENS)
    if asked == "json_schema":
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": request.schema},
            }
        }
    return {"response_format": {"type": "json_object"}}


def _first_tokens(count: int) -> dict[str, Any]:
    return {"logprobs": True, "top_logprobs": count}


def read_first_tokens(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """ln p of the likeliest first tokens of a chat completion's choice; `None` where the server told none."""
    try:
        told = choice["logprobs"]["content"][0]
        tokens = [told, *(told.get("top_logprobs") or ())]
        found: dict[str, float] = {}
        for token in tokens:
            text, log = token["token"], float(token["logprob"])
            if isinstance(text, str) and log <= 0.0:  # no NaN either
                found[text] = log
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
    return found or None
