"""Made-up factual passages: an invented thing, its properties, and questions on them.

Textbooks rarely ask a reader to keep several numbers and names apart. These passages do nothing else: every value is
drawn at random, so the only way to answer is to read the passage.
"""

# ruff: noqa: SIM905 (a list of a hundred words reads best as one string)

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from questions import Pair

Draw = Callable[[random.Random], str]

ONSETS = "b br c cl d dr f fl g gr h j k kl l m n p pr r s sk st t tr v w z".split()
VOWELS = "a e i o u ai ea ei ou".split()
ENDINGS = ["n", "r", "l", "ck", "m", "s", "th", "nd", "rt", "", "", ""]
SURNAMES = (
    "Abel Adler Amari Baker Bauer Berg Bianchi Boyd Carter Castro Chen Costa Cruz Dahl Diaz Dubois "
    "Eriksen Evans Fischer Flores "
    "Garcia Gupta Haas Hansen Hayashi Hill Horvat Ito Ivanov Jensen Jones Kaya Khan Kim Kovacs Kumar "
    "Lang Larsen Laurent Lee Lopez "
    "Martin Meyer Mori Moreau Murphy Nakamura Nguyen Novak Okafor Olsen Ortiz Osman Park Patel Perez "
    "Petrov Popescu Rao Reyes "
    "Rossi Sato Schmidt Silva Singh Smith Suzuki Tanaka Torres Vargas Virtanen Walker Weber Wong Wright "
    "Yamada Young Zhang"
).split()
FIRST_NAMES = (
    "Ada Aino Alan Alice Amir Ana Anton Bella Boris Carla Cecil Chiara Clara Daniel Dora Edith Elena "
    "Emil Erik Eva Farah Felix "
    "Fiona Franz George Grace Hanna Henry Hugo Ida Igor Irene Ivan James Jana Jonas Julia Karl Kira "
    "Laura Leo Lin Louis Lucy Maria "
    "Martha Mei Nadia Nina Nora Oscar Otto Paul Petra Rafael Rosa Ruth Sara Simon Sofia Tara Thomas Vera "
    "Victor Walter Yuki Zoe"
).split()
KINDS = (
    "water pump|pressure valve|solar panel|bread oven|coffee grinder|snow plough|wind turbine|fuel cell|"
    "steam engine|radio mast|"
    "weather balloon|printing press|milk cooler|paper mill|grain silo|ferry|tram|cable car|lighthouse|"
    "museum|library|bridge|canal|"
    "tunnel|dam|reservoir|greenhouse|observatory|power station|swimming hall|clock tower|concert hall|"
    "harbour crane|forklift|drone|"
    "camera|microscope|telescope|battery|heat pump|air filter|water heater|compressor|generator|gearbox|"
    "sensor|thermostat|router|"
    "drill|lathe|loom|kiln|furnace|boiler|conveyor belt|elevator|escalator|bicycle|scooter|tractor|"
    "harvester|submarine|satellite|"
    "rocket|glacier|island|lake|river|waterfall|cave|volcano|forest|orchard|vineyard|fish farm|bakery|"
    "dairy|workshop|laboratory|"
    "theatre|school|hospital|airport|railway station|market hall|fortress|monastery|festival|newspaper|"
    "choir|training programme"
).split("|")
MATERIALS = (
    "steel copper brass oak granite glass concrete aluminium bamboo leather rubber titanium clay marble "
    "wool nylon bronze pine limestone"
).split()
PARTS = (
    "flow meter|check valve|feed screw|heat sink|drain plug|float switch|guide rail|pilot light|safety "
    "catch|bypass line|idle wheel|"
    "shear pin|spill tray|strainer|governor|damper|flywheel|manifold|ratchet|bellows|baffle|hopper|"
    "sluice|winch|coupling|gasket|"
    "collar|crank|spindle|sump|turntable|viewing port|weir|yoke|anchor plate|buffer store|cut-out|dosing "
    "pump|expansion joint|fan coil"
).split("|")
ROLES = (
    "a part that stops the flow in one direction|a device that counts what passes through it|a plate "
    "that spreads the load|"
    "a vessel that evens out changes in pressure|the space in which the mixture is stirred|a switch that "
    "reacts to the level of a liquid|"
    "a short pipe that leads round the main unit|a ring that keeps two parts together|an opening through "
    "which dirt can be removed|"
    "a weight that keeps the speed even|a tool that turns a small force into a large one|a screen that "
    "holds back coarse particles|"
    "the lowest point of the housing, where oil collects|a cover that protects workers from moving parts|"
    "a spring that brings the lever back|"
    "a signal that tells the operator to wait|a channel that carries away surplus water|a rule that says "
    "which unit starts first|"
    "the difference between the highest and the lowest reading|a test that shows whether the seal is tight"
).split("|")
ADVANTAGES = (
    "it needs less power|it makes no noise|it can be moved by one person|it has no moving parts|"
    "it cools down faster|it never rusts|it works in the dark|it can be cleaned with water|"
    "it costs half as much|it repairs itself"
).split("|")
FIRST_STEPS = (
    "cleaning the inlet|closing the main valve|reading the label|filling the tank|checking the belt|"
    "removing the cover|calling the operator|putting on gloves|opening the gate|testing the brake"
).split("|")
COLOURS = "red blue green yellow white black grey orange silver brown purple".split()
PEOPLE = (
    "engineers nurses farmers students sailors teachers miners fishermen tourists chemists bakers pilots gardeners "
    "surgeons"
).split()
SUBSTANCES = (
    "water oil sand hydrogen milk flour ash gravel salt seeds sugar vinegar paint timber coal ice wheat honey coffee "
    "cement"
).split()
PURPOSES = (
    "to dry fruit|to cool the engine|to measure the wind|to clean waste water|to store grain|to lift "
    "heavy loads|to carry passengers|"
    "to warm the building|to protect the harbour|to teach children|to test new alloys|to filter dust "
    "from the air|to record earthquakes|"
    "to cut thick metal sheets|to charge small vehicles|to pump water uphill|to keep medicine cold|to "
    "study the stars|to mix concrete|"
    "to separate cream from milk|to detect leaks|to guide ships at night|to press apples|to weave cotton|"
    "to sort parcels"
).split("|")
FAULTS = (
    "the filter is blocked|the cover is open|the oil runs low|the door does not close|the motor "
    "overheats|the cable is loose|"
    "the pressure drops below the limit|the sensor is dirty|the battery is empty|the valve sticks|the "
    "belt slips|water enters the housing"
).split("|")
ACTIONS = (
    "a red lamp lights up|the machine stops at once|a bell rings|the operator must call the service desk|"
    "the pump switches to low speed|"
    "the display shows a warning|the supply is cut off|the spare unit takes over|the lid locks itself|a "
    "message is sent to the control room"
).split("|")
PLURALS = (
    "blades filters wheels rooms seats windows sensors valves chambers lamps engines towers doors floors "
    "pipes screws tanks shelves "
    "platforms workers volunteers gates mirrors rollers cylinders buttons drawers steps arches boats"
).split()


