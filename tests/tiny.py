"""A tiny Llama with random weights and a small byte-level BPE tokenizer, and rows to train it on.

Made anew in each test session: nothing is downloaded, nothing binary is kept in the repository.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.records import Row

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TEXT = "the heat pump moves warmth from outside air into rooms and water tanks of old houses in winter"
WORDS = TEXT.split()


def save_tokenizer(folder: Path, *, chat: bool = True, vocabulary: int = 384) -> None:
    """A byte-level BPE with begin, end and padding tokens of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 50, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=special[3:],
    )
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)


def save_tiny_model(
    folder: Path, *, chat: bool = True, context: int = 256, seed: int = 0, hidden: int = 32
) -> Path:
    """A Llama of two layers with its tokenizer, as `save_pretrained` writes them."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    save_tokenizer(folder, chat=chat)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_rows(n: int, *, split: str = "train") -> list[Row]:
    """Rows of different lengths; the answer is made of words of the prompt, so that there is something to learn."""
    rows = []
    for index in range(n):
        start = index * 7 % len(WORDS)
        words = [WORDS[(start + step) % len(WORDS)] for step in range(4 + index * 5 % 13)]
        rows.append(
            Row(
                id=f"{split}-{index:03d}",
                source_id=f"document-{index % 3}",
                prompt=" ".join(words) + "?",
                completion=" ".join(words[: 2 + index % 4]),
                split=split,  # type: ignore[arg-type]
                instruction=" ".join(words),
            )
        )
    return rows


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Llama with a chat template."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-base"))
