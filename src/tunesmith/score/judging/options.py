"""What a judge can be told. `score/judge.py` hands these names on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tunesmith.endpoints import address_of, base_address
from tunesmith.models.load import ComputeOptions
from tunesmith.options import Options
from tunesmith.score.judging.prompts import RUBRIC_CRITERIA, Mode
from tunesmith.spending import Budget, Prices, check_budget

LOCAL = "local:"
"""Before the folder or hub id of a local model, where a judge is named in one word."""
GRADED_MODES: tuple[Mode, ...] = ("correctness", "rubric")


class JudgeEndpoint(Options):
    """A model behind an OpenAI-compatible server; how to reach it is said as for a teacher."""

    url: str = Field(
        description="Base address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1."
    )
    model: str | None = Field(
        default=None, description="Name of the model there; may be left out where only one is served."
    )
    api_key_env: str | None = Field(
        default=None,
        description="Name of the environment variable that holds the key; the key is never written.",
    )
    verdict: Literal["reasoned", "brief"] = Field(
        default="reasoned",
        description="`reasoned`: a comparison, then the verdict; `brief`: the verdict alone, in one word (rubric: the "
        "grades alone), which is much cheaper and tells no reason.",
    )
    max_tokens: int = Field(
        default=512,
        ge=16,
        description="Longest reply in tokens; a verdict that is cut off there does not count.",
    )
    seed: int | None = Field(
        default=0,
        description="Sampling seed sent with each request; further votes add 1, 2, …. Empty sends none.",
    )
    structured: Literal["json_schema", "json_object", "off"] = Field(
        default="json_schema",
        description="How the verdict is held to the menu; a server that refuses one form is asked in the next.",
    )
    concurrency: int = Field(default=8, ge=1, le=512, description="Most requests in flight.")
    requests_per_minute: int | None = Field(
        default=None, ge=1, description="Most requests in a minute, at even distances; empty: no limit."
    )
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Most tokens of prompts and replies in a minute; empty: no limit."
    )
    timeout_s: float = Field(default=120.0, gt=0, description="Seconds to wait for one reply.")
    tries: int = Field(
        default=6, ge=1, description="Times one request is sent before it counts as `no reply`."
    )
    prices: Prices | None = Field(
        default=None, description="What a million tokens cost, {input: …, output: …}."
    )
    budget: Budget | None = Field(
        default=None,
        description="Most that all runs of this folder may spend on the judge, {money: …, requests: …, hours: …, then: "
        "stop | go_on}.",
    )

    @model_validator(mode="after")
    def _can_be_counted(self) -> JudgeEndpoint:
        check_budget(self.budget, self.prices)
        return self

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return base_address(url)

    def connection(self) -> dict[str, Any]:
        """What the teacher's engine needs to reach the server, by its option names.

        Temperature and seed are left out: each request of the judge brings its own. A verdict that is cut off does not
        count, and is not asked for again.
        """
        return self.model_dump(exclude={"seed", "verdict"}) | {"longer_once": False}


class JudgeModel(ComputeOptions):
    """A causal model in this process, asked how likely each verdict is."""

    local: str = Field(description="Folder or hub id of the model.")


def _kind_of_judge(judge: Any) -> str:
    if isinstance(judge, JudgeModel) or (isinstance(judge, dict) and "local" in judge):
        return "model"
    return "server" if isinstance(judge, JudgeEndpoint | dict) else "word"


class JudgeOptions(Options):
    # told apart by what was written, so that a mistake in one kind is not reported for the others too
    judge: Annotated[
        Annotated[str, Tag("word")]
        | Annotated[JudgeEndpoint, Tag("server")]
        | Annotated[JudgeModel, Tag("model")],
        Discriminator(_kind_of_judge),
    ] = Field(
        default="builtin",
        description="Who judges: `builtin` (similarity to the reference), ollama/NAME, a server's address, "
        "{url, model, …}, local:MODEL or {local: MODEL}.",
    )
    mode: tuple[Mode, ...] = Field(
        default=("pairwise",),
        description="One or several of: `pairwise` compares two systems' answers; `correctness` grades each against "
        "the reference; `rubric` grades each on criteria.",
        min_length=1,
    )
    criteria: dict[str, str] | None = Field(
        default=None,
        description="What to judge by, most important first, as name: meaning; empty for the mode's own. For one of "
        "`pairwise` and `rubric`.",
        min_length=1,
    )
    votes: int = Field(
        default=1,
        ge=1,
        description="How often a pair whose verdict changed with the order is asked again in each order (odd); 1: not "
        "again, it is a tie.",
    )
    vote_temperature: float = Field(
        default=0.7, gt=0, le=2, description="Sampling temperature of those further votes."
    )
    similarity: str = Field(
        default="token_f1",
        description="Metric that the built-in judge measures similarity with, such as cosine.",
    )
    tie_band: float = Field(
        default=0.05,
        ge=0,
        description="Answers whose similarities differ by no more than this tie, for the built-in judge.",
    )
    controls: int = Field(
        default=10,
        ge=0,
        description="Answers that the judge gets against themselves and against a corrupted copy too; 4 requests each.",
    )

    people: str | None = Field(
        default=None,
        description="File of people's verdicts or ratings on the same ids, relative to the plan: how far they agree "
        "with the judge.",
    )

    @field_validator("judge")
    @classmethod
    def _is_known(cls, judge: str | JudgeEndpoint | JudgeModel) -> str | JudgeEndpoint | JudgeModel:
        if isinstance(judge, str) and judge != "builtin" and not judge.removeprefix(LOCAL).strip():
            raise ValueError(f"{judge!r} names no model: say local: and a folder or hub id")
        if (
            isinstance(judge, str)
            and judge != "builtin"
            and not judge.startswith(LOCAL)
            and address_of(judge) is None
        ):
            raise ValueError(
                f"{judge!r} is no judge: say builtin, ollama/NAME, local:MODEL, a server's http address, {{url, model}}"
                " or {local: MODEL}"
            )
        return judge

    @field_validator("mode", mode="before")
    @classmethod
    def _are_listed(cls, mode: Any) -> Any:
        return tuple(part.strip() for part in mode.split(",")) if isinstance(mode, str) else mode

    @field_validator("mode")
    @classmethod
    def _are_different(cls, mode: tuple[Mode, ...]) -> tuple[Mode, ...]:
        if len(set(mode)) < len(mode):
            raise ValueError(f"{', '.join(mode)}: name each mode once")
        return mode

    @field_validator("criteria")
    @classmethod
    def _are_plain(cls, criteria: dict[str, str] | None) -> dict[str, str] | None:
        for name in criteria or ():
            if not name.strip() or name.strip().casefold() in ("reason", "verdict"):
                raise ValueError(f"{name!r} cannot be the name of a criterion")
        return criteria

    @field_validator("votes")
    @classmethod
    def _is_odd(cls, votes: int) -> int:
        if votes % 2 == 0:
            raise ValueError(f"{votes} votes can be split evenly: give an odd number")
        return votes

    @model_validator(mode="after")
    def _has_effect(self) -> JudgeOptions:
        """An option that would change nothing is an error, so that nobody believes it did something."""
        fields = type(self).model_fields
        idle = {name for name in _without_effect(self) if getattr(self, name) != fields[name].default}
        if idle:
            named = ", ".join(sorted(idle))
            raise ValueError(f"{named} has no effect here ({', '.join(self.mode)}, {self.judge_name})")
        if self.votes > 1 and self.endpoint is not None and self.endpoint.seed is None:
            raise ValueError("further votes need a seed, or each would be the same request")
        if self.is_builtin and self.graded_modes:
            raise ValueError(
                f"the built-in judge compares pairs; {', '.join(self.graded_modes)} needs a model as judge"
            )
        if self.criteria is not None and {"pairwise", "rubric"} <= set(self.mode):
            raise ValueError("criteria can be those of pairwise or of rubric, not of both: judge in two runs")
        return self

    @property
    def is_builtin(self) -> bool:
        """Whether likeness to the reference decides, and nobody is asked."""
        return self.judge == "builtin"

    @property
    def is_pairwise(self) -> bool:
        """Whether two systems' answers are compared."""
        return "pairwise" in self.mode

    @property
    def graded_modes(self) -> tuple[Mode, ...]:
        """Those that grade one answer at a time."""
        return tuple(mode for mode in self.mode if mode in GRADED_MODES)

    @property
    def graded_criteria(self) -> tuple[tuple[Mode, str], ...]:
        """(mode, criterion) of every grade that an answer gets."""
        rubric = tuple(self.criteria or RUBRIC_CRITERIA)
        names = {"correctness": ("correctness",), "rubric": rubric}
        return tuple((mode, name) for mode in self.graded_modes for name in names[mode])

    @property
    def endpoint(self) -> JudgeEndpoint | None:
        """The server to ask, or `None` where none is asked."""
        if isinstance(self.judge, JudgeEndpoint):
            return self.judge
        address = address_of(self.judge) if isinstance(self.judge, str) else None
        return None if address is None else JudgeEndpoint.model_validate(address)

    @property
    def local_model(self) -> JudgeModel | None:
        """The model to load in this process, or `None` where none is."""
        if isinstance(self.judge, JudgeModel):
            return self.judge
        if isinstance(self.judge, str) and self.judge.startswith(LOCAL):
            return JudgeModel(local=self.judge.removeprefix(LOCAL))
        return None

    @property
    def judge_name(self) -> str:
        """What reports call the judge; never holds a key."""
        endpoint, model = self.endpoint, self.local_model
        if model is not None:
            return model.local
        if endpoint is None:
            return "builtin"
        return f"{endpoint.model or 'the served model'} at {endpoint.url}"


def _without_effect(options: JudgeOptions) -> set[str]:
    idle = set()
    if options.is_builtin:
        idle |= {"criteria", "votes", "vote_temperature"}
    else:
        idle |= {"similarity", "tie_band"}
    if not options.is_pairwise:
        idle |= {"votes", "vote_temperature", "controls"}
    if options.mode == ("correctness",):
        idle |= {"criteria"}
    if options.votes == 1:
        idle |= {"vote_temperature"}
    return idle
