"""Each check on examples written by hand, and duplicates against a brute-force search."""

from __future__ import annotations

import random

import pytest

from tunesmith.duplicates import NearIndex, jaccard, shingles
from tunesmith.records import Example
from tunesmith.synthesize.checks import CHECKS, About, Limits, open_check
from tunesmith.synthesize.checks.language import language_of, script_of
from tunesmith.synthesize.checks.words import normalise, numbers
from tunesmith.synthesize.options import SynthesizeOptions

PASSAGE = (
    "The tank holds 1,200 litres of water and the pump moves it to the roof. It was built in 1998 by three engineers, "
    "and the town has used it for the supply of drinking water since then."
)


def example(question: str, answer: str, **fields: object) -> Example:
    given = {"context": PASSAGE, "evidence_start": 0, "evidence_end": 71, "kind": "question_answer"} | fields
    return Example(id="e", source_id="s", instruction=question, target=answer, **given)  # type: ignore[arg-type]


def reason(
    check: str, question: str, answer: str, limits: Limits | None = None, **fields: object
) -> str | None:
    test = open_check(check, limits or Limits())
    return test(example(question, answer, **fields), About(start=0))


GOOD = ("How much water does the tank hold?", "The tank holds 1,200 litres.")


@pytest.mark.parametrize("check", list(CHECKS))
def test_good_example_passes(check: str) -> None:
    assert reason(check, *GOOD) is None


@pytest.mark.parametrize(
    ("check", "question", "answer", "says"),
    [
        ("format", "", "The tank.", "the question is empty"),
        ("format", "What holds water?", "  ", "the answer is empty"),
        ("format", "Tell me what holds water.", "The tank.", "question mark"),
        ("format", "What holds water?", "The tank (of steel.", "unclosed bracket"),
        ("format", "What holds water?", "The tank] of steel.", "unclosed bracket"),
        ("format", "Question: What holds water?", "The tank.", "template"),
        ("format", "What holds {{ thing }}?", "The tank.", "template"),
        ("format", "What holds water?", "The tank\x07.", "control characters"),
        ("length", "Water?", "The tank.", "1 words, fewer than 3"),
        ("length", "What holds water?", "...", "no words"),
        ("refusal", "Who owns the tank?", "The passage does not say who owns it.", "refuses"),
        ("refusal", "Who owns the tank?", "This is not mentioned in the text.", "refuses"),
        ("refusal", "Who owns the tank?", "As an AI language model, I cannot know.", "refuses"),
        ("refusal", "Who owns the tank?", "There is no information about the owner.", "refuses"),
        ("refusal", "Who owns the tank?", "N/A", "refuses"),
        ("self_contained", "According to the text, what holds water?", "The tank.", "points at the text"),
        ("self_contained", "What holds water in this passage?", "The tank.", "points at the text"),
        (
            "self_contained",
            "What does the author describe in the article?",
            "The tank.",
            "points at the text",
        ),
        ("self_contained", "What is shown in Figure 3?", "The tank.", "points at the text"),
        ("self_contained", "What does it hold?", "Water.", "does not name"),
        ("self_contained", "Why are they built?", "For water.", "does not name"),
        ("self_contained", "At what height does this stand?", "On the roof.", "does not name"),
        ("language", "Wie viel Wasser ist in dem Tank und wer hat ihn gebaut?", "Der Tank.", "German"),
        ("language", "Сколько воды в баке?", "1200", "CYRILLIC"),
        ("grounded", "How much does the tank hold?", "It holds 1,300 litres.", "1300"),
        ("grounded", "When was the tank built?", "In 1997.", "1997"),
    ],
)
def test_bad_example_is_refused_with_its_reason(check: str, question: str, answer: str, says: str) -> None:
    found = reason(check, question, answer)
    assert found is not None
    assert says in found


@pytest.mark.parametrize(
    ("check", "question", "answer"),
    [
        ("format", "What are the steps?", "First a) fill it, then b) seal it."),
        ("refusal", "What does the pump not do?", "The pump does not heat the water."),
        ("refusal", "What does the label state?", "The label does not mention the year of the pump."),
        ("self_contained", "What happens to water when it freezes?", "It expands."),
        ("self_contained", "What is the text of the law about?", "Water."),
        ("self_contained", "How is a document signed?", "With a pen."),
        ("language", "What is a Wärmepumpe?", "A pump that moves heat."),
        ("grounded", "How many engineers built the tank?", "3 engineers."),
        ("grounded", "How many engineers built the tank?", "Three engineers."),
        ("grounded", "How much does the tank hold?", "1200 litres."),
    ],
)
def test_what_only_looks_bad_passes(check: str, question: str, answer: str) -> None:
    assert reason(check, question, answer) is None


