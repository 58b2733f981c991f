"""Measure the model: loss against n-grams, span extraction before and after a short LoRA, samples.

    python evaluate.py --model src/tunesmith/models/builtin/base --corpus CORPUS --xquad xquad_en.jsonl

Prints one JSON object per measurement and writes them to `--work`/evaluation.json.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
import time
from collections import Counter
from pathlib import Path
from typing import Any

import baselines
import numpy as np
import torch
from sources import is_held_out, read_openstax, read_stories
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunesmith.prepare.prompts import student_prompt

Question = dict[str, Any]
WINDOW, STRIDE = 768, 512
BATCH = 4

SAMPLES = (
    (
        "A cable ferry is a boat that is pulled across a river along a cable. The ferry at Lomma was built in 1931 and "
        "carries 14 cars. Two electric motors turn the drums on deck. In winter the crossing is closed because the ice "
        "would damage the hull.",
        (
            "What is a cable ferry?",
            "How many cars does the ferry carry?",
            "When was the ferry at Lomma built?",
            "Why is the crossing closed in winter?",
            "What turns the drums on deck?",
        ),
    ),
    (
        "Sourdough is bread raised by wild yeast and bacteria instead of baker's yeast. The starter is a paste of "
        "flour and water that is fed every day. Most bakers keep it at 24 degrees. Rye flour speeds up the "
        "fermentation, and salt slows it down.",
        (
            "What is sourdough?",
            "At what temperature do most bakers keep the starter?",
            "What slows down the fermentation?",
        ),
    ),
)


def normal(text: str) -> list[str]:
    """SQuAD's normalisation: lower case, no punctuation, no articles."""
    text = "".join(
        letter for letter in text.lower() if letter not in set(string.punctuation) | {"’", "“", "”"}
    )
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def token_f1(answer: str, references: list[str]) -> float:
    best = 0.0
    for reference in references:
        got, wanted = normal(answer), normal(reference)
        common = sum((Counter(got) & Counter(wanted)).values())
        if common:
            best = max(best, 2 * common / (len(got) + len(wanted)))
    return best


def contains(answer: str, references: list[str]) -> bool:
    text = f" {' '.join(normal(answer))} "
    return any(f" {' '.join(normal(reference))} " in text for reference in references)


def rendered(tokenizer: Any, row: Question) -> str:
    message = student_prompt("question_answer", row["question"], row["context"])
    return str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], add_generation_prompt=True, tokenize=False
        )
    )


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, rows: list[Question], most: int = 40, batch: int = 16) -> list[str]:
    """Greedy answers, in batches of similar length."""
    prompts = [tokenizer(rendered(tokenizer, row))["input_ids"] for row in rows]
    order = sorted(range(len(rows)), key=lambda place: len(prompts[place]))
    found = [""] * len(rows)
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        fed = tokenizer.pad(
            {"input_ids": [prompts[place] for place in places]}, padding_side="left", return_tensors="pt"
        )
        out = model.generate(**fed, max_new_tokens=most, do_sample=False)
        for place, ids in zip(places, out[:, fed["input_ids"].shape[1] :], strict=True):
            found[place] = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return found


def extraction(model: Any, tokenizer: Any, rows: list[Question]) -> dict[str, float]:
    given = answers(model, tokenizer, rows)
    scores = [token_f1(answer, row["answers"]) for answer, row in zip(given, rows, strict=True)]
    inside = [contains(answer, row["answers"]) for answer, row in zip(given, rows, strict=True)]
    sentence = [
        token_f1(answer, [row["sentence"]])
        for answer, row in zip(given, rows, strict=True)
        if "sentence" in row
    ]
    result = {
        "questions": len(rows),
        "f1": round(100 * float(np.mean(scores)), 1),
        "contains": round(100 * float(np.mean(inside)), 1),
    }
    if sentence:
        result["f1_sentence"] = round(100 * float(np.mean(sentence)), 1)
    return result


def first_sentence_f1(rows: list[Question]) -> float:
    """What a reader gets who always answers with the first sentence of the passage."""
    firsts = [re.split(r"(?<=[.!?])\s", row["context"])[0] for row in rows]
    return round(
        100
        * float(np.mean([token_f1(first, row["answers"]) for first, row in zip(firsts, rows, strict=True)])),
        1,
    )


