"""`tunesmith judge` beyond preferences: grades, local models, what it writes, people's word, attributes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.score.judge_fakes import says
from tests.synthesize.stub_server import Answer, Body, StubServer
from tests.tiny import save_tiny_model
from tunesmith.cli import main
from tunesmith.records import Grade, Judgement
from tunesmith.store import read_rows

REFERENCE = "the red valve stops the flow"
WORTH = {"right": "correct", "half": "partly", "no": "wrong"}


def write(place: Path, *answers: str, **columns: list[str]) -> str:
    rows = [
        {"id": str(n), "prompt": f"What stops flow {n}?", "prediction": answer, "reference": REFERENCE}
        | {name: values[n] for name, values in columns.items()}
        for n, answer in enumerate(answers)
    ]
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(place)


def rows_file(place: Path, *rows: dict[str, Any]) -> str:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(place)


def answer_of(body: Body) -> str:
    text: str = body["messages"][1]["content"]
    return text.split("[begin answer ")[1].split("]\n", 1)[1].split("\n[end")[0]


def grades_words(body: Body, before: int) -> Answer:
    """`right…` is correct, `half…` partly, `no…` wrong; anything else is no grade."""
    word = answer_of(body).split()[0]
    if "grammatical_correctness" in body["messages"][0]["content"]:
        value = {"right": 1, "half": 0.5, "no": 0}.get(word, "?")
        grades = {"reason": "r", "grammatical_correctness": 1, "coherence": 0.5, "correctness": value}
        return Answer(json.dumps(grades))
    return Answer(says(WORTH[word]) if word in WORTH else "[hm]")


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def journal(tmp_path: Path) -> list[str]:
    return ["--journal", str(tmp_path / "journal.sqlite")]


def test_correctness_of_two_files(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1", "", "right 3", "no 4")
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "right 1", "half 2", "right 3", "other 4")
    with StubServer(grades_words) as server:
        arguments = ["judge", base, tuned, "--mode", "correctness", "--judge", server.url, *journal]
        found = run_json(capsys, *arguments)
        # ten answers: an empty one is not asked about, and item 3 has the same answer of both systems
        assert len(server.requests) == 8 == found["cost"]["requests"]
        assert run_json(capsys, *arguments)["cost"]["kept"] == 8
        assert len(server.requests) == 8, "nothing is asked again"
        assert main(arguments) == 0
    shown = capsys.readouterr()
    graded = found["graded"]
    rows = {row["system"]: row for row in graded["scores"]}
    # base (0 + 0.5 + 0 + 1 + 0) / 5; tuned (1 + 1 + 0.5 + 1) / 4, one without a grade
    assert (rows["base"]["value"], rows["base"]["n"]) == (0.3, 5)
    assert (rows["tuned"]["value"], rows["tuned"]["n"]) == (0.875, 4)
    assert rows["base"]["low"] <= 0.3 <= rows["base"]["high"]
    assert rows["base"]["status"] == {"ok": 4, "empty": 1}
    assert rows["tuned"]["status"] == {"off menu": 1, "ok": 4}
    (comparison,) = graded["comparisons"]
    # over the four items that both have a grade of: base 0.375, tuned 0.875; one of five failed, more than 5 %
    assert comparison["metric"] == "judge_correctness"
    assert comparison["difference"] == pytest.approx(0.5)
    assert comparison["verdict"] == "invalid"
    assert graded["ungraded"] == [
        {"id": "4", "system": "tuned", "metric": "judge_correctness", "status": "off menu", "text": "[hm]"}
    ]
    assert "item 4 of tuned, judge_correctness, off menu: '[hm]'" in shown.out
    assert "8 requests" in shown.err
    assert "8 of them in the journal and free" in shown.err


def test_the_price_is_said_before_and_nothing_is_paid_twice(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.jsonl", "right 0", "half 1", "no 2")
    with StubServer(grades_words) as server:
        arguments = ["judge", one, "--mode", "correctness", "--judge", server.url, *journal]
        arguments.append("judge.judge.prices={input: 1000000, output: 2000000}")
        first = run_json(capsys, *arguments)["cost"]
        # a unit of money for each token of a prompt, two for each of a reply: 3 replies of 2 · 75 tokens
        assert first["reply_tokens"] == 3 * 150
        assert first["money"] == first["prompt_tokens"] + 2 * first["reply_tokens"]
        assert main(["judge", one, "--mode", "correctness", "--judge", server.url, *journal]) == 0
        capsys.readouterr()
        again = run_json(capsys, *arguments)["cost"]
        assert (again["kept"], again["money"], again["prompt_tokens"]) == (3, 0.0, 0)
        spent = ["judge.judge.budget={requests: 3}", "judge.judge.max_tokens=64"]
        assert main([*arguments, *spent]) == 1, (
            "three requests are all there was; other replies are wanted now"
        )
        assert "budget" in capsys.readouterr().err
        assert len(server.requests) == 3


def test_a_brief_verdict_is_one_word_off_the_menu_of_the_schema(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1")
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "right 1")

    def script(body: Body, before: int) -> Answer:
        text = body["messages"][1]["content"]
        first = text.split("[begin answer A ")[1].split("[end")[0]
        return Answer("A" if "right" in first else '{"verdict": "B"}')

    with StubServer(script) as server:
        arguments = ["judge", base, tuned, "--judge", server.url, *journal, "judge.controls=0"]
        found = run_json(capsys, *arguments, "judge.judge.verdict=brief", "judge.judge.concurrency=1")
        assert server.requests[0]["structured_outputs"] == {"choice": ["A", "B", "TIE"]}
        # the server took no notice, and tells no probabilities either
        schema = server.requests[-1]["response_format"]["json_schema"]["schema"]
        assert schema["required"] == ["verdict"]
        assert schema["properties"]["verdict"]["enum"] == ["A", "B", "TIE"]
        assert (
            "Reply with one word and nothing else: A, B or TIE."
            in server.requests[0]["messages"][0]["content"]
        )
    assert (found["wins"], found["unparsed"]) == (2, 0)


def test_rubric_of_one_file_has_three_means(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.jsonl", "right 0", "half 1", "no 2")
    with StubServer(grades_words) as server:
        found = run_json(capsys, "judge", one, "--mode", "rubric", "--judge", server.url, *journal)
    values = {row["metric"]: row["value"] for row in found["graded"]["scores"]}
    assert values == {"rubric_grammatical_correctness": 1, "rubric_coherence": 0.5, "rubric_correctness": 0.5}
    assert found["graded"]["comparisons"] == []
    assert "wins" not in found


def test_a_criterion_of_ones_own(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.jsonl", "right 0", "half 1")
    with StubServer(lambda body, before: Answer('{"reason": "r", "Tone": 1}')) as server:
        found = run_json(
            capsys, "judge", one, "--mode", "rubric", "--judge", server.url, *journal,
            "--criterion", "Tone=it sounds kind: warm, not cold",
        )  # fmt: skip
        assert "Tone: it sounds kind: warm, not cold." in server.requests[0]["messages"][0]["content"]
    assert [row["metric"] for row in found["graded"]["scores"]] == ["rubric_Tone"]


def test_systems_that_share_some_items_are_compared_on_those(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", *[f"{'no' if n % 2 else 'half'} {n}" for n in range(8)])
    tuned = write(tmp_path / "tuned.jsonl", *[f"right {n}" for n in range(6)])
    with StubServer(grades_words) as server:
        arguments = ["judge", base, tuned, "--mode", "correctness", "--judge", server.url, *journal]
        graded = run_json(capsys, *arguments)["graded"]
    (comparison,) = graded["comparisons"]
    assert (comparison["n"], comparison["difference"]) == (6, 0.75)
    assert graded["left_out"] == [{"base": "base", "tuned": "tuned", "n": 2}]
    assert {row["system"]: row["n"] for row in graded["scores"]} == {"base": 8, "tuned": 6}
    assert "nearly every grade" not in " ".join(graded["warnings"])


def prefers_right(body: Body, before: int) -> Answer:
    if "one answer to examine" in body["messages"][0]["content"]:
        return grades_words(body, before)
    text = body["messages"][1]["content"]
    first, second = (text.split(f"[begin answer {letter} ")[1].split("[end")[0] for letter in "AB")
    sound = ["right" in part or "red" in part for part in (first, second)]
    return Answer(says("TIE" if sound[0] == sound[1] else "A" if sound[0] else "B"))


def test_everything_is_written_and_can_be_read_back(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1", "right 2")
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "right 1", "no 2")
    out = tmp_path / "kept" / "all.jsonl"
    with StubServer(prefers_right) as server:
        found = run_json(
            capsys, "judge", base, tuned, "--mode", "pairwise,correctness", "--judge", server.url, *journal,
            "--out", str(out), "judge.controls=1",
        )  # fmt: skip
        n_sent = len(server.requests)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    judgements = [row for row in lines if "verdict" in row]
    assert len([row for row in judgements if row["raw"]]) == 3 * 2 + 2 * 2
    # an answer against itself is the same request in both orders
    assert n_sent == 3 * 2 + 1 + 2 + 6
    assert {row["control"] for row in judgements} == {"", "self", "corrupted", "longest", "random"}
    assert len(lines) - len(judgements) == 6
    assert all(json.loads(row["raw"].splitlines()[-1])["verdict"] in WORTH.values() for row in lines[-6:])
    assert not list(out.parent.glob("*.part"))
    again = run_json(capsys, "tally", str(out))
    assert again == {name: part for name, part in found.items() if name != "cost"}
    assert main(["tally", str(out), "--base-label", "loss", "--tuned-label", "win"]) == 2
    capsys.readouterr()


def test_two_judgings_by_mcnemar(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", *["no"] * 6)
    tuned = write(tmp_path / "tuned.jsonl", *[f"right {n}" for n in range(6)])
    outs = [str(tmp_path / f"{name}.jsonl") for name in ("one", "two")]
    for out, verdict in zip(outs, ("base", "tuned"), strict=True):
        # the second judge ties always
        script: Callable[[Body, int], Answer] = (
            prefers_right if verdict == "base" else lambda body, before: Answer(says("TIE"))
        )
        with StubServer(script, models=[verdict]) as server:
            arguments = ["judge", base, tuned, "--judge", server.url, *journal, "--out", out]
            assert main([*arguments, "judge.controls=0"]) == 0
    capsys.readouterr()
    test = run_json(capsys, "tally", outs[0], "--against", outs[1])["mcnemar"]
    # six of six discordant the same way: 2 · 0.5^6
    assert (test["first_only"], test["second_only"], test["p"]) == (6, 0, 0.03125)
    assert main(["tally", outs[0], "--against", outs[1]]) == 0
    assert "exact McNemar p = 0.0312, 6 items" in capsys.readouterr().out


def test_out_never_writes_over_what_is_not_its_own(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1")
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "right 1")
    before = Path(base).read_bytes()
    for place in (base, str(tmp_path)):
        assert main(["judge", base, tuned, "--out", place]) == 2
    other = tmp_path / "notes.txt"
    other.write_text("mine", encoding="utf-8")
    assert main(["judge", base, tuned, "--out", str(other)]) == 2
    assert "holds no judgements" in capsys.readouterr().err
    assert (Path(base).read_bytes(), other.read_text(encoding="utf-8")) == (before, "mine")
    out = tmp_path / "out.jsonl"
    assert main(["judge", base, tuned, "--out", str(out)]) == 0
    first = out.read_bytes()
    assert main(["judge", base, tuned, "--out", str(out)]) == 0
    assert not (tmp_path / "out.jsonl.1").exists(), "the same judging again is the same file"
    assert main(["judge", base, tuned, "--out", str(out), "judge.tie_band=0.5"]) == 0
    assert (tmp_path / "out.jsonl.1").read_bytes() == first, "an earlier judging is kept"
    assert out.read_bytes() != first


def test_by_a_column(tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    tones = ["warm", "cold", "warm", "cold"]
    base = write(tmp_path / "base.jsonl", "no 0", "half 1", "no 2", "right 3", tone=tones)
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "no 1", "right 2", "no 3", tone=tones)
    with StubServer(prefers_right) as server:
        found = run_json(
            capsys, "judge", base, tuned, "--mode", "pairwise,correctness", "--judge", server.url, *journal,
            "--by", "tone",
        )  # fmt: skip
        shown = [(row["value"], row["wins"], row["losses"]) for row in found["attributes"]]
        # warm: both won; cold: 1 both unsound, a tie; 3 lost
        assert shown == [("cold", 0, 1), ("warm", 2, 0)]
        means = {(row["value"], row["system"]): row["mean"] for row in found["graded"]["attributes"]}
        assert means == {
            ("cold", "base"): 0.75, ("cold", "tuned"): 0.0, ("warm", "base"): 0.0, ("warm", "tuned"): 1.0,
        }  # fmt: skip
        arguments = ["judge", base, tuned, "--judge", server.url, *journal]
        assert main([*arguments, "--by", "tone"]) == 0
        assert "warm" in capsys.readouterr().out
        assert main([*arguments, "--by", "mood"]) == 2
        assert "no row has the attribute 'mood'" in capsys.readouterr().err


def test_people_and_the_judge(tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    n = 10
    base = write(tmp_path / "base.jsonl", *[f"no {k}" for k in range(n)])
    tuned = write(tmp_path / "tuned.jsonl", *[f"right {k}" if k < 8 else f"no more {k}" for k in range(n)])
    # the judge: won in 0…7, tied in 8 and 9; people: 0…6 tuned, 7 base, 8 tie, 9 tuned
    said = ["tuned"] * 7 + ["Base", "a tie", "tuned"]
    people = rows_file(
        tmp_path / "people.jsonl",
        *({"id": str(k), "verdict": word, "rater": "ann"} for k, word in enumerate(said)),
        {"id": "0", "verdict": "dunno", "rater": "bob"},
        {"id": "nowhere", "verdict": "tie"},
    )
    with StubServer(prefers_right) as server:
        arguments = ["judge", base, tuned, "--judge", server.url, *journal, "--people", people]
        found = run_json(capsys, *arguments)["people"]
        assert main(arguments) == 0
    part = found["agreements"]["verdict"]
    assert (part["n"], part["share"]["value"]) == (10, 0.8)
    assert part["table"]["won"] == {"lost": 1, "tied": 0, "won": 7}
    # by chance: won .8 · .8 + tied .2 · .1 = .66
    assert part["kappa"]["value"] == pytest.approx((0.8 - 0.66) / (1 - 0.66))
    assert found["unknown"] == 1
    assert found["unread"] == [{"id": "0", "rater": "bob", "what": "verdict", "text": "dunno"}]
    assert any("fewer than 50" in warning for warning in found["warnings"])
    shown = capsys.readouterr().out
    assert "Judge and people" in shown
    assert "on no scale: 'dunno'" in shown


def test_people_rate_criteria_and_each_other(
    tmp_path: Path, journal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.jsonl", "right 0", "half 1", "no 2", "right 3")
    by_ann = [("1", "1"), ("½", "0.5"), ("0", "1"), (1, 0.5)]
    by_bob = [("1", "1"), ("1", "0.5"), ("0", "0.5"), (1, 0.5)]
    people = rows_file(
        tmp_path / "people.jsonl",
        *(
            {"id": str(k), "rater": rater, "correctness": right, "Coherence": whole}
            for rater, rows in (("ann", by_ann), ("bob", by_bob))
            for k, (right, whole) in enumerate(rows)
        ),
    )
    with StubServer(grades_words) as server:
        arguments = ["judge", one, "--mode", "rubric", "--judge", server.url, *journal, "--people", people]
        found = run_json(capsys, *arguments)["people"]
    assert set(found["agreements"]) == {"rubric_correctness", "rubric_coherence"}
    right = found["agreements"]["rubric_correctness"]
    # item 1 has no majority; the judge says 1, 0, 1 on the others, as both people do
    assert (right["n"], right["no_majority"], right["share"]["value"]) == (3, 1, 1.0)
    assert (right["people"]["share"], right["people"]["n"]) == (0.75, 4)
    assert right["alpha"]["raters"] == 3


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "0", "opinion": "x"}], "there is no column verdict"),
        ([{"id": "9", "verdict": "tie"}], "none of these ratings"),
        ([{"verdict": "tie"}], "this row has no id"),
        ([{"id": "0", "verdict": "tie"}] * 2, "before ("),
        ([], "people.jsonl"),
    ],
)
def test_peoples_files_that_cannot_be_used(
    rows: list[dict[str, Any]], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1")
    tuned = write(tmp_path / "tuned.jsonl", REFERENCE, "right 1")
    people = rows_file(tmp_path / "people.jsonl", *rows)
    assert main(["judge", base, tuned, "--people", people]) == 2
    assert words in capsys.readouterr().err


def test_a_local_model_by_its_folder(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    journal: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = save_tiny_model(tmp_path_factory.mktemp("local-judge"), context=4096)
    base = write(tmp_path / "base.jsonl", "no 0", "half 1")
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "right 1")
    out = tmp_path / "out.jsonl"
    found = run_json(
        capsys, "judge", base, tuned, "--judge", f"local:{folder}", "--mode", "pairwise,correctness,rubric",
        "--out", str(out), "judge.controls=1", "judge.judge.dtype=float32", "judge.judge.device=cpu",
        "judge.judge.threads=1", *journal,
    )  # fmt: skip
    assert found["judge"] == str(folder)
    assert found["wins"] + found["losses"] + found["ties"] == 2
    assert found["replies"]["status"] == {"ok": 4}, "a verdict is chosen from the menu, so each can be read"
    assert len(found["graded"]["scores"]) == 2 * 4
    assert all(row["status"] == {"ok": 2} for row in found["graded"]["scores"])
    judgement = next(row for row in read_rows_of(out, "verdict") if row["raw"])
    assert "verdict: A 0." in judgement["reason"]
    assert "TIE 0." in judgement["reason"]


def read_rows_of(out: Path, key: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if key in row]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--mode", "rubric"], 2, "the built-in judge compares pairs; rubric needs a model"),
        (["--mode", "beauty", "--judge", "ollama/x"], 2, "judge.mode"),
        (["--mode", "rubric,rubric", "--judge", "ollama/x"], 2, "name each mode once"),
        (["--judge", "local:"], 2, "names no model"),
        (["--judge", "local:/no/such/folder"], 4, "/no/such/folder"),
        (["--criterion", "nice"], 2, "NAME=MEANING"),
        (["judge.judge.tries=1"], 2, "belong to a server or a local model"),
        (["judge.contrls=1"], 2, "contrls"),
        (["--people", "/no/such/file.csv"], 2, "/no/such/file.csv"),
        (["--mode", "correctness", "--judge", "ollama/x", "--criterion", "a=b"], 2, "criteria has no effect"),
    ],
)
def test_wrong_words(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1")
    tuned = write(tmp_path / "tuned.jsonl", "right 0", "right 1")
    assert main(["judge", base, tuned, *arguments]) == code
    assert words in capsys.readouterr().err


def test_pairwise_takes_two_files_and_correctness_a_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.jsonl", "right 0")
    assert main(["judge", one]) == 2
    assert "compares two files, not 1" in capsys.readouterr().err
    bare = rows_file(tmp_path / "bare.jsonl", {"id": "0", "prediction": "x"})
    assert main(["judge", bare, "--mode", "correctness", "--judge", "ollama/x"]) == 2
    assert "bare.jsonl:1" in capsys.readouterr().err


def test_records_come_back_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write(tmp_path / "base.jsonl", "no 0", "half 1")
    tuned = write(tmp_path / "tuned.jsonl", REFERENCE, "right 1")
    out = tmp_path / "out.jsonl"
    assert main(["judge", base, tuned, "--out", str(out)]) == 0
    from tunesmith.judging.kept import read_judged

    assert read_judged(out) == list(read_rows(out, Judgement))
    assert not any(isinstance(one, Grade) for one in read_judged(out))
