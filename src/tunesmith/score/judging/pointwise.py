"""How good one answer is by itself, asked of a model: correct, partly or wrong against the reference, or a rubric.

Systems are graded without being compared, so the grades become ordinary scores (`grade_scores`), and `compare` gives
them the same interval and paired test as any other metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from tunesmith.records import Grade, Prediction, Row, Score
from tunesmith.score.judging.asking import Asker, LabelReader, Patience, Reply, Request, sampling
from tunesmith.score.judging.pairs import need_references, row_attributes, shown_references
from tunesmith.score.judging.prompts import JudgePrompt, Mode
from tunesmith.score.judging.replies import read_correctness, read_grades
from tunesmith.score.metric import Metric, answer_text, ratio, reference_texts

CREDIT = {"correct": 1.0, "partly": 0.5, "wrong": 0.0}

GradedMode = Literal["correctness", "rubric"]


@dataclass(frozen=True)
class PointwiseJudge:
    """A model that grades one answer at a time.

    Args:
        asker: who answers.
        mode: `correctness` gives one criterion of that name; `rubric` gives those of the prompt.
        prompt: the words of that mode.
        read_label: which labels a text means.
        max_tokens: of one reply.
        seed: sent with each request, `None` for none.
        is_brief: mode `correctness` asks for the verdict alone, without a reason before it.
    """

    asker: Asker
    mode: Mode
    prompt: JudgePrompt
    read_label: LabelReader
    max_tokens: int = 512
    seed: int | None = 0
    is_brief: bool = False

    @property
    def criteria(self) -> tuple[str, ...]:
        return ("correctness",) if self.mode == "correctness" else tuple(self.prompt.criteria)

    def grade(self, predictions: Sequence[Prediction], rows: Iterable[Row] = ()) -> Iterator[Grade]:
        """A grade for each prediction and criterion. Nobody is asked about an empty answer (0) or a failed one (none).

        Args:
            predictions: of any systems. Two equal answers to one item make the same request.
            rows: the test rows, which tell the bare question, the passage and the attributes.

        Raises:
            InputError: `correctness` lacks a reference, or the judge gives no grade at all.
        """
        if self.mode == "correctness":
            need_references(predictions, "the mode correctness")
        known = {row.id: row for row in rows}
        replies = self.asker.ask(self.requests(predictions, known))
        patience = Patience(self.asker.name)
        for prediction in predictions:
            row = known.get(prediction.id)
            settled = _without_asking(prediction)
            if settled is None:
                grades = list(self._read(prediction, row, next(replies)))
                patience.count(grades[0].raw, is_read=any(grade.value is not None for grade in grades))
                yield from grades
            else:
                for criterion in self.criteria:
                    yield self._grade(prediction, row, criterion, *settled)
        patience.check()

    def requests(self, predictions: Iterable[Prediction], rows: Mapping[str, Row]) -> Iterator[Request]:
        """What the judge is sent, for each answer that it has to be asked about."""
        for one in predictions:
            if _without_asking(one) is None:
                yield self.request(one, rows.get(one.id))

    def request(self, prediction: Prediction, row: Row | None) -> Request:
        bare = row is not None and bool(row.instruction)
        texts = {
            "task": row.instruction if row is not None and bare else prediction.prompt,
            "passage": row.context if row is not None and bare else None,
            "reference": shown_references(reference_texts(prediction)),
            "answer": answer_text(prediction),
        }
        options = sampling(0.0, self.max_tokens, self.seed)
        # a rubric's reply has a grade for each criterion, and is no single word
        menu = tuple(CREDIT) if self.is_brief and self.mode == "correctness" else ()
        return Request(self.prompt.messages(texts), options, self._schema, menu)

    @cached_property
    def _schema(self) -> dict[str, Any]:
        fields: dict[str, Any] = (
            {"verdict": {"type": "string", "enum": list(CREDIT)}}
            if self.mode == "correctness"
            else {name: {"type": "number", "enum": [0, 0.5, 1]} for name in self.criteria}
        )
        first = {} if self.is_brief else {"reason": {"type": "string"}}
        return {
            "type": "object",
            "properties": first | fields,
            "required": [*first, *fields],
            "additionalProperties": False,
        }

    def _read(self, prediction: Prediction, row: Row | None, reply: Reply) -> Iterator[Grade]:
        texts = [answer_text(prediction), prediction.prompt, *prediction.references]
        raw = reply.trouble if reply.trouble is not None else reply.text
        if self.mode == "correctness":
            found = read_correctness(reply, texts, self.read_label)
            value = None if found.value is None else CREDIT[found.value]
            yield self._grade(prediction, row, "correctness", value, found.status, raw, found.reason)
            return
        for criterion, (value, status, reason) in read_grades(reply, texts, self.criteria).items():
            yield self._grade(prediction, row, criterion, value, status, raw, reason)

    def _grade(
        self,
        prediction: Prediction,
        row: Row | None,
        criterion: str,
        value: float | None,
        status: str,
        raw: str = "",
        reason: str = "",
    ) -> Grade:
        return Grade(
            id=prediction.id,
            source_id=prediction.source_id,
            system=prediction.system,
            mode=cast(GradedMode, self.mode),
            criterion=criterion,
            value=value,
            status=status,
            raw=raw,
            reason=reason,
            judge=self.asker.name,
            prompt_hash=self.prompt.hash,
            length=len(answer_text(prediction)),
            attributes={} if row is None else row_attributes(row),
        )


def grade_scores(grades: Iterable[Grade]) -> Iterator[Score]:
    """Grades as scores, one metric for each mode and criterion. No grade is `not scored`, never 0."""
    for grade in grades:
        yield Score(
            id=grade.id,
            source_id=grade.source_id,
            system=grade.system,
            metric=grade_name(grade.mode, grade.criterion),
            stats=None if grade.value is None else (grade.value, 1.0),
            value=grade.value,
            status=grade.status if grade.status in ("ok", "empty") else "not scored",
            signature=f"{grade.judge}|prompt:{grade.prompt_hash}|agg:mean",
        )


def grade_name(mode: Mode, criterion: str) -> str:
    """The metric that a grade belongs to: `judge_correctness` against the reference, `rubric_CRITERION` else."""
    return f"judge_{criterion}" if mode == "correctness" else f"rubric_{criterion}"


def is_grade(metric: str) -> bool:
    """Whether a metric's name is one that grades have."""
    return metric.startswith(("judge_", "rubric_"))


