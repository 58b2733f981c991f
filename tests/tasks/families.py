"""Small tokenizers in the manner of well-known model families: templates and control tokens written for these tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tiny import TEXT

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_THINKING = (  # as Qwen3: the last answer always has a thought, be it empty; earlier ones lose theirs
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}"
    "{% set thought = '' %}{% set said = message.content %}"
    "{% if '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "<|im_start|>assistant\n{% if loop.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ said }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set rest = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday: {{ date_string }}\n\n{{ system }}<|eot_id|>"
    "{% for message in rest %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{{ message.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set head = messages[0].content + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set head = '' %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}{% if message.role == 'user' %}[INST] {{ head if loop.first else '' }}"
    "{{ message.content }} [/INST]{% else %} {{ message.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
REASONER = (  # as DeepSeek-R1's distilled models: every prompt opens a thought, every past answer loses its own
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}"
    "<|Assistant|>{{ message.content.split('</think>')[-1].lstrip('\n') }}<|end|>"
    "{% else %}<|User|>{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A family's template and control tokens. `adds_bos`: its tokenizer puts the first token before every text."""

    template: str | None
    eos: str
    bos: str | None = None
    pad: str | None = None
    special: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    """Tokens of their own that are text all the same."""
    adds_bos: bool = False
    pieces_of_words: bool = False
    """Words begin with ▁, and a text that stands alone gets one before its first word."""
    end_of_turn: str | None = None
    """The token that ends an answer; the end token where it is left out."""
    shipped_stops: tuple[str, ...] = field(default=())
    """End tokens of its generation config."""


FAMILIES: dict[str, Family] = {
    "chatml": Family(
        CHATML, eos="<|im_end|>", pad="<|endoftext|>", special=("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    ),
    "qwen3": Family(
        CHATML_THINKING,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        special=("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
        plain=("<think>", "</think>"),
    ),
    "llama3": Family(
        LLAMA3,
        eos="<|end_of_text|>",
        bos="<|begin_of_text|>",
        special=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        adds_bos=True,
        end_of_turn="<|eot_id|>",
        shipped_stops=("<|end_of_text|>", "<|eot_id|>"),
    ),
    "gemma": Family(
        GEMMA,
        eos="<eos>",
        bos="<bos>",
        pad="<pad>",
        special=("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
        adds_bos=True,
        pieces_of_words=True,
        end_of_turn="<end_of_turn>",  # found by the template alone: this one ships no generation config
    ),
    "mistral": Family(
        MISTRAL, eos="</s>", bos="<s>", special=("<s>", "</s>"), adds_bos=True, pieces_of_words=True
    ),
    "phi": Family(
        PHI,
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        special=("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        end_of_turn="<|end|>",
    ),
    "zephyr": Family(ZEPHYR, eos="</s>", bos="<s>", pad="</s>", special=("<s>", "</s>"), adds_bos=True),
    "plain": Family(None, eos="</s>", bos="<s>", special=("<s>", "</s>"), adds_bos=True),
    "reasoner": Family(
        REASONER,
        eos="<|end|>",
        bos="<|first|>",
        special=("<|first|>", "<|end|>", "<|User|>", "<|Assistant|>"),
        plain=("<think>", "</think>"),
        adds_bos=True,
    ),
}


def save_family(folder: Path, family: Family) -> Path:
    """The family's tokenizer, with the config files a task reads; there are no weights."""
    import json

    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = list(family.special)
    if family.pieces_of_words:
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=None))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
        tokenizer.decoder = decoders.Sequence(
            [decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback(), decoders.Fuse()]
        )
        alphabet = sorted({*TEXT, *"[]/INST.,:?!<>|_0123456789\nABCDEFGHJKLMNOPQRUVWXYZ'-", "▁"})
        bytes_too = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=[*special, *bytes_too],
            initial_alphabet=alphabet,
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator([TEXT] * 50, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in family.plain])
    if family.adds_bos and family.bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))]
        )
    named: dict[str, Any] = {"bos_token": family.bos, "pad_token": family.pad}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=family.eos,
        additional_special_tokens=[
            token for token in special if token not in (family.bos, family.eos, family.pad)
        ],
        **{name: token for name, token in named.items() if token},
    )
    fast.chat_template = family.template
    fast.save_pretrained(folder)
    config = {"model_type": "llama", "max_position_embeddings": 512, "vocab_size": len(fast)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")  # a task opens a model folder without reading its weights
    if family.shipped_stops:
        stops = {"eos_token_id": [fast.convert_tokens_to_ids(token) for token in family.shipped_stops]}
        (folder / "generation_config.json").write_text(json.dumps(stops), encoding="utf-8")
    return folder
