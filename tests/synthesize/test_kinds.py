"""Every kind of example from a model, the checks that ask one, and scenarios; against a stub server."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.synthesize.stub_server import Answer, Body, StubServer, passage_of
from tunesmith.read.scenarios import ScenarioOptions, plan_scenarios
from tunesmith.read.stage import ReadOptions, chunk_documents, read_documents
from tunesmith.records import Chunk, Document, Example, Refused
from tunesmith.synthesize.asks import FORMS
from tunesmith.synthesize.checks.model import shared_words
from tunesmith.synthesize.kinds import Unfit, locate_paragraphs
from tunesmith.synthesize.prompts import built_in_prompt, open_prompt
from tunesmith.synthesize.share import hold_to_share, n_unanswerable
from tunesmith.synthesize.stage import (
    SynthesizeOptions,
    open_judge,
    open_teacher,
    refuse,
    synthesize_examples,
)

TEXT = "The tank holds 1,200 litres of water. The pump was built in 1998. It moves the water to the roof every night."


def chunks(*texts: str) -> list[Chunk]:
    return [
        Chunk(f"c{place}", f"d{place}.md", "Tanks", None, text, 50, 50 + len(text), 2, 2, 20)
        for place, text in enumerate(texts or (TEXT,))
    ]


def form_of(body: Body) -> str:
    """Which of the built-in prompts asked, told by what it asks to reply with."""
    user = body["messages"][1]["content"]
    if "Reply with: " not in user:
        return "scenario"
    last = user.rsplit("Reply with: ", 1)[1]
    matching = [name for name in FORMS if f"Reply with: {last}" in built_in_prompt(name)]
    if len(matching) > 1:  # questions with and without an answer have one shape, and so have …
        matching = [name for name in matching if body["messages"][0]["content"][:60] in built_in_prompt(name)]
    (name,) = matching
    return name


def replying(**replies: Any) -> Any:
    """A script that answers each form with its reply; a function gets the request's body."""

    def script(body: Body, before: int) -> Answer:
        reply = replies[form_of(body)]
        reply = reply(body) if callable(reply) else reply
        return (
            reply
            if isinstance(reply, Answer)
            else Answer(reply if isinstance(reply, str) else json.dumps(reply))
        )

    return script


def run(
    tmp_path: Path, script: Any, sources: Any = None, *, checks: tuple[str, ...] = (), **options: Any
) -> tuple[list[Example], list[Refused], list[Body]]:
    with StubServer(script, jitter_s=0.003) as server:
        given = SynthesizeOptions(
            teacher={"url": server.url, "model": "stub", "concurrency": 8},  # type: ignore[arg-type]
            checks=checks,
            **options,
        )
        journal = tmp_path / "j.sqlite"
        teacher, judge = open_teacher(given, journal, tmp_path), open_judge(given, journal, tmp_path)
        found = list(synthesize_examples(sources or chunks(), teacher, given, judge=judge))
        return (
            [one for one in found if isinstance(one, Example)],
            [one for one in found if isinstance(one, Refused)],
            server.requests,
        )


def test_an_instruction_keeps_its_evidence_and_shows_the_passage(tmp_path: Path) -> None:
    task = {
        "instruction": "Say when the pump was built.",
        "response": "In 1998.",
        "evidence": "built in 1998",
    }
    (found,), _, _ = run(
        tmp_path,
        replying(instruction={"tasks": [task]}),
        kinds=("instruction",),
        checks=("grounded", "format"),
    )
    assert (found.kind, found.instruction, found.target) == ("instruction", task["instruction"], "In 1998.")
    assert found.context == TEXT
    start = 50 + TEXT.index("built in 1998")
    assert (found.evidence_start, found.evidence_end) == (start, start + len("built in 1998"))


def test_classification_asks_each_label_equally_often_and_refuses_a_text_that_names_its_label(
    tmp_path: Path,
) -> None:
    def texts(body: Body) -> Any:
        label = body["messages"][1]["content"].split('label "')[1].split('"')[0]
        here = passage_of(body)[:20]
        return {
            "texts": [{"text": f"I liked this about {here}."}, f"A {label} remark."]
            if label == "good"
            else []
        }

    found, refused, requests = run(
        tmp_path,
        replying(classification=texts),
        chunks("First passage here.", "Second passage there."),
        kinds=("classification",),
        labels=("good", "bad"),
        per_chunk=4,
    )
    assert len(requests) == 4  # two passages, two labels
    assert all("Write 2 texts" in body["messages"][1]["content"] for body in requests)
    assert [(one.target, one.context, one.attributes) for one in found] == [
        ("good", None, {"label": "good"})
    ] * 2
    assert {one.check for one in refused} == {"label_echo"}
    assert len(refused) == 2


