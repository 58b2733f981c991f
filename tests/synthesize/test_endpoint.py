"""The model teacher against a stub server: what is sent, what is kept, what stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.synthesize.stub_server import Answer, Body, StubServer, one_pair, pairs, passage_of
from tunesmith.errors import InputError, MissingError, TunesmithError
from tunesmith.records import Chunk, Example, Refused
from tunesmith.synthesize import client
from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher, synthesize_examples
from tunesmith.synthesize.wire import seconds_to_wait

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)


def tanks(count: int) -> list[Chunk]:
    texts = [f"Tank {number} holds {number * 2} litres. It stands in the cellar." for number in range(count)]
    return [
        Chunk(f"c{i}", "tanks.md", "Tanks", None, text, 100, 100 + len(text), 1, 1, 12)
        for i, text in enumerate(texts)
    ]


def run(
    server: StubServer, journal: Path, chunks: list[Chunk], *, checks: tuple[str, ...] = (), **teacher: object
) -> list[Example | Refused]:
    endpoint = {"url": server.url, "model": "stub"} | teacher
    options = SynthesizeOptions(teacher=endpoint, checks=checks)  # type: ignore[arg-type]
    return list(synthesize_examples(chunks, open_teacher(options, journal), options))


def test_reply_becomes_example_with_exact_evidence(tmp_path: Path) -> None:
    with StubServer() as server:
        (example,) = run(server, tmp_path / "j.sqlite", tanks(1), checks=("grounded",))
    assert isinstance(example, Example)
    assert (example.instruction, example.target) == ("How much does Tank 0 hold?", "Tank 0 holds 0 litres.")
    # "Tank 0 holds 0 litres." is 22 characters, and the chunk starts at 100.
    assert (example.evidence_start, example.evidence_end) == (100, 122)
    assert (example.teacher, example.first_page, example.chunk_id) == ("stub", 1, "c0")


def test_request_asks_for_the_schema_and_fences_the_passage(tmp_path: Path) -> None:
    with StubServer() as server:
        run(server, tmp_path / "j.sqlite", tanks(1), temperature=0.5, max_tokens=77, seed=3)
        (body,) = server.requests
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == ("stub", 0.5, 77, 3)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["pairs"]
    assert passage_of(body) == tanks(1)[0].text


def test_rerun_sends_nothing_and_one_row_more_sends_one(tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    with StubServer() as server:
        first = run(server, journal, tanks(20))
        assert len(server.requests) == 20
        assert run(server, journal, tanks(20)) == first
        assert len(server.requests) == 20
        run(server, journal, tanks(21))
        assert len(server.requests) == 21
        run(server, journal, tanks(21), model="other")
        assert len(server.requests) == 42
        run(server, journal, tanks(21), temperature=0.9)
        assert len(server.requests) == 63


def test_changed_checks_cost_no_request(tmp_path: Path) -> None:
    with StubServer() as server:
        run(server, tmp_path / "j.sqlite", tanks(3))
        refused = run(server, tmp_path / "j.sqlite", tanks(3), checks=("near_duplicate",))
        assert len(server.requests) == 3
    assert len(refused) == 3


def test_changed_prompt_is_asked_anew(tmp_path: Path) -> None:
    prompt = tmp_path / "mine.jinja"
    prompt.write_text(
        "{% block system %}Be brief.{% endblock %}{% block user %}<{{ fence }}>\n{{ passage }}\n</{{ "
        "fence }}> {{ count }}{% endblock %}"
    )
    with StubServer() as server:
        run(server, tmp_path / "j.sqlite", tanks(2))
        options = SynthesizeOptions(
            teacher={"url": server.url, "model": "stub"},
            prompts={"question_answer": "mine.jinja"},
            per_chunk=5,
        )  # type: ignore[arg-type]
        list(synthesize_examples(tanks(2), open_teacher(options, tmp_path / "j.sqlite", tmp_path), options))
        assert len(server.requests) == 4
        assert server.requests[-1]["messages"][0]["content"] == "Be brief."
        assert server.requests[-1]["messages"][1]["content"].endswith("> 5")
    assert options.files(tmp_path) == [prompt]


def test_order_is_that_of_the_chunks_whatever_arrives_first(tmp_path: Path) -> None:
    with StubServer(jitter_s=0.02) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(200), concurrency=32)
        assert server.peak > 8
    assert [record.chunk_id for record in records] == [f"c{i}" for i in range(200)]


def test_429_waits_as_told_and_only_that_request(tmp_path: Path) -> None:
    seen: list[tuple[float, bool]] = []

    def script(body: Body, before: int) -> Answer:
        is_third = "Tank 3 " in passage_of(body)
        seen.append((time.monotonic(), is_third))
        if is_third and before == 0:
            return Answer(status=429, headers={"Retry-After": "1"})
        return one_pair(body, before)

    with StubServer(script) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(40))
        assert len(server.requests) == 41
    assert all(isinstance(record, Example) for record in records)
    first, second = (at for at, is_third in seen if is_third)
    assert 1.0 <= second - first < 3.0
    # The others did not wait for it.
    assert sum(first < at < second for at, _ in seen) >= 30


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("-3", 0, 0),
        ("99999", 3600, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
)
def test_retry_after_as_seconds_or_date(header: str, low: float, high: float) -> None:
    found = seconds_to_wait(header)
    assert found is not None
    assert low <= found <= high


def test_retry_after_that_says_nothing() -> None:
    assert seconds_to_wait(None) is None
    assert seconds_to_wait("soon") is None


def test_server_errors_are_tried_again_and_then_refuse_the_item(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if "Tank 1 " in passage_of(body):
            return Answer(status=500)
        if "Tank 2 " in passage_of(body) and before < 2:
            return Answer(raw="<html>gateway</html>")
        return one_pair(body, before)

    with StubServer(script) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(4), tries=3)
        assert len(server.requests) == 1 + 3 + 3 + 1
        bad = records[1]
        assert isinstance(bad, Refused)
        assert (bad.check, bad.chunk_id) == ("answered", "c1")
        assert "no reply after 3 tries: HTTP 500" in bad.reason
        assert [type(record) for record in records] == [Example, Refused, Example, Example]
        # What had no answer is no answer: the next run asks again.
        run(server, tmp_path / "j.sqlite", tanks(4), tries=1)
        assert len(server.requests) == 9


def test_poisoned_row_costs_one_request_and_one_row_for_good(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if "Tank 5 " in passage_of(body):
            return Answer("too long for this model", status=400)
        return one_pair(body, before)

    with StubServer(script) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(10), concurrency=1)
        assert len(server.requests) == 10
        assert run(server, tmp_path / "j.sqlite", tanks(10), concurrency=1) == records
        assert len(server.requests) == 10
    bad = records[5]
    assert isinstance(bad, Refused)
    assert bad.reason == "the request was turned down: HTTP 400: too long for this model"


def test_server_without_schemas_is_asked_in_the_next_form_once(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if "response_format" in body:
            return Answer("response_format is not supported", status=400)
        return one_pair(body, before)

    with StubServer(script) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(10), concurrency=1)
        forms = [body.get("response_format", {}).get("type") for body in server.requests]
    assert all(isinstance(record, Example) for record in records)
    assert forms == ["json_schema", "json_object"] + [None] * 10


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, MissingError, "api_key_env"),
        (403, MissingError, "api_key_env"),
        (404, MissingError, "model 'stub'"),
        (402, TunesmithError, "payment"),
    ],
)
def test_what_every_request_would_meet_stops_the_run(
    tmp_path: Path, status: int, error: type[TunesmithError], says: str
) -> None:
    with StubServer(lambda body, before: Answer("bad key", status=status)) as server:
        with pytest.raises(error, match=says) as caught:
            run(server, tmp_path / "j.sqlite", tanks(500))
        # Only what was in flight when the first answer came.
        assert len(server.requests) <= 8
    assert "bad key" in str(caught.value)


def test_server_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with StubServer() as server:
        pass
    with pytest.raises(MissingError, match="does not answer"):
        run(server, tmp_path / "j.sqlite", tanks(3), tries=2)


def test_key_comes_from_the_environment_and_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUB_KEY", raising=False)
    with StubServer() as server:
        with pytest.raises(MissingError, match="STUB_KEY is not set"):
            run(server, tmp_path / "j.sqlite", tanks(1), api_key_env="STUB_KEY")
        monkeypatch.setenv("STUB_KEY", "sk-very-secret")
        run(server, tmp_path / "j.sqlite", tanks(1), api_key_env="STUB_KEY")
        assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(written) > 1000
    assert b"sk-very-secret" not in written


def test_one_served_model_needs_no_name(tmp_path: Path) -> None:
    with StubServer(models=["only-one"]) as server:
        options = SynthesizeOptions(teacher=server.url)
        (example,) = synthesize_examples(tanks(1), open_teacher(options, tmp_path / "j.sqlite"), options)
        assert server.requests[0]["model"] == "only-one"
        assert isinstance(example, Example)
        assert example.teacher == "only-one"
        server.models = ["a", "b"]
        with pytest.raises(MissingError, match="a, b"):
            list(synthesize_examples(tanks(1), open_teacher(options, tmp_path / "j.sqlite"), options))


def test_limit_of_requests_stops_and_goes_on_later(tmp_path: Path) -> None:
    with StubServer() as server:
        with pytest.raises(TunesmithError, match="6 of 6 requests"):
            run(server, tmp_path / "j.sqlite", tanks(10), budget={"requests": 6}, concurrency=1)
        assert len(server.requests) == 6
        with pytest.raises(TunesmithError, match="6 of 6 requests"):
            run(server, tmp_path / "j.sqlite", tanks(10), budget={"requests": 6}, concurrency=1)
        assert len(server.requests) == 6
        assert len(run(server, tmp_path / "j.sqlite", tanks(10), budget={"requests": 10})) == 10
        assert len(server.requests) == 10


def test_gate_settles_at_what_the_server_takes(tmp_path: Path) -> None:
    with StubServer(delay_s=0.02, most_at_once=8) as server:
        records = run(server, tmp_path / "j.sqlite", tanks(400), concurrency=64, tries=10)
        assert server.refusals <= 60
    assert sum(isinstance(record, Example) for record in records) == 400


def test_usage_counts_requests_and_tokens(tmp_path: Path) -> None:
    with StubServer(lambda body, before: one_pair(body, before) if before else Answer(status=503)) as server:
        options = SynthesizeOptions(teacher={"url": server.url, "model": "stub"})  # type: ignore[arg-type]
        teacher = open_teacher(options, tmp_path / "j.sqlite")
        list(teacher.write(tanks(4), options))
    usage = teacher.usage()  # type: ignore[attr-defined]
    assert (usage.requests, usage.replies, usage.prompt_tokens, usage.completion_tokens) == (8, 4, 400, 80)


def test_stopping_early_keeps_what_was_sent(tmp_path: Path) -> None:
    options_of = {"url": "", "model": "stub", "concurrency": 4}
    with StubServer(delay_s=0.05) as server:
        options = SynthesizeOptions(teacher=options_of | {"url": server.url})  # type: ignore[arg-type]
        stream = open_teacher(options, tmp_path / "j.sqlite").write(tanks(50), options)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        sent = len(server.requests)
        assert 1 <= sent < 50
        run(server, tmp_path / "j.sqlite", tanks(50))
        assert len(server.requests) == 50


KILLED = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.synthesize.test_endpoint import tanks
    from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher, synthesize_examples
    options = SynthesizeOptions(teacher={"url": sys.argv[1], "model": "stub", "concurrency": 8}, checks=())
    for record in synthesize_examples(tanks(600), open_teacher(options, Path(sys.argv[2])), options):
        pass
""")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_repeats_at_most_what_was_in_flight(tmp_path: Path, sign: signal.Signals) -> None:
    with StubServer(delay_s=0.02) as server:
        root = str(SOURCE.parent)
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, server.url, str(tmp_path / "j.sqlite")],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), root])},
            cwd=root,
            stderr=subprocess.DEVNULL,
            # What runs in the background of a shell ignores Ctrl-C, and its children would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        until = time.monotonic() + 30
        while len(server.requests) < 120 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(sign)
        process.wait(20)
        before = len(server.requests)
        assert 120 <= before < 600
        records = run(server, tmp_path / "j.sqlite", tanks(600))
        repeated = len(server.requests) - 600
    assert len(records) == 600
    # Killed: 8 in flight and at most one group that was not committed (50 ms of 20 ms requests). Interrupted: nothing.
    assert repeated <= (0 if sign == signal.SIGINT else 8 + 3 * 8)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{% block system %}{% endblock %}", "lacks the block user"),
        (
            "{% block system %}{% endblock %}\n{% block user %}\n{{ pasage }}{% endblock %}",
            "'pasage' is undefined",
        ),
        ("{% block system %}{% endblock %}{% block user %}hello{% endblock %}", "does not show the passage"),
        ("{% block system %}", "no Jinja template"),
        (
            "{% block system %}{{ ''.__class__.__mro__ }}{% endblock %}{% block user %}{{ passage }}{% endblock %}",
            "unsafe",
        ),
    ],
)
def test_bad_prompt_is_told_before_the_first_request(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "p.jinja").write_text(source)
    options = SynthesizeOptions(teacher="ollama/any", prompts={"question_answer": "p.jinja"})
    with pytest.raises(InputError, match=says) as caught:
        open_teacher(options, tmp_path / "j.sqlite", tmp_path)
    if "undefined" in says:
        assert caught.value.where == f"{tmp_path / 'p.jinja'}:3"


