"""Train, validation and test by whole groups: a source document is never in two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from tunesmith.errors import GateError
from tunesmith.records import SplitName, content_id

FEW_GROUPS, NEAR_ENOUGH = 8, 0.05
"""Of up to eight groups every assignment is looked at; those within 5 % of the rows of the nearest one are as good."""
ENOUGH_GROUPS, TEST_GROUPS = 5, 2
"""From five groups on the test set gets two: what holds in one document alone says nothing of others."""


def split_groups(
    groups: Iterable[str],
    *,
    test: float,
    validation: float,
    seed: int,
    strata: Mapping[str, str] | None = None,
) -> dict[str, SplitName]:
    """Assign each group to a split so that the shares of rows come as near as whole groups allow.

    The order of the groups is the order of their hashes with the seed, so it does not depend on the order of the rows,
    and a document added later moves few others. Few groups are large parts of the whole: of those all assignments are
    compared, and the seed decides between the nearest.

    Args:
        groups: the group of each row, one entry a row.
        test: share of the rows wanted for the test set, between 0 and 1; 0 for none.
        validation: share wanted for validation; 0 for none.
        seed: another seed, another split.
        strata: the stratum of each group; every part then gets its share of each, as near as whole groups allow.

    Raises:
        GateError: there are too few groups to hold any out.
    """
    sizes = Counter(groups)
    needed = 1 + (test > 0) + (validation > 0)
    if len(sizes) < needed:
        raise GateError(
            f"examples come from {len(sizes)} group(s), and a split needs at least {needed}",
            where="prepare.split",
            do="add documents, or set prepare.split.by=passage (then the verdict speaks of other passages of the same"
            " documents only), or prepare.split.validation=0",
        )
    order = stratified_order(sizes, strata or {}, seed)
    if len(sizes) <= FEW_GROUPS and not strata:
        return _nearest_of_all(order, sizes, {"test": test, "validation": validation}, seed)
    total = sum(sizes.values())
    splits: dict[str, SplitName] = {}
    parts: tuple[tuple[SplitName, float], ...] = (("test", test), ("validation", validation))
    remaining = order
    for position, (name, share) in enumerate(parts):
        if share <= 0:
            continue
        # Leave at least one group for each part that is still to come, and for train.
        still_needed = 1 + sum(1 for _, later in parts[position + 1 :] if later > 0)
        at_least = TEST_GROUPS if name == "test" and len(sizes) >= ENOUGH_GROUPS else 1
        taken = _nearest_prefix(remaining[: len(remaining) - still_needed], sizes, share * total, at_least)
        splits.update(dict.fromkeys(remaining[:taken], name))
        remaining = remaining[taken:]
    splits.update(dict.fromkeys(remaining, "train"))
    return splits


def _nearest_of_all(
    order: Sequence[str], sizes: Mapping[str, int], shares: Mapping[SplitName, float], seed: int
) -> dict[str, SplitName]:
    """Of all assignments that leave no part empty one whose parts come nearest to their shares."""
    total = sum(sizes.values())
    wanted: dict[SplitName, float] = {name: share * total for name, share in shares.items() if share > 0}
    parts: tuple[SplitName, ...] = ("train", *wanted)
    least = dict.fromkeys(parts, 1)
    if "test" in wanted and len(order) >= ENOUGH_GROUPS:
        least["test"] = min(TEST_GROUPS, len(order) - len(parts) + 1)
    found: list[tuple[float, tuple[SplitName, ...]]] = []
    for assigned in product(parts, repeat=len(order)):
        counts = Counter(assigned)
        if all(counts[name] >= n for name, n in least.items()):
            rows: Counter[SplitName] = Counter()
            for group, name in zip(order, assigned, strict=True):
                rows[name] += sizes[group]
            found.append((sum(abs(rows[name] - n) for name, n in wanted.items()), assigned))
    nearest = min(distance for distance, _ in found)
    good = [assigned for distance, assigned in found if distance <= nearest + NEAR_ENOUGH * total]
    chosen = min(good, key=lambda assigned: content_id(str(seed), *assigned))
    return dict(zip(order, chosen, strict=True))


def _nearest_prefix(order: list[str], sizes: Counter[str], wanted: float, at_least: int) -> int:
    """How many groups from the front come nearest to `wanted` rows."""
    best, best_distance, rows = at_least, float("inf"), 0
    for count, group in enumerate(order, start=1):
        rows += sizes[group]
        distance = abs(rows - wanted)
        if count >= at_least and distance < best_distance:
            best, best_distance = count, distance
    return best


def stratified_order(sizes: Mapping[str, int], strata: Mapping[str, str], seed: int) -> list[str]:
    """The names so ordered that any front part of the order holds its share of each stratum.

    Within a stratum the order is that of the hashes with the seed. A name stands at the middle of the rows it covers,
    as a share of the rows of its stratum; names of all strata are then merged by that share. Without strata this is the
    order of the hashes.

    Args:
        sizes: rows of each name.
        strata: stratum of each name; names that are not in it form one of their own.
    """
    shuffled = sorted(sizes, key=lambda name: content_id(str(seed), name))
    totals: Counter[str] = Counter()
    for name in shuffled:
        totals[strata.get(name, "")] += sizes[name]
    done: Counter[str] = Counter()
    places: dict[str, float] = {}
    for name in shuffled:
        stratum = strata.get(name, "")
        places[name] = (done[stratum] + sizes[name] / 2) / totals[stratum]
        done[stratum] += sizes[name]
    return sorted(shuffled, key=places.__getitem__)