def test_a_dialogue_is_its_last_answer_with_what_was_said_before(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "text": "What does the tank hold?"},
        {"role": "assistant", "text": "1200 litres."},
        {"role": "user", "text": "And when was its pump built?"},
        {"role": "assistant", "text": "In 1998."},
    ]
    (found,), _, _ = run(tmp_path, replying(dialogue={"turns": turns}), kinds=("dialogue",), turns=2)
    assert found.kind == "conversation"
    assert (found.instruction, found.target) == ("And when was its pump built?", "In 1998.")
    assert found.context == "User: What does the tank hold?\n\nAssistant: 1200 litres."
    assert found.earlier == (
        {"role": "user", "content": "What does the tank hold?"},
        {"role": "assistant", "content": "1200 litres."},
    )
    wrong = [*turns[:3], {"role": "assistant", "text": "In 2001."}]
    _, (refused,), _ = run(tmp_path / "x", replying(dialogue={"turns": wrong}), kinds=("dialogue",), turns=2)
    assert (refused.check, refused.reason) == ("grounded", "the answers' 2001 does not stand in the passage")
    _, (refused,), _ = run(
        tmp_path / "y", replying(dialogue={"turns": turns[1:]}), kinds=("dialogue",), turns=2
    )
    assert refused.check == "format"


SENTENCES = TEXT.replace(". ", ".|").split("|")


def test_a_segmentation_must_be_the_passage_word_for_word(tmp_path: Path) -> None:
    good = [SENTENCES[0], f"{SENTENCES[1]} {SENTENCES[2]}"]
    (found,), _, _ = run(tmp_path, replying(segmentation={"paragraphs": good}), kinds=("segmentation",))
    assert found.target == "\n\n".join(good)
    for paragraphs, says in (
        ([SENTENCES[0], SENTENCES[1].replace("1998", "1999"), SENTENCES[2]], "paragraph 2 does not stand"),
        ([SENTENCES[0], SENTENCES[2]], "of the passage's words came back"),
        ([SENTENCES[2], SENTENCES[0]], "paragraph 2 does not stand"),
        ([TEXT], "one paragraph"),
    ):
        folder = tmp_path / str(len(says))
        _, (refused,), _ = run(
            folder, replying(segmentation={"paragraphs": paragraphs}), kinds=("segmentation",)
        )
        assert refused.check == "fidelity"
        assert says in refused.reason


def test_paragraphs_are_located_by_hand() -> None:
    assert locate_paragraphs(["a b", "c d."], "a b\n c d.") == [(0, 3), (5, 9)]
    with pytest.raises(Unfit, match="only 50%"):
        locate_paragraphs(["a b"], "a b c d")


def test_segmented_passages_are_asked_about_one_by_one(tmp_path: Path) -> None:
    def pair(body: Body) -> Any:
        return {
            "pairs": [
                {"question": f"Q {passage_of(body)[-12:]}?", "answer": passage_of(body), "evidence": ""}
            ]
        }

    script = replying(segmentation={"paragraphs": SENTENCES}, question_answer=pair)
    found, refused, _ = run(tmp_path, script, segment=True)
    assert [one.context for one in found] == SENTENCES
    assert not refused
    broken = replying(segmentation={"paragraphs": ["nothing of it", "nor this"]}, question_answer=pair)
    found, refused, _ = run(tmp_path / "x", broken, segment=True)
    assert [one.context for one in found] == [TEXT]
    assert [one.check for one in refused] == ["fidelity"]
    assert refused[0].reason.startswith("the passage stays whole")


