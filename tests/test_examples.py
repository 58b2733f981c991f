"""The plans in `examples` can be run as they stand, and say what they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.plan import load_plan
from tunesmith.read.scenarios import plan_scenarios

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_valid_plan(path: Path) -> None:
    assert load_plan(path).name == path.stem


def test_the_posts_are_a_grid_of_17_600_with_every_pair_in_2_000() -> None:
    plan = load_plan(EXAMPLES / "social-posts.yaml")
    assert plan.read is not None
    assert plan.read.scenarios is not None
    planned = plan_scenarios(plan.read.scenarios)
    assert planned.n_allowed == 16 * 20 * 11 * 5
    assert len(planned.scenarios) == 2_000
    assert planned.n_pairs_planned == planned.n_pairs
    assert len({one.source_id for one in planned.scenarios}) == 20
    # Seven criteria for all, one to three of the kind, one of the length.
    assert {len(one.criteria) for one in planned.scenarios} <= {9, 10, 11}
