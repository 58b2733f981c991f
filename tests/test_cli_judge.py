"""`tunesmith judge`: the built-in judge, and a server on 127.0.0.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.score.judge_fakes import says
from tests.synthesize.stub_server import Answer, Body, StubServer
from tunesmith.cli import main
from tunesmith.synthesize import client

ITEMS = 4
REFERENCE = "the red valve stops the flow"


def write_answers(place: Path, *answers: str) -> Path:
    rows = (
        {"id": str(n), "prompt": f"What stops flow {n}?", "prediction": answer, "reference": REFERENCE}
        for n, answer in enumerate(answers)
    )
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return place


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(write_answers(tmp_path / "base.jsonl", "no idea", "no idea", REFERENCE, "same"))


@pytest.fixture
def tuned(tmp_path: Path) -> str:
    return str(write_answers(tmp_path / "tuned.jsonl", REFERENCE, "the red valve stops it", "no", "same"))


def prefers_longer(body: Body, before: int) -> Answer:
    text = body["messages"][1]["content"]
    first, second = (text.split(f"[begin answer {letter} ")[1].split("[end")[0] for letter in "AB")
    return Answer(says("TIE" if len(first) == len(second) else "A" if len(first) > len(second) else "B"))


def read_json(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_builtin_judge_as_json(base: str, tuned: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", base, tuned, "--json"]) == 0
    found = read_json(capsys)
    assert (found["base"], found["tuned"], found["n"]) == ("base", "tuned", ITEMS)
    # closer to the reference in items 0 and 1, farther in 2, the same text in 3
    assert (found["wins"], found["losses"], found["ties"], found["unparsed"]) == (2, 1, 1, 0)
    cost = found["cost"]
    assert isinstance(cost, dict)
    assert not any(cost.values()), "nobody is asked, so nothing costs anything"


def test_builtin_judge_for_people(base: str, tuned: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", base, tuned]) == 0
    shown = capsys.readouterr()
    assert "similarity to the reference" in shown.out
    assert "2 / 1 / 1" in shown.out
    assert "shown first" not in shown.out, "the built-in judge knows no order"
    assert shown.err == "", "nobody is asked, so there is no cost"


def test_a_server_is_asked_once_for_good(
    base: str, tuned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer(prefers_longer) as server:
        arguments = ["judge", base, tuned, "--judge", server.url, "--json"]
        arguments += ["--journal", str(tmp_path / "kept" / "journal.sqlite")]
        assert main(arguments) == 0
        first = capsys.readouterr()
        found = json.loads(first.out)
        n_sent = len(server.requests)
        assert main(arguments) == 0
        assert len(server.requests) == n_sent, "what is in the journal is not asked again"
        second = read_json(capsys)
        assert isinstance(second["cost"], dict)
        assert second["cost"]["kept"] == found["cost"]["requests"] == n_sent
        assert second | {"cost": None} == found | {"cost": None}
    # three pairs in two orders; item 3 is settled; three answers against themselves, the same request in both orders;
    # four against corrupted copies
    assert n_sent == 3 * 2 + 3 + found["controls"]["corrupted"]["n"] * 2
    assert f"{found['cost']['requests']} requests" in first.err
    assert found["judge"] == "stub"
    assert (found["wins"], found["losses"], found["ties"]) == (2, 1, 1)
    assert found["flip_rate"]["value"] == 0


def test_what_cannot_be_read_is_shown(
    base: str, tuned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(body: Body, before: int) -> Answer:
        return Answer("[not sure]") if "flow 2" in body["messages"][1]["content"] else Answer(says("A"))

    with StubServer(script) as server:
        journal = ["--journal", str(tmp_path / "journal.sqlite")]
        assert main(["judge", base, tuned, "--judge", server.url, "--model", "stub", *journal]) == 0
    shown = capsys.readouterr().out
    assert "item 2, off menu: '[not sure]'" in shown
    assert "Note: 1 of 4 items have no verdict" in shown
    assert "the judge prefers the answer shown first: it chose it in 100% of 4 replies" in shown


def test_key_comes_from_the_environment_and_stays_there(
    base: str, tuned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.sqlite"
    with StubServer(prefers_longer) as server:
        arguments = ["judge", base, tuned, "--judge", server.url, "--api-key-env", "JUDGE_KEY"]
        arguments += ["--journal", str(journal)]
        assert main(arguments) == 4
        assert "judge.judge.api_key_env" in capsys.readouterr().err
        monkeypatch.setenv("JUDGE_KEY", "secret-77")
        assert main(arguments) == 0
        assert {sent["Authorization"] for sent in server.headers} == {"Bearer secret-77"}
    shown = capsys.readouterr()
    assert "secret-77" not in shown.out + shown.err
    assert b"secret-77" not in journal.read_bytes()


def test_only_served_model_or_a_name(
    base: str, tuned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer(prefers_longer, models=["first", "second"]) as server:
        arguments = [
            "judge",
            base,
            tuned,
            "--judge",
            server.url,
            "--journal",
            str(tmp_path / "journal.sqlite"),
        ]
        assert main(arguments) == 4
        message = capsys.readouterr().err
        assert "it serves first, second" in message
        assert "judge.judge" in message
        assert main([*arguments, "--model", "second"]) == 0
        assert {body["model"] for body in server.requests} == {"second"}


def test_no_more_in_flight_than_allowed(base: str, tuned: str, tmp_path: Path) -> None:
    answers = [f"{REFERENCE} {n}" for n in range(30)]
    many = [
        str(write_answers(tmp_path / f"{name}.jsonl", *(f"{name} {a}" for a in answers))) for name in "xy"
    ]
    with StubServer(prefers_longer, delay_s=0.002) as server:
        journal = ["--journal", str(tmp_path / "journal.sqlite")]
        assert main(["judge", *many, "--judge", server.url, *journal]) == 0
        assert 1 < server.peak <= 8


def test_a_judge_that_makes_no_sense_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [
        str(write_answers(tmp_path / f"{name}.jsonl", *(f"{name} {n}" for n in range(60)))) for name in "xy"
    ]
    with StubServer(lambda body, before: Answer("as you like")) as server:
        journal = ["--journal", str(tmp_path / "journal.sqlite")]
        assert main(["judge", *many, "--judge", server.url, *journal]) == 2
        assert len(server.requests) < 60, "not many more than the replies that were read"
    assert "as you like" in capsys.readouterr().err


def test_a_judge_that_always_fails(
    base: str, tuned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)
    with StubServer(lambda body, before: Answer("overloaded", status=500)) as server:
        journal = ["--journal", str(tmp_path / "journal.sqlite")]
        assert main(["judge", base, tuned, "--judge", server.url, *journal]) == 2
    assert f"{server.url}: the server fails at every request (HTTP 500: overloaded)" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_server_that_is_not_there(
    base: str, tuned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StubServer(prefers_longer) as server:
        url = server.url
    journal = ["--journal", str(tmp_path / "journal.sqlite")]
    assert main(["judge", base, tuned, "--judge", url, *journal]) == 4
    assert "the server does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--judge", "somebody"], "'somebody' is no judge"),
        (["--votes", "2", "--judge", "http://127.0.0.1:9/v1"], "2 votes can be split evenly"),
        (["--votes", "3"], "votes has no effect here"),
        (["--model", "mine"], "belong to a server's address"),
    ],
)
def test_wrong_words_exit_with_2(
    arguments: list[str], words: str, base: str, tuned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", base, tuned, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_labels_and_fluency_model_reach_the_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("1", "Yes.", "yes"), ("2", "perhaps", "no")]
    lines = [json.dumps({"id": id, "prediction": said, "reference": gold}) for id, said, gold in rows]
    place = tmp_path / "labels.jsonl"
    place.write_text("\n".join(lines), encoding="utf-8")
    assert main(["score", str(place), "--metrics", "accuracy", "--labels", "yes,no,maybe", "--json"]) == 0
    found = read_json(capsys)["scores"]
    assert isinstance(found, list)
    assert "maybe" in json.dumps(found), "a label that no reference has is one of the labels now"
    missing = str(tmp_path / "no-model")
    arguments = ["score", str(place), "--metrics", "fluency", "--fluency-model", missing]
    assert main(arguments) != 0
    assert "no-model" in capsys.readouterr().err
