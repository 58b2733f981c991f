"""The engine between teacher and server: order, memory, equal requests, what ends a run, and what a kill leaves."""

from __future__ import annotations

import heapq
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synthesize.stub_server import Answer, Body, StubServer, one_pair, pairs, passage_of
from tests.synthesize.test_endpoint import SOURCE, run, tanks
from tunesmith.errors import InputError, MissingError, TunesmithError
from tunesmith.records import Example, Refused, as_row
from tunesmith.spending import Prices
from tunesmith.synthesize import client, engine
from tunesmith.synthesize.engine import connected
from tunesmith.synthesize.gate import Gate
from tunesmith.synthesize.journal import Journal, Reply, models_in
from tunesmith.synthesize.options import TeacherOptions
from tunesmith.synthesize.request import longer, make_request, tokens_in


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)


def written(records: list[Example | Refused]) -> bytes:
    return "\n".join(json.dumps(as_row(record)) for record in records).encode()


def test_same_replies_give_the_same_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        answer = one_pair(body, before)
        answer.delay_s = random.choice([0, 0, 0.002, 0.05])
        number = int(passage_of(body).split()[1])
        if number % 17 == 3 and before == 0:
            return Answer(status=503)
        if number % 29 == 5:
            return Answer("not this one", status=400)
        return answer

    with StubServer(script) as server:
        url = server.url
        found = [run(server, tmp_path / f"{n}.sqlite", tanks(150), concurrency=n) for n in (1, 16, 64)]
        again = run(server, tmp_path / "16.sqlite", tanks(150), concurrency=5)
        assert server.url == url
    assert len(found[0]) == 150
    assert sum(isinstance(record, Refused) for record in found[0]) == len(range(5, 150, 29))
    assert written(found[0]) == written(found[1]) == written(found[2]) == written(again)


def test_one_slow_request_holds_back_the_order_and_not_the_work(tmp_path: Path) -> None:
    done_before_slow: list[int] = []

    def script(body: Body, before: int) -> Answer:
        answer = one_pair(body, before)
        if "Tank 3 " in passage_of(body):
            answer.delay_s = 2.0
        return answer

    with StubServer(script) as server:
        stream = iter(run_stream(server, tmp_path / "j.sqlite", 600))
        first = [next(stream) for _ in range(4)]
        done_before_slow.append(len(server.requests))
        rest = list(stream)
    assert [record.chunk_id for record in [*first, *rest]] == [f"c{i}" for i in range(600)]
    # With 4 in flight the old window of 64 would have stopped there.
    assert done_before_slow[0] > 100


def run_stream(server: StubServer, journal: Path, count: int, **teacher: object):  # type: ignore[no-untyped-def]
    from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher

    settings = {"url": server.url, "model": "stub", "concurrency": 4} | teacher
    options = SynthesizeOptions(teacher=settings, checks=())  # type: ignore[arg-type]
    return open_teacher(options, journal).write(tanks(count), options)


def test_what_waits_for_its_turn_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(body: Body, before: int) -> Answer:
        answer = one_pair(body, before)
        if "Tank 0 " in passage_of(body):
            answer.delay_s = 0.5
        return answer

    with StubServer(script) as server:
        stream = run_stream(server, tmp_path / "probe.sqlite", 1)
        next(stream)
        size = len(json.dumps(server.requests[0])) + 150
        server.requests.clear()
        monkeypatch.setattr(engine, "MOST_WAITING", 40 * size)
        stream = run_stream(server, tmp_path / "j.sqlite", 400)
        next(stream)
        # 40 requests' worth, and those that were drawn before the first replies had come
        assert 20 <= len(server.requests) <= 60
        assert len(list(stream)) == 399


def test_no_more_replies_wait_for_the_disk_than_a_kill_may_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_free = threading.Event()
    write_group = Journal._write_group

    def when_free(journal: Journal) -> None:
        if journal.n_unsaved:
            is_free.wait(30)
        write_group(journal)

    monkeypatch.setattr(Journal, "_write_group", when_free)
    with StubServer(one_pair) as server:
        stream = run_stream(server, tmp_path / "j.sqlite", 60)
        next(stream)
        reader = threading.Thread(target=lambda: list(stream))
        reader.start()
        time.sleep(0.5)  # each request takes about a millisecond
        assert len(server.requests) == 2 * 4  # twice what may be in flight
        is_free.set()
        reader.join(30)
        assert len(server.requests) == 60


def test_equal_requests_are_sent_once(tmp_path: Path) -> None:
    chunks = [chunk for chunk in tanks(3) for _ in range(4)]
    with StubServer(delay_s=0.02) as server:
        records = run(server, tmp_path / "j.sqlite", chunks)
        assert len(server.requests) == 3
    assert len(records) == 12
    assert all(isinstance(record, Example) for record in records)


