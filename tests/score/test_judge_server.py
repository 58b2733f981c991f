"""The judge over the teacher's engine: real requests, a real journal, a server on 127.0.0.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.score.judge_fakes import pairs_of, says
from tests.synthesize.stub_server import Answer, Body, StubServer
from tunesmith.compare.judged import judge_summary
from tunesmith.compare.labels import parse_label
from tunesmith.errors import InputError
from tunesmith.judging.server import open_asker
from tunesmith.records import Judgement
from tunesmith.score.judge import JudgeEndpoint, JudgeOptions, judge_pairs
from tunesmith.synthesize.pace import Pace


def judged(server: StubServer, journal: Path, n: int = 6, **fields: object) -> list[Judgement]:
    endpoint = JudgeEndpoint(url=server.url, model="stub", tries=1)
    options = JudgeOptions.model_validate({"judge": endpoint, "controls": 1, **fields})
    pairs = pairs_of(*((f"short {n}", f"a longer answer {n}") for n in range(n)))
    with open_asker(endpoint, journal) as asker:
        return list(judge_pairs(pairs, options, asker=asker, read_label=parse_label))


def prefers_longer(body: Body, before: int) -> Answer:
    text = body["messages"][1]["content"]
    first, second = (text.split(f"[begin answer {letter} ")[1].split("[end")[0] for letter in "AB")
    return Answer(says("TIE" if len(first) == len(second) else "A" if len(first) > len(second) else "B"))


def test_a_second_judging_sends_nothing(tmp_path: Path) -> None:
    with StubServer(prefers_longer) as server:
        first = judged(server, tmp_path / "journal.sqlite")
        n_sent = len(server.requests)
        again = judged(server, tmp_path / "journal.sqlite")
        # Six pairs and a corrupted copy in both orders; an answer against itself is the same request in both.
        assert n_sent == 6 * 2 + 2 + 1
        assert len(server.requests) == n_sent
    assert again == first
    found = judge_summary(first)
    assert (found["wins"], found["losses"]) == (6, 0)


def test_the_server_is_held_to_the_menu_at_temperature_0(tmp_path: Path) -> None:
    with StubServer(prefers_longer) as server:
        judged(server, tmp_path / "journal.sqlite", n=1)
        body = server.requests[0]
    assert body["temperature"] == 0.0
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["verdict"]["enum"] == ["A", "B", "TIE"]
    assert list(schema["properties"]) == ["reason", "verdict"]


def test_votes_are_other_requests_for_the_server(tmp_path: Path) -> None:
    with StubServer(lambda body, before: Answer(says("A"))) as server:
        found = judged(server, tmp_path / "journal.sqlite", n=1, votes=3, controls=0)
        assert len(server.requests) == 2 + 6
        assert sorted({(body["temperature"], body["seed"]) for body in server.requests}) == [
            (0.0, 0), (0.7, 1), (0.7, 2), (0.7, 3),
        ]  # fmt: skip
    assert judge_summary(found)["ties"] == 1


def test_failures_are_counted_and_cut_replies_do_not_count(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        text = body["messages"][1]["content"]
        if "short 2" in text:
            return Answer(status=500)
        if "short 4" in text:
            return Answer('{"reason": "because", "verdict": "A', finish_reason="length")
        return prefers_longer(body, before)

    with StubServer(script) as server:
        found = judge_summary(judged(server, tmp_path / "journal.sqlite", controls=0))
    assert (found["wins"], found["unparsed"], found["n"]) == (4, 2, 6)
    assert found["replies"]["status"] == {"ok": 8, "no reply": 2, "cut off": 2}
    assert found["verdict"] == "invalid"


def test_a_server_that_always_fails_stops_the_judging(tmp_path: Path) -> None:
    with (
        StubServer(lambda body, before: Answer(status=500)) as server,
        pytest.raises(InputError, match="HTTP 500"),
    ):
        judged(server, tmp_path / "journal.sqlite", n=2)


def test_limits_a_minute_reach_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int | None, int | None]] = []

    class Watched(Pace):
        def __init__(self, requests: int | None, tokens: int | None) -> None:
            limits.append((requests, tokens))
            super().__init__(requests, tokens)

    monkeypatch.setattr("tunesmith.synthesize.client.Pace", Watched)
    with StubServer(prefers_longer) as server:
        endpoint = JudgeEndpoint(
            url=server.url, model="stub", requests_per_minute=600, tokens_per_minute=100_000
        )
        with open_asker(endpoint, tmp_path / "journal.sqlite"):
            pass
    assert limits == [(600, 100_000)]
