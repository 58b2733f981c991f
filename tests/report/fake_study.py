"""A study that looks like a real one: 12 documents, 60 test items in 5 of them, two systems, eight metrics.

The scores are drawn, not computed: what is tested here is how a report shows them.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import fmean

from tunesmith.records import (
    Comparison,
    Example,
    Note,
    Prediction,
    Refused,
    Row,
    Score,
    SplitName,
    Summary,
    TrainingLog,
    Verdict,
    content_id,
)
from tunesmith.report.stage import Source, Study

_FACTS = [
    ("the mill at Varrow", "was built in", "1832", "When was the mill at Varrow built?"),
    ("a sourdough starter", "is fed with", "equal weights of flour and water", "What is a sourdough starter fed with?"),
    ("rye bread", "keeps fresh for", "about six days in a wooden box", "How long does rye bread keep fresh?"),
    ("the oven", "is heated to", "240 degrees before the loaf goes in", "How hot is the oven before the loaf goes in?"),
    ("gluten", "is formed by", "two proteins of the wheat grain once water joins them", "What forms gluten?"),
    ("stone milling", "leaves", "the oily germ, which makes the flour spoil sooner", "What does stone milling leave?"),
    ("cold proving", "takes", "twelve to eighteen hours at four degrees", "How long does cold proving take?"),
    ("the crust", "turns brown because", "sugars and amino acids react above 140 °C", "Why does the crust turn brown?"),
    ("salt", "slows", "the yeast and tightens the dough", "What does salt do to the dough?"),
    ("the guild of bakers", "fixed", "the weight of a penny loaf every spring", "What did the guild of bakers fix?"),
    ("spelt flour", "absorbs", "less water than modern wheat", "How much water does spelt flour absorb?"),
    ("a banneton", "is", "a basket of cane that holds the loaf while it rises", "What is a banneton?"),
]  # fmt: skip
_DOCUMENTS = [
    ("bread/history-of-milling.pdf", "History of milling", 2480, 14),
    ("bread/sourdough.md", "Keeping a sourdough starter", 1310, 8),
    ("bread/ovens.md", "Ovens, stone and steel", 1720, 10),
    ("bread/rye-and-spelt.html", "Rye, spelt and older grains", 990, 6),
    ("bread/guild-records-1740-1812.pdf", "Records of the bakers' guild", 5230, 29),
]
_TRAIN_DOCUMENTS = [
    (f"bread/chapter-{number:02d}.md", f"Chapter {number}", 900 + 83 * number, 5 + number % 4)
    for number in range(1, 8)
]
_METRICS = {
    # name: (higher is better, middle of base, gain, noise of items, signature)
    "rougeL": (True, 0.24, 0.19, 0.16, "rouge-score:0.1.2|stem:porter|rougeL|agg:mean-F1"),
    "bleu": (True, 9.0, 9.5, 9.0, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"),
    "chrf": (True, 31.0, 14.0, 12.0, "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"),
    "rouge1": (True, 0.29, 0.18, 0.16, "rouge-score:0.1.2|stem:porter|rouge1|agg:mean-F1"),
    "rouge2": (True, 0.11, 0.12, 0.13, "rouge-score:0.1.2|stem:porter|rouge2|agg:mean-F1"),
    "meteor": (True, 0.27, 0.13, 0.17, "meteor|nltk:3.10.4|wn:3.0|tok:13a|a:.9|b:3|g:.5|syn:nltk-stem"),
    "cosine": (True, 0.55, 0.02, 0.15, "all-MiniLM-L6-v2@53aa51172d14|win256|mean"),
    "perplexity": (False, 21.0, -9.0, 0.6, "ppl|answer tokens and end|template 8f31c2a9|float32"),
}  # fmt: skip
NASTY = "</script><img src=x onerror=alert(1)> & <b>bold</b>"


def fake_study(n_items: int = 60, *, seed: int = 7) -> Study:
    rng = random.Random(seed)
    rows = _test_rows(n_items)
    scores = [score for metric in _METRICS for score in _scores(metric, rows, rng)]
    comparisons = [_comparison(metric, scores, rng) for metric in _METRICS]
    train_rows = _train_rows()
    refused_row = Refused("r-1", _DOCUMENTS[0][0], "leak", "same_words: shares “fed with” with a test row")
    examples = [_example(row) for row in (*train_rows, *rows, replace(rows[0], id=refused_row.id))]
    return Study(
        name="bread-qa",
        created="21 November 2026",
        command="tunesmith run plan.yaml train.lora_r=16",
        context="passage",
        teacher="builtin (rules, no model)",
        base="builtin",
        plan=_plan(),
        manifest=_manifest(),
        sources=[Source(*entry) for entry in (*_DOCUMENTS, *_TRAIN_DOCUMENTS)],
        notes=_notes(),
        examples=examples,
        refused=_refused(rng),
        rows=[*train_rows, *rows],
        refused_rows=[
            Refused("r-1", _DOCUMENTS[0][0], "too_long", "row needs 731 tokens, the window holds 512")
        ],
        leaks=[],
        training={"tuned": training_log()},
        predictions=_predictions(rows, rng),
        scores=scores,
        summaries=[
            _summary(metric, system, comparisons) for metric in _METRICS for system in ("base", "tuned")
        ],
        comparisons=comparisons,
        seed=3,
    )


def one_system(study: Study) -> Study:
    """The same study before anything was compared."""
    return replace(
        study,
        predictions=[item for item in study.predictions if item.system == "base"],
        scores=[item for item in study.scores if item.system == "base"],
        summaries=[item for item in study.summaries if item.system == "base"],
        comparisons=[],
        training={},
    )


def training_log() -> TrainingLog:
    train = tuple(
        (step, 1.1 + 2.3 * math.exp(-step / 60) + 0.09 * math.sin(step * 1.7)) for step in range(5, 241, 5)
    )
    validation = tuple(
        (step, 1.35 + 2.0 * math.exp(-step / 55) + 0.0009 * max(0, step - 160)) for step in range(30, 241, 30)
    )
    return TrainingLog(
        adapter="train/tuned",
        steps=240,
        epochs=3.0,
        train_loss=train,
        validation_loss=validation,
        trained_tokens=31_402,
        total_tokens=402_118,
        seconds=96.4,
        peak_memory_mb=1_342.0,
        trainable_parameters=442_368,
        total_parameters=12_951_040,
        n_truncated=3,
        dtype="float32",
        device="cpu",
        first_example=(
            ("<|user|>\nAnswer the question from the passage.\n\nPassage: The oven is heated to 240 degrees before the "
             "loaf goes in, and the door stays shut for the first ten minutes.\n\n"
             "Question: How hot is the oven before the loaf goes in?\n<|assistant|>\n", False),
            ("240 degrees.", True),
            ("<|end|>", True),
            ("\n", False),
        ),
        best_step=180,
    )  # fmt: skip


def _passage(subject: str, verb: str, rest: str) -> str:
    return (
        "Bakers of the valley wrote little down, but some things are known. "
        f"{subject[0].upper()}{subject[1:]} {verb} {rest}. "
        "What came later was mostly a matter of taste, of the price of wood, and of how far the nearest market was."
    )


def _row(source: str, index: int, split: SplitName) -> Row:
    subject, verb, rest, question = _FACTS[index % len(_FACTS)]
    passage = _passage(subject, verb, rest)
    return Row(
        id=content_id(source, str(index), length=12),
        source_id=source,
        prompt=f"Answer the question from the passage.\n\nPassage: {passage}\n\nQuestion: {question}",
        completion=f"{subject[0].upper()}{subject[1:]} {verb} {rest}."
        if index % 3
        else f"{rest[0].upper()}{rest[1:]}.",
        split=split,
        instruction=question,
        context=passage,
    )


def _test_rows(n_items: int) -> list[Row]:
    names = [source for source, *_ in _DOCUMENTS]
    return [_row(names[index % len(names)], index // len(names), "test") for index in range(n_items)]


def _train_rows() -> list[Row]:
    rows = [
        _row(source, 3 * place + index, "train")
        for place, (source, *_) in enumerate(_TRAIN_DOCUMENTS[:-1])
        for index in range(30)
    ]
    varied = [
        replace(row, completion=f"{row.completion[:-1]}, as chapter {index} says.")
        for index, row in enumerate(rows)
    ]
    return varied + [_row(_TRAIN_DOCUMENTS[-1][0], index, "validation") for index in range(25)]


def _example(row: Row) -> Example:
    return Example(
        row.id,
        row.source_id,
        "question_answer",
        row.instruction,
        row.completion,
        row.context,
        teacher="builtin",
    )


def _predictions(rows: list[Row], rng: random.Random) -> list[Prediction]:
    predictions = []
    for index, row in enumerate(rows):
        words = row.completion.split()
        start = " ".join(words[: len(words) // 2]).lower()
        rambling = (
            f"The passage says that bakers of the valley wrote little down, and {start} taste of the price"
        )
        tuned = (
            row.completion
            if rng.random() < 0.3
            else " ".join(word for word in words if rng.random() < 0.82) or words[0]
        )
        if index == 4:
            tuned = NASTY
        for system, text in (("base", rambling), ("tuned", tuned)):
            is_empty, is_cut = system == "base" and index == 11, system == "base" and index % 30 == 2
            predictions.append(
                Prediction(
                    id=row.id,
                    source_id=row.source_id,
                    system=system,
                    prompt=row.prompt,
                    text="" if is_empty else text,
                    references=(row.completion,),
                    status="empty" if is_empty else "truncated" if is_cut else "ok",
                    finish_reason="length" if is_cut else "eos",
                    settings={"num_beams": 1, "do_sample": False, "max_new_tokens": 64, "dtype": "float32",
                              "adapter_sha": None if system == "base" else "1c9be2"},
                )
            )  # fmt: skip
    return predictions


def _scores(metric: str, rows: list[Row], rng: random.Random) -> list[Score]:
    upwards, middle, gain, noise, _ = _METRICS[metric]
    by_source = {source: rng.gauss(0, 0.35) for source in sorted({row.source_id for row in rows})}
    top = 100.0 if metric in ("bleu", "chrf") else 1.0
    scores = []
    for row in rows:
        shift = by_source[row.source_id]
        if upwards:
            base = min(max(middle + noise * (shift + rng.gauss(0, 0.9)), 0.0), top)
            tuned = min(max(base + gain * (1 + shift) + noise * rng.gauss(0, 0.9), 0.0), top)
        else:
            base = middle * math.exp(noise * (shift + rng.gauss(0, 1)))
            tuned = base * math.exp(math.log((middle + gain) / middle) + 0.5 * noise * rng.gauss(0, 1))
        for system, value in (("base", base), ("tuned", tuned)):
            scores.append(Score(row.id, row.source_id, system, metric, (value, 1.0), value))
    return scores


def _comparison(metric: str, scores: list[Score], rng: random.Random) -> Comparison:
    upwards, *_, signature = _METRICS[metric]
    ours = [score for score in scores if score.metric == metric]
    base = {score.id: score.value or 0.0 for score in ours if score.system == "base"}
    tuned = {score.id: score.value or 0.0 for score in ours if score.system == "tuned"}
    groups: dict[str, list[float]] = {}
    for score in ours:
        if score.system == "base":
            groups.setdefault(score.source_id, []).append(tuned[score.id] - base[score.id])
    means = [fmean(found) for found in groups.values()]
    draws = sorted(fmean(rng.choices(means, k=len(means))) for _ in range(1000))
    low, high, difference = draws[25], draws[974], fmean(tuned.values()) - fmean(base.values())
    is_clear = low > 0 or high < 0
    verdict: Verdict = "no evidence" if not is_clear else "better" if (difference > 0) == upwards else "worse"
    differences = [(tuned[item] - base[item]) * (1 if upwards else -1) for item in base]
    return Comparison(
        metric=metric,
        base="base",
        tuned="tuned",
        base_value=fmean(base.values()),
        tuned_value=fmean(tuned.values()),
        difference=difference,
        low=low,
        high=high,
        p=0.0004 if is_clear else 0.21,
        p_holm=0.0032 if is_clear else 0.42,
        n=len(base),
        n_sources=len(groups),
        smallest_detectable=1.4 * (high - low) / 2,
        n_better=sum(value > 0 for value in differences),
        n_worse=sum(value < 0 for value in differences),
        is_primary=metric == "rougeL",
        higher_is_better=upwards,
        verdict=verdict,
        words=f"tuned is {verdict} on {metric} by {difference:.2f}, 95% CI {low:.2f} to {high:.2f}, "
        f"n={len(base)} in {len(groups)} documents",
        signature=signature,
        warnings=("fewer than 20 documents: the interval may be too narrow",) if metric != "bleu" else (),
    )


def _summary(metric: str, system: str, comparisons: list[Comparison]) -> Summary:
    item = next(comparison for comparison in comparisons if comparison.metric == metric)
    value = item.base_value if system == "base" else item.tuned_value
    assert value is not None
    assert item.low is not None
    assert item.high is not None
    half = 0.8 * (item.high - item.low)
    return Summary(
        system,
        metric,
        value,
        value - half,
        value + half,
        item.n,
        item.n_sources,
        item.higher_is_better,
        item.signature,
    )


def _refused(rng: random.Random) -> list[Refused]:
    refused = []
    for check, reason, times in (
        ("near_duplicate", "91 % of its words stand in another question of the same passage", 23),
        ("grounded", "the answer does not stand in the passage", 9),
        ("too_short", "the answer has 1 word, at least 3 are asked for", 6),
        ("refusal", "the answer says that the text does not say", 2),
    ):
        for index in range(times):
            subject, verb, rest, question = rng.choice(_FACTS)
            source = rng.choice(_DOCUMENTS)[0]
            refused.append(
                Refused(f"{check}-{index}", source, check, reason, question, f"{subject} {verb} {rest}")
            )
    refused.append(
        Refused("format-0", _DOCUMENTS[1][0], "format", "the reply is not JSON", raw='{"question": "What is')
    )
    return refused


def _notes() -> list[Note]:
    mill, guild = "bread/history-of-milling.pdf", "bread/guild-records-1740-1812.pdf"
    return [
        Note(mill, "repeated_line", "dropped the running header “History of milling”", page=2, count=13),
        Note(guild, "repeated_line", "dropped the page number at the foot", page=1, count=41),
        Note(
            guild, "references", "cut the reference list from “References” to the end (1,204 words)", page=39
        ),
        Note(
            mill, "hyphenation", "joined words divided at line ends, as in “fer-mentation”", page=3, count=57
        ),
        Note(
            "bread/scan.pdf", "no_text", "no text on any of 8 pages: it is probably a scan", is_refusal=True
        ),
        Note("bread/ledger.pdf", "encrypted", "needs a password", is_refusal=True),
    ]


def _plan() -> dict[str, object]:
    return {
        "name": "bread-qa",
        "task": "causal",
        "read": {"documents": "documents", "chunk": {"tokens": 200, "overlap": 20}},
        "synthesize": {"teacher": "builtin", "kinds": ["question_answer"], "per_chunk": 4},
        "prepare": {
            "context": "passage",
            "split": {"by": "source", "test": 0.3, "validation": 0.1, "seed": 11},
        },
        "train": {
            "base": "builtin",
            "method": "lora",
            "lora_r": 16,
            "learning_rate": 0.0005,
            "num_train_epochs": 3,
            "seed": 5,
        },
        "generate": {"systems": ["base", "tuned"], "max_new_tokens": 64, "num_beams": 1},
        "score": {"metrics": list(_METRICS)},
        "compare": {"primary": "rougeL", "confidence": 0.95, "draws": 10000, "seed": 3},
    }


def _manifest() -> dict[str, dict[str, object]]:
    seconds = {
        "read": 1.2,
        "synthesize": 2.9,
        "prepare": 0.2,
        "train": 97.8,
        "generate": 41.0,
        "score": 8.8,
        "compare": 1.1,
    }
    versions = {
        "tunesmith": "0.1.0",
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "peft": "0.21.0",
        "sacrebleu": "2.6.0",
    }
    return {
        stage: {"key": content_id(stage), "seconds": taken, "cached": stage in ("read", "synthesize"),
                "versions": versions, "peak_memory_mb": 1342.0 if stage == "train" else 610.0}
        for stage, taken in seconds.items()
    }  # fmt: skip