def test_cut_reply_is_asked_for_once_more_with_twice_the_room(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if body["max_tokens"] == 100:
            return Answer('{"pairs": [{"question": "How mu', finish_reason="length")
        return one_pair(body, before)

    with StubServer(script) as server:
        (record,) = run(server, tmp_path / "j.sqlite", tanks(1), max_tokens=100)
        assert [body["max_tokens"] for body in server.requests] == [100, 200]
        assert run(server, tmp_path / "j.sqlite", tanks(1), max_tokens=100) == [record]
        assert len(server.requests) == 2
        (short,) = run(server, tmp_path / "j.sqlite", tanks(1), max_tokens=100, longer_once=False)
        assert len(server.requests) == 2
    assert isinstance(record, Example)
    assert isinstance(short, Refused)
    assert short.reason == "the reply was cut at max_tokens"


@pytest.mark.parametrize("second", ["cut again", "turned down"])
def test_reply_cut_twice_is_refused_and_never_mended(tmp_path: Path, second: str) -> None:
    whole = pairs(("How much does Tank 0 hold?", "Tank 0 holds 0 litres.", "Tank 0 holds 0 litres."))

    def script(body: Body, before: int) -> Answer:
        if body["max_tokens"] == 32 and second == "turned down":
            return Answer("context is 20 tokens", status=400)
        return Answer(whole[:-2], finish_reason="length")  # the pair is there; only the brackets are not

    with StubServer(script) as server:
        for _ in range(2):
            (record,) = run(server, tmp_path / "j.sqlite", tanks(1), max_tokens=16)
            assert isinstance(record, Refused)
            assert (record.check, record.reason) == ("format", "the reply was cut at max_tokens")
        assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["finish_reason", "error code"])
def test_content_filter_is_a_verdict(tmp_path: Path, form: str) -> None:
    def script(body: Body, before: int) -> Answer:
        if form == "finish_reason":
            return Answer("", finish_reason="content_filter")
        raw = {"error": {"message": "policy", "code": "content_filter"}}
        return Answer(status=400, raw=json.dumps(raw))

    with StubServer(script) as server:
        for _ in range(2):
            (record,) = run(server, tmp_path / "j.sqlite", tanks(1))
            assert isinstance(record, Refused)
            assert record.reason == "the server's content filter stopped the reply"
        assert len(server.requests) == 1


def test_server_that_breaks_down_stops_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    is_broken = True

    def script(body: Body, before: int) -> Answer:
        number = int(passage_of(body).split()[1])
        return Answer(status=502) if is_broken and number >= 10 else one_pair(body, before)

    with StubServer(script) as server:
        with pytest.raises(TunesmithError, match="4 requests in a row had no reply after 2 tries") as caught:
            run(server, tmp_path / "j.sqlite", tanks(200), tries=2, give_up_after=4, concurrency=2)
        assert "run again" in str(caught.value)
        # 10 answered; 4 failed twice; at most as many again were in flight or had one of their tries.
        assert 18 <= len(server.requests) <= 10 + 4 * 2 + 50
        assert not isinstance(caught.value, MissingError)
        is_broken = False
        server.requests.clear()
        records = run(server, tmp_path / "j.sqlite", tanks(200))
        assert len(server.requests) == 190
    assert all(isinstance(record, Example) for record in records)


