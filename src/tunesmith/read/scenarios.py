"""A grid of scenarios in place of documents: attributes with levels, what goes together, and which cells are written.

read:
  scenarios:
    attributes:
      product: [kettle, lamp]
      type:
        launch: {length: short, criteria: [Names one benefit.]}
        guide:  {length: long}
      length: [short, long]
    forbidden: [{product: lamp, type: guide}]
    instruction: "Write a {{ length }} {{ type }} post about the {{ product }}."
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from tunesmith.errors import InputError
from tunesmith.options import Options
from tunesmith.read.cover import balanced_fill, pairwise_cover
from tunesmith.read.grid import Attribute, Cell, CellKey, Grid, Level, Pair, key_of
from tunesmith.records import Scenario, content_id
from tunesmith.templates import Template, open_template

MOST_COUNTED = 200_000
"""Grids up to this many allowed cells are written out whole; of larger ones cells are drawn."""
_RESERVED = {"criteria", "text", "variant"}


class LevelOptions(Options):
    """One level of an attribute. Every other key is an attribute, and what it may be beside this level."""

    model_config = ConfigDict(frozen=True, extra="allow")

    text: str = Field("", description="what the teacher is told of this level besides its name")
    criteria: tuple[str, ...] = Field((), description="what a text of this level has to keep to")

    @property
    def allows(self) -> dict[str, frozenset[str]]:
        return {name: _levels(value) for name, value in (self.model_extra or {}).items()}


class AttributeOptions(Options):
    levels: dict[str, LevelOptions] = Field(
        description="the levels, each with what belongs to it", min_length=1
    )
    when: dict[str, tuple[str, ...]] = Field(
        {}, description="levels of other attributes beside which this one is there at all"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_forms(cls, value: Any) -> Any:
        """`[a, b]`, `{a: {…}, b: {…}}`, or both of them under `levels` with `when` beside it."""
        if isinstance(value, list | tuple):
            return {"levels": _named(value)}
        if isinstance(value, dict) and "levels" not in value:
            return {"levels": _named(value)}
        if isinstance(value, dict):
            when = value.get("when") or {}
            if isinstance(when, dict):
                when = {name: sorted(_levels(one)) for name, one in when.items()}
            return {**value, "levels": _named(value["levels"]), "when": when}
        return value


class ScenarioOptions(Options):
    attributes: dict[str, AttributeOptions] = Field(
        description="what varies, each with its levels: a list, or a mapping of level to {criteria, text, "
        "OTHER_ATTRIBUTE: its levels}",
        min_length=1,
    )
    criteria: tuple[str, ...] = Field((), description="what every text has to keep to")
    forbidden: tuple[dict[str, str | tuple[str, ...]], ...] = Field(
        (), description="combinations that must not occur, each as {attribute: level or levels, …}"
    )
    design: Literal["full", "sample", "pairwise"] = Field(
        "pairwise",
        description="full: every allowed combination; sample: drawn by chance; pairwise: every pair of levels first, "
        "then filled up evenly",
    )
    size: int | None = Field(
        None,
        ge=1,
        description="how many scenarios; null: all of a full product, or as many as the pairs take",
    )
    variants: int = Field(1, ge=1, description="texts for each scenario")
    seed: int = Field(0, description="another seed, another choice and order")
    source: tuple[str, ...] = Field(
        (),
        description="attributes whose levels are held out together, as a document is; empty: each scenario by itself",
    )
    instruction: str = Field(
        description="the short prompt the student learns from, a Jinja text with the attributes"
    )

    @field_validator("source", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> ScenarioOptions:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        for name, attribute in self.attributes.items():
            if not name.isidentifier():
                yield f"attributes.{name}: a name is letters, digits and _, so that prompts can use it"
            elif name in _RESERVED:
                yield f"attributes.{name}: this name has a meaning of its own; take another"
            for level, options in attribute.levels.items():
                yield from self._unknown(options.allows, f"attributes.{name}.{level}", itself=name)
            yield from self._unknown(
                {other: frozenset(levels) for other, levels in attribute.when.items()},
                f"attributes.{name}.when",
                itself=name,
            )
        for place, combination in enumerate(self.forbidden):
            if not combination:
                yield f"forbidden[{place}] is empty"
            yield from self._unknown(
                {name: _levels(value) for name, value in combination.items()}, f"forbidden[{place}]"
            )
        for name in self.source:
            if name not in self.attributes:
                yield f"source: {name!r} is no attribute; there are {', '.join(self.attributes)}"
        if self.design == "sample" and self.size is None:
            yield "design: sample needs a size"

    def _unknown(self, levels: Mapping[str, frozenset[str]], where: str, itself: str = "") -> Iterator[str]:
        for name, asked in levels.items():
            if name == itself:
                yield f"{where}: {name} cannot depend on itself"
            elif name not in self.attributes:
                yield f"{where}: {name!r} is no attribute; there are {', '.join(self.attributes)}, criteria, text"
            else:
                strange = sorted(asked - set(self.attributes[name].levels))
                if strange:
                    known = ", ".join(self.attributes[name].levels)
                    yield f"{where}: {name} has no level {', '.join(map(repr, strange))}; there are {known}"


def _named(levels: Any) -> Any:
    """Levels as a mapping, whatever way they were listed; YAML's numbers and yes/no become texts."""
    if isinstance(levels, list | tuple):
        named: dict[str, Any] = {}
        for level in levels:
            entries = level if isinstance(level, dict) else {level: {}}
            for name, options in entries.items():
                if _text(name) in named:
                    raise ValueError(f"the level {_text(name)!r} is listed twice")
                named[_text(name)] = options or {}
        return named
    if isinstance(levels, dict):
        return {_text(name): options or {} for name, options in levels.items()}
    return levels


