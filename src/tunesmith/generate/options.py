"""Options of generation."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field, model_validator

from tunesmith.models.load import ComputeOptions
from tunesmith.tasks.base import Truncate

Progress = Callable[[int, int | None, str], None]
"""Called with (done, total, what)."""


class GenerateOptions(ComputeOptions):
    """Options of generation, named as in transformers."""

    systems: list[str] = Field(
        ["base", "tuned"], min_length=1, description="Systems that answer, in this order."
    )
    max_new_tokens: int = Field(
        96, ge=1, description="Most tokens of an answer; longer ones are marked truncated."
    )
    min_new_tokens: int = Field(0, ge=0, description="Fewest tokens of an answer.")
    num_beams: int = Field(1, ge=1, description="Beams of the search; 1 takes the likeliest token each time.")
    do_sample: bool = Field(False, description="Draw tokens by chance instead of taking the likeliest.")
    temperature: float | None = Field(
        None, gt=0, description="With do_sample: below 1 sharpens, above 1 flattens."
    )
    top_k: int | None = Field(
        None, ge=1, description="With do_sample: only the k likeliest tokens are drawn."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="With do_sample: only the likeliest tokens up to this sum."
    )
    repetition_penalty: float = Field(1.0, gt=0, description="Above 1, tokens seen before get less likely.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")
    batch_size: int = Field(16, ge=1, description="Prompts answered at once.")
    truncate: Truncate = Field(
        "refuse",
        description="What is done with prompts that are too long: mark them as errors, or cut their beginning.",
    )

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> GenerateOptions:
        problems: list[str] = []
        if not self.do_sample:
            idle = [name for name in ("temperature", "top_k", "top_p") if getattr(self, name) is not None]
            if idle:
                problems.append(f"{', '.join(idle)} has no effect without do_sample: true")
            if "seed" in self.model_fields_set and self.seed != 0:
                problems.append("seed has no effect without do_sample: true")
        elif self.top_k == 1:
            problems.append("top_k: 1 leaves nothing to draw; leave do_sample out instead")
        if self.min_new_tokens > self.max_new_tokens:
            problems.append(
                f"min_new_tokens ({self.min_new_tokens}) is more than max_new_tokens ({self.max_new_tokens})"
            )
        if len(set(self.systems)) != len(self.systems):
            problems.append("systems names one system twice")
        if problems:
            raise ValueError("; ".join(problems))
        return self