def test_failures_here_and_there_do_not_stop_the_run(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        number = int(passage_of(body).split()[1])
        return Answer(status=500) if number % 3 == 1 else one_pair(body, before)

    with StubServer(script) as server:
        records = run(
            server,
            tmp_path / "j.sqlite",
            tanks(30),
            tries=1,
            give_up_after=2,
            concurrency=1,
            longer_once=False,
        )
    assert sum(isinstance(record, Refused) for record in records) == 10


KILLED = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.synthesize.test_endpoint import tanks
    from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher, synthesize_examples
    teacher = {"url": sys.argv[1], "model": "stub", "concurrency": 8, "prices": {"input": 1000, "output": 10000}}
    options = SynthesizeOptions(teacher=teacher, checks=())
    print("ready", flush=True)
    for record in synthesize_examples(tanks(600), open_teacher(options, Path(sys.argv[2])), options):
        pass
""")


def start(server: StubServer, journal: Path, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    root = str(SOURCE.parent)
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, server.url, str(journal)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), root])},
        cwd=root,
        stderr=stderr,
        stdout=subprocess.DEVNULL,
        # What runs in the background of a shell ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(server: StubServer, count: int) -> None:
    until = time.monotonic() + 30
    while len(server.requests) < count and time.monotonic() < until:
        time.sleep(0.005)
    assert len(server.requests) >= count


def test_money_survives_kill_9(tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    with StubServer(delay_s=0.02) as server:
        process = start(server, journal)
        wait_for(server, 120)
        process.kill()
        process.wait(20)
        kept = Journal(journal)
        try:
            usage = kept.usage()
        finally:
            kept.close()
        # All but those in flight and the last group (20 ms of 20 ms requests): 0.3 for each, no more, no less.
        assert len(server.requests) - 4 * 8 <= usage.replies <= len(server.requests)
        assert usage.money == pytest.approx(0.3 * usage.replies)
        with pytest.raises(TunesmithError, match="the budget is spent"):
            run(
                server,
                journal,
                tanks(600),
                max_tokens=1024,
                prices={"input": 1000, "output": 10_000},
                budget={"money": usage.money + 1},
            )
        # One request can cost 10 (1,024 tokens of reply): the 1 that is left does not hold it.
        assert len(server.requests) - usage.requests <= 4 * 8


def test_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        answer = one_pair(body, before)
        answer.delay_s = 20.0 if int(passage_of(body).split()[1]) >= 40 else 0.0
        return answer

    with StubServer(script) as server:
        process = start(server, tmp_path / "j.sqlite", subprocess.PIPE)
        wait_for(server, 48)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "the first one waits for what is in flight"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[1].decode()
        assert "KeyboardInterrupt" in said
        assert "pending" not in said, "asyncio complains of what was left behind"
        kept = Journal(tmp_path / "j.sqlite")
        try:
            assert kept.usage().replies == 40
        finally:
            kept.close()


def test_gate_starts_small_doubles_and_takes_what_the_server_held() -> None:
    gate = Gate(64)
    for _ in range(4):
        gate.enter()
    assert not gate.is_open
    for _ in range(4):
        gate.leave(is_refused=False)
    assert gate.limit == 8
    for _ in range(8):
        gate.enter()
    for _ in range(3):
        gate.leave(is_refused=True)
    assert gate.limit == 8, "refusals here and there are no full server"
    gate.leave(is_refused=True)
    assert gate.limit == 4, "a burst: four are held by the server"


def simulate(gate: Gate, requests: int, is_refused: Callable[[int, float], bool]) -> tuple[float, int]:
    """Seconds and refusals until all are answered: an answer takes 50 ms, a refusal 1 ms, and waits up to 500 ms.

    `is_refused` is given what the server holds and the time.
    """
    draw = random.Random(5)
    waiting, held, now, answered, refused = requests, 0, 0.0, 0, 0
    events: list[tuple[float, int, str]] = []
    while answered < requests:
        while waiting and gate.is_open:
            gate.enter()
            waiting -= 1
            if is_refused(held, now):
                heapq.heappush(events, (now + 0.001, len(events), "refused"))
            else:
                held += 1
                heapq.heappush(events, (now + 0.05, len(events), "answered"))
        now, _, what = heapq.heappop(events)
        if what == "again":
            waiting += 1
            continue
        gate.leave(is_refused=what == "refused")
        if what == "answered":
            held -= 1
            answered += 1
        else:
            refused += 1
            heapq.heappush(events, (now + draw.uniform(0, 0.5), len(events), "again"))
    return now, refused


def test_gate_stays_at_what_a_full_server_takes() -> None:
    gate = Gate(64)
    seconds, refused = simulate(gate, 10_000, lambda held, _: held >= 32)
    assert gate.limit in (32, 33)
    assert refused < 0.01 * 10_000
    assert seconds < 1.1 * 10_000 / 32 * 0.05 + 0.5


def test_gate_does_not_mind_refusals_that_have_nothing_to_do_with_its_load() -> None:
    gate, draw = Gate(64), random.Random(3)
    seconds, refused = simulate(gate, 20_000, lambda *_: draw.random() < 0.05)
    assert gate.limit >= 48
    assert 0.04 < refused / 20_000 < 0.06
    assert seconds < 1.25 * 20_000 / 64 * 0.05 + 1.0


def test_gate_opens_again_when_the_server_has_room_again() -> None:
    """A quota that is spent for two seconds: everything is refused meanwhile."""
    gate = Gate(64)
    simulate(gate, 8_000, lambda _, now: 1 < now < 3)
    assert gate.limit >= 32


def test_request_is_named_by_its_content() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "é"}], "max_tokens": 5}
    request = make_request("http://a", body, None)
    assert request.text == '{"max_tokens":5,"messages":[{"content":"é","role":"user"}],"model":"m"}'
    assert make_request("http://a", dict(reversed(body.items())), None).key == request.key
    assert make_request("http://b", body, None).key != request.key
    again = longer("http://a", request)
    assert (again.max_tokens, again.key != request.key) == (10, True)
    assert again.key == make_request("http://a", body | {"max_tokens": 10}, None).key


def test_tokens_are_estimated_by_words_and_marks() -> None:
    assert tokens_in("One, two: three.") == round(1.25 * 6)
    assert tokens_in("") == 0


def test_half_a_surrogate_pair_is_sent_and_kept(tmp_path: Path) -> None:
    from dataclasses import replace

    (chunk,) = tanks(1)
    with StubServer() as server:
        records = run(server, tmp_path / "j.sqlite", [replace(chunk, text=chunk.text + " \ud83d")])
        assert len(server.requests) == 1
        assert passage_of(server.requests[0]).endswith("\ud83d")
    assert isinstance(records[0], Example)


def test_journal_answers_before_and_after_it_is_written(tmp_path: Path) -> None:
    request = make_request("http://a", {"model": "m", "messages": [], "max_tokens": 5}, None)
    reply = Reply("answered", "grüße \ud83d", "stop", 3, None)
    journal = Journal(tmp_path / "j.sqlite")
    try:
        assert journal.get(request.key) is None
        journal.put(request, "m", "http://a", reply)
        assert journal.get(request.key) == reply
        journal.commit()
        assert journal.get(request.key) == reply
    finally:
        journal.close()
    assert models_in(tmp_path / "j.sqlite", "http://a") == ["m"]
    assert models_in(tmp_path / "none.sqlite", "http://a") == []
    assert not (tmp_path / "none.sqlite").exists()


def test_journal_of_another_version_is_told(tmp_path: Path) -> None:
    import sqlite3

    database = sqlite3.connect(tmp_path / "j.sqlite")
    database.execute("CREATE TABLE reply (key TEXT PRIMARY KEY)")
    database.close()
    with pytest.raises(InputError, match="another version"):
        Journal(tmp_path / "j.sqlite")


def test_prices_are_for_a_million_tokens() -> None:
    assert Prices(input=0.5, output=2.0).of(1_000_000, 500_000) == pytest.approx(1.5)


def test_two_streams_share_a_connection(tmp_path: Path) -> None:
    """What a second question about each reply needs: one stream draws from another."""

    class Asked:
        def __init__(self, number: int, part: str) -> None:
            body = {
                "model": "stub",
                "messages": [
                    {"role": "system", "content": part},
                    {"role": "user", "content": f"<document-a>\nTank {number} holds. x\n</document-a>"},
                ],
                "max_tokens": 50,
            }
            self.number = number
            self.request = make_request("u", body, None)

    with StubServer() as server:
        options = TeacherOptions(url=server.url, model="stub", concurrency=4)
        with connected(options, tmp_path / "j.sqlite", None) as connection:
            firsts = connection.ordered(Asked(n, "first") for n in range(50))
            seconds = connection.ordered(Asked(asked.number, "second") for asked, _ in firsts)
            numbers = [asked.number for asked, _ in seconds]
        assert numbers == list(range(50))
        assert len(server.requests) == 100


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "commit", "reopen"]),
            st.integers(0, 4),
            st.text(st.characters(), max_size=40),  # half surrogate pairs and zero bytes too
        ),
        max_size=20,
    )
)
def test_journal_gives_back_whatever_it_was_given(steps: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.sqlite"
        journal = Journal(path)
        kept: dict[str, Reply] = {}
        n_put = 0
        for step, number, text in steps:
            request = make_request("u", {"model": "m", "messages": str(number), "max_tokens": 9}, None)
            if step == "put":
                n_put += 1
                kept[request.key] = Reply("answered", text, "stop", number, None)
                journal.count_attempt(request.key, "200", 0.5, kept[request.key], 0.25)
                journal.put(request, "m", "u", kept[request.key])
            elif step == "commit":
                journal.commit()
            else:
                journal.close()
                journal = Journal(path)
            assert all(journal.get(key) == reply for key, reply in kept.items())
        usage = journal.usage()
        journal.close()
        assert (usage.requests, usage.money) == (n_put, 0.25 * n_put)


def test_a_run_that_has_to_stop_is_never_waited_for() -> None:
    """News that come before the waiting begins are not missed."""
    stream = engine._Stream(most_ahead=8, low=4)
    request = make_request("u", {"max_tokens": 9}, None)

    class Item:
        pass

    item = Item()
    item.request = request  # type: ignore[attr-defined]
    stream.add(item, client.Job(request, stream.on_done))

    class Stopped:
        fatal = TunesmithError("stop")

    stream.news.set()
    stream.wait(Stopped(), can_draw=False)  # type: ignore[arg-type]
    assert stream.n_open == 1
