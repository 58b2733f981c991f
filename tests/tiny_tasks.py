"""Tiny random encoder-decoders and classifiers, made anew in each test session, and rows for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tests.tiny import WORDS, save_tokenizer
from tunesmith.records import Row, SplitName

Seq2SeqKind = Literal["t5", "flan-t5", "bart", "mbart", "pegasus"]
ClassifierKind = Literal["bert", "distilbert", "roberta", "llama", "qwen3", "sentence-bert"]
TEMPLATES = {
    "t5": "$A <|end|>",
    "flan-t5": "$A <|end|>",
    "pegasus": "$A <|end|>",
    "bart": "<|begin|> $A <|end|>",
    "mbart": "$A <|end|> <|system|>",
    "encoder": "<|begin|> $A <|end|>",
}
"""What T5's, BART's, mBART's (the language stands last) and BERT's tokenizers put round a text."""


def add_template(folder: Path, template: str) -> Any:
    """Let the tokenizer in the folder put its control tokens round every text."""
    from tokenizers import processors
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    special = [token for token in template.split() if token != "$A"]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        pair=f"{template} $B:1",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in special],
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_tiny_seq2seq(folder: Path, kind: Seq2SeqKind, *, seed: int = 0) -> Path:
    """An encoder-decoder of width 32 with its tokenizer, as `save_pretrained` writes them."""
    import torch
    import transformers

    save_tokenizer(folder, chat=False)
    tokenizer = add_template(folder, TEMPLATES[kind])
    torch.manual_seed(seed)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    if kind in ("t5", "flan-t5"):
        config: Any = transformers.T5Config(
            vocab_size=len(tokenizer),
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="relu" if kind == "t5" else "gated-gelu",
            dropout_rate=0.0,
            tie_word_embeddings=kind == "t5",
            decoder_start_token_id=tokenizer.pad_token_id,
            **ids,
        )
        model: Any = transformers.T5ForConditionalGeneration(config)
    else:
        names = {"bart": "Bart", "mbart": "MBart", "pegasus": "Pegasus"}
        start = {"bart": tokenizer.eos_token_id, "mbart": None, "pegasus": tokenizer.pad_token_id}[kind]
        language = tokenizer.convert_tokens_to_ids("<|system|>")
        config = getattr(transformers, f"{names[kind]}Config")(
            vocab_size=len(tokenizer),
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=128,
            dropout=0.0,
            attention_dropout=0.0,
            init_std=0.3,
            bos_token_id=tokenizer.bos_token_id,
            decoder_start_token_id=language if kind == "mbart" else start,
            forced_eos_token_id=None,
            **ids,
        )
        model = getattr(transformers, f"{names[kind]}ForConditionalGeneration")(config)
    model.save_pretrained(folder)
    return folder


def save_tiny_classifier_base(folder: Path, kind: ClassifierKind, *, seed: int = 0) -> Path:
    """A model without a head, of width 32, with its tokenizer."""
    import json

    import torch
    import transformers

    save_tokenizer(folder, chat=False)
    is_decoder = kind in ("llama", "qwen3")
    if is_decoder:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    else:
        tokenizer = add_template(folder, TEMPLATES["encoder"])
    torch.manual_seed(seed)
    common = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "initializer_range": 0.2}
    if is_decoder:
        name = {"llama": "Llama", "qwen3": "Qwen3"}[kind]
        config = getattr(transformers, f"{name}Config")(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=128,
            **common,
        )
        getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
        return folder
    if kind == "distilbert":
        config = transformers.DistilBertConfig(
            dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=64, dropout=0.0, **common
        )
        transformers.DistilBertModel(config).save_pretrained(folder)
        return folder
    name = "Roberta" if kind == "roberta" else "Bert"
    config = getattr(transformers, f"{name}Config")(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=70 if kind == "roberta" else 64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **common,
    )
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    if kind == "sentence-bert":
        (folder / "1_Pooling").mkdir()
        pooling = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    return folder


WARM, COLD = ("heat", "warmth", "pump", "rooms"), ("winter", "outside", "air", "old")


def make_labelled(n: int, *, split: SplitName = "train", every: int = 2) -> list[Row]:
    """Texts of different lengths whose label is told by the words in them; every `every`-th is cold."""
    rows = []
    for index in range(n):
        is_cold = index % every == 0
        words = COLD if is_cold else WARM
        filler = [WORDS[(index * 5 + step) % len(WORDS)] for step in range(index % 4)]
        text = " ".join([*filler, *(words[(index + step) % 4] for step in range(3 + index % 3))])
        rows.append(
            Row(
                id=f"{split}-{index:03d}",
                source_id=f"{split}-document-{index % 7}",
                prompt=text,
                completion="cold" if is_cold else "warm",
                split=split,
                instruction=text,
            )
        )
    return rows