def test_a_paraphrase_may_be_neither_the_same_nor_another_length(tmp_path: Path) -> None:
    said = "A tank takes 1200 litres; its pump, of the year 1998, lifts that water onto the roof each night it runs."
    (found,), _, _ = run(
        tmp_path, replying(paraphrase={"paraphrase": said}), kinds=("paraphrase",), checks=("length",)
    )
    assert found.target == said
    _, (same,), _ = run(tmp_path / "x", replying(paraphrase={"paraphrase": TEXT}), kinds=("paraphrase",))
    assert same.check == "fidelity"
    short = replying(paraphrase={"paraphrase": "A tank."})
    _, (refused,), _ = run(tmp_path / "y", short, kinds=("paraphrase",), checks=("length",))
    assert refused.check == "length"


def test_two_calls_ask_questions_first_and_answer_each_by_itself(tmp_path: Path) -> None:
    def answer(body: Body) -> Any:
        question = body["messages"][1]["content"].split("Question: ")[1].split("\n")[0]
        return {"answer": f"Answer to {question}", "evidence": SENTENCES[0]}

    script = replying(
        questions=lambda body: {
            "questions": [{"question": f"{passage_of(body)[:5]} one?"}, "Two?", {"question": ""}]
        },
        answer=answer,
        summary={"summary": "Water.", "evidence": ""},
    )
    found, refused, requests = run(
        tmp_path, script, chunks(TEXT, "Other text."), calls=2, kinds=("question_answer", "summary")
    )
    assert [form_of(body) for body in requests].count("answer") == 4
    assert [one.instruction for one in found if one.kind == "question_answer"] == [
        "The t one?",
        "Two?",
        "Other one?",
        "Two?",
    ]
    assert found[0].target == "Answer to The t one?"
    # passage by passage, so that a spent budget leaves no kind out
    assert [one.kind == "summary" for one in found] == [False, False, True, False, False, True]
    # The empty questions are kept with their reason, behind everything else.
    assert [one.check for one in refused] == ["format", "format"]


def test_replies_that_come_in_any_order_give_the_same_records(tmp_path: Path) -> None:
    def slow(value: Any) -> Any:
        return lambda body: Answer(json.dumps(value), delay_s=random.random() / 30)

    def once(folder: Path) -> tuple[list[Example], list[Refused]]:
        pair = {"question": "What is it?", "answer": "Water.", "evidence": SENTENCES[0]}
        script = replying(
            segmentation=slow({"paragraphs": SENTENCES}),
            questions=slow({"questions": ["One?", {"question": 3}]}),
            answer=slow({"answer": "Yes, 1998.", "evidence": "x"}),
            unanswerable=slow({"questions": ["Who paid?"]}),
            round_trip=slow({"answer": "1998"}),
            question_answer=slow({"pairs": [pair]}),
        )
        sources = chunks(*(f"{TEXT} Number {place}." for place in range(12)))
        found, refused, _ = run(
            folder,
            script,
            sources,
            segment=True,
            calls=2,
            unanswerable=0.3,
            per_chunk=2,
            checks=("round_trip",),
        )
        return found, refused

    assert once(tmp_path / "a") == once(tmp_path / "b")


def test_round_trip_turns_down_what_is_not_answered_alike(tmp_path: Path) -> None:
    rows = [
        ("When was it built?", "It was built in 1998."),
        ("How much?", "Litres: 1200."),
        ("Who?", "The mayor."),
    ]
    pairs = [{"question": question, "answer": answer, "evidence": SENTENCES[0]} for question, answer in rows]
    again = {"When was it built?": "1998", "How much?": "7", "Who?": "unanswerable"}

    def second(body: Body) -> Any:
        question = body["messages"][1]["content"].split("Question: ")[1].split("\n")[0]
        return {"answer": again[question]}

    script = replying(question_answer={"pairs": pairs}, round_trip=second)
    found, refused, _ = run(tmp_path, script, checks=("round_trip",))
    assert [one.instruction for one in found] == ["When was it built?"]
    assert [(one.instruction, one.reason) for one in refused] == [
        ("How much?", "asked again, the answer was “7”"),
        ("Who?", "asked again, the passage did not answer it"),
    ]


def test_shared_words_by_hand() -> None:
    assert shared_words("the year 1998", "in 1998") == 0.5  # {year, 1998} and {in, 1998}
    assert shared_words("1998", "It was built in 1998.") == 1.0
    assert shared_words("the", "a") == 0.0