def grade_metrics(criteria: Iterable[tuple[Mode, str]]) -> list[Metric]:
    """The metrics that `grade_scores` gives scores of, for `compare`: means of grades from 0 to 1.

    Args:
        criteria: (mode, criterion), as `JudgeOptions.graded_criteria` has them.
    """

    def graded_already(predictions: Sequence[Prediction]) -> list[tuple[float, ...] | None]:
        raise TypeError("grades come from a judge; there is nothing to compute from the predictions")

    return [
        Metric(
            name=grade_name(mode, criterion),
            higher_is_better=True,
            signature="judge|agg:mean",
            stats=graded_already,
            aggregate=ratio,
            bounds=(0.0, 1.0),
        )
        for mode, criterion in criteria
    ]


def count_grades(grades: Iterable[Grade]) -> dict[str, dict[str, int]]:
    """For each metric of grades how many grades have which status."""
    counts: dict[str, dict[str, int]] = {}
    for grade in grades:
        of = counts.setdefault(grade_name(grade.mode, grade.criterion), {})
        of[grade.status] = of.get(grade.status, 0) + 1
    return counts


def _without_asking(prediction: Prediction) -> tuple[float | None, str] | None:
    """Value and status of an answer that needs no judge, or `None`."""
    if prediction.status == "error":
        return None, "failed answer"
    return None if answer_text(prediction) else (0.0, "empty")
