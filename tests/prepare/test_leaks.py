"""Each kind of leak by hand-made rows, and what is no leak."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import GateError, PlanError
from tunesmith.models.encoder import Encoder, Encoding, load_encoder
from tunesmith.prepare import meaning
from tunesmith.prepare.leaks import LeakReport, find_leaks
from tunesmith.prepare.meaning import Meanings
from tunesmith.prepare.overlap import Overlap
from tunesmith.prepare.stage import (
    DataFacts,
    DataOptions,
    Given,
    Ids,
    PrepareOptions,
    prepare_rows,
    read_data,
)
from tunesmith.records import Example, Refused, Row


def row(id: str, split: str, instruction: str, completion: str, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "id": id,
        "source_id": id,
        "group": id,
        "prompt": instruction,
        "completion": completion,
        "split": split,
        "kind": "instruction",
        "instruction": instruction,
    }
    values |= {"prompt": f"{instruction}\n\n{changes['context']}"} if "context" in changes else {}
    return Row(**{**values, **changes})


def rules(*rows: Row) -> dict[str, tuple[str, str]]:
    return {leak.rule: (leak.held_out_id, leak.seen_id) for leak in find_leaks(rows).leaks}


WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "tau",
]


def test_thirteen_words_in_a_row_are_a_leak_and_twelve_are_not() -> None:
    train = row("a", "train", "Recite the letters as they come to mind.", " ".join(WORDS[:13]))
    thirteen = row(
        "b", "test", "What follows?", f"first {' '.join(WORDS[:13])} and then other things entirely"
    )
    twelve = row("c", "test", "What follows?", f"first {' '.join(WORDS[:12])} and then other things entirely")
    assert rules(train, thirteen)["same_words"] == ("b", "a")
    assert "same_words" not in rules(train, twelve)


def test_a_short_row_inside_a_long_one_is_a_leak_both_ways() -> None:
    """Of 10 words, 3 runs of eight: all of them stand in the other row of 19 words and 12 runs."""
    short, long = " ".join(WORDS[:10]), " ".join(WORDS)
    assert rules(row("a", "train", "", short), row("b", "test", "", long)) == {"most_words": ("b", "a")}
    assert rules(row("a", "train", "", long), row("b", "test", "", short)) == {"most_words": ("b", "a")}
    # 12 words, 5 runs, 3 of them shared: 60 %
    partly = " ".join([*WORDS[:10], "completely", "different"])
    assert (
        rules(row("a", "train", "", " ".join([*WORDS[:10], "and", "so"])), row("b", "test", "", partly)) == {}
    )


def test_shares_of_runs_are_counted_by_hand() -> None:
    [shared] = Overlap(2, ["a b c d e"]).pairs(["x a b c"])
    # held out: ab bc cd de; seen: xa ab bc
    assert (shared.n_shared, shared.of_held_out, shared.of_seen, shared.words) == (2, 2 / 4, 2 / 3, "a b")


def test_the_same_prompt_with_another_answer() -> None:
    text = "this film is a good deal longer than it has any right to be"
    found = rules(row("a", "train", text, "0"), row("b", "test", text, "1"))
    assert found["same_prompt"] == ("b", "a")
    assert "same_example" not in found
    assert rules(row("a", "train", "What is it?", "x y"), row("b", "test", "What is it?", "z w")) == {}


def test_near_duplicates() -> None:
    train = row("a", "train", "Is it good?", "The acting is wooden; the plot, thin; yet the whole moves me.")
    test = row("b", "test", "Is it good?", "The acting was wooden, the plot thin, yet the whole moves me!")
    other = row("c", "test", "Is it good?", "A thin plot, wooden acting: it did not move me in the least.")
    assert "near_duplicate" not in rules(train, test)
    close = row("b", "test", "Is it good?", "The acting is wooden; the plot, thin; yet the whole moved me.")
    assert rules(train, close, other)["near_duplicate"] == ("b", "a")


def test_words_of_a_template_are_no_leak() -> None:
    """An instruction of twenty words in every row, and a frame round every answer, say nothing."""
    frame = "Write one sentence that sells the product named below to people who have never heard of it before now"
    train = [
        row(f"a{n}", "train", frame, f"Item {n} is number {n * 7919} of all", context=f"thing {n}")
        for n in range(40)
    ]
    test = [
        row(f"b{n}", "test", frame, f"Object {n * 31} weighs {n * 577} grams", context=f"body {n}")
        for n in range(10)
    ]
    assert find_leaks([*train, *test]).leaks == []
    assert rules(train[0], test[0]) != {}  # two rows make no template


def test_long_texts_may_share_a_run_by_chance() -> None:
    """100 words of which 13 stand in a row of another 100 are 13 %; two such runs are 26 %."""
    run, other = " ".join(WORDS[:13]), " ".join(f"other{n}" for n in range(13))
    fill = [f"{side}{n}" for side in "ab" for n in range(87)]
    held = row("t", "test", "", " ".join([run, *fill[:87]]))
    train = row("s", "train", "", " ".join([*fill[87:], run]))
    assert find_leaks([train, held]).leaks == []
    (leak,) = find_leaks([train, held], words_share=0).leaks
    assert (leak.rule, leak.evidence) == ("same_words", run)
    held = row("t", "test", "", " ".join([run, *fill[:37], other, *fill[37:74]]))
    train = row("s", "train", "", " ".join([other, *fill[87:161], run]))
    (leak,) = find_leaks([train, held]).leaks
    assert leak.rule == "same_words"
    # a short row that stands in a long one is seen, whichever of the two is held out
    short, long = " ".join(WORDS[:14]), " ".join([*WORDS[:14], *fill])
    for first, second in ((short, long), (long, short)):
        found = find_leaks([row("s", "train", "", first), row("t", "test", "", second)]).leaks
        assert "same_words" in {leak.rule for leak in found}


def test_share_of_words_in_common_by_hand() -> None:
    words = [f"w{n}" for n in range(20)]
    # runs of 3: words 2 to 6 stand together in the other text, 10 to 12 by themselves: 5 + 3 of 20
    other = " ".join([*words[10:13], *(f"x{n}" for n in range(40)), *words[2:7]])
    (shared,) = Overlap(3, [" ".join(words)]).pairs([other])
    assert (shared.n_shared, shared.covered) == (4, pytest.approx(8 / 20))
    assert shared.words == "w2 w3 w4"


def test_every_row_that_shows_a_leak_is_named() -> None:
    text = " ".join(WORDS)
    rows = [
        row("a", "train", "One.", text),
        row("b", "train", "Two.", text),
        row("c", "test", "Three.", text),
    ]
    leak = next(leak for leak in find_leaks(rows).leaks if leak.rule == "same_words")
    assert (leak.seen_id, leak.more_seen) == ("a", ("b",))


def examples(*pairs: tuple[str, str]) -> list[Example]:
    return [Example(f"e{n}", f"e{n}", "instruction", *pair) for n, pair in enumerate(pairs)]


def test_an_accepted_kind_is_counted_and_another_still_stops() -> None:
    text = " ".join(WORDS)
    given = examples(
        ("One.", text), ("Two.", f"{text} upsilon"), *((f"Say {n * 977}.", f"w{n}") for n in range(20))
    )
    parts = {"e1": "test", **{f"e{n}": "train" for n in range(22) if n != 1}}
    report = LeakReport()
    options = PrepareOptions(allow_leaks=("same_words", "most_words", "near_duplicate"), leak_meaning=0)
    found = list(prepare_rows(given, options, parts=parts, report=report))  # type: ignore[arg-type]
    assert not any(isinstance(one, Refused) for one in found)
    assert report.counts["same_words"] == report.counts["most_words"] == 1
    assert report.not_looked == {"same_meaning": "prepare.leak_meaning is 0"}
    stopped = LeakReport()
    options = PrepareOptions(allow_leaks=("same_words", "most_words"), leak_meaning=0)
    with pytest.raises(
        GateError, match=r"near_duplicate 1\)\. near_duplicate: e1 \(test: “Two\.”\) and e0"
    ) as caught:
        list(prepare_rows(given, options, parts=parts, report=stopped))  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    assert stopped.counts["near_duplicate"] == 1
    with pytest.raises(ValueError, match="allow_leaks has no effect"):
        PrepareOptions(leaks="allow", allow_leaks=("same_words",))


def test_rows_of_one_meaning() -> None:
    """Paraphrases that share few words; the encoder is one that users have, so its numbers are their numbers."""
    pairs = [
        row("a", "train", "", "The movie was great and I really enjoyed it."),
        row("b", "test", "", "I really enjoyed the movie, it was great."),
        row("c", "test", "", "Boilers must be serviced once a year by law."),
    ]
    report = find_leaks(pairs, meaning_up_to=10)
    assert [(leak.rule, leak.held_out_id) for leak in report.leaks] == [("same_meaning", "b")]
    assert "same_meaning" in find_leaks(pairs, meaning_up_to=2).not_looked


def test_half_precision_finds_and_full_precision_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    great, liked, boilers = (
        "The movie was great.",
        "I really enjoyed the film.",
        "Boilers must be serviced once a year by law.",
    )
    encoder, _ = load_encoder("builtin", layer=None, long_texts="cut", batch_size=64)
    exact = [encoder.encode([text], sentences=True, tokens=False)[text].sentence for text in (great, liked)]
    cosine = float(exact[0] @ exact[1])  # type: ignore[operator]
    for is_rough in (True, False):
        monkeypatch.setattr(meaning, "_is_rough", lambda answer=is_rough: answer)
        meanings = Meanings()
        assert list(meanings.pairs([boilers, great], [liked], cosine + 1e-5)) == []
        ((place, other, found),) = meanings.pairs([boilers, great], [liked], cosine - 1e-5)
        assert (place, other) == (1, 0)
        assert found == pytest.approx(cosine, abs=1e-5)


def test_each_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    encode = Encoder.encode

    def counted(self: Encoder, texts: Sequence[str], **how: bool) -> dict[str, Encoding]:
        encoded.extend(texts)
        return encode(self, texts, **how)

    monkeypatch.setattr(Encoder, "encode", counted)
    monkeypatch.setattr(meaning, "_is_rough", lambda: False)
    rows = [
        row(f"{split}{number}", split, "", f"Pump {number} of the {split} set stands in a yard of its own.")
        for split in ("train", "validation", "test")
        for number in range(3)
    ]
    find_leaks(rows, meaning_up_to=10)
    # the test rows are held against training and validation rows, and those against each other
    assert len(encoded) == len(set(encoded)) == 9


def test_real_leaks_of_a_published_set(shared_data: Path) -> None:
    """Some test dialogues of DialogSum stand word for word in its dev part, as a plain look at the words shows."""
    ids, parts, found = Ids("refuse"), {}, []
    for name, part in (("train", "train"), ("test", "test")):
        facts = DataFacts(name, use=name)
        options = DataOptions(path=str(shared_data / f"dialogsum_{name}.jsonl"))
        for item in read_data(options, Path(), facts, ids=ids, bad_rows=0):
            assert isinstance(item, Given)
            found.append(item.example)
            parts[item.example.id] = part

    def words(one: Example) -> str:
        return " ".join(re.findall(r"\w+", one.instruction.lower()))

    train = {words(one) for one in found if parts[one.id] == "train"}
    same = {one.id for one in found if parts[one.id] == "test" and words(one) in train}
    report = LeakReport()
    options_all = PrepareOptions(leaks="allow", leak_meaning=0)
    list(prepare_rows(found, options_all, parts=parts, report=report))  # type: ignore[arg-type]
    prompts = [leak for leak in report.leaks if leak.rule == "same_prompt" and leak.held_out_split == "test"]
    assert same
    assert {leak.held_out_id for leak in prompts} == same


def test_an_unknown_kind_of_leak_is_an_error() -> None:
    from tunesmith.config import parse_plan
    from tunesmith.plan import Plan

    with pytest.raises(PlanError, match="allow_leaks"):
        parse_plan("prepare: {data: a.jsonl, allow_leaks: [near]}", [], Plan, name="plan.yaml")
