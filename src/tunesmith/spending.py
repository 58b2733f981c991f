"""What asking a model may cost: its prices, and the budget that all its runs together stay within.

Money has no currency here: prices and budget are in whichever the user thinks in.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tunesmith.options import Options


class Prices(Options):
    input: float = Field(ge=0, description="price of a million tokens of prompts, in any currency")
    output: float = Field(ge=0, description="price of a million tokens of replies, in the same currency")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class Budget(Options):
    """Limits over all the runs that share a journal; whichever is reached first counts."""

    money: float | None = Field(
        None, gt=0, description="most that may be spent, in the currency of the prices; null: no limit"
    )
    requests: int | None = Field(
        None, ge=1, description="most requests that may be sent, repeated ones counted; null: no limit"
    )
    hours: float | None = Field(
        None,
        gt=0,
        description="most hours of asking, from a run's first request to its last reply; null: no limit",
    )
    then: Literal["stop", "go_on"] = Field(
        "stop",
        description="what happens when it is spent: the run stops, and goes on when the budget is raised; or it goes "
        "on with what there is, and what was not asked is refused",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.money is None and self.requests is None and self.hours is None:
            raise ValueError("a budget needs money, requests or hours")
        return self


def check_budget(budget: Budget | None, prices: Prices | None) -> None:
    """Raises `ValueError` where money is limited and nothing says what a token costs."""
    if budget is not None and budget.money is not None and prices is None:
        raise ValueError("budget.money needs prices: {input: …, output: …}, the prices of a million tokens")
