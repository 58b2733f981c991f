"""How many requests and tokens may go out in a minute, where the server's terms say so."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

from tunesmith.synthesize.journal import Reply
from tunesmith.synthesize.request import Request, tokens_in


class Pace:
    """Requests at even distances, so that no minute and no part of one has more than its share.

    Each request holds the line for its share of a minute: 60 / `requests` seconds, and 60 / `tokens` for each of its
    tokens (virtual scheduling, as in ATM's generic cell rate algorithm, ITU-T I.371). Tokens are expected before the
    reply and put right after it: prompt by estimate, reply as long as those so far. Repeated requests count too.

    Args:
        requests, tokens: most a minute; `None`: no limit.
        clock: seconds from anywhere.
    """

    def __init__(
        self, requests: int | None, tokens: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._request_s = 60 / requests if requests else 0.0
        self._token_s = 60 / tokens if tokens else 0.0
        self._requests_free_at = self._tokens_free_at = -math.inf
        self._expected: dict[str, float] = {}
        """Tokens by the key of the request that is in flight with them."""
        self._n_replies = 0
        self._reply_tokens = 0

    @property
    def most_at_once(self) -> int:
        """Requests that may go out at one moment."""
        return 1 if self._request_s or self._token_s else sys.maxsize

    def wait_s(self) -> float:
        """Seconds until the next request may go out; 0: now."""
        free_at = max(self._requests_free_at, self._tokens_free_at)
        return max(0.0, free_at - self._clock()) if free_at > -math.inf else 0.0

    def take(self, request: Request) -> None:
        """It goes out now."""
        now = self._clock()
        if self._request_s:
            self._requests_free_at = max(self._requests_free_at, now) + self._request_s
        if self._token_s:
            reply = self._reply_tokens / self._n_replies if self._n_replies else request.max_tokens
            self._expected[request.key] = expected = tokens_in(request.text) + min(reply, request.max_tokens)
            self._tokens_free_at = max(self._tokens_free_at, now) + expected * self._token_s

    def settle(self, request: Request, reply: Reply | None) -> None:
        """Its reply came; `None`: it failed, and is taken to have cost what was expected."""
        expected = self._expected.pop(request.key, None)
        if expected is None or reply is None:
            return
        prompt = tokens_in(request.text) if reply.prompt_tokens is None else reply.prompt_tokens
        written = tokens_in(reply.text) if reply.completion_tokens is None else reply.completion_tokens
        if reply.outcome == "answered":
            self._n_replies += 1
            self._reply_tokens += written
        self._tokens_free_at += (prompt + written - expected) * self._token_s