def test_limits_of_length_are_those_of_the_options() -> None:
    assert (
        reason("length", "What holds all the water there?", "The tank.", Limits(max_question_words=5))
        is not None
    )
    assert reason("length", "What holds water?", "one two three four", Limits(max_answer_words=3)) is not None
    assert reason("length", "What holds water?", "one two three", Limits(max_answer_words=3)) is None


def test_script_without_spaces_has_no_word_count() -> None:
    assert reason("length", "水槽は何を保持しますか？", "水。") is None


def test_summary_must_be_shorter_than_the_passage() -> None:
    assert (
        reason("length", "Summarise it, please now", PASSAGE, kind="summary")
        == "the summary is no shorter than the passage"
    )


def test_evidence_must_lie_in_the_passage() -> None:
    assert reason("grounded", *GOOD, evidence_start=None, evidence_end=None) == "no evidence was quoted"
    quoted = reason(
        "grounded", *GOOD, evidence_start=None, evidence_end=None, attributes={"quote": "the tank is red"}
    )
    assert quoted == "the quoted evidence does not stand in the passage: “the tank is red”"
    assert (
        reason("grounded", *GOOD, evidence_start=0, evidence_end=len(PASSAGE) + 1)
        == "the evidence lies outside the passage"
    )
    test = open_check("grounded", Limits())
    moved = example(*GOOD, evidence_start=500, evidence_end=520)
    assert test(moved, About(start=500)) is None
    assert test(moved, About(start=501)) == "the evidence lies outside the passage"


def test_numbers_are_compared_as_values() -> None:
    assert numbers("1,200 and 3.50 and 12.30 and 7") == {"1200", "3.5", "12.3", "7"}
    assert numbers("in 1998, 5 of them") == {"1998", "5"}


def test_language_and_script() -> None:
    assert language_of("The pump moves the water to the roof of the house and it is not loud.") == "English"
    assert language_of("Die Pumpe ist nicht laut und sie steht auf dem Dach mit der Wanne.") == "German"
    assert language_of("La pompe est dans la maison et elle ne fait pas de bruit pour les gens.") == "French"
    assert language_of("Pumpe Tank Wasser") is None
    assert (script_of("水は冷たい"), script_of("вода"), script_of("water"), script_of("123")) == (
        "CJK",
        "CYRILLIC",
        "LATIN",
        None,
    )


def stream(check: str, *pairs: tuple[str, str]) -> list[str | None]:
    test = open_check(check, Limits())
    return [test(example(question, answer), About(start=0)) for question, answer in pairs]


def test_exact_duplicates_ignore_case_and_punctuation() -> None:
    found = stream(
        "exact_duplicate", ("What is a tank?", "x"), ("what is a “Tank”", "y"), ("What is a pump?", "x")
    )
    assert [verdict is None for verdict in found] == [True, False, True]


def test_near_duplicates_of_questions_and_of_long_answers() -> None:
    found = stream(
        "near_duplicate",
        ("What does the old copper tank on the roof hold?", "Water."),
        ("What does the old copper tank on the roof hold now?", "Rain."),
        ("How is a completely different thing asked about here?", "Water."),
        ("Why does a pump run?", "Because the water has to reach the tank on the roof every day."),
        (
            "For what reason is electricity used?",
            "Because the water has to reach the tank on the roof every day now.",
        ),
    )
    assert [verdict is None for verdict in found] == [True, False, True, True, False]
    assert "what does the old copper tank on the roof hold" in (found[1] or "")


def test_questions_that_differ_in_a_number_are_two_questions() -> None:
    found = stream(
        "near_duplicate",
        ("How many panels of steel does a radiator of type 11 have?", "One."),
        ("How many panels of steel does a radiator of type 22 have?", "Two."),
    )
    assert found == [None, None]


def test_refused_duplicate_is_not_remembered_twice() -> None:
    index = NearIndex(0.8)
    assert index.add("the tank holds water for the town") is None
    assert index.add("the tank holds water for the town!") == "the tank holds water for the town"
    assert index.add("the tank holds water for the town!!") == "the tank holds water for the town"


def test_jaccard_by_hand() -> None:
    # "abcdef" has the pieces abcde, bcdef; "abcdeg" has abcde, bcdeg: one shared of three.
    assert jaccard(shingles("abcdef"), shingles("abcdeg")) == pytest.approx(1 / 3)
    assert jaccard(shingles("abc"), shingles("abc")) == 1.0


