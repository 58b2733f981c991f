"""The judge that needs no model: the answer closer to the reference wins, unless both are about as close.

It is no judge of quality. It measures likeness to the reference, by a metric that also stands in the metric table, and
is named for that wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tunesmith.records import JudgedAs, Judgement, Prediction
from tunesmith.score.judging.pairs import Pair, need_references
from tunesmith.score.judging.pairwise import judge_locally
from tunesmith.score.metric import Metric


@dataclass(frozen=True)
class SimilarityJudge:
    """Likeness to the reference by a metric, with a tie band.

    Args:
        metric: one with a value for each item, such as `token_f1` or `cosine`.
        tie_band: answers whose values differ by no more than this tie.
    """

    metric: Metric
    tie_band: float
    name: str = field(init=False)

    def __post_init__(self) -> None:
        label = f"similarity to the reference ({self.metric.name}, tie within {self.tie_band:g})"
        object.__setattr__(self, "name", label)

    def judge(self, pairs: Sequence[Pair], *, control: str = "") -> Iterator[Judgement]:
        """One judgement for each pair. Raises `InputError` when a pair has no reference."""
        need_references(pairs, "the built-in judge")
        base = self._values([pair.base for pair in pairs])
        tuned = self._values([pair.tuned for pair in pairs])
        values = {id(pair): both for pair, *both in zip(pairs, base, tuned, strict=True)}

        def decide(pair: Pair) -> tuple[JudgedAs, str]:
            before, after = values[id(pair)]
            reason = f"tuned {after:.3f}, base {before:.3f}"
            # rounding must not decide whether a difference equal to the band is within it
            if abs(after - before) <= self.tie_band + 1e-12:
                return "tie", reason
            return ("win" if after > before else "loss"), reason

        return judge_locally(pairs, self.name, decide, control=control)

    def _values(self, predictions: Sequence[Prediction]) -> list[float]:
        """The metric of each answer alone; a failed answer counts as empty here and is settled before it is used."""
        import numpy

        texts = [replace(one, text=one.text or "") for one in predictions]
        statistics = [stats for stats in self.metric.stats(texts) if stats is not None]
        if len(statistics) != len(texts):
            raise ValueError(f"{self.metric.name} cannot measure every answer, so it cannot judge")
        if not statistics:
            return []
        return [float(value) for value in self.metric.item_values(numpy.array(statistics, dtype=float))]
