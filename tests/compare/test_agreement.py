"""Agreement of raters: against scikit-learn, the package krippendorff, and published examples."""

from __future__ import annotations

import random

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tunesmith.compare.agreement import RatedItem, agreement, alpha

GRADES = ("0", "0.5", "1")


def items_of(*rows: tuple[str | None, ...], per_source: int = 1) -> list[RatedItem]:
    """One item a row; each place is a rater, `None` where that one did not rate."""
    return [
        RatedItem(f"s{n // per_source}", {f"r{i}": said for i, said in enumerate(row) if said is not None})
        for n, row in enumerate(rows)
    ]


def drawn(n: int, raters: int, seed: int, missing: float = 0.0) -> list[tuple[str | None, ...]]:
    """Raters who see the same truth and err now and then."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        truth = rng.randrange(3)
        said = [truth if rng.random() < 0.7 else rng.randrange(3) for _ in range(raters)]
        rows.append(tuple(None if rng.random() < missing else GRADES[one] for one in said))
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_scikit_learns(seed: int) -> None:
    rows = drawn(40, 2, seed)
    found = agreement(items_of(*rows), "r0", "r1", GRADES, is_ordinal=True, draws=200)
    first, second = zip(*rows, strict=True)
    assert found["kappa"]["value"] == pytest.approx(cohen_kappa_score(first, second, labels=GRADES), abs=1e-9)
    weighted = cohen_kappa_score(first, second, labels=GRADES, weights="linear")
    assert found["weighted_kappa"]["value"] == pytest.approx(weighted, abs=1e-9)
    assert found["share"]["value"] == np.mean([one == other for one, other in rows])
    assert found["table"]["0"]["1"] == rows.count(("0", "1"))


@pytest.mark.parametrize("is_ordinal", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_equals_the_package_krippendorff(seed: int, is_ordinal: bool) -> None:
    rows = drawn(30, 4, seed, missing=0.3)
    found = alpha(items_of(*rows), GRADES, is_ordinal=is_ordinal, draws=200)
    data = [[np.nan if row[r] is None else float(row[r] or 0) for row in rows] for r in range(4)]
    expected = krippendorff.alpha(
        reliability_data=data,
        value_domain=[0.0, 0.5, 1.0],
        level_of_measurement="ordinal" if is_ordinal else "nominal",
    )
    assert found["value"] == pytest.approx(expected, abs=1e-9)
    assert found["n"] == sum(sum(one is not None for one in row) > 1 for row in rows)


def test_kappa_by_hand() -> None:
    """By hand: the share is .8, by chance it would be .5 · .5 + .5 · .5 = .5, so kappa is .3 / .5 = .6."""
    rows = [("won", "won")] * 40 + [("won", "lost")] * 10 + [("lost", "won")] * 10 + [("lost", "lost")] * 40
    found = agreement(items_of(*rows), "r0", "r1", ("lost", "tied", "won"), draws=200)
    assert found["n"] == 100
    assert found["share"]["value"] == 0.8
    assert found["kappa"]["value"] == pytest.approx(0.6)
    assert found["share"]["low"] < 0.8 < found["share"]["high"]


def test_the_share_has_the_interval_of_a_mean() -> None:
    """With every item its own source it is about 1.98 · sqrt(p q / (n - 1)), the t interval of a mean."""
    rows = [("1", "1")] * 80 + [("1", "0")] * 20
    found = agreement(items_of(*rows), "r0", "r1", GRADES, draws=5_000)
    assert found["share"]["high"] - 0.8 == pytest.approx(1.984 * (0.8 * 0.2 / 99) ** 0.5, rel=0.05)


def test_sources_widen_the_interval() -> None:
    rows = [("1", "1")] * 30 + [("1", "0")] * 10
    alone = agreement(items_of(*rows), "r0", "r1", GRADES, draws=2_000)["share"]
    together = agreement(items_of(*rows, per_source=5), "r0", "r1", GRADES, draws=2_000)["share"]
    assert together["high"] - together["low"] > alone["high"] - alone["low"]


def test_what_cannot_be_had_is_null() -> None:
    same = agreement(items_of(*[("1", "1")] * 5), "r0", "r1", GRADES, draws=100)
    assert same["share"]["value"] == 1.0
    assert same["kappa"] == {"value": None, "low": None, "high": None}
    nobody = agreement([], "r0", "r1", GRADES, draws=100)
    assert (nobody["n"], nobody["share"]["value"]) == (0, None)
    assert alpha(items_of(("1", None), ("0", None)), GRADES)["value"] is None
