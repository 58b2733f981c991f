"""Wins, losses and ties out of verdicts of a judge or people: rates, ratio, intervals, and what was not understood.

Unparsed verdicts are never dropped unseen: they are counted, listed, and the win rate is also given as if they had all
gone one way or the other. Intervals: Wilson for the share of decided items; resampling of sources for the net win rate
and the ratio; the test is the exact sign test, or, where items share sources, the clustered one of `compare.resample`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.compare.labels import TIE_LABELS, Outcome, clean_label, parse_label
from tunesmith.compare.resample import Estimate, Quantity, cluster_sums, estimate
from tunesmith.compare.verdict import interval, p_value
from tunesmith.errors import InputError
from tunesmith.tables import TableRow, read_table

DRAWS = 10_000
SEED = 20


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """One verdict of one judge on one item, from the tuned system's side."""

    id: str
    source_id: str
    outcome: Outcome | None
    """`None` when the verdict could not be understood."""
    text: str
    """What the judge wrote."""


def read_verdicts(
    path: Path,
    *,
    base_label: str,
    tuned_label: str,
    column: str = "verdict",
    tie_labels: Sequence[str] = TIE_LABELS,
) -> list[JudgedItem]:
    """The verdicts of a table; rows without an `id` are numbered, rows without `source_id` are their own source.

    Raises:
        InputError: the file or column is not there, a label is empty, two labels are the same, or an id occurs twice.
    """
    labels = _labels(base_label, tuned_label, tie_labels)
    items, seen = [], dict[str, str]()
    for number, row in enumerate(read_table(path), start=1):
        if column not in row.values:
            raise InputError(
                f"there is no column {column!r}; there are: {', '.join(map(str, row.values))}",
                where=row.where,
                do="name the verdicts' column with --column",
            )
        item = _judged(row, str(number), column, labels)
        if item.id in seen:
            raise InputError(
                f"id {item.id} was there before ({seen[item.id]})",
                where=row.where,
                do="keep one verdict per item",
            )
        seen[item.id] = row.where
        items.append(item)
    if not items:
        raise InputError("there are no verdicts in this file", where=str(path), do="check the file")
    return items


def _judged(row: TableRow, number: str, column: str, labels: Mapping[Outcome, Sequence[str]]) -> JudgedItem:
    id = row.text("id") or number
    text = row.text(column) or ""
    return JudgedItem(id, row.text("source_id") or id, parse_label(text, labels), text)


def _labels(base_label: str, tuned_label: str, tie_labels: Sequence[str]) -> dict[Outcome, Sequence[str]]:
    sides = {"--base-label": clean_label(base_label), "--tuned-label": clean_label(tuned_label)}
    for option, label in sides.items():
        if not label:
            raise InputError(
                "the label has no letter or digit", where=option, do="give the text that the judge writes"
            )
    if len(set(sides.values())) == 1:
        raise InputError(
            "both labels are the same", where="--base-label, --tuned-label", do="give two different texts"
        )
    ties = [label for label in tie_labels if clean_label(label) not in sides.values()]
    return {"lost": [base_label], "won": [tuned_label], "tied": ties}


