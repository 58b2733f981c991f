"""Fluency: how likely the answers are as text, under a model that is not one of those compared.

Perplexity of the answer alone, without its prompt. It tells broken sentences from whole ones, but a text that repeats
itself is likely too, so it is read beside `repetition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tunesmith.models.load import BUILTIN, load_model, load_tokenizer, model_folder, weights_sha256
from tunesmith.records import Prediction
from tunesmith.score.likelihood import exp_of_mean
from tunesmith.score.metric import Metric, Stats, answer_text
from tunesmith.score.stage import DEFAULTS, ScoreOptions

LONGEST_WINDOW = 2048
"""Tokens. A model that reads more is still given no more, which keeps memory bounded."""


def fluency(options: ScoreOptions = DEFAULTS) -> Metric:
    """exp of the mean negative log-likelihood of all tokens of all answers; empty answers have none, and are counted.

    Raises:
        MissingError: the model is not there.
    """
    model = _opened(options.fluency_model, options.batch_size)

    def stats(predictions: Sequence[Prediction]) -> list[Stats | None]:
        texts = [answer_text(prediction) for prediction in predictions]
        measured = model.negative_log_likelihoods(text for text in texts if text)
        return [measured.get(text) for text in texts]

    return Metric(
        name="fluency",
        higher_is_better=False,
        signature=f"{model.shown}@{model.fingerprint}|answer-tokens|begin:{model.begin_name}|window:{model.window}"
        "|exp(sum nll / sum tokens)|per:token",
        stats=stats,
        aggregate=exp_of_mean,
        bounds=(1.0, None),
        uses_references=False,
    )


@lru_cache(maxsize=1)
def _opened(name: str, batch_size: int) -> TextModel:
    return TextModel(name, batch_size)


@dataclass(frozen=True)
class _Window:
    text: int
    """Which text it is of."""
    ids: tuple[int, ...]
    first: int
    """Tokens before this one are read and not measured: the first of all, or what an earlier window measured."""

    @property
    def n_measured(self) -> int:
        return len(self.ids) - self.first


class TextModel:
    """A causal language model that says how likely texts are, in float32 whatever it was saved in.

    Args:
        name: `builtin`, a folder or a hub name.
        batch_size: windows measured at once.
    """

    def __init__(self, name: str, batch_size: int) -> None:
        from transformers import AutoConfig

        folder = model_folder(name)
        self.name = name
        self.batch_size = batch_size
        self.shown = "tunesmith-builtin" if name == BUILTIN else Path(name).name
        self.fingerprint = weights_sha256(folder)[:12]
        self.tokenizer: Any = load_tokenizer(name)
        config = AutoConfig.from_pretrained(folder).get_text_config(decoder=True)
        reads = getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        self.window = int(min(reads, LONGEST_WINDOW))
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        # GPT-2 and its like have one token for both: the end of the text before
        self.begin: int | None = end if begin is None else begin
        self.begin_name = "none" if self.begin is None else self.tokenizer.convert_ids_to_tokens(self.begin)

    @cached_property
    def model(self) -> Any:
        """Loaded when the first text comes: adding scores up needs only the signature."""
        return load_model(self.name, dtype="float32")

    def negative_log_likelihoods(self, texts: Iterable[str]) -> dict[str, tuple[float, float]]:
        """By text: the sum of -ln p over its tokens, and their number. Each text is measured once.

        Every token is measured once, in windows that overlap by half where the text is longer than the model reads. A
        text of a single token under a model without begin token cannot be measured, and is not there.
        """
        unique = list(dict.fromkeys(texts))
        windows = [window for index, text in enumerate(unique) for window in self._windows(index, text)]
        windows.sort(key=lambda window: len(window.ids))
        sums, counts = [0.0] * len(unique), [0] * len(unique)
        for start in range(0, len(windows), self.batch_size):
            batch = windows[start : start + self.batch_size]
            for window, sum_of_batch in zip(batch, self._measure(batch), strict=True):
                sums[window.text] += sum_of_batch
                counts[window.text] += window.n_measured
        return {
            text: (sums[index], float(counts[index])) for index, text in enumerate(unique) if counts[index]
        }

    def _windows(self, index: int, text: str) -> list[_Window]:
        # half of a surrogate pair, as a cut-off answer may end in, is no text to a tokenizer
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        # and a text that spells a control token must not become one
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
        ids = (*(() if self.begin is None else (self.begin,)), *encoded["input_ids"])
        windows, measured_to = [], 1
        while measured_to < len(ids):
            start = 0 if measured_to == 1 else measured_to - self.window // 2
            part = ids[start : start + self.window]
            windows.append(_Window(index, part, measured_to - start))
            measured_to = start + len(part)
        return windows

    def _measure(self, batch: Sequence[_Window]) -> list[float]:
        """Sum of -ln p over the measured tokens of each window."""
        import torch
        from torch.nn.functional import cross_entropy

        from tunesmith.models.fast import logits_only_at

        shape = (len(batch), max(len(window.ids) for window in batch))
        ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        wanted = torch.zeros(shape, dtype=torch.bool)
        for row, window in enumerate(batch):
            ids[row, : len(window.ids)] = torch.tensor(window.ids)
            mask[row, : len(window.ids)] = 1
            wanted[row, window.first : len(window.ids)] = True
        device = self.model.device
        ids, wanted = ids.to(device), wanted[:, 1:].to(device)  # position t tells token t + 1
        with torch.inference_mode(), logits_only_at(self.model, wanted):
            logits = self.model(input_ids=ids, attention_mask=mask.to(device), use_cache=False).logits
        if logits.dim() == 3:  # the head could not be found
            logits = logits[:, :-1][wanted]
        losses = cross_entropy(logits.float(), ids[:, 1:][wanted], reduction="none").double().cpu()
        owners = wanted.nonzero()[:, 0].cpu()
        sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, owners, losses)
        return [float(value) for value in sums]
