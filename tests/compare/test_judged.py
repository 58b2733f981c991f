"""What judgements come to, and the warnings that a judge deserves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.score.judge_fakes import FakeAsker, by_answer, pairs_of, says
from tunesmith.compare.doubts import model_families
from tunesmith.compare.judged import judge_summary, settle
from tunesmith.compare.labels import parse_label
from tunesmith.errors import InputError
from tunesmith.records import JudgedAs, Judgement
from tunesmith.score.judge import JudgeEndpoint, JudgeOptions, judge_pairs

OPTIONS = JudgeOptions(judge=JudgeEndpoint(url="http://127.0.0.1:1/v1", model="m"), controls=4)


def judgements(
    id: str,
    *verdicts: JudgedAs,
    source: str | None = None,
    lengths: tuple[int, int] = (10, 12),
    attributes: dict[str, str] | None = None,
    raw: str = "reply",
    control: str = "",
) -> list[Judgement]:
    """Verdicts by order: base first, tuned first, and then those of further votes."""
    return [
        Judgement(
            id=id,
            source_id=source or id,
            base="base",
            tuned="tuned",
            order="base first" if number % 2 == 0 else "tuned first",
            verdict=verdict,
            status="ok" if verdict != "unparsed" else "off menu",
            raw=raw,
            reason="",
            judge="the-judge",
            prompt_hash="abc",
            base_length=lengths[0],
            tuned_length=lengths[1],
            vote=number // 2,
            control=control,
            attributes=attributes or {},
        )
        for number, verdict in enumerate(verdicts)
    ]


def many(*groups: tuple[int, Sequence[JudgedAs]]) -> list[Judgement]:
    found: list[Judgement] = []
    for count, verdicts in groups:
        for _ in range(count):
            found += judgements(f"item{len(found):04}", *verdicts)
    return found


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        (("win", "win"), "won"),
        (("loss", "loss"), "lost"),
        (("tie", "tie"), "tied"),
        (("win", "loss"), "tied"),
        (("loss", "win"), "tied"),
        (("win", "tie"), "tied"),
        (("tie", "loss"), "tied"),
        (("win", "unparsed"), None),
        (("unparsed", "unparsed"), None),
        # a flipped item and three votes of two replies
        (("win", "loss", "win", "win", "win", "win", "loss", "win"), "won"),
        (("win", "loss", "win", "win", "loss", "loss", "win", "loss"), "tied"),
        (("win", "tie", "loss", "loss", "win", "loss", "loss", "loss"), "lost"),
        (("win", "tie", "win", "win", "unparsed", "win", "unparsed", "loss"), None),
        (("win", "tie", "win", "win", "unparsed", "win", "win", "win"), "won"),
    ],
)
def test_an_item_is_decided_only_by_agreement(verdicts: Sequence[JudgedAs], outcome: str | None) -> None:
    (item,) = settle(judgements("one", *verdicts))
    assert item.outcome == outcome


def test_incomplete_double_or_mixed_judgements_are_refused() -> None:
    with pytest.raises(InputError, match="item one was judged in one order only"):
        settle(judgements("one", "win"))
    with pytest.raises(InputError, match="item one was judged twice in one order"):
        settle([*judgements("one", "win", "win"), *judgements("one", "win")])
    with pytest.raises(InputError, match="more than one judge: other, the-judge"):
        judge_summary(
            [
                *judgements("one", "win", "win"),
                *(replace(j, judge="other") for j in judgements("two", "win", "win")),
            ]
        )
    with pytest.raises(InputError, match="different words"):
        judge_summary(
            [
                *judgements("one", "win", "win"),
                *(replace(j, prompt_hash="x") for j in judgements("two", "win", "win")),
            ]
        )
    with pytest.raises(InputError, match="no judgements"):
        judge_summary([])


def test_rates_by_hand() -> None:
    """12 won, 4 lost, 3 plain ties, 2 reversed, 1 tie by a half flip, 2 unparsed: 24 items, 22 of them parsed."""
    found = judge_summary(
        many(
            (12, ("win", "win")),
            (4, ("loss", "loss")),
            (3, ("tie", "tie")),
            (2, ("win", "loss")),
            (1, ("win", "tie")),
            (2, ("unparsed", "win")),
        )
    )
    assert (found["n"], found["wins"], found["losses"], found["ties"], found["unparsed"]) == (24, 12, 4, 6, 2)
    assert found["net_win_rate"]["value"] == pytest.approx((12 + 6 / 2) / 22)
    assert found["net_win_rate_if_unparsed"] == pytest.approx(
        {"half": 16 / 24, "won": 17 / 24, "lost": 15 / 24}
    )
    assert found["win_rate"]["value"] == 12 / 16
    assert found["ratio"]["value"] == 3.0
    assert found["ratio"]["low"] < 3 < found["ratio"]["high"]
    assert (found["tie_rate"]["value"], found["tie_rate"]["n"]) == (6 / 22, 22)
    assert (found["flip_rate"]["value"], found["flip_rate"]["n"]) == (3 / 22, 22)
    assert found["reversal_rate"]["value"] == 2 / 22
    # decided replies 12·2 + 4·2 + 2·2 + 1 + 2; first shown chosen: 12 + 4, none of the reversed (win with base first),
    # none of the half flip, and 2 of the unparsed items' (win with tuned first)
    assert (found["first_position"]["n"], found["first_position"]["value"]) == (39, 18 / 39)
    assert found["first_position"]["p"] == pytest.approx(0.5), "2 reversed items, both for the second: 2 · ½²"
    # all 16 decided items: tuned is longer and won 12
    assert (found["longer_wins"]["n"], found["longer_wins"]["value"]) == (16, 12 / 16)
    assert found["replies"] == {"n": 48, "status": {"ok": 46, "off menu": 2}}
    assert len(found["unparsed_replies"]) == 2
    assert found["unparsed_texts"] == {"reply": 2}
    json.dumps(found, allow_nan=False)


def test_intervals_and_tests_equal_scipys() -> None:
    from scipy.stats import binomtest

    found = judge_summary(many((12, ("win", "win")), (4, ("loss", "loss"))))
    oracle = binomtest(12, 16)
    assert found["sign_test_p"] == pytest.approx(oracle.pvalue)
    span = oracle.proportion_ci(method="wilson")
    assert (found["win_rate"]["low"], found["win_rate"]["high"]) == pytest.approx((span.low, span.high))


def test_a_ratio_without_a_loss_is_said_to_be_adjusted() -> None:
    found = judge_summary(many((5, ("win", "win")), (3, ("tie", "tie"))))
    assert (found["ratio"]["value"], found["ratio"]["adjusted"]) == (5.5 / 0.5, True)
    assert found["ratio"]["low"] < 11 < found["ratio"]["high"]


def test_the_widest_interval_goes_to_fewest_sources() -> None:
    spread = many((20, ("win", "win")), (10, ("loss", "loss")))
    bunched = [replace(one, source_id=f"source{int(one.id[4:]) // 12}") for one in spread]
    wide, narrow = judge_summary(bunched)["net_win_rate"], judge_summary(spread)["net_win_rate"]
    assert wide["value"] == narrow["value"]
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


def test_a_judge_that_always_says_a_gives_only_ties_and_is_named() -> None:
    asker = FakeAsker(lambda request: says("A"))
    pairs = pairs_of(*((f"base {n}", f"tuned {n}") for n in range(12)))
    found = judge_summary(judge_pairs(pairs, OPTIONS, asker=asker, read_label=parse_label))
    assert found["tie_rate"]["value"] == 1.0
    assert found["flip_rate"]["value"] == found["reversal_rate"]["value"] == 1.0
    assert found["first_position"]["value"] == 1.0
    assert found["net_win_rate"]["value"] == 0.5
    assert found["first_position"]["p"] == pytest.approx(2 / 2**12)
    warnings = "\n".join(found["warnings"])
    assert "prefers the answer shown first: it chose it in 100% of 24 replies" in warnings
    assert "changed with the order in 100% of 12 items" in warnings
    assert "nearly every item is a tie" in warnings
    assert "did not prefer a sound answer to its corrupted copy in 4 of 4" in warnings
    # answers against themselves tie too, but only because its two orders disagree
    assert (found["controls"]["self"]["ties"], found["controls"]["self"]["reply_ties"]) == (4, 0)


def test_a_judge_that_counts_letters_is_caught() -> None:
    texts = [("word " * 20, "item " * (20 + more)) for more in range(-6, 21) if more]
    asker = FakeAsker(by_answer(len))
    found = judge_summary(judge_pairs(pairs_of(*texts), OPTIONS, asker=asker, read_label=parse_label))
    assert found["net_win_rate"]["value"] == pytest.approx(20 / 26)
    assert found["longer_wins"]["value"] == 1.0
    assert abs(found["length_controlled"]["value"] - 0.5) < 0.1
    warnings = "\n".join(found["warnings"])
    assert "the longer answer won in 100% of 26 decided items" in warnings
    assert "at equal length the win rate would be" in warnings
    assert found["controls"]["longest"] == {
        "n": 26, "wins": 20, "losses": 6, "ties": 0, "unparsed": 0,
        "reply_ties": 0, "replies": 26, "agrees": 26, "agrees_of": 26,
    }  # fmt: skip
    assert found["controls"]["random"]["agrees_of"] == 26


def test_a_sound_judge_gets_no_warning() -> None:
    """It looks for the number of the reference and nothing else."""
    texts = [(f"It says {n + n % 3} here", f"It says {n} here") for n in range(30)]
    pairs = pairs_of(*texts)
    right = {pair.references[0]: str(number) for number, pair in enumerate(pairs)}

    def answer(request: object) -> str:
        from tests.score.judge_fakes import shown

        number = right[shown(request, "reference")]  # type: ignore[arg-type]
        return by_answer(lambda text: float(number in text.rstrip(".").split()))(request)  # type: ignore[arg-type]

    found = judge_summary(judge_pairs(pairs, OPTIONS, asker=FakeAsker(answer), read_label=parse_label))
    assert found["warnings"] == []
    assert found["settled"] == {"duplicate answers": 10}
    assert found["first_position"]["value"] == 0.5
    assert found["controls"]["corrupted"]["wins"] == 4
    assert (found["wins"], found["ties"]) == (20, 10)


def test_attributes_are_shown_by_value() -> None:
    rows = [
        *judgements("a", "win", "win", attributes={"tone": "formal", "topic": "t1"}),
        *judgements("b", "loss", "loss", attributes={"tone": "formal", "topic": "t2"}),
        *judgements("c", "win", "win", attributes={"tone": "casual", "topic": "t3"}),
    ]
    rows += [
        one
        for n in range(20)
        for one in judgements(f"d{n}", "tie", "tie", attributes={"topic": f"other {n}"})
    ]
    found = judge_summary(rows)
    shown = [
        (row["attribute"], row["value"], row["n"], row["wins"], row["losses"]) for row in found["attributes"]
    ]
    assert shown == [("tone", "casual", 1, 1, 0), ("tone", "formal", 2, 1, 1)]
    assert found["attributes_left_out"] == ["topic"]


def test_a_reason_for_the_other_answer_is_listed() -> None:
    def reasoned(id: str, reason: str, *verdicts: JudgedAs) -> list[Judgement]:
        return [replace(one, reason=reason) for one in judgements(id, *verdicts)]

    found = judge_summary(
        [
            *reasoned("fine", "B is better.", "win", "win")[:1],
            *reasoned("fine", "A is clearly better.", "win", "win")[1:],
            *reasoned("odd", "Answer A is better.", "win", "win"),
            *reasoned("both", "A is better in style, B is better in content.", "win", "win"),
        ]
    )
    assert found["contradictions"] == ["odd"]


@pytest.mark.parametrize(
    ("judge", "base", "warned"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "TinyLlama/TinyLlama-1.1B", True),
        ("mixtral-8x7b", "mistralai/Mistral-7B-v0.1", True),
        ("deepseek-r1-distill-llama-70b", "meta-llama/Meta-Llama-3-8B", True),
        ("gpt-4o", "microsoft/phi-2", False),
        ("qwen3-32b", "google/gemma-2b", False),
        ("my-model", "my-model", True),
        ("gpt-4o", "openai-community/gpt2", False),
        ("dolphin", "microsoft/phi-2", False),
    ],
)
def test_a_judge_of_the_same_family_is_named(judge: str, base: str, warned: bool) -> None:
    rows = [replace(one, judge=judge) for one in judgements("one", "win", "win")]
    warnings = judge_summary(rows, contestants={"base model": base})["warnings"]
    assert any("favour their own kind" in warning for warning in warnings) == warned


def test_families() -> None:
    assert model_families("google/flan-t5-base") == {"t5"}
    assert model_families("microsoft/phi-2") == {"phi"}
    assert model_families("similarity to the reference (token_f1, tie within 0.05)") == set()


def test_more_than_one_in_twenty_without_a_verdict_is_invalid() -> None:
    found = judge_summary(many((18, ("win", "win")), (2, ("unparsed", "win"))))
    assert found["verdict"] == "invalid"
    assert "2 of 20 items have no verdict" in "\n".join(found["warnings"])
