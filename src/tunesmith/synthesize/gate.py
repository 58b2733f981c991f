"""How many requests may be in flight at once, learnt from what the server refuses."""

from __future__ import annotations

from collections import deque

RECENT, BURST = 8, 4
"""Four refusals among the last eight replies are a server that is full. By chance, at one refusal in twenty, that
happens once in some 2,500 replies, and then costs a place or two."""
FIRST_PACE, SLOWEST_PACE = 10, 80


class Gate:
    """Doubles until the server refuses, then feels its way.

    A burst of refusals sets the limit to what the server still holds, which is what it took; lone refusals, which a
    server gives that is not full, change nothing. From then on the limit grows by one after as many successes as `pace`
    times the limit: half the pace after each growth that the server bore, twice the pace after each that it did not.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(most, 4)
        self.in_flight = 0
        self._recent: deque[bool] = deque(maxlen=RECENT)
        """Of the last replies, which were refusals."""
        self._pace: int | None = None
        """`None` before the first burst."""
        self._has_grown = False
        """Since the last burst or the last halving of the pace."""
        self._successes = 0

    @property
    def is_open(self) -> bool:
        return self.in_flight < self.limit

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self, *, is_refused: bool | None) -> None:
        """`is_refused`: the server said 429; `None` when the request tells nothing about its load."""
        self.in_flight -= 1
        if is_refused is None:
            return
        self._recent.append(is_refused)
        if not is_refused:
            self._grow()
        elif sum(self._recent) >= BURST:
            self._shrink()

    def _shrink(self) -> None:
        self.limit = max(1, min(self.limit, self.in_flight))
        self._successes = 0
        if self._pace is None:
            self._pace = FIRST_PACE
        elif self._has_grown:
            self._pace = min(SLOWEST_PACE, 2 * self._pace)
        self._has_grown = False

    def _grow(self) -> None:
        self._successes += 1
        if self._successes < self.limit * (self._pace or 1):
            return
        self._successes = 0
        if self._pace is None:
            self.limit = min(self.most, 2 * self.limit)
            return
        if self._has_grown:
            self._pace = max(1, self._pace // 2)
        self.limit = min(self.most, self.limit + 1)
        self._has_grown = True
