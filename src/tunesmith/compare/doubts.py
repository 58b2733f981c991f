"""What a reader must know before believing a judge: position, length, controls, kinship."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ENOUGH = 10
"""Items from which on a share is worth a warning."""
OFTEN_FLIPPED = 0.3
NEARLY_ALL = 0.9
NEARLY_ALL_TIES = 0.95
LENGTH_GAP = 0.1
"""Distance of the rate at equal length from the plain one that belongs on page one."""

FAMILIES = {
    "llama": r"llama|vicuna|alpaca",
    "mistral": r"mistral|mixtral|ministral|zephyr|magistral",
    "qwen": r"qwen|qwq",
    "gemma": r"gemma|gemini",
    "phi": r"\bphi",
    "gpt": r"\bgpt-?[345o]|chatgpt|\bo[134]\b|gpt-oss",
    "claude": r"claude",
    "deepseek": r"deepseek",
    "falcon": r"falcon",
    "olmo": r"olmo",
    "smollm": r"smollm",
    "granite": r"granite",
    "command": r"command-?r|\baya\b",
    "t5": r"t5\b|t5-",
    "bloom": r"bloom",
    "pythia": r"pythia",
}


def doubts(found: Mapping[str, Any], contestants: Mapping[str, str]) -> Iterator[str]:
    """Sentences for the first page.

    Args:
        found: what `judge_summary` found.
        contestants: role to model name.
    """
    yield from _position_warnings(found)
    yield from _length_warnings(found)
    ties, n_unparsed, n = found["tie_rate"], found["unparsed"], found["n"]
    if ties["n"] >= ENOUGH and ties["value"] >= NEARLY_ALL_TIES:
        yield f"nearly every item is a tie ({ties['value']:.0%} of {ties['n']}): the judge tells little apart"
    if n_unparsed:
        yield f"{n_unparsed} of {n} items have no verdict; the win rate is also given with them won and lost"
    if found["contradictions"]:
        yield f"in {len(found['contradictions'])} items the judge's reason calls the other answer better"
    duplicates = found["settled"].get("duplicate answers", 0)
    if 2 * duplicates > n:
        yield f"{duplicates} of {n} answers are the same in both systems and tie without being judged"
    yield from _control_warnings(found["controls"])
    yield from _family_warnings(found["judge"], contestants)


def grade_doubts(
    judge: str,
    values: Mapping[str, Sequence[float]],
    scores: Sequence[Mapping[str, Any]],
    contestants: Mapping[str, str],
) -> Iterator[str]:
    """Sentences for the first page of grades.

    Args:
        judge: the judge's name.
        values: metric to the grades that the judge gave.
        scores: {system, metric, n, status: {status: count}} of each system and metric.
        contestants: role to model name.
    """
    for metric, given in values.items():
        commonest, count = Counter(given).most_common(1)[0]
        if len(given) >= ENOUGH and count >= NEARLY_ALL_TIES * len(given):
            yield f"nearly every grade of {metric} is {commonest:g} ({count} of {len(given)}): it tells little apart"
    for score in scores:
        n = sum(score["status"].values())
        if n > score["n"]:
            yield f"{n - score['n']} of {n} answers of {score['system']} have no grade of {score['metric']}"
    yield from _family_warnings(judge, contestants)


def _position_warnings(found: Mapping[str, Any]) -> Iterator[str]:
    first, flips = found["first_position"], found["flip_rate"]
    is_constant = first["n"] >= 4 and first["value"] in (0.0, 1.0)
    if is_constant or (first["p"] is not None and first["p"] < 0.05):
        side = "first" if first["value"] > 0.5 else "second"
        share = first["value"] if side == "first" else 1 - first["value"]
        yield f"the judge prefers the answer shown {side}: it chose it in {share:.0%} of {first['n']} replies"
    if flips["n"] >= ENOUGH and flips["value"] >= OFTEN_FLIPPED:
        yield f"the judge's verdict changed with the order in {flips['value']:.0%} of {flips['n']} items"


def _length_warnings(found: Mapping[str, Any]) -> Iterator[str]:
    longer, controlled, net = found["longer_wins"], found["length_controlled"], found["net_win_rate"]
    if longer["n"] >= ENOUGH and longer["value"] >= NEARLY_ALL:
        yield f"the longer answer won in {longer['value']:.0%} of {longer['n']} decided items"
    if controlled["value"] is None or net["value"] is None:
        return
    if abs(controlled["value"] - net["value"]) > LENGTH_GAP:
        yield (
            f"at equal length the win rate would be {controlled['value']:.0%} and not {net['value']:.0%}: "
            "length explains much of the verdict"
        )


def _control_warnings(controls: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    same, corrupted = controls.get("self"), controls.get("corrupted")
    if same and same["ties"] < same["n"]:
        failed = same["n"] - same["ties"]
        yield f"the judge did not call an answer equal to itself in {failed} of {same['n']} controls"
    if corrupted and corrupted["wins"] < NEARLY_ALL * corrupted["n"]:
        failed = corrupted["n"] - corrupted["wins"]
        yield f"the judge did not prefer a sound answer to its corrupted copy in {failed} of {corrupted['n']} controls"


def model_families(name: str) -> set[str]:
    """Families that a model's name tells of; a distilled model may belong to two."""
    return {family for family, pattern in FAMILIES.items() if re.search(pattern, name.casefold())}


def _family_warnings(judge: str, contestants: Mapping[str, str]) -> Iterator[str]:
    for role, model in contestants.items():
        shared = model_families(judge) & model_families(model)
        if shared or judge == model:
            named = f" ({', '.join(sorted(shared))})" if shared else ""
            yield f"the judge {judge} is of the family of the {role} {model}{named}: judges favour their own kind"
