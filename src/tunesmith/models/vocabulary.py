"""Rows of the embedding for tokens that a model was not made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fit_vocabulary(model: PreTrainedModel, n_tokens: int) -> int:
    """Give the model rows for `n_tokens` tokens, and return how many were added.

    A new row is the mean of those there were (Hewitt 2021, "Initializing New Word Embeddings"): without chance, so that
    a base is the same one each time it is loaded, and without a new token that outshines all others.
    """
    import torch

    embedding: Any = model.get_input_embeddings()
    before = int(embedding.weight.shape[0])
    if n_tokens <= before:
        return 0
    model.resize_token_embeddings(n_tokens, mean_resizing=False)
    resized: Any = model
    parts: list[Any] = [resized.get_input_embeddings(), resized.get_output_embeddings()]
    with torch.no_grad():
        for part in parts:
            if part is None or part.weight.shape[0] != n_tokens:
                continue
            rows = part.weight
            rows[before:] = rows[:before].float().mean(0).to(rows.dtype)
            bias = getattr(part, "bias", None)
            if bias is not None:
                bias[before:] = bias[:before].float().mean().to(bias.dtype)
    return n_tokens - before


def embedding_names(model: PreTrainedModel) -> list[str]:
    """Names of the module that reads tokens, and of the one that writes them where it has weights of its own."""
    asked: Any = model
    reads, writes = asked.get_input_embeddings(), asked.get_output_embeddings()
    names = {id(part): name for name, part in model.named_modules()}
    found = [names[id(reads)]]
    if writes is not None and writes.weight is not reads.weight:
        found.append(names[id(writes)])
    return found