def tally(
    items: Iterable[JudgedItem], *, confidence: float = 0.95, draws: int = DRAWS, seed: int = SEED
) -> dict[str, Any]:
    """Counts, rates and intervals, of JSON types only.

    Returns:
        `n`, `clusters`, `wins`, `losses`, `ties`, `unparsed`, `unparsed_texts` {text: count};
        `win_rate` {value, low, high}: wins among decided items, Wilson's interval;
        `net_win_rate` {value, low, high}: wins and half of the ties among parsed items, sources resampled;
        `net_win_rate_if_unparsed` {half, won, lost}: over all items, unparsed ones counted that way;
        `ratio` {value, low, high, adjusted}: wins over losses; adjusted: half a win and half a loss were added
        because there was no loss (or no win), `high` is null where there is no upper bound;
        `p`, `verdict` and `words`. A number that cannot be had is null.
    """
    items = sorted(items, key=lambda item: (item.source_id, item.id))
    counts = Counter(item.outcome or "unparsed" for item in items)
    wins, losses, ties, unparsed = (counts[name] for name in ("won", "lost", "tied", "unparsed"))
    parsed = [item for item in items if item.outcome is not None]
    found: dict[str, Any] = {
        "n": len(items),
        "clusters": len({item.source_id for item in items}),
        "wins": wins,
        "losses": losses,
        "ties": ties,
        "unparsed": unparsed,
        "unparsed_texts": dict(Counter(item.text for item in items if item.outcome is None).most_common()),
        "win_rate": wilson(wins, wins + losses, confidence),
        "net_win_rate_if_unparsed": {
            name: (wins + ties / 2 + share * unparsed) / len(items) if items else None
            for name, share in (("half", 0.5), ("won", 1.0), ("lost", 0.0))
        },
    }
    net, ratio = _resampled(parsed, draws=draws, seed=seed) if parsed else (None, None)
    found["net_win_rate"] = _net_rate(net, confidence)
    found["ratio"] = _ratio(wins, losses, ratio, confidence)
    found["p"] = _p_value(wins, losses, parsed, net, draws)
    found["verdict"] = _verdict(found, 1 - confidence)
    found["words"] = _words(found, confidence)
    return found


def wilson(successes: int, n: int, confidence: float = 0.95) -> dict[str, float | None]:
    """Share of successes with Wilson's score interval (1927); all null when n is 0."""
    from scipy.stats import norm

    if n == 0:
        return {"value": None, "low": None, "high": None}
    z = float(norm.ppf((1 + confidence) / 2))
    share, shrink = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else middle - half
    return {"value": share, "low": low, "high": 1.0 if successes == n else middle + half}


def mcnemar(first: Iterable[JudgedItem], second: Iterable[JudgedItem]) -> dict[str, Any]:
    """Whether tuned wins more often in the first set of verdicts than in the second, item by item: exact McNemar test.

    Returns:
        `n` items understood in both and `left_out` the others; of the `n`, those that tuned won in `both`, in the
        `first_only`, in the `second_only`, in `neither`; `p`.

    Raises:
        InputError: the two sets are not about the same items.
    """
    from scipy.stats import binomtest

    one, other = ({item.id: item.outcome for item in items} for items in (first, second))
    if one.keys() != other.keys():
        odd = sorted(one.keys() ^ other.keys())
        raise InputError(
            f"{len(odd)} items are in one file only: {', '.join(odd[:5])}",
            do="compare verdicts on the same items",
        )
    pairs = [
        (one[id] == "won", other[id] == "won") for id in one if one[id] is not None and other[id] is not None
    ]
    counts = Counter(pairs)
    b, c = counts[True, False], counts[False, True]
    return {
        "n": len(pairs),
        "left_out": len(one) - len(pairs),
        "both": counts[True, True],
        "first_only": b,
        "second_only": c,
        "neither": counts[False, False],
        "p": float(binomtest(b, b + c).pvalue) if b + c else 1.0,
    }


def _resampled(items: Sequence[JudgedItem], *, draws: int, seed: int) -> tuple[Estimate, Estimate]:
    """Net win rate minus one half, and the logarithm of wins over losses, with sources drawn anew."""
    import numpy

    names = sorted({item.source_id for item in items})
    number = {name: index for index, name in enumerate(names)}
    # of one source only, the items are what can be resampled
    one_source = len(names) == 1
    clusters = numpy.array(
        [index if one_source else number[item.source_id] for index, item in enumerate(items)]
    )
    n_clusters = len(items) if one_source else len(names)
    rows = numpy.array([[item.outcome == "won", item.outcome == "lost", 1.0] for item in items], dtype=float)
    sums = cluster_sums(rows, clusters, n_clusters)
    sizes = numpy.bincount(clusters, minlength=n_clusters).astype(float)

    def log_ratio(sums: Any) -> Any:
        # half a win and half a loss keep draws without any loss finite (Haldane and Anscombe 1956)
        return numpy.log((sums[..., 0] + 0.5) / (sums[..., 1] + 0.5))

    net = Quantity(sums, sizes, lambda sums: (sums[..., 0] - sums[..., 1]) / (2 * sums[..., 2]))
    first, second = estimate([net, Quantity(sums, sizes, log_ratio)], draws=draws, seed=seed)
    return first, second


