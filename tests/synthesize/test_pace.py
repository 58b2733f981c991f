"""Limits of requests and tokens a minute, on a clock of our own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.synthesize.stub_server import Answer, Body, StubServer, one_pair
from tests.synthesize.test_endpoint import run, tanks
from tests.synthesize.test_trial import plan_of
from tunesmith import cli
from tunesmith.records import Example
from tunesmith.synthesize import client
from tunesmith.synthesize.client import Client
from tunesmith.synthesize.estimate import estimate_items
from tunesmith.synthesize.journal import Reply
from tunesmith.synthesize.pace import Pace
from tunesmith.synthesize.request import Request, make_request


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def request_of(words: int, max_tokens: int, key: str = "key") -> Request:
    """`words` words without a mark are 1.25 times as many tokens."""
    return Request(key, " ".join(["word"] * words), None, max_tokens)


def test_no_limit_never_waits() -> None:
    pace = Pace(None, None)
    for _ in range(3):
        pace.take(request_of(4, 10))
        assert pace.wait_s() == 0


def test_requests_go_out_at_even_distances() -> None:
    clock = Clock()
    pace = Pace(30, None, clock)
    assert pace.wait_s() == 0
    pace.take(request_of(1, 1))
    assert pace.wait_s() == pytest.approx(2.0)  # 60 s / 30
    clock.now += 1.5
    assert pace.wait_s() == pytest.approx(0.5)
    # time that nobody used is not saved up for a burst
    clock.now += 100
    pace.take(request_of(1, 1))
    assert pace.wait_s() == pytest.approx(2.0)


def test_tokens_are_expected_and_put_right() -> None:
    clock = Clock()
    pace = Pace(None, 600, clock)  # ten a second
    first = request_of(80, 200)  # 100 tokens, and a reply of 200 at most
    pace.take(first)
    assert pace.wait_s() == pytest.approx(30.0)
    clock.now += 3
    pace.settle(first, Reply("answered", "", "stop", 90, 50))  # 140 in truth: 14 s, of which 3 are over
    assert pace.wait_s() == pytest.approx(11.0)
    clock.now += 11
    # the next reply is taken to be as long as the first: 100 + 50 tokens
    pace.take(request_of(80, 200, "other"))
    assert pace.wait_s() == pytest.approx(15.0)
    # what failed cost what was expected
    pace.settle(request_of(80, 200, "other"), None)
    assert pace.wait_s() == pytest.approx(15.0)


def test_the_tighter_limit_counts() -> None:
    clock = Clock()
    pace = Pace(60, 600, clock)
    pace.take(request_of(4, 5))  # 10 tokens: 1 s by either
    assert pace.wait_s() == pytest.approx(1.0)
    clock.now += 1
    pace.take(request_of(40, 50, "long"))  # 100 tokens: 10 s
    assert pace.wait_s() == pytest.approx(10.0)


def test_a_server_gets_no_more_than_its_share_of_any_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that jumps over the waits, so that five minutes are over at once."""
    clock, sent = Clock(), []

    class Watched(Pace):
        def __init__(self, requests: int | None, tokens: int | None) -> None:
            super().__init__(requests, tokens, clock)

        def take(self, request: Request) -> None:
            sent.append(clock.now)
            super().take(request)

    def jump(self: Client, seconds: float) -> None:
        # As a timer would: when nothing else is left to do. What waited before is no longer asked for.
        if self._next_turn is not None:
            self._next_turn.cancel()

        def turn() -> None:
            clock.now += self.pace.wait_s()
            self._wake()

        self._next_turn = asyncio.get_running_loop().call_later(0.002, turn)

    def script(body: Body, before: int) -> Answer:
        return one_pair(body, before) if before or len(sent) % 4 else Answer(status=429)

    monkeypatch.setattr(client, "Pace", Watched)
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(Client, "_wake_in", jump)
    with StubServer(script) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(50), concurrency=16, requests_per_minute=12)
    assert sum(isinstance(one, Example) for one in records) == 50
    assert len(sent) == len(server.requests) > 50  # repeated ones went through the same gate
    for start in sent:
        assert sum(start <= at < start + 60 for at in sent) <= 12
    # twelve a minute are one each five seconds, and none of them was wasted
    assert sent[-1] - sent[0] == pytest.approx(5.0 * (len(sent) - 1))


def test_check_tells_how_long_the_limits_make_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer() as server:
        plan = plan_of(tmp_path, server, requests_per_minute=4, tokens_per_minute=10**9)
        assert cli.main(["check", str(plan)]) == 0
        assert not server.requests
    said = " ".join(capsys.readouterr().out.split())
    # twelve passages at four a minute
    assert "At most 4 requests and 1,000,000,000 tokens a minute: that takes 3 min or more." in said


def test_estimate_takes_the_longer_of_pace_and_limits(tmp_path: Path) -> None:
    requests = [
        (make_request("u", {"messages": f"one two three {n}", "max_tokens": 100}, None), 2) for n in range(6)
    ]
    found = estimate_items(requests, tmp_path / "j.sqlite", None, 8, tokens_per_minute=600)
    # replies of 100 tokens at most, though two pieces would take 150; ten tokens a second
    assert found.reply_tokens == 600
    assert found.least_seconds == found.seconds == pytest.approx((found.prompt_tokens + 600) / 10)
    both = estimate_items(
        requests, tmp_path / "j.sqlite", None, 8, requests_per_minute=1, tokens_per_minute=600
    )
    assert both.least_seconds == max(360.0, (found.prompt_tokens + 600) / 10)
