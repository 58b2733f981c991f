"""Judging pairs and single answers, from answers to records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from pydantic import ValidationError

from tests.score.judge_fakes import FakeAsker, by_answer, pairs_of, prediction, says, shown
from tunesmith.compare.labels import parse_label
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.errors import InputError, MissingError
from tunesmith.records import Comparison, Judgement, as_row, from_row
from tunesmith.score.answers import shared_word_f1
from tunesmith.score.judge import (
    JudgeEndpoint,
    JudgeOptions,
    cost_of,
    grade_answers,
    judge_pairs,
    open_pair_judge,
    planned_requests,
)
from tunesmith.score.judging.asking import Reply, Request
from tunesmith.score.judging.controls import (
    against_corrupted,
    corrupt,
    longest_wins,
    null_judgements,
    random_by_hash,
)
from tunesmith.score.judging.pairs import Pair, build_pairs
from tunesmith.score.judging.pointwise import count_grades, grade_metrics, grade_scores

SERVER = JudgeEndpoint(url="http://127.0.0.1:1/v1", model="judge-1")


def options(**fields: object) -> JudgeOptions:
    known = {"judge": SERVER} if "mode" in fields else {"judge": SERVER, "controls": 0}
    return JudgeOptions.model_validate({**known, **fields})


def own(judgements: list[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if not judgement.control]


def judged(pairs: list[Pair], asker: FakeAsker, **fields: object) -> list[Judgement]:
    return own(list(judge_pairs(pairs, options(**fields), asker=asker, read_label=parse_label)))


def longer(request: Request) -> str:
    return by_answer(len)(request)


def test_a_verdict_is_told_from_the_tuned_side_in_both_orders() -> None:
    found = judged(
        pairs_of(("short", "much longer"), ("much longer", "short"), ("same!", "equal")), FakeAsker(longer)
    )
    assert [(one.id, one.order, one.verdict) for one in found] == [
        ("item000", "base first", "win"),
        ("item000", "tuned first", "win"),
        ("item001", "base first", "loss"),
        ("item001", "tuned first", "loss"),
        ("item002", "base first", "tie"),
        ("item002", "tuned first", "tie"),
    ]
    first = found[0]
    assert (first.base, first.tuned, first.judge) == ("base", "tuned", "fake-judge")
    assert (first.base_length, first.tuned_length) == (5, 11)
    assert (first.reason, first.status) == ("because", "ok")
    assert first.raw.startswith("Short comparison.")
    assert first.prompt_hash
    assert from_row(Judgement, as_row(first)) == first


def test_nobody_is_asked_where_nothing_is_to_be_asked() -> None:
    asker = FakeAsker(lambda request: says("A"))
    pairs = pairs_of(("same", " same\n"), ("", "text"), ("text", "  "), ("", ""), ("one", "two"))
    failed = replace(pairs[4], id="failed", tuned=replace(pairs[4].tuned, status="error", text=""))
    found = judged([*pairs, failed], asker)
    assert [(one.verdict, one.status) for one in found if one.order is None] == [
        ("tie", "duplicate answers"),
        ("win", "empty answer"),
        ("loss", "empty answer"),
        ("tie", "empty answer"),
        ("unparsed", "failed answer"),
    ]
    assert len(asker.asked) == 2


def test_first_judgements_are_at_temperature_0_and_held_to_the_menu() -> None:
    asker = FakeAsker(lambda request: says("A"))
    judged(pairs_of(("one", "two")), asker, judge=SERVER.model_copy(update={"max_tokens": 300, "seed": 7}))
    assert asker.asked[0].options == {"temperature": 0.0, "seed": 7, "max_tokens": 300}
    assert asker.asked[0].schema["properties"]["verdict"]["enum"] == ["A", "B", "TIE"]


def test_no_seed_is_sent_where_none_is_wanted() -> None:
    asker = FakeAsker(lambda request: says("A"))
    judged(pairs_of(("one", "two")), asker, judge=SERVER.model_copy(update={"seed": None}))
    assert asker.asked[0].options == {"temperature": 0.0, "max_tokens": 512}


def test_only_flipped_items_are_asked_again_and_each_vote_is_another_request() -> None:
    def answer(request: Request) -> str:
        return says("A") if "wavering" in request.messages[1]["content"] else longer(request)

    asker = FakeAsker(answer)
    pairs = pairs_of(("short", "much longer"), ("wavering one", "wavering 2"))
    found = judged(pairs, asker, votes=3)
    again = [one for one in found if one.vote]
    assert {one.id for one in again} == {"item001"}
    assert Counter((one.vote, one.order) for one in again) == Counter(
        (vote, order) for vote in (1, 2, 3) for order in ("base first", "tuned first")
    )
    votes = asker.asked[4:]
    assert [request.options["temperature"] for request in votes] == [0.7] * 6
    assert sorted({request.options["seed"] for request in votes}) == [1, 2, 3]
    assert len({request.key for request in asker.asked}) == len(asker.asked) == 10


def test_an_item_that_could_not_be_read_is_not_put_to_the_vote() -> None:
    replies = iter([says("A"), "no idea", says("A"), says("A")])
    found = judged(
        pairs_of(("one", "two"), ("three", "four")),
        FakeAsker(lambda request: next(replies, says("B"))),
        votes=3,
    )
    assert {one.id for one in found if one.vote} == {"item001"}


def test_a_judge_that_never_gives_a_verdict_is_given_up() -> None:
    asker = FakeAsker(lambda request: "I would rather not say.")
    many = pairs_of(*((f"a{n}", f"b{n}") for n in range(50)))
    with pytest.raises(
        InputError, match=r"fake-judge gave no verdict in 20 replies.*I would rather not say"
    ) as caught:
        judged(many, asker)
    assert caught.value.exit_code == 2
    assert len(asker.asked) <= 22
    with pytest.raises(InputError, match="in 2 replies"):
        judged(many[:1], asker)


def test_a_judge_that_fails_now_and_then_is_kept() -> None:
    replies = iter([says("A"), *["nothing"] * 59])
    found = judged(
        pairs_of(*((f"a{n}", f"b{n}") for n in range(30))), FakeAsker(lambda request: next(replies))
    )
    assert Counter(one.verdict for one in found)["unparsed"] == 59
    assert {one.raw for one in found if one.verdict == "unparsed"} == {"nothing"}


def test_requests_are_drawn_only_as_the_asker_draws_them() -> None:
    asker = FakeAsker(lambda request: says("A"))
    stream = judge_pairs(pairs_of(("a", "b"), ("c", "d")), options(), asker=asker, read_label=parse_label)
    next(stream)
    assert len(asker.asked) == 1


# --- pairs ---


def test_pairs_need_the_same_items_prompts_and_references() -> None:
    base, tuned = prediction(0, "base", "one"), prediction(0, "tuned", "two")
    with pytest.raises(InputError, match="did not answer the same items: item001"):
        build_pairs([base, tuned, prediction(1, "base", "x")], "base", "tuned")
    with pytest.raises(InputError, match="different prompts or references for item000"):
        build_pairs([base, replace(tuned, prompt="Other?")], "base", "tuned")
    with pytest.raises(InputError, match="two answers for item item000"):
        build_pairs([base, base, tuned], "base", "tuned")
    with pytest.raises(InputError, match="no answers of 'tuned'"):
        build_pairs([base, prediction(0, "other", "x")], "base", "tuned")
    with pytest.raises(InputError, match="both systems are called 'base'"):
        build_pairs([base, tuned], "base", "base")


# --- the built-in judge ---


def test_the_builtin_judge_is_similarity_with_a_tie_band() -> None:
    """Token F1 by hand: `heat pump` against `the heat pump heats` is 2·2/(2+3) = 0.8 (articles do not count)."""
    reference = "the heat pump heats"
    assert shared_word_f1(reference, "heat pump") == pytest.approx(0.8)
    pairs = pairs_of(("heat pump", "heat pump heats"), ("heat pump heats", "steam"), references=(reference,))
    built_in = JudgeOptions(controls=0)
    found = own(list(judge_pairs(pairs, built_in)))
    assert [(one.verdict, one.order, one.reason) for one in found] == [
        ("win", None, "tuned 1.000, base 0.800"),
        ("loss", None, "tuned 0.000, base 1.000"),
    ]
    assert found[0].judge == "similarity to the reference (token_f1, tie within 0.05)"
    wide = own(list(judge_pairs(pairs, JudgeOptions(controls=0, tie_band=0.2))))
    assert [one.verdict for one in wide] == ["tie", "loss"], "a difference equal to the band ties"


def test_the_builtin_judge_needs_references_and_a_similarity() -> None:
    with pytest.raises(InputError, match=r"needs a reference.*item000"):
        list(judge_pairs(pairs_of(("one", "two"), references=()), JudgeOptions()))
    for name in ("perplexity", "length_ratio", "no_such"):
        with pytest.raises(InputError, match=name):
            open_pair_judge(JudgeOptions(similarity=name))


def test_the_builtin_judge_passes_its_own_controls() -> None:
    texts = [(f"It takes {n} hours.", f"About {n} hours are needed. Then it is done.") for n in range(12)]
    pairs = [
        replace(pair, references=(f"It takes {n} hours. Then it is done.",))
        for n, pair in enumerate(pairs_of(*texts))
    ]
    found = [one for one in judge_pairs(pairs, JudgeOptions()) if one.control in ("self", "corrupted")]
    assert Counter((one.control, one.verdict) for one in found) == {
        ("self", "tie"): 10,
        ("corrupted", "win"): 10,
    }


# --- controls ---


def test_self_pairs_are_really_asked() -> None:
    asker = FakeAsker(longer)
    pairs = pairs_of(*((f"a{n}", f"bb{n}") for n in range(5)))
    found = list(judge_pairs(pairs, options(controls=3), asker=asker, read_label=parse_label))
    same = [one for one in found if one.control == "self"]
    assert len(same) == 6
    assert {one.verdict for one in same} == {"tie"}
    asked_same = [r for r in asker.asked if shown(r, "answer A") == shown(r, "answer B")]
    assert len(asked_same) == 6


def test_a_corrupted_copy_stands_on_the_base_side() -> None:
    (pair,) = pairs_of(("one", "two"), references=("It takes 45 minutes.",))
    spoiled = against_corrupted(pair)
    assert spoiled is not None
    assert (spoiled.base.text, spoiled.tuned.text) == ("It takes 78 minutes.", "It takes 45 minutes.")
    (single,) = pairs_of(("one", "two"), references=("Yes",))
    assert against_corrupted(single) is None


def test_a_text_without_numbers_loses_its_order() -> None:
    assert corrupt("First heat it. Then cool it.") == "Then cool it. First heat it."
    text = "The pump moves heat from the outside air into the house"
    assert corrupt(text) != text
    assert sorted(corrupt(text).split()) == sorted(text.split())
    assert corrupt(text) == corrupt(text)


def test_null_judges() -> None:
    pairs = pairs_of(("short", "much longer"), ("much longer", "short"), ("four", "five"))
    assert [longest_wins(pair)[0] for pair in pairs] == ["win", "loss", "tie"]
    many = pairs_of(*((f"a{n}", f"b{n}") for n in range(1000)))
    wins = sum(random_by_hash(pair)[0] == "win" for pair in many)
    assert 440 < wins < 560, "a fair coin is outside in fewer than 2 of 10,000 cases"
    assert [one.verdict for one in null_judgements(many)] == [one.verdict for one in null_judgements(many)]
    assert {one.control for one in null_judgements(many)} == {"longest", "random"}


# --- one answer at a time ---


def test_correctness_becomes_a_metric_that_compare_understands() -> None:
    def answer(request: Request) -> str:
        text = shown(request, "answer")
        return says("correct" if "right" in text else "partly" if "half" in text else "wrong")

    texts = [("wrong", "right"), ("half", "right"), ("", "half"), ("right", "right")]
    predictions = [
        prediction(n, system, text)
        for n, both in enumerate(texts)
        for system, text in zip(("base", "tuned"), both, strict=True)
    ]
    asker = FakeAsker(answer)
    grades = list(
        grade_answers(predictions, options(mode="correctness"), asker=asker, read_label=parse_label)
    )
    assert [(one.system, one.value) for one in grades] == [
        ("base", 0.0), ("tuned", 1.0), ("base", 0.5), ("tuned", 1.0),
        ("base", 0.0), ("tuned", 0.5), ("base", 1.0), ("tuned", 1.0),
    ]  # fmt: skip
    assert len(asker.asked) == 7, "the empty answer is not asked about"
    assert count_grades(grades) == {"judge_correctness": {"ok": 7, "empty": 1}}
    found = list(
        compare_systems(
            grade_scores(grades),
            grade_metrics([("correctness", "correctness")]),
            CompareOptions(primary="judge_correctness"),
        )
    )
    (comparison,) = [record for record in found if isinstance(record, Comparison)]
    # base (0 + 0.5 + 0 + 1) / 4, tuned (1 + 1 + 0.5 + 1) / 4
    assert (comparison.base_value, comparison.tuned_value) == (0.375, 0.875)


def test_the_rubric_gives_three_grades_and_keeps_what_it_could_not_read() -> None:
    replies = iter(
        [
            '{"reason": "r", "grammatical_correctness": 1, "coherence": 0.5, "correctness": 0}',
            '{"reason": "r", "grammatical_correctness": 1, "coherence": 0.7, "correctness": 1}',
            Reply("", trouble="HTTP 500"),
        ]
    )
    predictions = [prediction(n, "tuned", f"text {n}") for n in range(3)]
    predictions.append(prediction(3, "tuned", "", status="error"))
    grades = list(
        grade_answers(
            predictions,
            options(mode="rubric"),
            asker=FakeAsker(lambda request: next(replies)),
            read_label=parse_label,
        )
    )
    assert [one.value for one in grades] == [
        1.0,
        0.5,
        0.0,
        1.0,
        None,
        1.0,
        None,
        None,
        None,
        None,
        None,
        None,
    ]
    assert [one.status for one in grades[3:]] == [
        "ok",
        "off menu",
        "ok",
        *["no reply"] * 3,
        *["failed answer"] * 3,
    ]
    assert grades[6].raw == "HTTP 500"
    scores = list(grade_scores(grades))
    assert {score.metric for score in scores} == {
        "rubric_grammatical_correctness",
        "rubric_coherence",
        "rubric_correctness",
    }
    assert [score.status for score in scores if score.stats is None] == ["not scored"] * 7


def test_grading_gives_up_on_a_judge_without_grades_and_needs_references() -> None:
    asker = FakeAsker(lambda request: "Lovely.")
    predictions = [prediction(n, "tuned", f"text {n}") for n in range(40)]
    with pytest.raises(InputError, match="20 replies"):
        list(grade_answers(predictions, options(mode="rubric"), asker=asker, read_label=parse_label))
    bare = [replace(one, references=()) for one in predictions]
    with pytest.raises(InputError, match="mode correctness needs a reference"):
        list(grade_answers(bare, options(mode="correctness"), asker=asker, read_label=parse_label))


# --- options ---


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"votes": 2, "judge": SERVER}, "odd"),
        ({"vote_temperature": 0.5, "judge": SERVER}, "vote_temperature has no effect"),
        ({"tie_band": 0.1, "judge": SERVER}, "tie_band has no effect"),
        ({"votes": 3}, "votes has no effect"),
        ({"mode": "rubric"}, "needs a model"),
        ({"mode": "correctness", "judge": SERVER, "criteria": {"Brief": "short"}}, "criteria has no effect"),
        ({"judge": "gpt"}, "is no judge"),
        ({"judge": {"url": "ftp://x"}}, "address"),
        ({"criteria": {}, "judge": SERVER}, "at least 1 item"),
        ({"judge": {"url": "http://x", "seed": None}, "votes": 3}, "need a seed"),
        ({"judges": "x"}, "Extra inputs"),
    ],
)
def test_options_that_cannot_be_or_have_no_effect(fields: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        JudgeOptions.model_validate(fields)


def test_a_mistake_in_one_kind_of_judge_is_one_mistake() -> None:
    with pytest.raises(ValidationError) as caught:
        JudgeOptions.model_validate({"judge": {"url": "http://x", "modell": "m"}})
    assert [detail["loc"] for detail in caught.value.errors()] == [("judge", "server", "modell")]
    with pytest.raises(ValidationError, match="1 validation error"):
        JudgeOptions.model_validate({"judge": {"local": "m", "url": "http://x"}})


def test_options_survive_being_written_in_full() -> None:
    for made in (JudgeOptions(), options(votes=3, vote_temperature=0.9), options(mode="rubric", controls=10)):
        assert JudgeOptions.model_validate(made.model_dump(mode="json")) == made


def test_a_judge_can_be_named_in_a_word() -> None:
    assert JudgeOptions().judge_name == "builtin"
    assert JudgeOptions(judge="ollama/llama3.1").judge_name == "llama3.1 at http://127.0.0.1:11434/v1"
    assert (
        JudgeOptions(judge="http://127.0.0.1:8000/v1/").judge_name
        == "the served model at http://127.0.0.1:8000/v1"
    )


def test_the_connection_fits_the_teachers_engine() -> None:
    from tunesmith.synthesize.options import TeacherOptions

    server = JudgeEndpoint(url="http://127.0.0.1:9/v1", model="m", api_key_env="KEY", tries=2, concurrency=3)
    reached = TeacherOptions.model_validate(server.connection())
    assert (reached.url, reached.model, reached.api_key_env, reached.tries, reached.concurrency) == (
        server.url, "m", "KEY", 2, 3,
    )  # fmt: skip


def test_a_model_judge_without_a_connection_says_so() -> None:
    with pytest.raises(MissingError, match="judge-1"):
        list(judge_pairs(pairs_of(("one", "two")), options()))


def test_the_cost_is_known_before() -> None:
    pairs = pairs_of(("one", "two"), ("same", "same"), ("three", "four"))
    asker = FakeAsker(longer)
    # item000: "one" and "two" are equally long and tie; item002 is decided: nothing flips
    asked = options(controls=2, votes=3)
    list(judge_pairs(pairs, asked, asker=asker, read_label=parse_label))
    cost = cost_of(planned_requests(asked, pairs=pairs), pairs, asked)
    # two pairs in two orders; two answers against themselves, equal in both orders; two corrupted copies in two orders
    assert len(asker.asked) == 2 * 2 + 2 * 2 + 2 * 2
    assert cost.requests == len({request.key for request in asker.asked}) == 2 * 2 + 2 + 2 * 2
    assert cost.most_requests == cost.requests + 2 * 2 * 3
    distinct = {request.key: request for request in asker.asked}.values()
    exact = sum(len(message["content"]) for request in distinct for message in request.messages)
    assert cost.prompt_characters == exact
    assert list(planned_requests(JudgeOptions(), pairs=pairs)) == []