def test_a_judge_sees_the_source_and_its_no_is_a_refusal(tmp_path: Path) -> None:
    pair = {"question": "What is it?", "answer": "Water.", "evidence": SENTENCES[0]}
    seen: list[str] = []

    def verdict(body: Body) -> Any:
        seen.append(body["messages"][1]["content"])
        return {"supported": "no", "answers": "Yes", "clear": "yes", "reason": "Nobody says so."}

    script = replying(question_answer={"pairs": [pair]}, judge=verdict)
    found, (refused,), _ = run(tmp_path, script, checks=("format", "judge", "exact_duplicate"))
    assert not found
    assert (refused.check, refused.reason) == (
        "judge",
        "the judge says it is not supported by its source: Nobody says so.",
    )
    assert TEXT in seen[0]
    unclear = replying(question_answer={"pairs": [pair]}, judge={"supported": "perhaps", "answers": "yes"})
    _, (refused,), _ = run(tmp_path / "x", unclear, checks=("judge",))
    assert refused.reason == "the model gave no reply that could be read"


def test_another_model_can_judge(tmp_path: Path) -> None:
    pair = {"question": "What is it?", "answer": "Water.", "evidence": SENTENCES[0]}
    yes = {"supported": "yes", "answers": "yes", "clear": "yes", "reason": ""}
    with StubServer(replying(judge=yes)) as other:
        found, _, requests = run(
            tmp_path,
            replying(question_answer={"pairs": [pair]}),
            checks=("judge",),
            judge={"url": other.url, "model": "judge"},
        )
        assert [body["model"] for body in other.requests] == ["judge"]
    assert len(found) == 1
    assert [body["model"] for body in requests] == ["stub"]


def test_unanswerable_questions_keep_to_their_share(tmp_path: Path) -> None:
    def pairs(body: Body) -> Any:
        rows = [f"What is {place} of {passage_of(body)[-9:]}?" for place in range(3)]
        return {"pairs": [{"question": row, "answer": "Water.", "evidence": SENTENCES[0]} for row in rows]}

    script = replying(
        question_answer=pairs,
        unanswerable=lambda body: {"questions": [f"Who paid for {passage_of(body)[-9:]}?", "Why?"]},
    )
    sources = chunks(*(f"{TEXT} Number {place:03d}." for place in range(20)))
    found, refused, _ = run(
        tmp_path, script, sources, per_chunk=3, unanswerable=0.25, checks=("refusal", "grounded")
    )
    without = [one for one in found if one.attributes.get("answerable") == "no"]
    assert len(found) == 80
    assert len(without) == 20
    assert {one.target for one in without} == {"The passage does not say."}
    assert {one.check for one in refused} == {"unanswerable_share"}


def test_a_share_is_never_passed_at_any_point() -> None:
    def example(place: int, answerable: str) -> Example:
        return Example(str(place), "s", "question_answer", "q?", "a", attributes={"answerable": answerable})

    drafts = [example(place, "no" if place < 10 else "yes") for place in range(30)]
    out = list(hold_to_share(drafts, 0.2, refuse))
    assert len(out) == 30
    n_without = 0
    kept = [one for one in out if isinstance(one, Example)]
    for place, one in enumerate(kept, start=1):
        n_without += one.attributes["answerable"] == "no"
        assert n_without <= 0.2 * place + 1e-9
    assert n_without == 5  # 5 of 25 are 20 %
    assert sum(isinstance(one, Refused) for one in out) == 5


def test_asked_numbers_come_out_at_the_share_on_average() -> None:
    # 8 answered and a share of 0.1: 8 * 0.1 / 0.9 = 0.889 a passage
    asked = [n_unanswerable(str(place), 8, 0.1) for place in range(4000)]
    assert set(asked) == {0, 1}
    # the standard deviation of the mean is sqrt(0.889 * 0.111 / 4000) = 0.005
    assert sum(asked) / 4000 == pytest.approx(8 / 9, abs=0.02)


GRID = {
    "attributes": {
        "product": ["kettle", "lamp"],
        "type": {"launch": {"criteria": ["At most 2 sentences."], "text": "says what is new"}, "guide": {}},
    },
    "criteria": ["Names the product."],
    "design": "full",
    "source": "product",
    "variants": 2,
    "instruction": "Write a {{ type }} post about the {{ product }}.",
}


