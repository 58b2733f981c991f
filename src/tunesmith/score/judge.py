"""Judge: which of two systems' answers is better, or how good each is by itself, said by a model or by a rule.

Pairs of answers in, one `Judgement` for each reply out (`compare.judged` adds them up); or predictions in, one `Grade`
for each criterion out. Definitions, costs and limits are in `docs/judge.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tunesmith.errors import InputError, MissingError
from tunesmith.models.load import ComputeOptions
from tunesmith.options import Options
from tunesmith.records import Grade, Judgement, Prediction, Row
from tunesmith.score.judging.asking import Asker, LabelReader
from tunesmith.score.judging.builtin import SimilarityJudge
from tunesmith.score.judging.controls import control_judgements, null_judgements
from tunesmith.score.judging.pairs import Pair, settled_without_asking
from tunesmith.score.judging.pairwise import ORDERS, PairwiseJudge
from tunesmith.score.judging.pointwise import PointwiseJudge
from tunesmith.score.judging.prompts import Mode, open_prompt
from tunesmith.score.metric import METRICS, Metric
from tunesmith.score.stage import ScoreOptions, open_metrics
from tunesmith.spending import Budget, Prices, check_budget

OLLAMA = "http://127.0.0.1:11434/v1"


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
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not an http:// or https:// address")
        return url.rstrip("/").removesuffix("/chat/completions")

    def connection(self) -> dict[str, Any]:
        """What the teacher's engine needs to reach the server, by its option names.

        Temperature and seed are left out: each request of the judge brings its own. A verdict that is cut off does not
        count, and is not asked for again.
        """
        return self.model_dump(exclude={"seed"}) | {"longer_once": False}


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
        "{url, model, …}, or {local: MODEL}.",
    )
    mode: Mode = Field(
        default="pairwise",
        description="`pairwise` compares two systems' answers; `correctness` grades each against the reference; "
        "`rubric` grades each on criteria.",
    )
    criteria: dict[str, str] | None = Field(
        default=None,
        description="What to judge by, most important first, as name: meaning; empty for the mode's own. Not for "
        "`correctness`.",
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

    @field_validator("judge")
    @classmethod
    def _is_known(cls, judge: str | JudgeEndpoint | JudgeModel) -> str | JudgeEndpoint | JudgeModel:
        if (
            isinstance(judge, str)
            and judge != "builtin"
            and not judge.startswith(("ollama/", "http://", "https://"))
        ):
            raise ValueError(
                f"{judge!r} is no judge: say builtin, ollama/NAME, a server's http address, {{url, model}} or "
                "{local: MODEL}"
            )
        return judge

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
            raise ValueError(f"{', '.join(sorted(idle))} has no effect here ({self.mode}, {self.judge_name})")
        if self.votes > 1 and self.endpoint is not None and self.endpoint.seed is None:
            raise ValueError("further votes need a seed, or each would be the same request")
        if self.judge == "builtin" and self.mode != "pairwise":
            raise ValueError(f"the built-in judge compares pairs; {self.mode} needs a model as judge")
        return self

    @property
    def endpoint(self) -> JudgeEndpoint | None:
        """The server to ask, or `None` where none is asked."""
        if isinstance(self.judge, JudgeEndpoint):
            return self.judge
        if isinstance(self.judge, JudgeModel) or self.judge == "builtin":
            return None
        if self.judge.startswith("ollama/"):
            return JudgeEndpoint(url=OLLAMA, model=self.judge.removeprefix("ollama/"))
        return JudgeEndpoint(url=self.judge)

    @property
    def judge_name(self) -> str:
        """What reports call the judge; never holds a key."""
        endpoint = self.endpoint
        if isinstance(self.judge, JudgeModel):
            return self.judge.local
        if endpoint is None:
            return "builtin"
        return f"{endpoint.model or 'the served model'} at {endpoint.url}"


def _without_effect(options: JudgeOptions) -> set[str]:
    idle = set()
    if options.judge == "builtin":
        idle |= {"criteria", "votes", "vote_temperature"}
    else:
        idle |= {"similarity", "tie_band"}
    if options.mode != "pairwise":
        idle |= {"votes", "vote_temperature", "controls"}
    if options.mode == "correctness":
        idle |= {"criteria"}
    if options.votes == 1:
        idle |= {"vote_temperature"}
    return idle


@dataclass(frozen=True, slots=True)
class Cost:
    """What a judge will be asked, before it is."""

    requests: int
    """Without further votes."""
    most_requests: int
    """If every pair flipped."""
    prompt_characters: int
    """Of the requests without further votes."""


def judge_pairs(
    pairs: Sequence[Pair],
    options: JudgeOptions,
    *,
    asker: Asker | None = None,
    read_label: LabelReader | None = None,
    seed: int = 0,
) -> Iterator[Judgement]:
    """Everything about the pairs that mode `pairwise` yields: judgements, further votes, controls.

    Args:
        pairs: from `build_pairs`.
        options: mode `pairwise`.
        asker: reaches the judge's server; not needed for the built-in judge and a local model.
        read_label: for a model as judge.
        seed: which items the controls take.

    Raises:
        InputError: the judge gives no verdict at all, or the built-in judge lacks a reference.
        MissingError: a server is to judge and there is no asker.
    """
    judge = open_pair_judge(options, asker=asker, read_label=read_label)
    yield from judge.judge(pairs)
    yield from control_judgements(judge, pairs, options.controls, seed)
    yield from null_judgements(pairs, seed)


def open_pair_judge(
    options: JudgeOptions, *, asker: Asker | None = None, read_label: LabelReader | None = None
) -> PairwiseJudge | SimilarityJudge:
    """The judge that the options name."""
    if options.mode != "pairwise":
        raise ValueError(f"mode {options.mode} compares no pairs")
    if options.judge == "builtin":
        return SimilarityJudge(_similarity(options.similarity), options.tie_band)
    return PairwiseJudge(
        _asker(options, asker),
        open_prompt("pairwise", options.criteria),
        _reader(options, read_label),
        votes=options.votes,
        vote_temperature=options.vote_temperature,
        **_sampling(options),
    )


def _similarity(name: str) -> Metric:
    metric = open_metrics(ScoreOptions(metrics=(name,)))[0] if name in METRICS else None
    if (
        metric is None
        or metric.is_descriptive
        or not (metric.uses_references and metric.uses_text and metric.higher_is_better)
    ):
        raise InputError(
            f"{name!r} does not measure how similar an answer is to the reference",
            where="judge.similarity",
            do="say token_f1, cosine, chrf, rougeL or another such metric",
        )
    return metric


def grade_answers(
    predictions: Sequence[Prediction],
    options: JudgeOptions,
    *,
    asker: Asker | None = None,
    read_label: LabelReader | None = None,
    rows: Iterable[Row] = (),
) -> Iterator[Grade]:
    """A grade for each prediction and criterion, in modes `correctness` and `rubric`.

    Raises:
        InputError: `correctness` lacks a reference, or the judge gives no grade at all.
    """
    yield from open_point_judge(options, asker=asker, read_label=read_label).grade(predictions, rows)


def open_point_judge(
    options: JudgeOptions, *, asker: Asker | None = None, read_label: LabelReader | None = None
) -> PointwiseJudge:
    """The judge that grades one answer at a time."""
    if options.mode == "pairwise":
        raise ValueError(f"{options.judge_name} in mode {options.mode} grades no single answers")
    return PointwiseJudge(
        _asker(options, asker),
        options.mode,
        open_prompt(options.mode, options.criteria),
        _reader(options, read_label),
        **_sampling(options),
    )


def pairwise_cost(pairs: Sequence[Pair], options: JudgeOptions) -> Cost:
    """How many requests the judge will need for the pairs and their controls; none for the built-in judge."""
    if options.judge == "builtin":
        return Cost(0, 0, 0)
    judge = PairwiseJudge(_Nobody(), open_prompt("pairwise", options.criteria), lambda text, labels: None)
    asked = [pair for pair in pairs if settled_without_asking(pair) is None]
    sizes = [
        sum(len(message["content"]) for message in judge.request(pair, order, 0).messages)
        for pair in asked
        for order in ORDERS
    ]
    controls = 2 * len(ORDERS) * min(options.controls, len(pairs))
    further = len(sizes) * options.votes if options.votes > 1 else 0
    mean = sum(sizes) / len(sizes) if sizes else 0.0
    total = len(sizes) + controls
    return Cost(total, total + further, round(sum(sizes) + mean * controls))


class _Nobody:
    """Stands in for an asker where requests are only counted."""

    name = "nobody"

    def ask(self, requests: Iterable[Any]) -> Iterator[Any]:
        raise AssertionError("requests are counted, not sent")


def _asker(options: JudgeOptions, given: Asker | None) -> Asker:
    if given is not None:
        return given
    if isinstance(options.judge, JudgeModel):
        from tunesmith.score.judging.local import LocalAsker

        return LocalAsker(options.judge.local, options.judge)
    raise MissingError(
        f"nothing can ask {options.judge_name}",
        where="judge.judge",
        do="give the judge a connection, or use builtin or {local: MODEL}",
    )


def _reader(options: JudgeOptions, given: LabelReader | None) -> LabelReader:
    if given is None:
        raise ValueError(f"the replies of {options.judge_name} need a reader of labels")
    return given


def _sampling(options: JudgeOptions) -> dict[str, Any]:
    """Length and seed of the requests; a local model's verdicts have neither."""
    endpoint = options.endpoint
    return {} if endpoint is None else {"max_tokens": endpoint.max_tokens, "seed": endpoint.seed}