def _net_rate(net: Estimate | None, confidence: float) -> dict[str, float | None]:
    if net is None:
        return {"value": None, "low": None, "high": None}
    span = interval(net, confidence, (-0.5, 0.5))
    return {
        "value": net.value + 0.5,
        "low": span[0] + 0.5 if span else None,
        "high": span[1] + 0.5 if span else None,
    }


def _ratio(
    wins: int, losses: int, found: Estimate | None, confidence: float
) -> dict[str, float | bool | None]:
    if found is None or wins + losses == 0:
        return {"value": None, "low": None, "high": None, "adjusted": False}
    adjusted = not (wins and losses)
    span = interval(found, confidence)
    # the interval is that of the adjusted logarithm, moved to the value shown
    value = (wins + 0.5) / (losses + 0.5) if adjusted else wins / losses
    if span is None:
        return {"value": value, "adjusted": adjusted} | _odds(wins, losses, found.n_clusters, confidence)
    low, high = (value * math.exp(bound - found.value) for bound in span)
    return {"value": value, "low": low, "high": high, "adjusted": adjusted}


def _odds(wins: int, losses: int, n_sources: int, confidence: float) -> dict[str, float | None]:
    """An interval for wins over losses where no source differs from another, so that resampling shows no spread.

    The exact binomial interval of the share of wins with one observation per source where all were won or all lost
    (Clopper and Pearson 1934), else Wilson's over items; then p / (1 - p). `None` for no bound.
    """
    if wins and losses:
        share = wilson(wins, wins + losses, confidence)
        low, high = share["low"], share["high"]
    else:
        least = ((1 - confidence) / 2) ** (1 / n_sources)
        low, high = (least, 1.0) if wins else (0.0, 1 - least)
    assert low is not None
    assert high is not None
    return {"low": low / (1 - low), "high": None if high == 1.0 else high / (1 - high)}


def _p_value(
    wins: int, losses: int, parsed: Sequence[JudgedItem], net: Estimate | None, draws: int
) -> float | None:
    from scipy.stats import binomtest

    if wins + losses == 0:
        return 1.0 if parsed else None
    sources = len({item.source_id for item in parsed})
    if net is not None and 1 < sources < len(parsed):
        return p_value(net, draws=draws)
    return float(binomtest(wins, wins + losses).pvalue)


def _verdict(found: Mapping[str, Any], alpha: float) -> str:
    if found["p"] is None or found["unparsed"] > 0.05 * found["n"]:
        return "invalid"
    if found["p"] >= alpha or found["wins"] == found["losses"]:
        return "no evidence"
    return "better" if found["wins"] > found["losses"] else "worse"


def _words(found: Mapping[str, Any], confidence: float) -> str:
    counts = f"{found['wins']} won, {found['losses']} lost, {found['ties']} tied, {found['unparsed']} not understood"
    if found["verdict"] == "invalid":
        return f"No verdict: {found['unparsed']} of {found['n']} verdicts could not be understood ({counts})."
    net = found["net_win_rate"]
    span = "" if net["low"] is None else f" ({confidence:.0%} interval {net['low']:.1%} to {net['high']:.1%})"
    rate = f"net win rate {net['value']:.1%}{span}, {counts}"
    if found["verdict"] == "no evidence":
        return f"No evidence that tuned is preferred or not: {rate}."
    return f"Tuned is judged {found['verdict']} than base: {rate}."
