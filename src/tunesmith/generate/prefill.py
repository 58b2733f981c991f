"""Prompts that go through the model once, and are then answered under every decoding setting.

What a prompt leaves behind in a model, the keys and values of its tokens, is the same for every way of decoding. So all
prompt tokens but the last are computed once for an adapter and a batch; each decoding setting gets a copy, and computes
the last token, whose logits it needs, itself. A setting alone takes the same path, so that company changes no answer.

Sharing the cache of a prefix is transformers' own pattern: `generate(past_key_values=…)` with the ids and the mask of
the whole prompt. Beams are prefilled as one row and spread afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from tunesmith.tasks.base import Rendered

COPYABLE = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers of a cache that hold keys and values of tokens and nothing else. Others (states of linear attention, indexes,
quantized or offloaded values) have parts that copying or spreading over beams would miss."""


class Prefill:
    """A batch of prompts, padded on the left so that every row goes on where its prompt ends.

    An encoder's prompts are padded on the right, as in training: BART counts positions from the left.

    Args:
        n_start: tokens that a decoder of its own is given first; `None` where the answer follows the prompt.
    """

    def __init__(
        self, model: Any, prompts: Sequence[Rendered], padding: int, *, n_start: int | None = None
    ) -> None:
        ids, mask = side_by_side(prompts, on_the_left=n_start is not None)
        self.ids, self.mask = ids.to(model.device), mask.to(model.device)
        self.length = ids.shape[1] if n_start is None else n_start
        """Where in a row of `generate` the answer begins."""
        # A prompt of one token has nothing to keep, and its row would be padding alone.
        has_prefix = min(len(row.input_ids) for row in prompts) > 1
        self._cache = _prefix_cache(model, self.ids, self.mask, padding) if has_prefix else None

    @property
    def is_shared(self) -> bool:
        """Whether the prompts are kept. If not, every setting computes them anew."""
        return self._cache is not None

    def inputs(self, num_beams: int, *, is_last: bool) -> dict[str, Any]:
        """What `model.generate` has to be given to answer these prompts.

        Args:
            is_last: nobody will ask again, so the kept prompts themselves are handed out, not a copy.
        """
        inputs: dict[str, Any] = {"input_ids": self.ids, "attention_mask": self.mask}
        if self._cache is None:
            return inputs
        cache = self._cache if is_last else copy.deepcopy(self._cache)
        if is_last:
            self._cache = None
        if num_beams > 1:
            cache.batch_repeat_interleave(num_beams)
        return inputs | {"past_key_values": cache}


def side_by_side(
    prompts: Sequence[Rendered], *, on_the_left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (B, T) of prompts which all end at the last position, or begin at the first."""
    longest = max(len(row.input_ids) for row in prompts)
    ids = torch.zeros((len(prompts), longest), dtype=torch.long)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for index, row in enumerate(prompts):
        # What pads a row is masked, but a repetition penalty looks at ids alone: a token of the row's own adds nothing
        # to what it has seen.
        ids[index] = row.input_ids[0]
        first = 0 if on_the_left else longest - len(row.input_ids)
        ids[index, first : first + len(row.input_ids)] = torch.tensor(row.input_ids)
        mask[index, first : first + len(row.input_ids)] = 1
    return ids, mask


def _prefix_cache(model: Any, ids: torch.Tensor, mask: torch.Tensor, padding: int) -> Any:
    """The cache of all prompt tokens but the last; `None` where the model keeps one that cannot be copied."""
    if model.config.is_encoder_decoder or hasattr(_bare(model), "_reorder_cache"):
        return None
    configure: Any = GenerationConfig
    with torch.no_grad():
        # `generate` knows how the model wants positions, masks and caches; its one new token is thrown away.
        output = model.generate(
            input_ids=ids[:, :-1],
            attention_mask=mask[:, :-1],
            generation_config=configure(
                max_new_tokens=1, do_sample=False, num_beams=1, pad_token_id=padding, use_cache=True
            ),
            return_dict_in_generate=True,
        )
    cache: Any = getattr(output, "past_key_values", None)
    is_plain = type(cache) is DynamicCache and not cache.offloading
    if not is_plain or not cache.layers or any(type(layer) not in COPYABLE for layer in cache.layers):
        return None
    return cache if cache.get_seq_length() == ids.shape[1] - 1 else None


def _bare(model: Any) -> Any:
    """The transformers model inside peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