def name(generator: random.Random) -> str:
    parts = [generator.choice(ONSETS) + generator.choice(VOWELS) for _ in range(generator.randint(1, 2))]
    return (
        "".join(parts) + generator.choice(ONSETS) + generator.choice(VOWELS) + generator.choice(ENDINGS)
    ).capitalize()


def person(generator: random.Random) -> str:
    return f"{generator.choice(FIRST_NAMES)} {generator.choice(SURNAMES)}"


def amount(low: int, high: int) -> Draw:
    def draw(generator: random.Random) -> str:
        top = generator.choice([high, max(low + 1, high // 10), max(low + 1, high // 100)])
        value = generator.randint(low, max(low + 1, top))
        return f"{value:,}" if generator.random() < 0.6 else str(value)

    return draw


def unit(low: int, high: int, words: str) -> Draw:
    def draw(generator: random.Random) -> str:
        return f"{amount(low, high)(generator)} {generator.choice(words.split('|'))}"

    return draw


def between(low: int, high: int, words: str) -> Draw:
    """A range, an estimate or a plain value."""

    def draw(generator: random.Random) -> str:
        first = generator.randint(low, high - 1)
        second = generator.randint(first + 1, high)
        form = generator.choice(
            [
                "{0} to {1}",
                "between {0} and {1}",
                "about {0}",
                "up to {1}",
                "at least {0}",
                "{0}",
                "more than {0}",
            ]
        )
        return f"{form.format(first, second)} {generator.choice(words.split('|'))}"

    return draw


def pick(options: list[str]) -> Draw:
    return lambda generator: generator.choice(options)


def year(generator: random.Random) -> str:
    return str(generator.randint(1650, 2025))


@dataclass(frozen=True)
class Fact:
    """Ways to state a property of `{s}` with value `{v}` (and `{n}`, a plural noun), and ways to ask for it."""

    statements: tuple[str, ...]
    asked: tuple[str, ...]
    value: Draw


FACTS = (
    Fact(
        ("{s} weighs {v}.", "The weight of {s} is {v}."),
        ("How much does {s} weigh?", "What is the weight of {s}?"),
        unit(2, 9000, "kilograms|tonnes|kg|grams"),
    ),
    Fact(
        ("{s} holds {v} of {m}.", "{s} can hold up to {v} of {m}."),
        ("How much {m} does {s} hold?", "How many {u} of {m} does {s} hold?"),
        unit(2, 9000, "litres|tonnes|cubic metres|kilograms"),
    ),
    Fact(
        ("{s} is {v} long.", "The length of {s} is {v}.", "{s} measures {v} from end to end."),
        ("How long is {s}?", "What is the length of {s}?"),
        unit(2, 4000, "metres|kilometres|centimetres|feet"),
    ),
    Fact(
        ("{s} is {v} high.", "{s} rises to a height of {v}."),
        ("How high is {s}?", "What height does {s} have?"),
        unit(2, 4000, "metres|centimetres|feet"),
    ),
    Fact(
        ("{s} was built in {v}.", "{s} was completed in {v}.", "In {v}, {s} was built."),
        ("When was {s} built?", "In which year was {s} completed?"),
        year,
    ),
    Fact(
        ("{s} was opened in {v}.", "{s} opened its doors to visitors in {v}."),
        ("When was {s} opened?", "In what year did {s} open?"),
        year,
    ),
    Fact(
        ("{s} was designed by {v}.", "{v} designed {s}.", "The designer of {s} was {v}."),
        ("Who designed {s}?", "Who was the designer of {s}?"),
        person,
    ),
    Fact(
        ("{s} is owned by {v}.", "{v} owns {s} today.", "The owner of {s} is {v}."),
        ("Who owns {s}?", "Who is the owner of {s}?"),
        person,
    ),
    Fact(
        ("{s} was named after {v}.", "{s} takes its name from {v}."),
        ("Who was {s} named after?", "After whom was {s} named?"),
        person,
    ),
    Fact(
        ("{s} is made of {v}.", "{s} is mostly built from {v}.", "Its main material is {v}."),
        ("What is {s} made of?", "Which material is {s} made from?"),
        pick(MATERIALS),
    ),
    Fact(
        ("{s} is painted {v}.", "The colour of {s} is {v}."),
        ("What colour is {s}?", "In which colour is {s} painted?"),
        pick(COLOURS),
    ),
    Fact(
        ("{s} stands in {v}.", "{s} is located in {v}.", "{s} can be found near {v}."),
        ("Where is {s}?", "Where is {s} located?"),
        name,
    ),
    Fact(
        ("{s} was made in {v}.", "Workers in {v} made {s}."),
        ("Where was {s} made?", "In which town was {s} made?"),
        name,
    ),
    Fact(
        ("{s} is used mainly by {v}.", "Its main users are {v}.", "Mostly {v} use {s}."),
        ("Who uses {s}?", "Who mainly uses {s}?"),
        pick(PEOPLE),
    ),
    Fact(
        ("{s} is used {v}.", "The purpose of {s} is {v}.", "People use {s} {v}."),
        ("What is {s} used for?", "What is the purpose of {s}?"),
        pick(PURPOSES),
    ),
    Fact(
        ("{s} costs {v}.", "The price of {s} is {v}.", "A buyer pays {v} for {s}."),
        ("How much does {s} cost?", "What is the price of {s}?"),
        unit(5, 90000, "euros|dollars|pounds|crowns"),
    ),
    Fact(
        ("{s} has {v} {n}.", "{s} is equipped with {v} {n}.", "There are {v} {n} in {s}."),
        ("How many {n} does {s} have?", "How many {n} are there in {s}?"),
        amount(2, 500),
    ),
    Fact(
        ("{s} needs {v} of power.", "{s} runs on {v} of electrical power."),
        ("How much power does {s} need?", "What power does {s} run on?"),
        unit(5, 9000, "watts|kilowatts|megawatts"),
    ),
    Fact(
        ("{s} must be checked every {v}.", "{s} is serviced once every {v}."),
        ("How often must {s} be checked?", "How often is {s} serviced?"),
        unit(2, 90, "days|weeks|months|hours"),
    ),
    Fact(
        ("{s} works at temperatures up to {v}.", "The highest temperature allowed for {s} is {v}."),
        ("Up to what temperature does {s} work?", "What is the highest temperature allowed for {s}?"),
        unit(5, 900, "degrees"),
    ),
    Fact(
        ("{s} contains {v}.", "Inside {s} there is {v}.", "{s} is filled with {v}."),
        ("What does {s} contain?", "What is {s} filled with?"),
        pick(SUBSTANCES),
    ),
    Fact(
        ("{s} moves at {v}.", "{s} reaches a speed of {v}.", "The top speed of {s} is {v}."),
        ("How fast does {s} move?", "What is the top speed of {s}?"),
        unit(2, 900, "kilometres per hour|metres per second|miles per hour|knots"),
    ),
    Fact(
        ("{s} serves about {v} visitors a year.", "Each year about {v} people visit {s}."),
        ("How many visitors does {s} serve a year?", "How many people visit {s} each year?"),
        amount(20, 900000),
    ),
    Fact(
        ("{s} lasts {v}.", "The expected life of {s} is {v}."),
        ("How long does {s} last?", "What is the expected life of {s}?"),
        unit(2, 90, "years|months|hours|weeks"),
    ),
    Fact(
        ("If {f}, {v}.", "When {f}, {v}."), ("What happens if {f}?", "What happens when {f}?"), pick(ACTIONS)
    ),
    Fact(
        ("{s} was closed because {v}.", "{s} had to be repaired because {v}."),
        ("Why was {s} closed?", "Why did {s} have to be repaired?"),
        pick(FAULTS),
    ),
    Fact(
        ("{s} replaced an older model called {v}.", "Before {s} there was a model called {v}."),
        ("What did {s} replace?", "What was the older model called?"),
        name,
    ),
    Fact(
        ("{s} loses {v} of its {m} on the way.", "{s} wastes {v} of the {m}."),
        ("What share of its {m} does {s} lose?", "How much of the {m} is lost by {s}?"),
        between(2, 99, "percent"),
    ),
    Fact(
        ("{s} uses {v} of the energy it is given.", "{s} turns {v} of its energy into useful work."),
        ("What share of its energy does {s} use?", "How much of its energy does {s} use?"),
        between(20, 99, "percent"),
    ),
    Fact(
        ("{s} runs for {v} before it has to rest.", "{s} can work for {v} without a break."),
        ("For how long can {s} work without a break?", "How long does {s} run?"),
        between(2, 60, "minutes|hours|days"),
    ),
    Fact(
        ("{s} produces {v} of {m} a day.", "Every day {s} delivers {v} of {m}."),
        ("How much {m} does {s} produce a day?", "How many {u} of {m} does {s} deliver every day?"),
        between(2, 900, "tonnes|litres|cubic metres|kilograms"),
    ),
    Fact(
        ("The door of {s} opens at {v}.", "{s} switches itself on at {v}."),
        ("When does {s} switch itself on?", "At what point does {s} open or start?"),
        between(2, 95, "degrees|bar|percent humidity|metres of water"),
    ),
    Fact(
        ("{s} needs a space of {v}.", "{s} must stand {v} away from any wall."),
        ("How much space does {s} need?", "How far from a wall must {s} stand?"),
        between(2, 90, "centimetres|metres|millimetres"),
    ),
    Fact(
        ("{s} works best with {v}.", "{s} gives the best results with {v}."),
        ("What does {s} work best with?", "With what does {s} give the best results?"),
        pick(["clean " + name for name in SUBSTANCES] + ["dry " + name for name in SUBSTANCES]),
    ),
    Fact(
        ("{s} must not be used near {v}.", "It is forbidden to put {s} near {v}."),
        ("Where must {s} not be used?", "What must not be near {s}?"),
        pick(
            ["open " + name for name in ("fires", "windows", "water", "drains")]
            + ["small children", "strong magnets", "wet paint", "steam pipes", "petrol"]
        ),
    ),
    Fact(
        ("{s} differs from older types because {v}.", "The advantage of {s} is that {v}."),
        ("What is the advantage of {s}?", "How does {s} differ from older types?"),
        pick(ADVANTAGES),
    ),
    Fact(
        ("The first step with {s} is {v}.", "Before use, the first thing needed is {v}."),
        ("What is the first step with {s}?",),
        pick(FIRST_STEPS),
    ),
)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _state(fact: Fact, subject: str, mention: str, generator: random.Random) -> Pair:
    value = fact.value(generator)
    noun, stuff, fault = generator.choice(PLURALS), generator.choice(SUBSTANCES), generator.choice(FAULTS)
    words = {"v": value, "n": noun, "m": stuff, "f": fault, "u": value.split()[-1]}
    statement = generator.choice(fact.statements)
    if not statement.startswith("{s}"):
        mention = mention if mention != "it" else subject  # "the weight of it" is no English
    sentence = _capital(statement.format(s=mention, **words))
    question = _capital(generator.choice(fact.asked).format(s=subject, **words))
    span = f"{value} {noun}" if "{n}" in fact.asked[0] and generator.random() < 0.5 else value
    return Pair("fact", question, span, sentence)


def fact_passage(generator: random.Random, words: int) -> tuple[str, str, list[Pair]]:
    """A title, a passage of about `words` words on one thing (or two to four of them), and its pairs."""
    several = generator.random() < 0.35
    kinds = generator.sample(KINDS, 2 + generator.randrange(3) if several else 1)
    subjects = []
    for kind in kinds:
        style = generator.random()
        subjects.append(
            f"the {kind}"
            if style < 0.35
            else f"the {name(generator)} {kind}"
            if style < 0.8
            else f"the {kind} of {name(generator)}"
        )
    pairs: list[Pair] = []
    lines: list[str] = []
    if not several or generator.random() < 0.5:
        kind, subject = kinds[0], subjects[0]
        purpose = generator.choice(PURPOSES)
        opening = (
            f"{_capital(_article(kind))} is used {purpose}."
            if subject == f"the {kind}"
            else f"{_capital(subject)} is {_article(kind)} that is used {purpose}."
        )
        lines.append(opening)
        asked = f"What is {subject}?" if subject != f"the {kind}" else f"What is {_article(kind)} used for?"
        pairs.append(
            Pair(
                "fact",
                asked,
                purpose if "used for" in asked else f"{_article(kind)} that is used {purpose}",
                opening,
            )
        )
    for _ in range(generator.choice([0, 0, 1, 1, 2])):
        term, meaning = generator.choice(PARTS), generator.choice(ROLES)
        line = f"{_capital(_article(term))} is {meaning}."
        if all(term not in other.question for other in pairs):
            lines.append(line)
            pairs.append(Pair("fact", f"What is {_article(term)}?", meaning, line))
    bags = {subject: generator.sample(FACTS, len(FACTS)) for subject in subjects}
    while sum(len(line.split()) for line in lines) < words and all(bags.values()):
        subject = generator.choice(subjects)
        last = subject.split(" of ")[0].split()[-1]
        mention = (
            subject
            if several or not lines
            else generator.choice([subject, "it", "it", f"the {last}", f"the {last}"])
        )
        pair = _state(bags[subject].pop(), subject, mention, generator)
        if any(pair.question == other.question for other in pairs):
            continue
        pairs.append(pair)
        lines.append(pair.sentence)
    if several and not pairs[0].question.startswith("What is"):
        generator.shuffle(lines)
    return subjects[0], " ".join(lines), pairs
