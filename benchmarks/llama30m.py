"""What the training benchmarks train: a Llama of 30 million parameters with random weights, and rows of made-up words.

The tokenizer knows 8,192 words and splits at blanks, so the number of tokens of a row is known; words follow Zipf's
law, so that there is something to learn. Lengths are log-normal: 129 tokens of prompt and 69 of answer in the mean.
"""

from __future__ import annotations

import math
import random
import resource
from pathlib import Path

from tunesmith.records import Row

VOCABULARY = 8192
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<user> {{ message['content'] }} <assistant> "
    "{% else %}{{ message['content'] }} <end>{% endif %}{% endfor %}"
)


def save_model(folder: Path) -> Path:
    """Hidden size 512, 8 layers, 8 heads of 64 with 4 for keys and values, tied embeddings; weights in bfloat16."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<user>", "<assistant>", "<end>", "<pad>", "<unknown>"]
    words = special + [f"w{number}" for number in range(VOCABULARY - len(special))]
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unknown>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>", unk_token="<unknown>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=3,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def make_rows(count: int, *, seed: int = 0) -> list[Row]:
    generator = random.Random(seed)

    def words(mean: float) -> str:
        spread = 0.5
        length = max(4, round(generator.lognormvariate(math.log(mean) - spread**2 / 2, spread)))
        return " ".join(f"w{min(int(generator.paretovariate(0.8)), 8000)}" for _ in range(min(length, 700)))

    return [
        Row(
            id=f"row-{at}",
            source_id=f"document-{at % 50}",
            prompt=words(127),
            completion=words(68),
            split="train",
        )
        for at in range(count)
    ]


def cpu_seconds() -> float:
    """Of this process and of those it started and that ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in usage)


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
