"""Grids of scenarios: which combinations are allowed, which are chosen, and what is told when a plan is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tunesmith.errors import InputError
from tunesmith.read.scenarios import ScenarioOptions, coverage, plan_scenarios

POSTS: dict[str, Any] = {
    "attributes": {
        "company": [f"company {number}" for number in range(16)],
        "product": [f"product {number}" for number in range(20)],
        "type": {
            f"type {number}": {
                "length": ("short", "medium", "long")[number % 3],
                "criteria": [f"own {number}"],
            }
            for number in range(11)
        },
        "tone": ["friendly", "formal", "funny", "bold", "warm"],
        "length": ["short", "medium", "long"],
    },
    "criteria": [f"universal {number}" for number in range(7)],
    "source": "product",
    "instruction": "Write a {{ tone }} {{ type }} for {{ product }} by {{ company }}.",
}


def options(**keys: Any) -> ScenarioOptions:
    return ScenarioOptions.model_validate({"instruction": "Write.", **keys})


def cells(**keys: Any) -> list[dict[str, str]]:
    return [scenario.attributes for scenario in plan_scenarios(options(**keys)).scenarios]


def test_the_posts_study_has_its_17_600_cells_and_320_of_them_show_every_pair() -> None:
    plan = plan_scenarios(ScenarioOptions.model_validate(POSTS))
    assert plan.n_allowed == 16 * 20 * 11 * 5 == 17_600
    # Each of 16 x 20 companies and products takes a scenario of its own, so no cover is smaller than 320.
    assert len(plan.scenarios) == 320
    # Pairs: the length is implied by the type, so a type has one length, while all else goes with everything.
    free = [16, 20, 11, 5]
    expected = sum(one * other for one, other in combinations(free, 2)) + 11 + 3 * (16 + 20 + 5)
    assert plan.n_pairs == plan.n_pairs_planned == expected


def test_a_scenario_carries_what_teacher_and_student_need() -> None:
    scenario = plan_scenarios(ScenarioOptions.model_validate(POSTS)).scenarios[0]
    number = int(scenario.attributes["type"].removeprefix("type "))
    assert scenario.attributes["length"] == ("short", "medium", "long")[number % 3]
    assert scenario.criteria == (*(f"universal {one}" for one in range(7)), f"own {number}")
    assert scenario.source_id == scenario.attributes["product"]
    assert scenario.instruction == "Write a {tone} {type} for {product} by {company}.".format(
        **scenario.attributes
    )


def test_a_full_product_is_every_combination_once() -> None:
    found = cells(attributes={"a": ["1", "2"], "b": ["x", "y", "z"]}, design="full")
    assert sorted((one["a"], one["b"]) for one in found) == sorted(product("12", "xyz"))


def test_forbidden_combinations_never_occur() -> None:
    rule = {"a": "1", "b": ["x", "y"]}
    for design in ("full", "pairwise"):
        found = cells(attributes={"a": ["1", "2"], "b": ["x", "y", "z"]}, design=design, forbidden=[rule])
        assert not [one for one in found if one["a"] == "1" and one["b"] in ("x", "y")]
        assert len(found) == 4


def test_a_conditional_attribute_is_there_only_beside_its_levels() -> None:
    attributes = {
        "kind": ["mail", "post"],
        "subject": {"levels": ["short", "long"], "when": {"kind": "mail"}},
    }
    found = cells(attributes=attributes, design="full")
    assert sorted(map(sorted, (one.items() for one in found))) == [
        [("kind", "mail"), ("subject", "long")],
        [("kind", "mail"), ("subject", "short")],
        [("kind", "post")],
    ]


def test_an_absent_attribute_is_empty_in_the_instruction() -> None:
    plan = plan_scenarios(
        options(
            attributes={"kind": ["mail", "post"], "tone": {"levels": ["warm"], "when": {"kind": "mail"}}},
            design="full",
            instruction="Write a {{ tone }} {{ kind }}.",
        )
    )
    assert {scenario.instruction for scenario in plan.scenarios} == {"Write a warm mail.", "Write a post."}


@st.composite
def grids(draw: st.DrawFn) -> dict[str, Any]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    attributes = {
        f"a{place}": [f"{place}.{level}" for level in range(size)] for place, size in enumerate(sizes)
    }
    level = st.sampled_from([(name, one) for name, levels in attributes.items() for one in levels])
    rules = draw(st.lists(st.lists(level, min_size=2, max_size=3), max_size=3))
    forbidden = [rule for rule in map(dict, rules) if len(rule) > 1]
    return {"attributes": attributes, "forbidden": forbidden}


@settings(max_examples=60, deadline=None)
@given(grids())
def test_a_cover_shows_every_pair_that_any_allowed_combination_has(grid: dict[str, Any]) -> None:
    names = list(grid["attributes"])
    allowed = [
        cell
        for cell in (
            dict(zip(names, levels, strict=True)) for levels in product(*grid["attributes"].values())
        )
        if not any(rule.items() <= cell.items() for rule in grid["forbidden"])
    ]
    idle = any(
        not any(cell[name] == level for cell in allowed)
        for name in names
        for level in grid["attributes"][name]
    )
    if idle:
        with pytest.raises(InputError):
            cells(**grid)
        return
    found = cells(**grid)
    assert all(cell in allowed for cell in found)
    assert len(found) == len({tuple(cell.values()) for cell in found})
    coverable = {pair for cell in allowed for pair in combinations(cell.items(), 2)}
    assert {pair for cell in found for pair in combinations(cell.items(), 2)} == coverable


def test_a_filled_up_cover_keeps_levels_about_equally_frequent() -> None:
    attributes = {"a": list("123"), "b": list("wxyz"), "c": list("pq"), "d": list("klmno")}
    found = cells(attributes=attributes, size=60)
    assert len({tuple(cell.values()) for cell in found}) == 60
    for name, levels in attributes.items():
        counts = Counter(cell[name] for cell in found)
        even = 60 / len(levels)
        # Drawn by chance, a level of five strays by more than 5 in 60 one time in nine.
        assert all(abs(counts[level] - even) <= 3 for level in levels), (name, counts)


def test_a_cover_that_is_cut_short_shows_more_pairs_than_chance() -> None:
    by_cover = plan_scenarios(ScenarioOptions.model_validate(POSTS | {"size": 60}))
    by_chance = plan_scenarios(ScenarioOptions.model_validate(POSTS | {"size": 60, "design": "sample"}))
    assert len(by_cover.scenarios) == len(by_chance.scenarios) == 60
    assert by_cover.n_pairs_planned > 1.2 * by_chance.n_pairs_planned


def test_a_seed_decides_what_is_chosen_in_every_process() -> None:
    code = (
        "from tunesmith.read.scenarios import *\n"
        "grid = dict(attributes={'a': list('12345'), 'b': list('vwxyz'), 'c': list('pqr')}, instruction='Write.')\n"
        "for more in ({'size': 30}, {'design': 'sample', 'size': 9}, {'seed': 1}):\n"
        "    print(*(one.id for one in plan_scenarios(ScenarioOptions(**grid, **more)).scenarios))"
    )

    def printed(hash_seed: str) -> list[str]:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        return run.stdout.splitlines()

    first = printed("1")
    assert first == printed("2")
    assert len(set(first)) == 3


def test_a_grid_too_large_to_list_is_drawn_from() -> None:
    attributes = {f"a{place}": [str(level) for level in range(12)] for place in range(6)}
    plan = plan_scenarios(options(attributes=attributes, design="sample", size=500))
    assert plan.n_allowed is None
    assert len({tuple(one.attributes.values()) for one in plan.scenarios}) == 500
    with pytest.raises(InputError, match="more than 200,000 scenarios"):
        plan_scenarios(options(attributes=attributes, design="full"))
    assert len(plan_scenarios(options(attributes=attributes, size=300)).scenarios) == 300


def test_variants_are_scenarios_of_their_own_with_the_same_source() -> None:
    plan = plan_scenarios(options(attributes={"a": ["1", "2"]}, variants=3))
    assert len({one.id for one in plan.scenarios}) == 6
    assert Counter(one.variant for one in plan.scenarios) == {1: 2, 2: 2, 3: 2}
    assert len({one.source_id for one in plan.scenarios}) == 2


def test_held_out_together_by_several_attributes() -> None:
    plan = plan_scenarios(options(attributes={"a": ["1", "2"], "b": ["x", "y"]}, source=["a", "b"]))
    assert {one.source_id for one in plan.scenarios} == {"1 / x", "1 / y", "2 / x", "2 / y"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"attributes": {"a": ["1"]}, "source": "b"}, "source: 'b' is no attribute; there are a"),
        ({"attributes": {"a": {"1": {"b": "x"}}}}, "attributes.a.1: 'b' is no attribute"),
        ({"attributes": {"a": {"1": {"b": "z"}}, "b": ["x"]}}, "b has no level 'z'; there are x"),
        ({"attributes": {"a": ["1"]}, "forbidden": [{"a": "2"}]}, "forbidden[0]: a has no level '2'"),
        ({"attributes": {"a": ["1"]}, "forbidden": [{}]}, "forbidden[0] is empty"),
        ({"attributes": {"a b": ["1"]}}, "a name is letters, digits and _"),
        ({"attributes": {"text": ["1"]}}, "this name has a meaning of its own"),
        ({"attributes": {"a": ["1", 1]}}, "the level '1' is listed twice"),
        ({"attributes": {"a": {"levels": ["1"], "when": {"a": "1"}}}}, "a cannot depend on itself"),
        ({"attributes": {"a": ["1"]}, "design": "sample"}, "design: sample needs a size"),
    ],
)
def test_a_wrong_grid_says_what_is_wrong(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        options(**keys)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"attributes": {"a": ["1"], "b": ["x"]}, "forbidden": [{"a": "1", "b": "x"}]},
            "no combination of levels",
        ),
        (
            {"attributes": {"a": ["1", "2"], "b": ["x"]}, "forbidden": [{"a": "2", "b": "x"}]},
            "'2' can never occur",
        ),
        ({"attributes": {"a": ["1", "2"]}, "size": 3}, "3 scenarios are asked for, and the grid allows 2"),
        ({"attributes": {"a": ["1"]}, "instruction": "{{ b }}"}, "'b' is undefined"),
        ({"attributes": {"a": ["1"]}, "instruction": "{{ a"}, "no Jinja template"),
        ({"attributes": {"a": ["1"]}, "instruction": "{{ ''.__class__.__mro__ }}"}, "cannot be filled in"),
    ],
)
def test_a_grid_that_cannot_be_written_says_why(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        plan_scenarios(options(**keys))
    assert message in str(raised.value)


def test_the_coverage_table_counts_planned_produced_and_kept() -> None:
    scenarios = plan_scenarios(
        options(attributes={"a": ["1", "2"], "b": ["x", "y"]}, design="full")
    ).scenarios
    by_cell = {tuple(one.attributes.values()): one.id for one in scenarios}
    produced = {by_cell["1", "x"], by_cell["1", "y"], by_cell["2", "x"]}
    table = coverage(scenarios, produced, kept={by_cell["1", "x"]})
    assert [(line.attribute, line.level, line.planned, line.produced, line.kept) for line in table] == [
        ("a", "1", 2, 2, 1),
        ("a", "2", 2, 1, 0),
        ("b", "x", 2, 2, 1),
        ("b", "y", 2, 1, 0),
    ]