def test_near_duplicates_agree_with_comparing_all_pairs() -> None:
    generator = random.Random(5)
    vocabulary = ["".join(generator.choices("abcdefghij", k=5)) for _ in range(300)]
    texts: list[str] = []
    for _ in range(250):
        if texts and generator.random() < 0.5:
            words = generator.choice(texts).split()
            for _ in range(generator.randint(0, 4)):
                words[generator.randrange(len(words))] = generator.choice(vocabulary)
        else:
            words = generator.choices(vocabulary, k=20)
        texts.append(" ".join(words))
    index = NearIndex(0.8)
    kept: list[frozenset[int]] = []
    disagreements = 0
    n_duplicates = 0
    for text in texts:
        is_duplicate = any(jaccard(shingles(text), other) >= 0.8 for other in kept)
        n_duplicates += is_duplicate
        disagreements += (index.add(text) is not None) != is_duplicate
        if not is_duplicate:
            kept.append(shingles(text))
    assert n_duplicates > 40
    # 1 - (1 - 0.8^4)^16 = 0.9998 of the pairs at the threshold are found; the test's seed finds all.
    assert disagreements == 0


def test_near_duplicates_compare_few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike texts are hardly ever compared in full: that is what keeps a large set quick."""
    compared = 0

    def counted(a: frozenset[int], b: frozenset[int]) -> float:
        nonlocal compared
        compared += 1
        return jaccard(a, b)

    monkeypatch.setattr("tunesmith.duplicates.jaccard", counted)
    index, generator = NearIndex(0.8), random.Random(1)
    for _ in range(2000):
        index.add(" ".join(str(generator.randrange(10**6)) for _ in range(12)))
    assert compared < 2000


def test_normalise() -> None:
    assert normalise("  The “Tank”, (OLD) – ﬁne! ") == "the tank old fine"


def test_unknown_check_is_a_plan_mistake() -> None:
    with pytest.raises(ValueError, match="no such check; there are format"):
        SynthesizeOptions(checks=("gramar",))


@pytest.mark.parametrize("teacher", ["gpt", "ftp://x", {"url": "localhost:80"}])
def test_unknown_teacher_is_a_plan_mistake(teacher: object) -> None:
    with pytest.raises(ValueError, match=r"no teacher|not an http"):
        SynthesizeOptions(teacher=teacher)  # type: ignore[arg-type]


def test_teacher_names() -> None:
    assert SynthesizeOptions().teacher_name == "builtin"
    assert (
        SynthesizeOptions(teacher="ollama/llama3.1").teacher_name == "llama3.1 at http://127.0.0.1:11434/v1"
    )
    endpoint = SynthesizeOptions(teacher="http://127.0.0.1:8000/v1/chat/completions").endpoint
    assert endpoint is not None
    assert (endpoint.url, endpoint.model) == ("http://127.0.0.1:8000/v1", None)


@pytest.mark.parametrize(
    ("criterion", "text", "says"),
    [
        ("At most 2 sentences.", "One. Two. Three.", "3 sentences, at most 2 asked for"),
        ("3 to 5 sentences.", "One. Two.", "2 sentences, 3 to 5 asked for"),
        ("At least 6 words.", "Only four words here.", "4 words, at least 6 asked for"),
        ("Answer as JSON.", "no", "not JSON"),
        ("At most 2 sentences.", "One. Two.", None),
        ("Names the company.", "Nothing.", None),
    ],
)
def test_a_stated_criterion_is_checked(criterion: str, text: str, says: str | None) -> None:
    post = Example("e", "s", "instruction", "Write a post.", text)
    found = open_check("constraint", Limits())(post, About(criteria=(criterion,)))
    assert (found is None) if says is None else (found is not None and says in found)


def test_an_opening_may_not_be_too_frequent() -> None:
    test = open_check("opener", Limits(opener_share=0.1))
    same = [test(example(f"What is the thing called {word}?", "x"), About()) for word in ("a", "b", "c", "d")]
    # Up to 20 kept prompts, a tenth are 2.
    assert [one is None for one in same] == [True, True, False, False]
    assert "“what is the …” opens 2 of 2 kept texts, more than 10%" in str(same[2])


def test_prompts_that_mean_the_same_are_found_by_the_encoder() -> None:
    from tunesmith.synthesize.checks.semantic import drop_semantic_duplicates
    from tunesmith.synthesize.stage import refuse

    drafts = [
        example("How much water does the tank hold?", "x"),
        example("What quantity of water does the tank hold?", "y"),
        example("Who built the church of the town?", "z"),
        example("How much water does tank 7 hold?", "w"),
    ]
    found = [type(one).__name__ for one in drop_semantic_duplicates(drafts, 0.9, refuse)]
    assert found == ["Example", "Refused", "Example", "Example"]
