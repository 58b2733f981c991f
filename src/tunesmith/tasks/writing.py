"""A causal model in this process that writes answers to prompts, several at a time.

For whoever asks a model something: a teacher, say. (`generate`, which compares systems, plans its batches itself.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tunesmith.errors import InputError
from tunesmith.models.load import ComputeOptions, model_folder, quiet, set_threads, weights_sha256
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import Rendered, Task, open_task


@dataclass(frozen=True, slots=True)
class WrittenText:
    text: str
    n_prompt: int
    n_new: int
    """Tokens, the end token included."""
    ended: bool
    """Whether the end token came before the limit."""


class Writer:
    """One model. It is loaded when it first writes.

    Args:
        base: builtin, a folder, or a hub id.
        compute: where and how exactly it computes.
        batch_size: most prompts at once; halved for good when memory does not hold so many.

    Raises:
        MissingError, InputError: the model or its tokenizer is not there, or is no good.
    """

    def __init__(self, base: str, compute: ComputeOptions, batch_size: int) -> None:
        self.batch_size = batch_size
        self._base = base
        self._compute = compute
        self._task: Task = open_task("causal", base, compute)

    @cached_property
    def identity(self) -> str:
        """Hash of all that an answer depends on besides prompt and sampling: weights, template, precision."""
        settings = self._compute.model_dump(mode="json")
        settings = {
            name: settings[name]
            for name in ComputeOptions.model_fields
            if name not in {"device", "threads", "trust_remote_code"}
        }
        parts = (
            weights_sha256(model_folder(self._base)),
            self._task.template_sha256,
            sorted(settings.items()),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def prompt(self, key: str, message: str, *, room: int) -> Rendered | Refused:
        """The message in the model's template; refused, with the reason, where `room` tokens of answer do not fit.

        Args:
            key: names the prompt; it seeds the draws of its answer.
        """
        return self._task.render_prompt(Row(key, "", message, "", "test"), room=room)

    def write(
        self, prompts: Sequence[Rendered], *, max_new_tokens: int, temperature: float, seed: int
    ) -> list[WrittenText]:
        """The answers to prompts, `batch_size` at a time.

        Args:
            prompts: best of like lengths, since the short ones are padded.
            temperature: 0 takes the likeliest token each time; else a draw, seeded by `seed` and the prompt's key.

        Raises:
            InputError: memory does not hold a single prompt.
        """
        import torch

        answers: list[WrittenText] = []
        while len(answers) < len(prompts):
            batch = prompts[len(answers) : len(answers) + self.batch_size]
            try:
                answers += self._write(batch, max_new_tokens, temperature, seed)
                continue
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise InputError(
                        f"memory does not hold one prompt of {len(batch[0].input_ids)} tokens with an answer of"
                        f" {max_new_tokens}",
                        where=self._base,
                        do="lower max_tokens, make the chunks shorter, or take a smaller model",
                    ) from error
            # Outside the handler, whose traceback would keep the tensors of the failed try.
            self.batch_size = len(batch) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return answers

    @cached_property
    def _model(self) -> Any:
        from transformers import GenerationConfig

        set_threads(self._compute.threads)
        with quiet():
            model = self._task.load(self._base, self._compute)
        # transformers fills whatever decoding leaves unsaid from what the model was shipped with.
        empty: Any = GenerationConfig
        model.generation_config = empty()
        return model.eval()

    def _write(
        self, prompts: Sequence[Rendered], max_new_tokens: int, temperature: float, seed: int
    ) -> list[WrittenText]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList, TemperatureLogitsWarper

        from tunesmith.tasks.sampling import RowSampler

        stop_ids = self._task.stop_ids
        longest = max(len(row.input_ids) for row in prompts)
        # Padded on the left, so that every row goes on where its prompt ends.
        ids = torch.full((len(prompts), longest), stop_ids[0], dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(prompts):
            ids[index, longest - len(row.input_ids) :] = torch.tensor(row.input_ids)
            mask[index, longest - len(row.input_ids) :] = 1
        steps: list[Any] = []
        if temperature > 0:
            steps = [
                TemperatureLogitsWarper(float(temperature)),
                RowSampler([_seed_of(seed, row.row_id) for row in prompts]),
            ]
        configure: Any = GenerationConfig
        config = configure(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=list(stop_ids),
            pad_token_id=stop_ids[0],
            use_cache=True,
        )
        device = self._model.device
        with torch.no_grad(), quiet():
            output = self._model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                logits_processor=LogitsProcessorList(steps),
            )
        return [
            self._read(prompt, new) for prompt, new in zip(prompts, output[:, longest:].tolist(), strict=True)
        ]

    def _read(self, prompt: Rendered, new_ids: list[int]) -> WrittenText:
        end = next((at for at, token in enumerate(new_ids) if token in self._task.stop_ids), None)
        answer = new_ids if end is None else new_ids[:end]
        n_new = len(new_ids) if end is None else end + 1
        return WrittenText(self._task.decode(answer), prompt.n_prompt, n_new, ended=end is not None)


def _seed_of(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {key}".encode(), digest_size=7).digest())


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
