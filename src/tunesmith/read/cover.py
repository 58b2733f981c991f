"""Few combinations that show every pair of levels, and more of them so that all levels stay about equally frequent.

The cover is greedy, one combination at a time, as in AETG (Cohen et al. 1997, "The AETG System"): several candidates
are built round pairs that were not seen yet, and the one that shows most of them is taken.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import prod

from tunesmith.read.grid import Cell, Grid, Pair, key_of

Part = frozenset[tuple[str, str | None]]
CANDIDATES = 10
"""Combinations to choose the next one from."""


def pairwise_cover(
    grid: Grid, pairs: frozenset[Pair], generator: random.Random, *, most: int | None = None
) -> list[Cell]:
    """Allowed combinations in which every pair of `pairs` occurs; cut after `most` of them.

    Args:
        grid: the attributes and rules.
        pairs: those to show, each of which some allowed combination has.
        generator: decides between equals.
        most: an end before all pairs are shown; `None` for none.
    """
    # Sorted, because the order of a set of texts differs from process to process.
    left = dict.fromkeys(sorted(pairs, key=sorted))
    cover: list[Cell] = []
    while left and (most is None or len(cover) < most):
        n_left = Counter(name for pair in left for name, _ in pair)
        candidates = [_build(grid, left, n_left, generator) for _ in range(CANDIDATES)]
        best = max(candidates, key=lambda cell: sum(pair in left for pair in grid.pairs_of(cell)))
        for pair in grid.pairs_of(best):
            left.pop(pair, None)
        cover.append(best)
    if not cover:  # one attribute has no pairs: each level once
        (only,) = grid.domains
        cover = [{only: level} for level in grid.domains[only]][:most]
    return cover


def _build(grid: Grid, left: dict[Pair, None], n_left: Counter[str], generator: random.Random) -> Cell:
    """A combination round a pair that is still to be shown, each further level chosen for the new pairs it brings."""
    # The first pairs of the sorted rest belong to few attributes: one by chance spreads over all.
    cell: Cell = dict(generator.choice(list(left)))
    rest = [name for name in grid.domains if name not in cell]
    generator.shuffle(rest)
    rest.sort(key=lambda name: -n_left[name])
    for name in rest:
        levels = list(grid.domains[name])
        generator.shuffle(levels)
        present = [item for item in cell.items() if item[1] is not None]
        gains = {
            level: sum(frozenset({(name, level), other}) in left for other in present)
            if level is not None
            else -1
            for level in levels
        }
        for level in sorted(levels, key=lambda level: -gains[level]):
            if grid.completes({**cell, name: level}):
                cell[name] = level
                break
    return {name: cell[name] for name in grid.domains}


def balanced_fill(
    grid: Grid, chosen: Sequence[Cell], size: int, generator: random.Random, cells: Sequence[Cell] | None
) -> list[Cell]:
    """`chosen` and further combinations up to `size`, each taken because its levels and pairs were rare so far.

    Args:
        grid: the attributes and rules.
        chosen: those to begin with.
        size: how many are wanted in all.
        generator: draws the candidates.
        cells: every allowed combination, where they can be listed; `None` to draw from the grid.
    """
    result = list(chosen[:size])
    seen = {key_of(cell) for cell in result}
    unseen = None if cells is None else [cell for cell in cells if key_of(cell) not in seen]
    counts: Counter[Part] = Counter(part for cell in result for part in _parts(grid, cell))
    while len(result) < size:
        if unseen is None:
            candidates = [grid.draw(generator, seen) for _ in range(CANDIDATES)]
        else:
            # The last ones of the list are drawn at random, so that the one taken leaves it without a search.
            for place in range(1, min(CANDIDATES, len(unseen)) + 1):
                other = generator.randrange(len(unseen) - place + 1)
                unseen[-place], unseen[other] = unseen[other], unseen[-place]
            candidates = unseen[-CANDIDATES:]
        best = min(range(len(candidates)), key=lambda place: _crowding(grid, candidates[place], counts))
        result.append(candidates[best])
        seen.add(key_of(candidates[best]))
        counts.update(_parts(grid, candidates[best]))
        if unseen is not None:
            del unseen[best - len(candidates)]
    return result


def _parts(grid: Grid, cell: Cell) -> list[Part]:
    """The levels of a combination, and their pairs."""
    levels = [frozenset({item}) for item in cell.items() if item[1] is not None]
    return [*levels, *grid.pairs_of(cell)]


def _crowding(grid: Grid, cell: Cell, counts: Counter[Part]) -> int:
    """How often the parts of a combination were there before, each against the number of its alternatives."""
    return sum(
        counts[part] * prod(len(grid.domains[name]) for name, _ in part) for part in _parts(grid, cell)
    )
