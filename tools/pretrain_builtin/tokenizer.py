"""Train the byte-level BPE tokenizer and write it with its chat template.

python tokenizer.py --corpus CORPUS --work build/pretrain_builtin
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from sources import clean, is_held_out, read_instructions, read_openstax, read_stories
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCABULARY = 6144
SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CONTEXT = 1024

CHAT_TEMPLATE = """{{- '<|begin|>' -}}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|assistant|>' -}}
{%- generation -%}
{{- message['content'] | trim + '<|end|>' -}}
{%- endgeneration -%}
{%- else -%}
{{- '<|' + message['role'] + '|>' + message['content'] | trim -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}
"""


def train(texts: list[str]) -> Tokenizer:
    """Single digits, and a space before every piece of text.

    The space makes the first word of an answer the same token as the same word inside a passage, so copying is literal;
    the decoder takes it off again.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write(tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<|pad|>",
        "bos_token": "<|begin|>",
        "eos_token": "<|end|>",
        "extra_special_tokens": SPECIAL[3:],
        "model_max_length": CONTEXT,
        "padding_side": "right",
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder with openstax.jsonl.gz and squality.jsonl.gz"
    )
    parser.add_argument("--instructions", type=Path, help="alpaca_libre.jsonl")
    parser.add_argument("--work", type=Path, default=Path("build/pretrain_builtin"))
    options = parser.parse_args()
    sections, definitions, _ = read_openstax(options.corpus / "openstax.jsonl.gz")
    stories, _ = read_stories(options.corpus / "squality.jsonl.gz")
    texts = [
        block for section in sections + stories if not is_held_out(section.group) for block in section.blocks
    ]
    texts = random.Random(0).sample(texts, len(texts) // 2)
    texts += [clean(f"{entry.head}: {entry.body}") for entry in definitions if not is_held_out(entry.group)]
    if options.instructions:
        texts += ["\n".join(row) for row in read_instructions(options.instructions)]
    texts += [
        "Answer the question from the passage.\n\nPassage:\n",
        "\n\nQuestion: ",
        "Summarise the passage in one sentence.",
    ] * 500
    write(train(texts), options.work / "tokenizer")


if __name__ == "__main__":
    main()
