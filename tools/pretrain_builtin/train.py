"""Pre-train the built-in base model on a CPU.

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 train.py --minutes 80

One process of one thread per core, gradients averaged once a step: on a machine that others use too, this loses only
the share of time the others take, where threads of one process wait for each other at every product.

bf16 working weights with fp32 masters, `torch.compile`, Muon for matrices and AdamW for the rest, a
warm-up-stable-decay schedule driven by the clock or by `--decay-from-step`. A checkpoint every five minutes
holds everything (weights, optimiser, place in the data); the same command goes on from it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
from model import Decoder, Shape, export, shape_json
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


@dataclass
class State:
    """Where a run stands; all of it goes into the checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    last: float = 0.0
    decay_from: int | None = None
    total: int | None = None
    position: list[int] = field(default_factory=lambda: [0, 0, 0])
    log: list[dict[str, float]] = field(default_factory=list)


class Batches:
    """Rows of the packed phases in file order, each phase from where the last run left it."""

    def __init__(self, work: Path, batch_tokens: int) -> None:
        self.work, self.batch_tokens = work, batch_tokens
        self.loaded: tuple[int, dict[str, np.ndarray]] = (-1, {})

    def arrays(self, phase: int) -> dict[str, np.ndarray]:
        """One phase in memory at a time."""
        if self.loaded[0] != phase:
            with np.load(self.work / f"phase{phase}.npz") as packed:
                self.loaded = (phase, {name: packed[name] for name in packed.files})
        return self.loaded[1]

    def next(self, phase: int, state: State, rank: int, ranks: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        arrays = self.arrays(phase)
        rows = self.batch_tokens // arrays["tokens"].shape[1]
        start = state.position[phase]
        if start + rows > len(arrays["tokens"]):
            start = 0  # a further epoch of this phase
        state.position[phase] = start + rows
        mine = slice(start + rank * rows // ranks, start + (rank + 1) * rows // ranks)
        tokens, weights, documents = (
            torch.from_numpy(arrays[name][mine].astype(np.int64))
            for name in ("tokens", "weights", "documents")
        )
        same = documents[:, :, None] == documents[:, None, :]
        length = tokens.shape[1]
        allowed = same & torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.zeros(allowed.shape, dtype=torch.bfloat16).masked_fill_(~allowed, -30000.0)[:, None]
        targets, marks = torch.roll(tokens, -1, 1), torch.roll(weights, -1, 1).float()
        marks[:, :-1] *= documents[:, 1:] == documents[:, :-1]
        marks[:, -1] = 0
        return tokens, mask, targets, marks


def orthogonal(matrices: Tensor) -> Tensor:
    """Newton-Schulz iteration: all singular values of each matrix of the stack become about one."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(torch.bfloat16)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(x.dtype)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Optimiser:
    """fp32 masters; Muon for the stacked matrices of all layers, AdamW for embedding and norms."""

    def __init__(self, model: Decoder, muon_rate: float, adam_rate: float, decay: float) -> None:
        self.muon_rate, self.adam_rate, self.decay = muon_rate, adam_rate, decay
        named = dict(model.named_parameters())
        self.masters = {name: value.detach().float().clone() for name, value in named.items()}
        self.working = named
        self.first = {name: torch.zeros_like(value) for name, value in self.masters.items()}
        self.second = {
            name: torch.zeros_like(value) for name, value in self.masters.items() if not self.is_matrix(name)
        }
        self.groups: dict[str, list[str]] = {}
        for name in named:
            if self.is_matrix(name):
                self.groups.setdefault(name.split(".")[2], []).append(name)

    @staticmethod
    def is_matrix(name: str) -> bool:
        return name.startswith("layers.") and "norm" not in name

    @torch.no_grad()
    def step(self, gradients: dict[str, Tensor], number: int, scale: float) -> float:
        norm = float(
            torch.sqrt(sum((gradient.square().sum() for gradient in gradients.values()), torch.zeros(())))
        )
        shrink = min(1.0, 1.0 / (norm + 1e-6))
        for kind, names in self.groups.items():
            self._muon(kind, names, gradients, scale)
        for name in self.second:
            self._adam(name, gradients[name] * shrink, number, scale)
        for name, parameter in self.working.items():
            parameter.copy_(self.masters[name])
            parameter.grad = None
        return norm

    def _muon(self, kind: str, names: list[str], gradients: dict[str, Tensor], scale: float) -> None:
        momentum = 0.95
        for name in names:
            self.first[name].mul_(momentum).add_(gradients[name], alpha=1 - momentum)
        stack = torch.stack([gradients[name].lerp(self.first[name], momentum) for name in names])
        parts = {"qkv": 3, "gate_up": 2}.get(kind, 1)
        rows, columns = stack.shape[1] // parts, stack.shape[2]
        update = self._shared(
            stack, lambda mine: orthogonal(mine.reshape(-1, rows, columns)).view_as(mine)
        ).float()
        rate = self.muon_rate * scale
        for place, name in enumerate(names):
            self.masters[name].mul_(1 - rate * self.decay).add_(
                update[place], alpha=-rate * max(1.0, rows / columns) ** 0.5
            )

    def _shared(self, stack: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
        """Each process does its share of the layers; all get the whole."""
        ranks = distributed.get_world_size() if distributed.is_initialized() else 1
        if ranks == 1 or stack.shape[0] % ranks:
            return work(stack)
        mine = work(stack.chunk(ranks)[distributed.get_rank()]).contiguous()
        parts = [torch.empty_like(mine).view(torch.uint8) for _ in range(ranks)]
        distributed.all_gather(parts, mine.view(torch.uint8))
        return torch.cat([part.view(torch.bfloat16) for part in parts])

    def _adam(self, name: str, gradient: Tensor, number: int, scale: float) -> None:
        first, second = self.first[name], self.second[name]
        first.mul_(0.9).add_(gradient, alpha=0.1)
        second.mul_(0.95).addcmul_(gradient, gradient, value=0.05)
        corrected = (second / (1 - 0.95**number)).sqrt_().add_(1e-10)
        self.masters[name].addcdiv_(first / (1 - 0.9**number), corrected, value=-self.adam_rate * scale)

    def state(self) -> dict[str, dict[str, Tensor]]:
        return {"masters": self.masters, "first": self.first, "second": self.second}

    @torch.no_grad()
    def load(self, saved: dict[str, dict[str, Tensor]]) -> None:
        for name, tensors in self.state().items():
            for key, tensor in tensors.items():
                tensor.copy_(saved[name][key])
        for key, parameter in self.working.items():
            parameter.copy_(self.masters[key])


class Exchange:
    """Averages gradients, and the numbers that steer the run, over the processes in one message."""

    def __init__(self, optimiser: Optimiser) -> None:
        self.optimiser = optimiser
        self.rank = int(os.environ.get("RANK", "0"))
        self.ranks = int(os.environ.get("WORLD_SIZE", "1"))
        self.flat = torch.zeros(sum(value.numel() for value in optimiser.masters.values()) + 2)
        if self.ranks > 1:
            distributed.init_process_group("gloo")

    def __call__(self, loss: float, seconds: float) -> tuple[dict[str, Tensor], float, float]:
        gradients, place = {}, 0
        for name, parameter in self.optimiser.working.items():
            gradients[name] = self.flat[place : place + parameter.numel()].view_as(parameter)
            gradients[name].copy_(parameter.grad)  # type: ignore[arg-type]
            place += parameter.numel()
        self.flat[-2], self.flat[-1] = loss, seconds
        if self.ranks > 1:
            distributed.all_reduce(self.flat)
            self.flat /= self.ranks
        return gradients, float(self.flat[-2]), float(self.flat[-1])


def rate_scale(step: int, state: State, warm: int) -> float:
    """Warm-up, flat, then a straight line to zero from `decay_from` to `total`."""
    if step <= warm:
        return step / warm
    if state.decay_from is None or state.total is None or step < state.decay_from:
        return 1.0
    return max(0.0, (state.total - step + 1) / (state.total - state.decay_from + 1))


def write_checkpoint(folder: Path, optimiser: Optimiser, state: State) -> None:
    """Whole or not at all: the file appears under its name only when complete."""
    torch.save({"optimiser": optimiser.state(), "state": state.__dict__}, folder / "checkpoint.tmp")
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")
    (folder / "training_log.json").write_text(json.dumps(state.__dict__) + "\n", encoding="utf-8")


def phase_of(step: int, elapsed: float, options: argparse.Namespace) -> int:
    """Short sequences first: by the step with `--grow-at`, else by the share of the planned time."""
    if options.grow_at:
        return sum(step >= first for first in options.grow_at)
    share = elapsed / (options.minutes * 60)
    return 0 if share < options.short else 1 if share < options.middle else 2


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/pretrain_builtin"))
    parser.add_argument(
        "--minutes", type=float, default=80, help="planned time; the decay takes its last part"
    )
    parser.add_argument(
        "--decay-share",
        type=float,
        default=0.35,
        help="last part of the time in which the rate falls to zero",
    )
    parser.add_argument("--decay-from-step", type=int, help="start the decay at this step instead")
    parser.add_argument("--total-steps", type=int, help="end of the decay, together with --decay-from-step")
    parser.add_argument(
        "--short", type=float, default=0.45, help="share of the time after which sequences grow to 512"
    )
    parser.add_argument(
        "--grow-at",
        type=int,
        nargs=2,
        metavar=("STEP", "STEP"),
        help="steps at which sequences grow to 512 and to 768, instead of by the clock",
    )
    parser.add_argument(
        "--middle", type=float, default=0.9, help="share of the time after which they grow to 768"
    )
    parser.add_argument("--batch-tokens", type=int, default=12288)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.004)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument("--inner", type=int, default=768)
    parser.add_argument("--steps", type=int, help="stop after so many steps (for measuring)")
    parser.add_argument("--phase", type=int, help="only this phase (for measuring)")
    return parser.parse_args()


def plan_decay(state: State, options: argparse.Namespace, pace: float) -> None:
    """Fix the last step once: from the flags, or from the time left and the pace so far."""
    if options.decay_from_step is not None:
        state.decay_from, state.total = options.decay_from_step, options.total_steps
    elif state.decay_from is None and state.seconds > (1 - options.decay_share) * options.minutes * 60:
        state.decay_from = state.step
        state.total = state.step + int((options.minutes * 60 - state.seconds) / pace)


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    run = options.work / "run"
    run.mkdir(parents=True, exist_ok=True)
    shape = Shape(width=options.width, layers=options.layers, heads=options.heads, inner=options.inner)
    model = Decoder(shape).to(torch.bfloat16)
    optimiser, state = Optimiser(model, options.muon_rate, options.adam_rate, options.weight_decay), State()
    if (run / "checkpoint.pt").exists():
        saved = torch.load(run / "checkpoint.pt", weights_only=True)
        optimiser.load(saved["optimiser"])
        state = State(**saved["state"])
    batches, exchange = Batches(options.work, options.batch_tokens), Exchange(optimiser)
    if exchange.rank == 0:
        print(
            json.dumps(
                {"shape": shape_json(shape), "parameters": sum(value.numel() for value in model.parameters())}
            ),
            flush=True,
        )
    loss_of = torch.compile(model, dynamic=False)
    saved_at, pace = time.monotonic(), 1.0
    while state.total is None or state.step < state.total:
        began = time.monotonic()
        phase = phase_of(state.step, state.seconds, options) if options.phase is None else options.phase
        tokens, mask, targets, marks = batches.next(phase, state, exchange.rank, exchange.ranks)
        local = loss_of(tokens, mask, targets, marks)
        local.backward()
        # The time of the step before this one: the processes must agree on it to take the same decisions.
        gradients, loss, pace_now = exchange(float(local.detach()), state.last)
        state.step += 1
        state.seconds, state.tokens = state.seconds + pace_now, state.tokens + options.batch_tokens
        pace = 0.98 * pace + 0.02 * pace_now
        plan_decay(state, options, pace)
        scale = rate_scale(state.step, state, 60)
        norm = optimiser.step(gradients, state.step, scale)
        state.last = time.monotonic() - began
        if exchange.rank == 0 and (state.step % 10 == 0 or options.steps):
            line = {
                "step": state.step,
                "phase": phase,
                "loss": round(loss, 4),
                "norm": round(norm, 3),
                "scale": round(scale, 4),
                "tokens": state.tokens,
                "seconds": round(state.seconds, 1),
                "rate": round(options.batch_tokens / state.last),
            }
            state.log.append(line)
            print(json.dumps(line), flush=True)
        if options.steps and state.step >= options.steps:
            return
        if exchange.rank == 0 and time.monotonic() - saved_at > 300:
            write_checkpoint(run, optimiser, state)
            saved_at = time.monotonic()
    if exchange.rank == 0:
        write_checkpoint(run, optimiser, state)
        export(model, optimiser.masters, run / "final")


if __name__ == "__main__":
    main()
