"""What several decoding settings cost when they share their prompts, against each setting run by itself.

    python benchmarks/generate.py [--model builtin] [--rows 32] [--prompt-words 150] [--new-tokens 24] [--rounds 3]

CPU seconds of this process, one thread. Each round takes every case once sharing and once one setting after the other,
so that both sides meet the same machine; what is printed is the median ratio over the rounds and its range. Models are
loaded before the clock starts, and texts are compared as well. "1 sampled" shares nothing: how far it is from 1 is the
noise. The last line is transformers' own beam search, which prefills a prompt for each of its beams, against ours over
prompts that were prefilled once.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tunesmith.generate.options import Decoding, GenerateOptions
from tunesmith.models.load import quiet
from tunesmith.records import Row
from tunesmith.tasks.base import Rendered, open_task

TEXT = "the heat pump moves warmth from outside air into rooms and water tanks of old houses in winter"


@dataclass(frozen=True)
class Bench:
    model: Any
    task: Any
    batches: list[list[Rendered]]
    new_tokens: int

    def share(self, settings: list[Decoding]) -> list[list[tuple[int, ...]]]:
        """The answers of each setting, all from prompts that were prefilled once."""
        from tunesmith.generate.decode import generate_batch, prefill

        answers: list[list[tuple[int, ...]]] = [[] for _ in settings]
        for batch in self.batches:
            shared = prefill(self.model, self.task, batch)
            assert shared.is_shared, "this model's cache cannot be shared"
            for place, setting in enumerate(settings):
                last = place == len(settings) - 1
                found = generate_batch(self.model, self.task, batch, setting, shared=shared, is_last=last)
                answers[place] += [one.ids for one in found]
        return answers

    def apart(self, settings: list[Decoding]) -> list[list[tuple[int, ...]]]:
        """The same, one run after the other."""
        return [self.share([setting])[0] for setting in settings]

    def transformers(self, setting: Decoding) -> None:
        """The same setting by transformers' `generate` from the prompt on."""
        import torch

        from tunesmith.generate.decode import generation_config
        from tunesmith.generate.prefill import side_by_side

        for batch in self.batches:
            ids, mask = side_by_side(batch)
            with torch.no_grad():
                self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    generation_config=generation_config(setting, self.task.stop_ids, self.task.start),
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--prompt-words", type=int, default=150)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    bench = prepared(given)
    tokens = [len(row.input_ids) for batch in bench.batches for row in batch]
    print(
        f"{given.model}, {given.dtype}, {len(tokens)} prompts of {statistics.mean(tokens):.0f} tokens on average,"
        f" {given.new_tokens} new tokens, batches of {len(bench.batches[0])}, {given.rounds} rounds"
    )
    with quiet():
        bench.share([drawn(given, 1.0)])  # warm up
        counts = (1, 2, 4)
        cases = {f"{count} sampled": sampled(given, count) for count in counts}
        cases["1 greedy, 1 of 5 beams, 2 sampled"] = [plain(given), beams(given), *sampled(given, 2)]
        ratios: dict[str, list[float]] = {name: [] for name in cases}
        of_beams: list[float] = []
        for _ in range(given.rounds):
            for name, settings in cases.items():
                together, one = timed(lambda settings=settings: bench.share(settings))  # type: ignore[misc]
                apart, other = timed(lambda settings=settings: bench.apart(settings))  # type: ignore[misc]
                assert one == other, "sharing changed an answer"
                ratios[name].append(apart / together)
            ours, _ = timed(lambda: bench.share([beams(given)]))
            theirs, _ = timed(lambda: bench.transformers(beams(given)))
            of_beams.append(theirs / ours)
    for name, found in ratios.items():
        print(f"{name:36} {shown(found)} times faster shared than apart")
    print(f"{'5 beams, one setting':36} {shown(of_beams)} times faster than transformers' generate")


def shown(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def plain(given: argparse.Namespace) -> Decoding:
    # No answer may end early, or what is timed is the chance of an end token.
    return Decoding(max_new_tokens=given.new_tokens, min_new_tokens=given.new_tokens)


def beams(given: argparse.Namespace) -> Decoding:
    return plain(given).model_copy(update={"num_beams": 5})


def drawn(given: argparse.Namespace, temperature: float) -> Decoding:
    return plain(given).model_copy(update={"do_sample": True, "temperature": temperature})


def sampled(given: argparse.Namespace, count: int) -> list[Decoding]:
    return [drawn(given, 0.5 + 0.1 * place) for place in range(count)]


def prepared(given: argparse.Namespace) -> Bench:
    options = GenerateOptions(dtype=given.dtype, device="cpu", threads=1)
    task = open_task("causal", given.model, options)
    with quiet():
        model = task.load(given.model, options)
    import torch
    from transformers import GenerationConfig

    torch.set_num_threads(1)
    empty: Any = GenerationConfig
    model.generation_config = empty()
    rng = random.Random(1)
    rows = []
    for index in range(given.rows):
        words = rng.choices(TEXT.split(), k=rng.randint(given.prompt_words // 2, given.prompt_words * 3 // 2))
        rows.append(Row(f"row-{index}", "", " ".join(words) + "?", "", "test"))
    prompts = [task.render_prompt(row, room=given.new_tokens) for row in rows]
    rendered = sorted(
        (prompt for prompt in prompts if isinstance(prompt, Rendered)), key=lambda one: -len(one.input_ids)
    )
    batches = [rendered[start : start + 16] for start in range(0, len(rendered), 16)]
    return Bench(model, task, batches, given.new_tokens)


if __name__ == "__main__":
    main()
