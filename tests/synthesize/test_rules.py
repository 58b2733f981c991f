"""The built-in teacher, sentence by sentence. The expected questions and answers are written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.records import Chunk, Example
from tunesmith.synthesize.stage import SynthesizeOptions, open_teacher, synthesize_examples
from tunesmith.synthesize.teachers import ask_passage


def asked(passage: str) -> dict[str, str]:
    return {draft.question: draft.answer for _, drafts in ask_passage(passage) for draft in drafts}


PATTERNS = [
    # definitions
    (
        "A heat pump is a machine that moves heat from a cold place to a warm place.",
        "What is a heat pump?",
        "A heat pump is a machine that moves heat from a cold place to a warm place.",
    ),
    (
        "Wood pellets are small cylinders of pressed sawdust.",
        "What are wood pellets?",
        "Wood pellets are small cylinders of pressed sawdust.",
    ),
    (
        "Copper is usually the best choice for long pipes.",
        "What is usually the best choice for long pipes?",
        "Copper.",
    ),
    (
        "The purpose of the valve is to keep the pressure low.",
        "What is the purpose of the valve?",
        "To keep the pressure low.",
    ),
    # reasons, purposes, conditions
    (
        "Manufacturers fill the gap with argon because it conducts heat badly.",
        "Why do manufacturers fill the gap with argon?",
        "Because it conducts heat badly.",
    ),
    (
        "Painted wood must never be burnt, because it releases poisonous fumes.",
        "Why must painted wood never be burnt?",
        "Because it releases poisonous fumes.",
    ),
    (
        "Many roads were blocked due to heavy snow in March.",
        "Why were many roads blocked?",
        "Due to heavy snow in March.",
    ),
    (
        "When used air is cooled far below its dew point, water condenses in the exchanger.",
        "What happens when used air is cooled far below its dew point?",
        "Water condenses in the exchanger.",
    ),
    (
        "Float glass is made by pouring molten glass onto liquid tin.",
        "How is float glass made?",
        "By pouring molten glass onto liquid tin.",
    ),
    (
        "A megger is used to test the insulation of cables.",
        "What is a megger used for?",
        "To test the insulation of cables.",
    ),
    # numbers
    (
        "Vertical boreholes are usually 50 to 200 metres deep.",
        "How deep are vertical boreholes usually?",
        "50 to 200 metres deep.",
    ),
    (
        "Sodium acetate trihydrate melts at 58 °C.",
        "At what temperature does sodium acetate trihydrate melt?",
        "At 58 °C.",
    ),
    (
        "A kilogram of dry wood holds about 4 kilowatt-hours of energy.",
        "How much energy does a kilogram of dry wood hold?",
        "About 4 kilowatt-hours.",
    ),
    ("A single pane has a g-value of 0.85.", "What g-value does a single pane have?", "0.85."),
    (
        "A chimney needs a height of at least 4 to 5 metres to draw well.",
        "What height does a chimney need to draw well?",
        "At least 4 to 5 metres.",
    ),
    ("A well-kept system lasts 20 to 25 years.", "How long does a well-kept system last?", "20 to 25 years."),
    (
        "The joint between frame and wall needs three layers.",
        "How many layers does the joint between frame and wall need?",
        "Three layers.",
    ),
    (
        "Stone walls have warmed houses for hundreds of years.",
        "What have stone walls warmed for hundreds of years?",
        "Houses.",
    ),
    (
        "Geothermal water heats about 90 percent of all homes in Iceland.",
        "What percentage of all homes does geothermal water heat in Iceland?",
        "About 90 percent.",
    ),
    (
        "Only 20 percent of the heat leaves the panel as radiation.",
        "What percentage of the heat leaves the panel as radiation?",
        "Only 20 percent.",
    ),
    (
        "In Denmark, two thirds of households are connected to the network.",
        "What share of households is connected to the network in Denmark?",
        "Two thirds.",
    ),
    (
        "Rubber gaskets harden after about fifteen years.",
        "After how many years do rubber gaskets harden?",
        "After about fifteen years.",
    ),
    ("Dry wood burns in three stages.", "In how many stages does dry wood burn?", "In three stages."),
    (
        "Long curtains can reduce the output by 30 percent.",
        "By how much can long curtains reduce the output?",
        "By 30 percent.",
    ),
    (
        "Water expands by 9 percent when it turns to ice.",
        "By how much does water expand when it turns to ice?",
        "By 9 percent.",
    ),
    # when and where
    (
        "Lord Kelvin described the idea of a heat pump in 1852.",
        "When did Lord Kelvin describe the idea of a heat pump?",
        "In 1852.",
    ),
    (
        "In September 2001, Anna Berg founded a small company for pumps.",
        "When did Anna Berg found a small company for pumps?",
        "In September 2001.",
    ),
    ("Finland aims to use no coal by 2030.", "By when does Finland aim to use no coal?", "By 2030."),
    (
        "Radiators traditionally stand below windows.",
        "Where do radiators traditionally stand?",
        "Below windows.",
    ),
    # who and what
    (
        "Alastair Pilkington developed the float process in England.",
        "Who developed the float process in England?",
        "Alastair Pilkington.",
    ),
    (
        "Triple glazing adds a third pane and a second gap.",
        "What does triple glazing add?",
        "A third pane and a second gap.",
    ),
    (
        "Aluminium conducts heat far better than wood.",
        "What conducts heat far better than wood?",
        "Aluminium.",
    ),
    (
        "Double glazing consists of two panes of glass.",
        "What does double glazing consist of?",
        "Two panes of glass.",
    ),
    ("Old frames are made of wood or steel.", "What are old frames made of?", "Wood or steel."),
    (
        "The loss of heat depends on the surface of a store.",
        "What does the loss of heat depend on?",
        "The surface of a store.",
    ),
    (
        "Uncoated glass gives off most of the heat that reaches its surface.",
        "What does uncoated glass give off?",
        "Most of the heat that reaches its surface.",
    ),
    (
        "Some critics believe that simply replacing trees is not enough.",
        "What do some critics believe?",
        "That simply replacing trees is not enough.",
    ),
    (
        "Plumbers check the anode rod every two years.",
        "What do plumbers check every two years?",
        "The anode rod.",
    ),
    (
        "Horace-Bénédict de Saussure built a glass-covered box in 1767.",
        "Who built a glass-covered box in 1767?",
        "Horace-Bénédict de Saussure.",
    ),
    # tenses and auxiliaries
    (
        "The old mill has produced paper since 1870.",
        "Since when has the old mill produced paper?",
        "Since 1870.",
    ),
    (
        "Every room with a stove should have a carbon monoxide alarm.",
        "What should every room with a stove have?",
        "A carbon monoxide alarm.",
    ),
]


@pytest.mark.parametrize(
    ("sentence", "question", "answer"), PATTERNS, ids=[question for _, question, _ in PATTERNS]
)
def test_sentence_gives_question_and_answer(sentence: str, question: str, answer: str) -> None:
    found = asked(sentence)
    assert question in found, sorted(found)
    assert found[question] == answer


NOTHING = [
    "It reflects the heat back into the room.",
    "This makes the water warmer than before.",
    "These measures reduce the emissions of the company.",
    "Such plants use 80 percent of the energy in their fuel.",
    "Its head contains a capsule of wax.",
    "We must take care of our shared environment.",
    "Does the pump need oil?",
    "Table 3 shows the heat losses of the building.",
    "As shown in Figure 2, the losses fall.",
    "This section describes the method of the study.",
    "The author accepts a triple approach to the question.",
    "Types of panel radiators",
    "RADIATORS AND CONVECTORS",
    "Copper | 400 | 8.9 | red metal and pipes.",
    "(Baumgartner and Korhonen, 2010; Patra, 2009).",
    "the pipes are warm and the room is cold.",
    "Not only is there an information gap, but companies believe in dialogue.",
    "The pump (which is old stops at night.",
    "There are three kinds of pumps.",
    "Please see www.example.org for the full list of pumps.",
    "The former is cheaper than the latter.",
    "Chimney sweeps therefore.",
    "He called the device a hot box.",
    "“The pump,” he said, “is old and loud.”",
    "A pump does not need any oil.",
]


@pytest.mark.parametrize("sentence", NOTHING)
def test_sentence_that_does_not_stand_alone_gives_nothing(sentence: str) -> None:
    assert asked(sentence) == {}


def test_noun_that_looks_like_a_verb_is_no_verb() -> None:
    # "sweeps", "pumps", "boards" may be verbs; the sentence has a surer one.
    found = asked(
        "Chimney sweeps therefore clean the flue. Wood fibre boards store more heat than mineral wool."
    )
    assert (
        "Who cleans the flue?" not in found
    )  # two words after the verb are too few to ask about the subject
    assert found["What stores more heat than mineral wool?"] == "Wood fibre boards."


COMPOUNDS = [
    (
        "A wire saw cuts the wafers from a block.",
        {
            "What does a wire saw cut from a block?": "The wafers.",
            "What cuts the wafers from a block?": "A wire saw.",
        },
    ),
    (
        "Building codes in Germany contain rules for new houses.",
        {
            "What do building codes in Germany contain?": "Rules for new houses.",
            "What contains rules for new houses?": "Building codes in Germany.",
        },
    ),
    (
        "Power stations burn coal in large boilers.",
        {
            "What do power stations burn?": "Coal in large boilers.",
            "What burns coal in large boilers?": "Power stations.",
        },
    ),
    (
        "Coal fires caused smog in London in 1952.",
        {
            "When did coal fires cause smog in London?": "In 1952.",
            "Where did coal fires cause smog in 1952?": "In London.",
            "What did coal fires cause in London in 1952?": "Smog.",
            "What caused smog in London in 1952?": "Coal fires.",
        },
    ),
    (
        "Upgrading plants remove the carbon dioxide before the gas enters the grid.",
        {
            "What do upgrading plants remove before the gas enters the grid?": "The carbon dioxide.",
            "What removes the carbon dioxide before the gas enters the grid?": "Upgrading plants.",
        },
    ),
    ("Steel covers protect the tank from rain.", {"What do steel covers protect from rain?": "The tank."}),
    (
        "A steam engine drives the pump of the mine.",
        {"What does a steam engine drive?": "The pump of the mine."},
    ),
    ("Water carries heat through the pipes.", {"What does water carry through the pipes?": "Heat."}),
    ("Wallpaper feeds mould because paper contains cellulose.", {"What does wallpaper feed?": "Mould."}),
]


@pytest.mark.parametrize(("sentence", "expected"), COMPOUNDS, ids=[sentence for sentence, _ in COMPOUNDS])
def test_compound_stays_in_one_piece(sentence: str, expected: dict[str, str]) -> None:
    found = asked(sentence)
    assert expected.items() <= found.items(), found
    if len(expected) > 1:
        assert found == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "Heat pumps move heat from the ground into a house.",
        "Newcastle burns waste in two plants near the river.",
        "Upgrading plants costs much money each year.",
        "Burning wood releases smoke into the room.",
        "Water pumps need oil in the bearing.",
    ],
)
def test_sentence_with_two_readings_gives_nothing(sentence: str) -> None:
    assert asked(sentence) == {}


def test_participle_is_no_verb() -> None:
    found = asked(
        "One cubic metre of water cooled from 80 to 40 °C gives off about 46 kilowatt-hours of heat."
    )
    assert (
        found["How much heat does one cubic metre of water cooled from 80 to 40 °C give off?"]
        == "About 46 kilowatt-hours."
    )


def test_pronoun_is_named_when_only_one_thing_can_be_meant() -> None:
    found = asked("A buffer tank is a vessel of heating water. It consists of steel and foam.")
    assert found["What does a buffer tank consist of?"] == "Steel and foam."


def test_pronoun_is_left_alone_when_two_things_can_be_meant() -> None:
    # "It" may be the town or the store.
    found = asked(
        "The Danish town of Vojens built a large store in 2015. It takes in heat from solar collectors."
    )
    assert not any("Vojens take" in question for question in found)


def test_bare_definite_noun_is_named_in_full() -> None:
    found = asked(
        "A low-emissivity coating is a layer of metal. The coating lies on a side that faces the gap."
    )
    assert found["Where does the low-emissivity coating lie?"] == "On a side that faces the gap."


def test_connecting_words_are_dropped() -> None:
    found = asked("However, manufacturers therefore place propane units outdoors.")
    assert found == {
        "What do manufacturers place outdoors?": "Propane units.",
        "Who places propane units outdoors?": "Manufacturers.",
    }


def test_citations_are_left_out_of_the_question() -> None:
    found = asked("Clear communication increases the reputation of a company (Hopkins, 2009; Reilly, 2009).")
    assert found["What does clear communication increase?"] == "The reputation of a company."


def test_first_word_keeps_its_capital_only_as_a_name() -> None:
    found = asked(
        "Limescale forms a crust on the heater. Vojens heats its homes with a store of hot water and Vojens is small."
    )
    assert "What does limescale form?" in found or "Where does limescale form?" in found
    assert not any("vojens" in question for question in found)


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        (
            "Hugh Myddelton completed the New River in 1613.",
            "When did Hugh Myddelton complete the New River?",
        ),
        ("Hugh Myddelton completed the New River in 1613.", "Who completed the New River in 1613?"),
        ("British homes burn gas in old boilers.", "What do British homes burn?"),
        (
            "Kublai's government faced difficulties after 1279.",
            "What did Kublai's government face after 1279?",
        ),
        ("Limescale forms a crust on the heater.", "What does limescale form?"),
        ("Parliament abolished the tax because it was unfair.", "Why did Parliament abolish the tax?"),
        ("Fitters wear gloves and a mask.", "What do fitters wear?"),
        (
            "Uninsulated pipes lose 20 percent of the heat.",
            "What percentage of the heat do uninsulated pipes lose?",
        ),
        (
            "Householders paid two shillings a year for each hearth.",
            "Who paid two shillings a year for each hearth?",
        ),
        ("Servants heated a pile of stones under the hall.", "Who heated a pile of stones under the hall?"),
        (
            "Cornelis van der Berg built a water clock for the duke in 1612.",
            "Who built a water clock for the duke in 1612?",
        ),
        (
            "James Hutton is often viewed as the first modern geologist.",
            "Who is often viewed as the first modern geologist?",
        ),
    ],
)
def test_names_keep_their_capital_and_people_are_asked_for_with_who(sentence: str, question: str) -> None:
    assert question in asked(sentence)


def test_the_document_tells_whether_an_unknown_word_is_a_name() -> None:
    sentence = "Zorbium forms a crust on the heater."
    assert {
        draft.question for _, drafts in ask_passage(sentence, frozenset(), {"zorbium"}) for draft in drafts
    } >= {"What does zorbium form?"}
    assert "What does Zorbium form?" in asked(sentence)


def test_known_word_keeps_the_capital_that_the_document_always_gives_it() -> None:
    sentence = "Council abolished the tax because inspectors entered private homes."
    found = [draft.question for _, drafts in ask_passage(sentence, {"Council"}) for draft in drafts]
    assert "Why did Council abolish the tax?" in found
    assert "Why did council abolish the tax?" in asked(sentence)


def chunk(text: str, start: int = 0, end: int | None = None, name: str = "c") -> Chunk:
    return Chunk(
        name,
        "doc.md",
        "Doc",
        None,
        text,
        start,
        start + len(text) if end is None else end,
        2,
        2,
        len(text) // 5,
    )


def examples(chunks: list[Chunk], **options: object) -> list[Example]:
    chosen = SynthesizeOptions(**options)  # type: ignore[arg-type]
    found = synthesize_examples(chunks, open_teacher(chosen, Path("unused")), chosen)
    return [record for record in found if isinstance(record, Example)]


PASSAGE = (
    "A radiator is a hollow body that gives off heat. Radiators traditionally stand below windows.\n\n"
    "# Heading\n\nFranz San Galli invented the cast-iron radiator in 1855. Steel panels replaced cast iron after 1960."
)


def test_evidence_is_the_exact_sentence_in_the_document() -> None:
    document = "x" * 500 + PASSAGE
    found = examples([chunk(PASSAGE, start=500)])
    by_question = {example.instruction: example for example in found}
    example = by_question["When did Franz San Galli invent the cast-iron radiator?"]
    assert (
        document[example.evidence_start : example.evidence_end]
        == "Franz San Galli invented the cast-iron radiator in 1855."
    )
    assert (example.context, example.chunk_id, example.first_page, example.teacher) == (
        PASSAGE,
        "c",
        2,
        "builtin",
    )


def test_overlap_of_two_chunks_is_asked_about_once() -> None:
    first = "A radiator is a hollow body that gives off heat. A convector is a heater with thin fins."
    cut = first.index("A convector")
    second = first[cut:] + " A boiler is a heater that burns a fuel."
    found = examples([chunk(first, 0, name="a"), chunk(second, cut, name="b")], checks=())
    assert [example.instruction for example in found] == [
        "What is a radiator?",
        "What is a convector?",
        "What is a boiler?",
    ]


def test_per_chunk_takes_one_question_of_each_sentence_first() -> None:
    text = (
        "Natural gas consists mostly of methane. Triple glazing adds a third pane. "
        "A boiler is a heater that burns a fuel. Rubber gaskets harden after about fifteen years."
    )
    assert len(examples([chunk(text)])) > 4
    found = examples([chunk(text)], per_chunk=4)
    assert [example.instruction for example in found] == [
        "What does natural gas consist mostly of?",
        "What does triple glazing add?",
        "What is a boiler?",
        "After how many years do rubber gaskets harden?",
    ]


def test_same_input_same_output() -> None:
    assert examples([chunk(PASSAGE)]) == examples([chunk(PASSAGE)])


def test_summary_is_the_central_sentence() -> None:
    text = (
        "Heat pumps move heat from the ground into a house. The cellar is painted green. "
        "Heat pumps for a house take heat from the ground or the air. A cat sleeps there. "
        "The ground stores heat for heat pumps."
    )
    (example,) = examples([chunk(text)], kinds=("summary",))
    assert (example.kind, example.instruction) == ("summary", "Summarise the passage in one sentence.")
    assert "ground" in example.target
    assert text[example.evidence_start : example.evidence_end] == example.target


def test_every_pair_of_the_sample_documents_is_clean() -> None:
    folder = Path(__file__).resolve().parents[2] / "src" / "tunesmith" / "samples" / "documents"
    files = sorted(folder.glob("*.md"))
    assert len(files) >= 10
    n_pairs = 0
    for file in files:
        text = file.read_text(encoding="utf-8")
        for sentence, drafts in ask_passage(text):
            for draft in drafts:
                n_pairs += 1
                assert draft.question[0].isupper()
                assert draft.question.endswith("?")
                assert draft.answer.endswith(".")
                # The words of the answer stand in its sentence, or in the phrase that names its subject.
                words = {word.strip(".,():;").lower() for word in draft.answer.split()}
                there = {word.strip(".,():;").lower() for word in sentence.text.split()}
                named = {word.strip(".,():;?").lower() for word in draft.question.split()}
                assert words <= there | named | {word.strip(".,():;").lower() for word in text.split()}
    assert n_pairs >= 200
