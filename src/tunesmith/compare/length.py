"""The win rate that would be left if both systems wrote equally long answers.

As in length-controlled AlpacaEval (Dubois et al. 2024, arXiv 2404.04475), but fitted on the items at hand: a binomial
GLM of the outcome (0, ½, 1) on an intercept and tanh(length difference / its standard deviation); the rate is the
inverse logit of the intercept, the fitted rate at no difference. Where the outcomes are separated by length, maximum
likelihood has no finite answer, and Firth's penalty (1993; Heinze and Schemper 2002) takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.compare.resample import Quantity, estimate
from tunesmith.compare.verdict import interval

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]

ITERATIONS = 60
TOLERANCE = 1e-10
FARTHEST = 15.0
"""Logits beyond which a coefficient is taken to run off to infinity."""


@dataclass(frozen=True)
class LengthControlled:
    value: float | None
    low: float | None
    high: float | None
    slope: float | None
    """Logits from no difference to a much longer answer: above 0 when longer answers win more often."""
    notes: tuple[str, ...]


def length_controlled(
    outcomes: Array,
    differences: Array,
    clusters: NDArray[numpy.intp],
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> LengthControlled:
    """Win rate at equal length, with its interval from resampled clusters.

    Args:
        outcomes: (n,) 1 won, ½ tied, 0 lost.
        differences: (n,) length of the tuned answer minus that of the base answer.
        clusters: (n,) number of each item's source, from 0.
        confidence: of the interval.
        draws: resamples.
        seed: of the resampling.
    """
    import numpy

    if not len(outcomes):
        return LengthControlled(None, None, None, None, ("there are no items",))
    spread = float(differences.std())
    if spread == 0 and differences[0] != 0:
        note = "all answers differ in length by the same amount, so that length cannot be told apart from quality"
        return LengthControlled(None, None, None, None, (note,))
    measure = numpy.tanh(differences / spread) if spread else numpy.zeros(len(differences))
    n_clusters = int(clusters.max()) + 1

    def rate(cluster_weights: Array) -> Array:
        rows = cluster_weights[..., clusters]
        intercept = fit(outcomes, measure, rows.reshape(-1, len(outcomes)))[0][:, 0]
        return numpy.asarray(1 / (1 + numpy.exp(-intercept))).reshape(cluster_weights.shape[:-1])

    # the sum of drawn rows of the identity is how often each cluster was drawn: the weights of the fit
    sizes = numpy.bincount(clusters, minlength=n_clusters).astype(float)
    (found,) = estimate([Quantity(numpy.eye(n_clusters), sizes, rate)], draws=draws, seed=seed)
    coefficients, is_penalised = fit(outcomes, measure, numpy.ones((1, len(outcomes))))
    span = interval(found, confidence, (0.0, 1.0))
    notes = []
    if bool(is_penalised[0]):
        notes.append(
            "length separates wins from losses (almost) without exception; fitted with Firth's penalty"
        )
    if (differences > 0).all() or (differences < 0).all():
        longer = "tuned" if differences[0] > 0 else "base"
        notes.append(f"{longer} is longer in every item, so the rate at equal length is an extrapolation")
    low, high = span or (None, None)
    return LengthControlled(found.value, low, high, float(coefficients[0, 1]), tuple(notes))


def fit(outcomes: Array, measure: Array, weights: Array) -> tuple[Array, NDArray[numpy.bool_]]:
    """Intercept and slope (b, 2) of the binomial GLM under each row of item weights (b, n), and which are penalised.

    Without any spread of the measure under the weights the slope is 0 and the intercept the logit of the mean.
    """
    import numpy

    found = _newton(outcomes, measure, weights, is_penalised=False)
    runs_off: NDArray[numpy.bool_] = numpy.asarray(~(numpy.abs(found) < FARTHEST).all(axis=1))
    if runs_off.any():
        found[runs_off] = _newton(outcomes, measure, weights[runs_off], is_penalised=True)
    return found, runs_off


def _newton(outcomes: Array, measure: Array, weights: Array, *, is_penalised: bool) -> Array:
    """Newton's method on all rows at once; NaN or far-off values where it does not converge."""
    import numpy

    found = numpy.zeros((len(weights), 2))
    with numpy.errstate(all="ignore"):
        for _ in range(ITERATIONS):
            chance = 1 / (1 + numpy.exp(-(found[:, :1] + found[:, 1:] * measure)))
            spread = weights * chance * (1 - chance)
            # information matrix [[a, b], [b, c]]
            a, b, c = spread.sum(1), spread @ measure, spread @ measure**2
            determinant = a * c - b * b
            residual = outcomes - chance
            is_flat = determinant <= 1e-12 * numpy.maximum(a * c, 1e-300)
            determinant = numpy.where(is_flat, 1.0, determinant)
            if is_penalised:
                hat = chance * (1 - chance) * _leverage(a, b, c, determinant, is_flat, measure)
                residual = residual + hat * (0.5 - chance)
            pull = weights * residual
            first, second = pull.sum(1), pull @ measure
            step = numpy.stack(
                [
                    numpy.where(is_flat, first / a, (c * first - b * second) / determinant),
                    numpy.where(is_flat, 0.0, (a * second - b * first) / determinant),
                ],
                axis=1,
            )
            step = numpy.clip(step, -5.0, 5.0)
            found = found + step
            done = ~(numpy.abs(step) > TOLERANCE).any(axis=1) | (numpy.abs(found) > 2 * FARTHEST).any(axis=1)
            if done.all():
                break
    return found


def _leverage(
    a: Array, b: Array, c: Array, determinant: Array, is_flat: NDArray[numpy.bool_], measure: Array
) -> Array:
    """x' I⁻¹ x of each item (b, n), for the information matrix [[a, b], [b, c]] of each row."""
    import numpy

    full = (c[:, None] - 2 * b[:, None] * measure + a[:, None] * measure**2) / determinant[:, None]
    return numpy.where(is_flat[:, None], 1 / a[:, None], full)