def test_missing_prompt_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot be read"):
        open_teacher(
            SynthesizeOptions(teacher="ollama/any", prompts={"summary": "none.jinja"}),
            tmp_path / "j.sqlite",
            tmp_path,
        )


def test_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_text("this is not a database, " * 100)
    with StubServer() as server, pytest.raises(InputError, match="journal"):
        run(server, tmp_path / "j.sqlite", tanks(1))


def test_summary_kind(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        return Answer(json.dumps({"summary": "A tank in a cellar.", "evidence": "It stands in the cellar."}))

    with StubServer(script) as server:
        options = SynthesizeOptions(
            teacher={"url": server.url, "model": "stub"}, kinds=("summary",), checks=("grounded",)
        )  # type: ignore[arg-type]
        (example,) = synthesize_examples(tanks(1), open_teacher(options, tmp_path / "j.sqlite"), options)
    assert isinstance(example, Example)
    assert (example.kind, example.target) == ("summary", "A tank in a cellar.")
    assert (example.evidence_start, example.evidence_end) == (123, 147)


def test_evidence_that_does_not_stand_in_the_passage_is_refused(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        return Answer(
            pairs(("How much does Tank 0 hold?", "Tank 0 holds 0 litres.", "Tank 0 holds nothing at all."))
        )

    with StubServer(script) as server:
        (refused,) = run(server, tmp_path / "j.sqlite", tanks(1), checks=("grounded",))
    assert isinstance(refused, Refused)
    assert refused.check == "grounded"
    assert "Tank 0 holds nothing at all." in refused.reason
