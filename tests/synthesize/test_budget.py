"""Budgets: what is set aside, what is charged, when it stops, and that a restart does not forget."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.synthesize.stub_server import Answer, Body, StubServer, one_pair
from tests.synthesize.test_endpoint import run, tanks
from tunesmith.errors import TunesmithError
from tunesmith.records import Example, Refused
from tunesmith.spending import Budget, Prices
from tunesmith.synthesize.budget import Ledger
from tunesmith.synthesize.journal import Journal, Reply, Usage
from tunesmith.synthesize.options import TeacherOptions
from tunesmith.synthesize.request import Request

NOTHING = Usage(0, 0, 0, 0)
PRICES = {"input": 1000, "output": 10_000}
"""The stub counts 100 tokens in and 20 out: 0.1 + 0.2 = 0.3 a request."""


def request_of(characters: int, max_tokens: int) -> Request:
    return Request("key", "x" * characters, None, max_tokens)


def test_most_is_reserved_and_tokens_settle_it() -> None:
    ledger = Ledger(Budget(money=1.0), Prices(input=1000, output=10_000), NOTHING)
    # 300 characters are at most 100 tokens: 0.1; 40 tokens of reply: 0.4.
    request = request_of(300, 40)
    assert ledger.reserve(request) == "sent"
    assert ledger.reserve(request) == "sent"
    assert ledger.reserve(request) == "wait"  # 1.0 is promised, though nothing is spent
    assert ledger.settle(request, Reply("answered", "", "stop", 80, 10)) == pytest.approx(0.08 + 0.1)
    assert ledger.outlay.money == pytest.approx(0.18)
    assert ledger.reserve(request) == "wait"  # 0.18 + 0.5 + 0.5 > 1
    assert ledger.settle(request, None) == 0.0
    assert ledger.reserve(request) == "sent"
    assert ledger.outlay.requests == 3


def test_soft_stop_at_95_percent() -> None:
    ledger = Ledger(Budget(money=1.0), Prices(input=1000, output=10_000), NOTHING)
    request = request_of(30, 1)
    assert ledger.reserve(request) == "sent"
    ledger.settle(request, Reply("answered", "", "stop", 949, 0))
    assert ledger.reserve(request) == "sent"
    ledger.settle(request, Reply("answered", "", "stop", 1, 0))
    assert ledger.reserve(request) == "spent"


def test_a_request_too_dear_for_the_rest_ends_it() -> None:
    ledger = Ledger(Budget(money=0.1), Prices(input=1000, output=10_000), NOTHING)
    assert ledger.reserve(request_of(3, 1000)) == "spent"


def test_tokens_the_server_does_not_count_are_charged_by_estimate() -> None:
    ledger = Ledger(None, Prices(input=1000, output=10_000), NOTHING)
    request = request_of(300, 40)
    ledger.reserve(request)
    # eight words and marks at 1.25 are 10 tokens
    reply = Reply("answered", "One two three, four five six.", "stop")
    assert ledger.settle(request, reply) == pytest.approx(0.1 + 0.1)


def test_tokens_from_before_the_prices_are_priced_now() -> None:
    before = Usage(3, 3, 500, 60, money=0.25, unpriced=(100, 20), seconds=1800)
    outlay = Ledger(None, Prices(input=1000, output=10_000), before).outlay
    assert outlay.money == pytest.approx(0.25 + 0.1 + 0.2)
    assert (outlay.requests, outlay.hours) == (3, 0.5)
    assert Ledger(None, None, before).outlay.money is None


def test_hours_of_earlier_runs_count() -> None:
    spent = Ledger(Budget(hours=1), None, Usage(1, 1, 0, 0, seconds=0.96 * 3600))
    assert spent.reserve(request_of(3, 1)) == "spent"
    left = Ledger(Budget(hours=1), None, Usage(1, 1, 0, 0, seconds=0.94 * 3600))
    assert left.reserve(request_of(3, 1)) == "sent"


def test_money_stops_the_run_and_a_higher_budget_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    settings: dict[str, object] = {"max_tokens": 20, "prices": PRICES, "concurrency": 4}
    with StubServer() as server:
        with pytest.raises(TunesmithError, match="the budget is spent") as caught:
            run(server, journal, tanks(40), budget={"money": 3.0}, **settings)
        first = len(server.requests)
        # 0.3 each; at the most (0.2 of reply, and some 350 tokens of prompt at 3 bytes each) the last does not fit.
        assert 6 <= first <= 10
        assert "of 3 in money" in str(caught.value)
        assert caught.value.exit_code == 1
        # Nothing goes out on a second try, since the journal knows what was spent.
        with pytest.raises(TunesmithError, match="the budget is spent"):
            run(server, journal, tanks(40), budget={"money": 3.0}, **settings)
        assert len(server.requests) == first
        records = run(server, journal, tanks(40), budget={"money": 30.0}, **settings)
        assert len(server.requests) == 40
    assert sum(isinstance(record, Example) for record in records) == 40
    usage = Journal(journal)
    try:
        assert usage.usage().money == pytest.approx(40 * 0.3)
    finally:
        usage.close()


def test_go_on_keeps_what_there_is_and_counts_what_was_not_asked(tmp_path: Path) -> None:
    with StubServer() as server:
        records = run(server, tmp_path / "j.sqlite", tanks(20), budget={"requests": 12, "then": "go_on"})
        assert len(server.requests) == 12
        unasked = [record for record in records if isinstance(record, Refused)]
        assert [record.chunk_id for record in unasked] == [f"c{i}" for i in range(12, 20)]
        assert {record.check for record in unasked} == {"budget"}
        assert unasked[0].reason == "not asked: the budget of 12 requests is spent"
        assert len({record.id for record in unasked}) == 8
        # The same journal gives the same records.
        again = run(server, tmp_path / "j.sqlite", tanks(20), budget={"requests": 12, "then": "go_on"})
        assert again == records
        assert len(server.requests) == 12


def test_what_was_made_before_the_stop_is_given_out(tmp_path: Path) -> None:
    from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher

    with StubServer() as server:
        teacher = TeacherOptions(url=server.url, model="stub", budget=Budget(requests=5))
        options = SynthesizeOptions(teacher=teacher, checks=())
        stream = open_teacher(options, tmp_path / "j.sqlite").write(tanks(9), options)
        made = [next(stream) for _ in range(5)]
        with pytest.raises(TunesmithError):
            next(stream)
    assert [record.chunk_id for record in made] == [f"c{i}" for i in range(5)]


def test_retries_count_as_requests_and_cost_nothing(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        return one_pair(body, before) if before else Answer(status=503)

    with StubServer(script) as server:
        run(server, tmp_path / "j.sqlite", tanks(3), prices=PRICES)
    journal = Journal(tmp_path / "j.sqlite")
    try:
        usage = journal.usage()
    finally:
        journal.close()
    assert (usage.requests, usage.replies) == (6, 3)
    assert usage.money == pytest.approx(0.9)
    assert usage.seconds > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"budget": {"money": 5}}, "needs prices"),
        ({"budget": {}}, "needs money, requests or hours"),
        ({"budget": {"money": 0}, "prices": PRICES}, "greater than 0"),
        ({"prices": {"input": 1}}, "output"),
    ],
)
def test_budgets_that_limit_nothing_are_told(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TeacherOptions.model_validate({"url": "http://127.0.0.1:1"} | settings)