def test_a_scenario_is_asked_richly_and_learnt_shortly(tmp_path: Path) -> None:
    planned = plan_scenarios(ScenarioOptions.model_validate(GRID))
    script = replying(
        scenario=lambda body: "One. Two. Three." if "launch post" in str(body) else "Do this. Do that."
    )
    found, refused, requests = run(
        tmp_path, script, planned.scenarios, checks=("constraint", "exact_duplicate")
    )
    launch = next(body for body in requests if "launch post" in body["messages"][1]["content"])
    user = launch["messages"][1]["content"]
    for shown in ("says what is new", "1. Names the product.", "2. At most 2 sentences.", "version"):
        assert shown in user
    assert "response_format" not in launch
    assert {one.check for one in refused} == {"constraint", "exact_duplicate"}
    assert "3 sentences, at most 2 asked for" in next(
        one.reason for one in refused if one.check == "constraint"
    )
    (one,) = found
    assert (one.target, one.kind, one.context) == ("Do this. Do that.", "instruction", None)
    assert one.instruction == f"Write a guide post about the {one.source_id}."
    assert one.attributes == {"product": one.source_id, "type": "guide"}


def test_a_users_prompt_file_sees_attributes_and_is_tried_first(tmp_path: Path) -> None:
    (tmp_path / "post.jinja").write_text(
        "{% block system %}Brief.{% endblock %}"
        "{% block user %}{{ instruction }} [{{ attributes.product }}]{% endblock %}"
    )
    planned = plan_scenarios(ScenarioOptions.model_validate(GRID))
    _, _, requests = run(
        tmp_path, lambda body, before: Answer("Text."), planned.scenarios, prompts={"scenario": "post.jinja"}
    )
    ends = {body["messages"][1]["content"].partition("[")[2] for body in requests}
    assert ends == {"kettle]", "lamp]"}


@pytest.mark.parametrize("name", list(FORMS))
def test_every_built_in_prompt_passes_its_own_trial(name: str) -> None:
    prompt = open_prompt(name, None)
    assert prompt.names == FORMS[name].names


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kinds": ["classification"]}, "classification needs labels"),
        ({"labels": ["a", "b"]}, "labels have no effect"),
        ({"turns": 2}, "turns have no effect"),
        ({"kinds": ["summary"], "unanswerable": 0.1}, "unanswerable has no effect"),
        ({"kinds": ["summary"], "calls": 2}, "calls: 2 has no effect"),
        ({"judge": "ollama/x"}, "judge has no effect without the check"),
        ({"checks": ["judge"], "judge": "builtin"}, "'builtin' is no model"),
        ({"prompts": {"poem": "x"}}, "poem: no such prompt; there are question_answer"),
        ({"teacher": "builtin", "kinds": ["dialogue"]}, "does not write dialogue"),
        ({"teacher": "builtin", "calls": 2}, "calls has no effect with the built-in teacher"),
        ({"teacher": "builtin", "checks": ["round_trip"]}, "round_trip needs a model"),
    ],
)
def test_what_cannot_have_an_effect_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        SynthesizeOptions.model_validate({"teacher": "ollama/any", **options})
    assert says in str(raised.value)


def test_the_built_in_teacher_borrows_questions_that_a_passage_does_not_answer(tmp_path: Path) -> None:
    from tunesmith import samples

    documents = Path(samples.__file__).parent / "documents"
    reading = ReadOptions(documents=sorted(path.name for path in documents.glob("*.md"))[:4])
    read = (one for one in read_documents(reading, documents) if isinstance(one, Document))
    sources = list(chunk_documents(read, reading.chunk))
    options = SynthesizeOptions(unanswerable=0.2)
    found = list(synthesize_examples(sources, open_teacher(options, tmp_path / "j"), options))
    kept = [one for one in found if isinstance(one, Example)]
    without = [one for one in kept if one.attributes.get("answerable") == "no"]
    assert 0.15 <= len(without) / len(kept) <= 0.2
    asked = {one.instruction: one for one in kept if one.attributes.get("answerable") != "no"}
    assert sum(one.instruction in asked for one in without) >= 0.9 * len(without)
    for one in without:
        lender = asked.get(one.instruction)
        if lender is not None:
            assert lender.chunk_id != one.chunk_id
            assert lender.target.rstrip(".") not in (one.context or "")
