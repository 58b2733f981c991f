"""What was spent so far, what is promised to requests in flight, and whether another one may go out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from tunesmith.spending import Budget, Prices
from tunesmith.synthesize.journal import Reply, Usage
from tunesmith.synthesize.request import Request, tokens_in

SOFT_STOP = 0.95
"""Share of money and time at which nothing new goes out, so that what is in flight still fits."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request without a reply. Not kept in the journal: the next run asks again."""

    reason: str
    tries: int
    """0: it was never sent, because the budget was spent."""


@dataclass(frozen=True, slots=True)
class Outlay:
    """What all runs of a journal came to so far."""

    requests: int
    money: float | None
    """`None` without prices."""
    hours: float


class Ledger:
    """Sums over the journal, so that they survive a restart.

    A request reserves the most that it can cost before it is sent, and its reply's tokens settle that. Money can
    therefore not be overspent by more than a server spends on a request that it does not answer."""

    def __init__(self, budget: Budget | None, prices: Prices | None, before: Usage) -> None:
        self.budget = budget
        self.prices = prices
        self._requests = before.requests
        self._money = before.money + (prices.of(*before.unpriced) if prices else 0.0)
        self._seconds_before = before.seconds
        self._reserved = 0.0
        self._n_open = 0
        self._began: float | None = None
        self._until: float | None = None
        """When a reply came last, for the time that counts; on the clock of `time.monotonic`."""

    @property
    def seconds(self) -> float:
        """Of this run: from its first request to its last reply."""
        if self._began is None or self._until is None:
            return 0.0
        return self._until - self._began

    @property
    def outlay(self) -> Outlay:
        money = None if self.prices is None else self._money
        return Outlay(self._requests, money, (self._seconds_before + self.seconds) / 3600)

    @property
    def requests_left(self) -> int | None:
        """`None` without a limit."""
        if self.budget is None or self.budget.requests is None:
            return None
        return max(0, self.budget.requests - self._requests)

    def reserve(self, request: Request) -> Literal["sent", "wait", "spent"]:
        """`sent`: it is booked; `wait`: what is in flight has to be settled first; `spent`: nothing more may go out."""
        now = time.monotonic()
        if self.budget is not None:
            if self._is_spent(now):
                return "spent"
            money = self.budget.money
            if money is not None and self._money + self._reserved + self._most(request) > money:
                return "wait" if self._n_open else "spent"
        if self._began is None:
            self._began = now
        self._until = now
        self._requests += 1
        self._n_open += 1
        self._reserved += self._most(request)
        return "sent"

    def settle(self, request: Request, reply: Reply | None) -> float | None:
        """The price of what came back; `None` without prices, 0 for what had no reply."""
        self._until = time.monotonic()
        self._n_open -= 1
        if self.prices is None:
            return None
        self._reserved = self._reserved - self._most(request) if self._n_open else 0.0
        if reply is None or reply.outcome == "rejected":
            return 0.0
        # A server that does not count tokens is charged by estimate, not with nothing.
        prompt = request.most_prompt_tokens if reply.prompt_tokens is None else reply.prompt_tokens
        written = tokens_in(reply.text) if reply.completion_tokens is None else reply.completion_tokens
        cost = self.prices.of(prompt, written)
        self._money += cost
        return cost

    def _most(self, request: Request) -> float:
        return 0.0 if self.prices is None else self.prices.of(request.most_prompt_tokens, request.max_tokens)

    def _is_spent(self, now: float) -> bool:
        budget = self.budget
        if budget is None:
            return False
        if budget.requests is not None and self._requests >= budget.requests:
            return True
        if budget.money is not None and self._money >= SOFT_STOP * budget.money:
            return True
        running = 0.0 if self._began is None else now - self._began
        return budget.hours is not None and self._seconds_before + running >= SOFT_STOP * 3600 * budget.hours

    def unasked(self) -> Unanswered:
        """What a request gets that nothing is left for. It says nothing of what was spent, which differs from run to
        run where the examples do not."""
        budget = self.budget
        assert budget is not None, "only a budget leaves requests unasked"
        limits = {" in money": budget.money, " requests": budget.requests, " hours": budget.hours}
        said = ", ".join(
            (f"{limit:,}" if isinstance(limit, int) else f"{limit:g}") + unit
            for unit, limit in limits.items()
            if limit is not None
        )
        return Unanswered(f"not asked: the budget of {said} is spent", 0)

    def in_words(self) -> str:
        """Spent, and of how much."""
        outlay, budget = self.outlay, self.budget
        requests, money, hours = (
            (budget.requests, budget.money, budget.hours) if budget else (None, None, None)
        )
        parts = [_of(f"{outlay.requests:,}", requests, " requests")]
        if outlay.money is not None:
            parts.append(_of(f"{outlay.money:.4g}", money, " in money"))
        parts.append(_of(f"{outlay.hours:.2f}", hours, " hours"))
        return ", ".join(parts)


def _of(spent: str, limit: float | None, unit: str) -> str:
    return f"{spent}{unit}" if limit is None else f"{spent} of {limit:g}{unit}"
