"""Verdicts from the probabilities of a reply's first token, and servers that tell them, pass them over or refuse."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest

from tests.score.judge_fakes import FakeAsker, pairs_of, prediction
from tests.synthesize.stub_server import Answer, Body, Script, StubServer
from tunesmith.compare.judged import judge_summary
from tunesmith.compare.labels import parse_label
from tunesmith.judging.server import open_asker
from tunesmith.records import Judgement
from tunesmith.score.judge import JudgeEndpoint, JudgeOptions, grade_answers, judge_pairs
from tunesmith.score.judging.asking import Reply, first_token_chances
from tunesmith.synthesize.journal import Journal
from tunesmith.synthesize.journal import Reply as Kept
from tunesmith.synthesize.request import make_request

MENU = ("A", "B", "TIE")
FORMAT_KEYS = ("guided_choice", "structured_outputs", "logprobs", "top_logprobs", "response_format")


def logs(chances: dict[str, float]) -> dict[str, float]:
    return {token: math.log(chance) for token, chance in chances.items()}


def test_tokens_speak_for_the_word_that_they_begin() -> None:
    found = first_token_chances(
        MENU, logs({"A": 0.4, " a": 0.1, '"B': 0.2, "T": 0.05, " tie": 0.05, "The": 0.2})
    )
    # by hand: A .5, B .2, TIE .1 of the .8 that lies on the menu; "The" begins no word of it
    assert found == pytest.approx({"A": 0.625, "B": 0.25, "TIE": 0.125})
    found = first_token_chances(("correct", "partly", "wrong"), logs({"part": 0.6, "cor": 0.3, "\n": 0.1}))
    assert found == pytest.approx({"correct": 1 / 3, "partly": 2 / 3, "wrong": 0.0})


def test_a_model_about_to_say_something_else_gives_no_chances() -> None:
    assert first_token_chances(MENU, logs({"The": 0.6, "A": 0.4})) is None
    assert first_token_chances(MENU, logs({"<think>": 1.0})) is None
    assert first_token_chances(MENU, {}) is None


def judged(server: StubServer, journal: Path, n: int = 4, **fields: object) -> list[Judgement]:
    endpoint = JudgeEndpoint(url=server.url, model="stub", tries=1, verdict="brief", concurrency=1)
    options = JudgeOptions.model_validate({"judge": endpoint, "controls": 0, **fields})
    pairs = pairs_of(*((f"short {n}", f"a longer answer {n}") for n in range(n)))
    with open_asker(endpoint, journal) as asker:
        return [one for one in judge_pairs(pairs, options, asker=asker, read_label=parse_label) if one.order]


def leans(body: Body, first: float) -> dict[str, float]:
    """A judge that prefers the longer answer with .7, and whatever it sees first by `first` more."""
    text = body["messages"][1]["content"]
    one, other = (text.split(f"[begin answer {letter} ")[1].split("[end")[0] for letter in "AB")
    chance = (0.7 if len(one) > len(other) else 0.2) + first
    return {"A": chance, "B": 0.9 - chance, "TIE": 0.1}


def test_a_server_that_tells_probabilities_gives_verdict_and_preference(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        chances = leans(body, 0.1)
        return Answer("whatever it wrote", first_tokens=chances)

    with StubServer(script) as server:
        first = judged(server, tmp_path / "j.sqlite")
        n_sent = len(server.requests)
        body = server.requests[0]
        again = judged(server, tmp_path / "j.sqlite")
        assert len(server.requests) == n_sent == 8
    assert again == first, "the journal keeps the probabilities"
    assert (body["logprobs"], body["top_logprobs"], body["guided_choice"]) == (True, 20, list(MENU))
    assert body["structured_outputs"] == {"choice": list(MENU)}
    assert "response_format" not in body
    # tuned is the longer one: shown first A .8, B .1; shown second A .3, B .6; a tie counts half
    assert [one.preference for one in first[:2]] == pytest.approx([1 - 0.35, 0.85])
    assert [one.verdict for one in first[:2]] == ["win", "win"]
    assert first[0].reason == "verdict: A 0.300, B 0.600, TIE 0.100"
    found = judge_summary(first)
    assert found["graded_preference"]["value"] == pytest.approx(0.75), "position cancels out"
    assert found["graded_preference"]["n"] == 4


def test_what_position_alone_decides_is_even(tmp_path: Path) -> None:
    chances = {"A": 0.7, "B": 0.2, "TIE": 0.1}
    with StubServer(lambda body, before: Answer("A", first_tokens=chances)) as server:
        found = judge_summary(judged(server, tmp_path / "j.sqlite"))
    assert (found["ties"], found["graded_preference"]["value"]) == (4, pytest.approx(0.5))


def refusing(*keys: str, status: int = 400) -> Script:
    """A server that takes no body with one of these keys, and says nothing of probabilities."""

    def script(body: Body, before: int) -> Answer:
        named = [key for key in keys if key in body]
        if named:
            return Answer(f"Unrecognized request argument supplied: {named[0]}", status=status)
        said = "A" if leans(body, 0.0)["A"] > 0.5 else "B"
        told = leans(body, 0.0) if body.get("logprobs") else None
        return Answer(
            said if "response_format" not in body else f'{{"verdict": "{said}"}}', first_tokens=told
        )

    return script


@pytest.mark.parametrize(
    ("refused", "status", "taken", "n_refusals"),
    [
        (("guided_choice",), 400, {"logprobs", "top_logprobs"}, 1),
        (("logprobs",), 400, {"response_format"}, 2),
        (("logprobs",), 403, {"response_format"}, 2),
        (("logprobs", "response_format"), 422, set(), 4),
    ],
)
def test_a_server_that_refuses_is_asked_otherwise_and_that_is_remembered(
    tmp_path: Path, refused: tuple[str, ...], status: int, taken: set[str], n_refusals: int
) -> None:
    with StubServer(refusing(*refused, status=status)) as server:
        found = judged(server, tmp_path / "j.sqlite")
        sent = [{key for key in FORMAT_KEYS if key in body} for body in server.requests]
    assert [one.verdict for one in found] == ["win"] * 8
    assert len(sent) == 8 + n_refusals
    assert all(keys == taken for keys in sent[n_refusals:])
    assert (found[0].preference is not None) == ("logprobs" in taken)


@pytest.mark.parametrize(("said", "is_asked_otherwise"), [("A", False), ("Answer A is better", True)])
def test_a_server_that_takes_no_notice(tmp_path: Path, said: str, is_asked_otherwise: bool) -> None:
    """Its reply is read as any other; where it was not the bare word, later ones are held by a schema."""
    with StubServer(lambda body, before: Answer(said)) as server:
        found = judged(server, tmp_path / "j.sqlite")
        assert len(server.requests) == 8, "nothing is paid for twice"
        assert ("response_format" in server.requests[-1]) is is_asked_otherwise
    assert {(one.status, one.preference) for one in found} == {("ok", None)}
    assert judge_summary(found)["graded_preference"] == {"value": None, "low": None, "high": None, "n": 0}


def test_who_turns_the_menu_off_sends_none(tmp_path: Path) -> None:
    with StubServer(lambda body, before: Answer("B")) as server:
        endpoint = JudgeEndpoint(url=server.url, model="stub", verdict="brief", structured="off")
        options = JudgeOptions(judge=endpoint, controls=0)
        with open_asker(endpoint, tmp_path / "j.sqlite") as asker:
            list(judge_pairs(pairs_of(("a", "b")), options, asker=asker, read_label=parse_label))
        assert not any(key in body for body in server.requests for key in FORMAT_KEYS)


def test_further_votes_are_what_the_server_drew() -> None:
    """At a temperature the text is the draw; the probabilities would say the same each time."""
    chances = {"A": 0.6, "B": 0.4, "TIE": 0.0}
    drawn = {0: "A", 1: "B", 2: "B", 3: "B"}
    asker = FakeAsker(lambda request: Reply(drawn[request.options["seed"]], chances=chances))
    endpoint = JudgeEndpoint(url="http://127.0.0.1:9/v1", model="stub", verdict="brief")
    options = JudgeOptions(judge=endpoint, controls=0, votes=3)
    found = judge_pairs(pairs_of(("a", "b")), options, asker=asker, read_label=parse_label)
    assert [(one.vote, one.verdict) for one in found if one.order == "base first"] == [
        (0, "loss"), (1, "win"), (2, "win"), (3, "win"),
    ]  # fmt: skip


def test_correctness_by_first_token(tmp_path: Path) -> None:
    told = {"part": 0.6, "cor": 0.3, "wrong": 0.1}
    with StubServer(lambda body, before: Answer("", first_tokens=told)) as server:
        endpoint = JudgeEndpoint(url=server.url, model="stub", verdict="brief")
        options = JudgeOptions(judge=endpoint, mode="correctness")  # type: ignore[arg-type]
        with open_asker(endpoint, tmp_path / "j.sqlite") as asker:
            (grade, *_) = grade_answers(
                [prediction(1, "tuned", "one")], options, asker=asker, read_label=parse_label
            )
    assert (grade.value, grade.status) == (0.5, "ok")


def test_a_brief_rubric_is_no_single_word(tmp_path: Path) -> None:
    """It has a grade for each criterion, so that no first token can tell it."""
    reply = '{"grammatical_correctness": 1, "coherence": 0.5, "correctness": 0}'
    with StubServer(lambda body, before: Answer(reply, first_tokens={"correct": 1.0})) as server:
        endpoint = JudgeEndpoint(url=server.url, model="stub", verdict="brief")
        options = JudgeOptions(judge=endpoint, mode="rubric")  # type: ignore[arg-type]
        with open_asker(endpoint, tmp_path / "j.sqlite") as asker:
            found = list(
                grade_answers([prediction(1, "tuned", "one")], options, asker=asker, read_label=parse_label)
            )
        (body,) = server.requests
    assert [one.value for one in found] == [1.0, 0.5, 0.0]
    assert "response_format" in body
    assert "logprobs" not in body


def test_the_menu_is_part_of_what_names_a_request() -> None:
    body = {"model": "m", "messages": [], "max_tokens": 5}
    keys = {make_request("http://a", body, None, menu).key for menu in ((), MENU, ("A", "B"))}
    assert len(keys) == 3


def test_a_journal_from_before_is_read_on(tmp_path: Path) -> None:
    """Version 2 kept no first tokens."""
    path = tmp_path / "j.sqlite"
    request = make_request("http://a", {"model": "m", "max_tokens": 5}, None)
    journal = Journal(path)
    journal.put(request, "m", "http://a", Kept("answered", "yes", "stop", 3, 1))
    journal.close()
    database = sqlite3.connect(path)
    database.execute("ALTER TABLE reply DROP COLUMN first_tokens")
    database.execute("PRAGMA user_version=2")
    database.close()
    journal = Journal(path)
    try:
        assert journal.get(request.key) == Kept("answered", "yes", "stop", 3, 1)
        other = make_request("http://a", {"model": "m", "max_tokens": 6}, None)
        journal.put(other, "m", "http://a", Kept("answered", "A", "stop", 3, 1, {"A": -0.5}))
        journal.commit()
        journal._waiting.clear()
        assert journal.get(other.key) == Kept("answered", "A", "stop", 3, 1, {"A": -0.5})
    finally:
        journal.close()
