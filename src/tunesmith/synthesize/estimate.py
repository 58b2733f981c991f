"""What a model teacher's requests would come to, before any is sent: items, tokens, money, time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tunesmith.spending import Prices
from tunesmith.synthesize.journal import Journal
from tunesmith.synthesize.request import Request, tokens_in

TOKENS_A_PIECE = 75
"""Tokens of a question, its answer, its quote and the JSON round them, before the journal has any reply: 12 words, 15
and 20 at 1.25 tokens a word, and 15 for the JSON."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and money are of what has still to be asked."""

    items: int
    """Requests that the examples need."""
    kept: int
    """Of them, those whose reply is in the journal already: they are free."""
    prompt_tokens: int
    reply_tokens: int
    """As long as the replies so far, or `TOKENS_A_PIECE` for each piece where there are none."""
    most_reply_tokens: int
    """If every reply were as long as `max_tokens` allows."""
    cost: float | None
    """`None` without prices."""
    most_cost: float | None
    spent: float | None
    """What earlier runs came to."""
    n_sent: int
    """Requests that earlier runs sent."""
    hours_spent: float
    """Time that earlier runs asked."""
    seconds: float | None
    """At the pace of the replies so far, and no less than `least_seconds`; `None` where neither is known."""
    least_seconds: float | None = None
    """What the limits of requests and tokens a minute make of it; `None` without limits."""


def estimate_items(
    items: Iterable[tuple[Request, int]],
    journal: Path,
    prices: Prices | None,
    concurrency: int,
    *,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
) -> Estimate:
    """Counts requests, each given with the number of pieces that it asks for.

    Args:
        journal: file of the replies; none is made where there is none.
        concurrency: requests in flight.
        requests_per_minute, tokens_per_minute: limits of the server's terms.
    """
    n_items = n_kept = prompt_tokens = most_reply = pieces = 0
    kept = Journal(journal) if journal.exists() else None
    try:
        for request, n_pieces in items:
            n_items += 1
            if kept is not None and kept.get(request.key) is not None:
                n_kept += 1
                continue
            prompt_tokens += tokens_in(request.text)
            most_reply += request.max_tokens
            pieces += min(request.max_tokens, n_pieces * TOKENS_A_PIECE)
        usage = None if kept is None else kept.usage()
        pace = None if kept is None else kept.mean_seconds()
    finally:
        if kept is not None:
            kept.close()
    left = n_items - n_kept
    reply_tokens = pieces
    if usage is not None and usage.replies and usage.completion_tokens:
        reply_tokens = min(most_reply, round(left * usage.completion_tokens / usage.replies))
    limits = ((left, requests_per_minute), (prompt_tokens + reply_tokens, tokens_per_minute))
    least = [60 * count / most for count, most in limits if most is not None]
    paced = [] if pace is None else [left * pace / min(concurrency, max(left, 1))]
    spent = None
    if prices is not None:
        spent = 0.0 if usage is None else usage.money + prices.of(*usage.unpriced)
    return Estimate(
        items=n_items,
        kept=n_kept,
        prompt_tokens=prompt_tokens,
        reply_tokens=reply_tokens,
        most_reply_tokens=most_reply,
        cost=None if prices is None else prices.of(prompt_tokens, reply_tokens),
        most_cost=None if prices is None else prices.of(prompt_tokens, most_reply),
        spent=spent,
        n_sent=0 if usage is None else usage.requests,
        hours_spent=0.0 if usage is None else usage.seconds / 3600,
        seconds=max(paced + least, default=None),
        least_seconds=max(least, default=None),
    )