def _levels(value: Any) -> frozenset[str]:
    several = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return frozenset(map(_text, several))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@dataclass(frozen=True, slots=True)
class ScenarioPlan:
    """Which cells of a grid are written, in the order in which a teacher is asked."""

    scenarios: tuple[Scenario, ...]
    n_allowed: int | None
    """Allowed combinations of the grid; `None` where there are more than `MOST_COUNTED`."""
    n_pairs: int
    """Pairs of levels that occur together in some allowed combination."""
    n_pairs_planned: int


def grid_of(options: ScenarioOptions) -> Grid:
    """The grid that the options describe."""
    attributes = tuple(
        Attribute(
            name,
            tuple(Level(level, one.allows) for level, one in attribute.levels.items()),
            {other: frozenset(levels) for other, levels in attribute.when.items()},
        )
        for name, attribute in options.attributes.items()
    )
    forbidden = tuple({name: _levels(value) for name, value in one.items()} for one in options.forbidden)
    return Grid(attributes, forbidden)


def plan_scenarios(options: ScenarioOptions) -> ScenarioPlan:
    """The scenarios to write. The same options give the same scenarios in the same order.

    The order is that of a shuffle (`full`, `sample`) or of the cover and its filling (`pairwise`), so that a run that
    is cut short has seen all levels about equally often.

    Raises:
        InputError: no combination is allowed; a level never occurs; more scenarios are asked for than there are; the
            instruction is no template or uses a name that is no attribute.
    """
    grid = grid_of(options)
    pairs = grid.pairs()
    _check_levels(grid, pairs)
    cells = grid.cells(MOST_COUNTED)
    chosen = _choose(options, grid, pairs, cells)
    template = open_template(options.instruction, where="read.scenarios.instruction")
    covered = {pair for cell in chosen for pair in grid.pairs_of(cell)}
    scenarios = tuple(
        _scenario(options, cell, variant, template)
        for variant in range(1, options.variants + 1)
        for cell in chosen
    )
    return ScenarioPlan(scenarios, None if cells is None else len(cells), len(pairs), len(pairs & covered))


def _check_levels(grid: Grid, pairs: frozenset[Pair]) -> None:
    for attribute in grid.attributes:
        idle = [level.name for level in attribute.levels if not grid.completes({attribute.name: level.name})]
        if len(idle) == len(attribute.levels):
            raise InputError(
                "no combination of levels is allowed",
                where="read.scenarios",
                do="look at forbidden, at when, and at what the levels allow of other attributes",
            )
        if idle:
            raise InputError(
                f"{attribute.name}: {', '.join(map(repr, idle))} can never occur",
                where=f"read.scenarios.attributes.{attribute.name}",
                do="remove the level, or the rules that forbid it with everything",
            )


def _choose(
    options: ScenarioOptions, grid: Grid, pairs: frozenset[Pair], cells: list[Cell] | None
) -> list[Cell]:
    generator = random.Random(options.seed)
    size = options.size
    if cells is not None and size is not None and size > len(cells):
        raise InputError(
            f"{size:,} scenarios are asked for, and the grid allows {len(cells):,}",
            where="read.scenarios.size",
            do="ask for fewer, or set variants to have several texts for each scenario",
        )
    if options.design == "pairwise":
        cover = pairwise_cover(grid, pairs, generator, most=size)
        return balanced_fill(grid, cover, size or len(cover), generator, cells)
    if cells is None:
        if size is None:
            raise InputError(
                f"the full product has more than {MOST_COUNTED:,} scenarios",
                where="read.scenarios.size",
                do="say how many are wanted, or take design: pairwise",
            )
        drawn: dict[CellKey, Cell] = {}
        while len(drawn) < size:
            cell = grid.draw(generator, drawn)
            drawn[key_of(cell)] = cell
        return list(drawn.values())
    return generator.sample(cells, len(cells) if size is None else size)


def _scenario(options: ScenarioOptions, cell: Cell, variant: int, template: Template) -> Scenario:
    attributes = {name: level for name, level in cell.items() if level is not None}
    chosen = {name: options.attributes[name].levels[level] for name, level in attributes.items()}
    criteria = (*options.criteria, *(one for level in chosen.values() for one in level.criteria))
    every: dict[str, Any] = {name: cell[name] or "" for name in options.attributes}
    instruction = " ".join(template.render(every).split())
    identity = [part for pair in sorted(attributes.items()) for part in pair]
    own = content_id("scenario", *identity, instruction, *criteria, str(variant))
    return Scenario(
        id=own,
        source_id=" / ".join(cell[name] or "" for name in options.source)
        if options.source
        else content_id(*identity),
        instruction=instruction,
        attributes=attributes,
        texts={name: level.text for name, level in chosen.items() if level.text},
        criteria=criteria,
        variant=variant,
        variants=options.variants,
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often a level was planned, written, and kept."""

    attribute: str
    level: str
    planned: int
    produced: int
    kept: int


def coverage(scenarios: Sequence[Scenario], produced: set[str], kept: set[str]) -> list[Coverage]:
    """The coverage table: a line for each level of each attribute, in the order of the plan.

    Args:
        scenarios: all that were planned.
        produced: ids of those a text came back for.
        kept: ids of those whose text passed every check.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for scenario in scenarios:
        for pair in scenario.attributes.items():
            line = counts.setdefault(pair, [0, 0, 0])
            line[0] += 1
            line[1] += scenario.id in produced
            line[2] += scenario.id in kept
    order = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in counts))}
    return [
        Coverage(name, level, *numbers)
        for (name, level), numbers in sorted(counts.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    ]
