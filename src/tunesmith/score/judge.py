"""Judge: which of two systems' answers is better, or how good each is by itself, said by a model or by a rule.

Pairs of answers in, one `Judgement` for each reply out (`compare.judged` adds them up); or predictions in, one `Grade`
for each criterion out. Definitions, costs and limits are in `docs/judge.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import InputError, MissingError
from tunesmith.records import Grade, Judgement, Prediction, Row
from tunesmith.score.judging.asking import Asker, LabelReader, Request
from tunesmith.score.judging.builtin import SimilarityJudge
from tunesmith.score.judging.controls import control_judgements, control_pairs, null_judgements
from tunesmith.score.judging.options import JudgeEndpoint, JudgeModel, JudgeOptions
from tunesmith.score.judging.pairs import Pair, settled_without_asking
from tunesmith.score.judging.pairwise import ORDERS, PairwiseJudge
from tunesmith.score.judging.pointwise import PointwiseJudge
from tunesmith.score.judging.prompts import Mode, open_prompt
from tunesmith.score.metric import METRICS, Metric
from tunesmith.score.stage import ScoreOptions, open_metrics

__all__ = [
    "Cost",
    "JudgeEndpoint",
    "JudgeModel",
    "JudgeOptions",
    "cost_of",
    "grade_answers",
    "judge_pairs",
    "open_local_asker",
    "open_pair_judge",
    "open_point_judge",
    "planned_requests",
]


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
    if not options.is_pairwise:
        raise ValueError(f"{', '.join(options.mode)} compares no pairs")
    if options.is_builtin:
        return SimilarityJudge(_similarity(options.similarity), options.tie_band)
    return PairwiseJudge(
        _asker(options, asker),
        open_prompt("pairwise", _criteria(options, "pairwise"), is_brief=_is_brief(options)),
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
    """A grade for each prediction and criterion, in modes `correctness` and `rubric`, one mode after the other.

    Raises:
        InputError: `correctness` lacks a reference, or the judge gives no grade at all.
    """
    if not options.graded_modes:
        raise ValueError(f"{options.judge_name} in mode {', '.join(options.mode)} grades no single answers")
    asker = _asker(options, asker)
    known = list(rows)
    for mode in options.graded_modes:
        judge = open_point_judge(options, mode, asker=asker, read_label=read_label)
        yield from judge.grade(predictions, known)


def open_point_judge(
    options: JudgeOptions, mode: Mode, *, asker: Asker | None = None, read_label: LabelReader | None = None
) -> PointwiseJudge:
    """The judge that grades one answer at a time, in one of the options' modes."""
    if mode not in options.graded_modes:
        raise ValueError(f"{mode} is not among the modes that grade: {', '.join(options.graded_modes)}")
    return PointwiseJudge(
        _asker(options, asker),
        mode,
        open_prompt(mode, _criteria(options, mode), is_brief=_is_brief(options)),
        _reader(options, read_label),
        **_sampling(options),
    )


def planned_requests(
    options: JudgeOptions,
    *,
    pairs: Sequence[Pair] = (),
    predictions: Sequence[Prediction] = (),
    rows: Iterable[Row] = (),
    seed: int = 0,
) -> Iterator[Request]:
    """Every request that the judge will be sent, without further votes; none for the built-in judge."""
    if options.is_builtin:
        return
    nobody = _Nobody()
    if options.is_pairwise:
        judge = open_pair_judge(options, asker=nobody, read_label=lambda text, labels: None)
        assert isinstance(judge, PairwiseJudge)
        asked = [pair for pair in pairs if settled_without_asking(pair) is None]
        for pair in [*asked, *control_pairs(pairs, options.controls, seed)]:
            for order in ORDERS:
                yield judge.request(pair, order, 0)
    known = {row.id: row for row in rows}
    for mode in options.graded_modes:
        grader = open_point_judge(options, mode, asker=nobody, read_label=lambda text, labels: None)
        yield from grader.requests(predictions, known)


def cost_of(requests: Iterable[Request], pairs: Sequence[Pair], options: JudgeOptions) -> Cost:
    """Number and size of the requests of `planned_requests`, and the number if every pair has to be asked again.

    Equal requests (an answer against itself in both orders, two equal answers to one item) are sent once.
    """
    sizes = {
        request.key: sum(len(message["content"]) for message in request.messages) for request in requests
    }
    n, characters = len(sizes), sum(sizes.values())
    asked = 0 if options.is_builtin else sum(settled_without_asking(pair) is None for pair in pairs)
    further = len(ORDERS) * asked * options.votes if options.votes > 1 else 0
    return Cost(n, n + further, characters)


class _Nobody:
    """Stands in for an asker where requests are only counted."""

    name = "nobody"

    def ask(self, requests: Iterable[Any]) -> Iterator[Any]:
        raise AssertionError("requests are counted, not sent")


def open_local_asker(model: JudgeModel) -> Asker:
    """Whoever asks a model in this process; it is loaded at the first request."""
    from tunesmith.score.judging.local import LocalAsker

    return LocalAsker(model.local, model)


def _asker(options: JudgeOptions, given: Asker | None) -> Asker:
    if given is not None:
        return given
    if options.local_model is not None:
        return open_local_asker(options.local_model)
    raise MissingError(
        f"nothing can ask {options.judge_name}",
        where="judge.judge",
        do="give the judge a connection, or use builtin or {local: MODEL}",
    )


def _reader(options: JudgeOptions, given: LabelReader | None) -> LabelReader:
    if given is None:
        raise ValueError(f"the replies of {options.judge_name} need a reader of labels")
    return given


def _criteria(options: JudgeOptions, mode: Mode) -> dict[str, str] | None:
    """Given criteria belong to the one mode that takes any."""
    return None if mode == "correctness" else options.criteria


def _is_brief(options: JudgeOptions) -> bool:
    """Whether the verdict alone is asked for: always of a local model, which writes nothing."""
    endpoint = options.endpoint
    return endpoint is None or endpoint.verdict == "brief"


def _sampling(options: JudgeOptions) -> dict[str, Any]:
    """Form, length and seed of the requests; a local model's verdicts have neither length nor seed."""
    endpoint = options.endpoint
    if endpoint is None:
        return {"is_brief": True}
    return {
        "max_tokens": endpoint.max_tokens,
        "seed": endpoint.seed,
        "is_brief": endpoint.verdict == "brief",
    }