def tune(folder: Path, tokenizer: Any, rows: list[Question], steps: int, seed: int) -> tuple[Any, float]:
    """LoRA of rank 16 on all linear layers, batches of 4, loss on the answer only."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.0)
    generator, began = random.Random(seed), time.monotonic()
    pool: list[Question] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 20) * (1 - step / steps)
        if len(pool) < BATCH:
            pool += generator.sample(rows, len(rows))
        examples, pool = pool[:BATCH], pool[BATCH:]
        prompts = [tokenizer(rendered(tokenizer, row))["input_ids"] for row in examples]
        ends = [tokenizer(row["answers"][0] + "<|end|>")["input_ids"] for row in examples]
        longest = max(len(prompt) + len(end) for prompt, end in zip(prompts, ends, strict=True))
        ids, labels = torch.zeros(BATCH, longest, dtype=torch.long), torch.full((BATCH, longest), -100)
        for place, (prompt, end) in enumerate(zip(prompts, ends, strict=True)):
            whole = torch.tensor(prompt + end)
            ids[place, : len(whole)] = whole
            labels[place, len(prompt) : len(whole)] = whole[len(prompt) :]
        loss = model(
            input_ids=ids, labels=labels
        ).loss  # padding stands after the answer: causal attention never sees it
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return model.eval(), round(time.monotonic() - began, 1)


@torch.inference_mode()
def text_loss(model: Any, tokens: np.ndarray) -> float:
    """Mean loss per token in overlapping windows: each token but the first ones has at least 256 before it."""
    total, count = 0.0, 0
    for start in range(0, len(tokens), STRIDE):
        first = max(0, start - (WINDOW - STRIDE))
        piece = torch.from_numpy(tokens[first : start + STRIDE].astype(np.int64))
        ids = torch.cat([torch.tensor([1]), piece])[None]
        logits = model(input_ids=ids).logits[0, :-1].float()
        each = torch.nn.functional.cross_entropy(logits, piece, reduction="none")[start - first :]
        total, count = total + float(each.sum()), count + len(each)
    return total / count


def language(model: Any, tokenizer: Any, corpus: Path, work: Path, most: int | None) -> dict[str, Any]:
    sections = [
        section
        for section in read_openstax(corpus / "openstax.jsonl.gz")[0]
        + read_stories(corpus / "squality.jsonl.gz")[0]
        if not is_held_out(section.group)
    ]
    texts = ["\n\n".join([section.title, *section.blocks]) for section in sections]
    train = np.array([token for ids in tokenizer(texts)["input_ids"] for token in [*ids, 2]], np.int64)
    with np.load(work / "heldout.npz") as held:
        test, size = held["tokens"].astype(np.int64), int(held["bytes"])
    per_byte = len(test) / size / np.log(2)
    test = test[:most]
    grams = baselines.losses(train, test, len(tokenizer))
    nats = {"model": text_loss(model, test), "unigram": grams[1], "5-gram": grams[5], "trigram": grams[3]}
    return {
        "what": "held-out text",
        "train_tokens": len(train),
        "tokens": len(test),
        "nats_per_token": {name: round(value, 3) for name, value in nats.items()},
        "bits_per_byte": {name: round(value * per_byte, 3) for name, value in nats.items()},
    }


def read_questions(path: Path) -> list[Question]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def by_title(rows: list[Question], share: float, seed: int) -> tuple[list[Question], list[Question]]:
    """Two parts that share no title."""
    titles = sorted({row["title"] for row in rows})
    random.Random(seed).shuffle(titles)
    chosen = set(titles[: round(share * len(titles))])
    return [row for row in rows if row["title"] in chosen], [
        row for row in rows if row["title"] not in chosen
    ]


def samples(model: Any, tokenizer: Any) -> dict[str, Any]:
    rows = [{"context": passage, "question": question} for passage, asked in SAMPLES for question in asked]
    return {
        "what": "samples",
        "answers": dict(
            zip([str(row["question"]) for row in rows], answers(model, tokenizer, rows), strict=True)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, help="for the loss against n-grams")
    parser.add_argument("--xquad", type=Path, help="xquad_en.jsonl, for evaluation only")
    parser.add_argument(
        "--only-xquad", action="store_true", help="leave the questions on held-out modules out"
    )
    parser.add_argument("--work", type=Path, default=Path("build/pretrain_builtin"))
    parser.add_argument("--output", default="evaluation.json", help="file in --work")
    parser.add_argument(
        "--questions", type=int, default=200, help="most questions of each set; 0 leaves them out"
    )
    parser.add_argument("--tokens", type=int, help="most held-out tokens")
    parser.add_argument("--steps", type=int, default=300, help="LoRA steps; 0 leaves tuning out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16).eval()
    results: list[dict[str, Any]] = []

    def record(result: dict[str, Any]) -> None:
        results.append(result)
        print(json.dumps(result, ensure_ascii=False), flush=True)

    record(samples(model, tokenizer))
    if options.corpus:
        record(language(model, tokenizer, options.corpus, options.work, options.tokens))
    sets: dict[str, list[Question]] = {}
    if options.questions and not options.only_xquad:
        sets["held-out modules"] = read_questions(options.work / "heldout_questions.jsonl")
    if options.questions and options.xquad:
        sets["XQuAD (English)"] = read_questions(options.xquad)
    for name, rows in sets.items():
        train, test = by_title(rows, 0.6, options.seed)
        test = random.Random(options.seed).sample(test, min(options.questions, len(test)))
        before = extraction(model, tokenizer, test)
        record({"what": f"{name}, zero-shot", **before, "first_sentence_f1": first_sentence_f1(test)})
        if options.steps:
            tuned, seconds = tune(options.model, tokenizer, train, options.steps, options.seed)
            cost = {"train_questions": len(train), "steps": options.steps, "seconds": seconds}
            record({"what": f"{name}, after LoRA", **cost, **extraction(tuned, tokenizer, test)})
    (options.work / options.output).write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
