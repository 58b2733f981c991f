"""Combinations of levels, and which of them are allowed."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from tunesmith.errors import InputError

Cell = dict[str, str | None]
"""A level for each attribute; `None` where the attribute is not there beside the others."""
Pair = frozenset[tuple[str, str]]
"""Two attributes with a level each."""
CellKey = tuple[str | None, ...]
TRIES_PER_DRAW = 2_000
"""After so many combinations in a row that are forbidden or drawn already, drawing is given up."""


def key_of(cell: Cell) -> CellKey:
    """The levels alone, in the order of the attributes: what tells cells of one grid apart."""
    return tuple(cell.values())


@dataclass(frozen=True, slots=True)
class Level:
    name: str
    allows: Mapping[str, frozenset[str]]
    """For other attributes: the only levels that go with this one."""


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    levels: tuple[Level, ...]
    when: Mapping[str, frozenset[str]]
    """The attribute is there where each of these attributes has one of these levels, and else it is absent."""


@dataclass(frozen=True)
class Grid:
    attributes: tuple[Attribute, ...]
    forbidden: Sequence[Mapping[str, frozenset[str]]] = ()
    """Combinations that must not occur."""

    @cached_property
    def _levels(self) -> dict[tuple[str, str], Level]:
        return {(one.name, level.name): level for one in self.attributes for level in one.levels}

    @cached_property
    def domains(self) -> dict[str, tuple[str | None, ...]]:
        """What each attribute can be, `None` for absent included."""
        return {
            one.name: (*(level.name for level in one.levels), *((None,) if one.when else ()))
            for one in self.attributes
        }

    @cached_property
    def _conditions(self) -> tuple[Attribute, ...]:
        return tuple(one for one in self.attributes if one.when)

    def allows(self, cell: Mapping[str, str | None]) -> bool:
        """Whether no rule is broken by the attributes chosen so far."""
        for name, level in cell.items():
            if level is None:
                continue
            for other, levels in self._levels[name, level].allows.items():
                # An attribute that is absent has no level to disagree with.
                if cell.get(other) is not None and cell[other] not in levels:
                    return False
        for combination in self.forbidden:
            if all(name in cell and cell[name] in levels for name, levels in combination.items()):
                return False
        return all(self._condition_holds(one, cell) for one in self._conditions if one.name in cell)

    @staticmethod
    def _condition_holds(attribute: Attribute, cell: Mapping[str, str | None]) -> bool:
        known = [cell[name] in levels for name, levels in attribute.when.items() if name in cell]
        if cell[attribute.name] is not None:
            return all(known)
        # Absent: right as soon as one condition fails, and wrong only when all are known to hold.
        return len(known) < len(attribute.when) or not all(known)

    @cached_property
    def _order(self) -> tuple[str, ...]:
        """Attributes with few levels first: a dead end shows early."""
        return tuple(sorted(self.domains, key=lambda name: len(self.domains[name])))

    def completes(self, cell: Cell) -> bool:
        """Whether the attributes chosen so far are part of an allowed combination."""
        return next(self._extend(dict(cell), self._order), None) is not None

    def _extend(self, cell: Cell, order: Sequence[str]) -> Iterator[Cell]:
        if not self.allows(cell):
            return
        free = next((name for name in order if name not in cell), None)
        if free is None:
            yield {name: cell[name] for name in self.domains}
            return
        for level in self.domains[free]:
            yield from self._extend({**cell, free: level}, order)

    def cells(self, most: int) -> list[Cell] | None:
        """Every allowed combination, or `None` where there are more than `most`."""
        found: list[Cell] = []
        for cell in self._extend({}, tuple(self.domains)):
            if len(found) == most:
                return None
            found.append(cell)
        return found

    def pairs(self) -> frozenset[Pair]:
        """Every two levels of two attributes that occur together in some allowed combination."""
        return frozenset(
            frozenset({(first, one), (second, other)})
            for first, second in combinations(self.domains, 2)
            for one in self.domains[first]
            for other in self.domains[second]
            if one is not None and other is not None and self.completes({first: one, second: other})
        )

    @staticmethod
    def pairs_of(cell: Cell) -> Iterator[Pair]:
        present = [(name, level) for name, level in cell.items() if level is not None]
        return (frozenset(pair) for pair in combinations(present, 2))

    def draw(self, generator: random.Random, seen: Container[CellKey]) -> Cell:
        """One allowed combination that is not among `seen`, each as likely as any other.

        Raises:
            InputError: so few are left that drawing does not find one.
        """
        for _ in range(TRIES_PER_DRAW):
            cell: Cell = {name: generator.choice(levels) for name, levels in self.domains.items()}
            if key_of(cell) not in seen and self.allows(cell):
                return cell
        raise InputError(
            f"in {TRIES_PER_DRAW:,} draws no further scenario was found among the allowed combinations",
            where="read.scenarios.size",
            do="ask for fewer, or allow more combinations",
        )
