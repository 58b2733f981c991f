"""How many requests may be in flight at once, learnt from what the server refuses."""

from __future__ import annotations


class Gate:
    """Doubles until the server refuses, then feels its way.

    A burst of refusals sets the limit to what the server still holds, which is what it took; a lone refusal
    (under 8 % of the recent ones) changes nothing. Near the level that was refused it grows ten times more
    slowly."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(most, 4)
        self.in_flight = 0
        self._ceiling: int | None = None
        self._share = 0.0
        self._successes = 0

    @property
    def is_open(self) -> bool:
        return self.in_flight < self.limit

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self, *, is_refused: bool | None) -> None:
        """`is_refused`: the server said 429; `None` when the request tells nothing about its load."""
        self.in_flight -= 1
        if is_refused is not None:
            self._share = 0.95 * self._share + 0.05 * is_refused
        if is_refused and self._share >= 0.08:
            self.limit = max(1, min(self.limit, self.in_flight))
            self._ceiling, self._successes = self.limit + 1, 0
        elif is_refused is False:
            self._grow()

    def _grow(self) -> None:
        self._successes += 1
        near = self._ceiling is not None and self.limit + 1 >= self._ceiling
        if self._successes >= self.limit * (10 if near else 1):
            self._successes = 0
            step = self.limit if self._ceiling is None else 1
            self.limit = min(self.most, self.limit + step)
            if near:
                self._ceiling = self.limit + 1
