"""Options of generation: the decoding of the main answers, and of the same prompts under other settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_serializer, model_validator

from tunesmith.models.load import ComputeOptions
from tunesmith.options import Options
from tunesmith.tasks.base import Truncate

Progress = Callable[[int, int | None, str], None]
"""Called with (done, total, what)."""

SAMPLING = ("temperature", "top_k", "top_p", "seed")
"""What means nothing unless tokens are drawn by chance."""

_Count = Annotated[int, Field(ge=1)]
_CountOrNone = Annotated[int, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(gt=0, le=1)]

_SETTING_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Decoding(Options):
    """How logits become an answer, named as in transformers."""

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

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> Decoding:
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
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def as_it_acts(self) -> dict[str, Any]:
        """The keys that shape an answer, with one spelling for each way of decoding: equal here, equal answers."""
        acts = {name: getattr(self, name) for name in Decoding.model_fields}
        for name in ("temperature", "top_p"):
            acts[name] = None if acts[name] == 1.0 else acts[name]
        if not self.do_sample:
            acts["seed"] = 0
        return acts


class DecodingChanges(Options):
    """A decoding setting as far as it differs from the main keys, which say what each key means. A key set to null is
    empty under this setting; one that is left out is inherited."""

    max_new_tokens: _Count | None = None
    min_new_tokens: _CountOrNone | None = None
    num_beams: _Count | None = None
    do_sample: bool | None = None
    temperature: _Positive | None = None
    top_k: _Count | None = None
    top_p: _Share | None = None
    repetition_penalty: _Positive | None = None
    seed: _CountOrNone | None = None

    @model_serializer
    def _what_was_said(self) -> dict[str, Any]:
        """Only the keys that were given, so that a plan that is written out and read again means the same."""
        return {
            name: getattr(self, name)
            for name in DecodingChanges.model_fields
            if name in self.model_fields_set
        }

    def on(self, main: Decoding) -> Decoding:
        """The main keys with these changes.

        A setting that turns sampling off drops what it inherits of temperature, top_k, top_p and seed; what it names
        itself has to have an effect. Raises `ValidationError` where something has none.
        """
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        keys = {name: getattr(main, name) for name in main.model_fields_set & Decoding.model_fields.keys()}
        if changes.get("do_sample") is False:
            keys = {name: value for name, value in keys.items() if name not in SAMPLING}
        return Decoding.model_validate(keys | changes)


class GenerateOptions(Decoding, ComputeOptions):
    """Options of generation, named as in transformers."""

    settings: dict[str, DecodingChanges] = Field(
        default_factory=dict,
        description="Further decoding settings, by name, each only what differs from the keys above:"
        " {beams: {num_beams: 5}, warm: {do_sample: true, temperature: 0.7}}.",
    )
    systems: list[str] = Field(
        ["base", "tuned"], min_length=1, description="Systems that answer, in this order."
    )
    batch_size: int = Field(16, ge=1, description="Prompts answered at once.")
    batch_check: int = Field(
        4,
        ge=0,
        description="Below float32: prompts of each system that are answered alone as well, to measure what the batch"
        " changes; 0 leaves the measuring out.",
    )
    truncate: Truncate = Field(
        "refuse",
        description="What is done with prompts that are too long: mark them as errors, or cut their beginning.",
    )

    @field_validator("settings")
    @classmethod
    def _names_fit_into_file_names(cls, settings: dict[str, Any]) -> dict[str, Any]:
        wrong = [repr(name) for name in settings if not _SETTING_NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a name is made of letters, digits, _ and -")
        return settings

    @model_validator(mode="after")
    def _systems_and_settings_differ(self) -> GenerateOptions:
        problems: list[str] = []
        if len(set(self.systems)) != len(self.systems):
            problems.append("systems names one system twice")
        problems += self._problems_of_settings()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems_of_settings(self) -> Iterator[str]:
        seen = [("the main keys", self.as_it_acts)]
        for name, changes in self.settings.items():
            try:
                acts = changes.on(self).as_it_acts
            except ValidationError as error:
                for detail in error.errors():
                    place = "".join(f"{part}: " for part in detail["loc"])
                    yield f"settings.{name}: {place}{detail['msg'].removeprefix('Value error, ')}"
                continue
            alike = next((other for other, known in seen if known == acts), None)
            if alike:
                yield f"settings.{name} decodes like {alike}; leave it out, or change something"
            seen.append((f"settings.{name}", acts))

    @property
    def decodings(self) -> dict[str, Decoding]:
        """Every decoding setting by its name, the main one first, whose name is empty."""
        return {"": DecodingChanges().on(self)} | {name: one.on(self) for name, one in self.settings.items()}
