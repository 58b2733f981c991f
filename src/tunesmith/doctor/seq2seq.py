"""What only an encoder-decoder's plan can get wrong: how its decoder begins, and how an answer ends."""

from __future__ import annotations

from typing import Any

from tunesmith.doctor.check import Check
from tunesmith.tasks.seq2seq import Seq2SeqTask


def before_rows(task: Seq2SeqTask, config: Any) -> list[Check]:
    return [_start(task, config), _stops(task)]


def _start(task: Seq2SeqTask, config: Any) -> Check:
    """In training the decoder begins as the config says, in use as the generation config does."""
    named = {name: repr(task.tokenizer.convert_ids_to_tokens(token)) for name, token in task.start.items()}
    first = named["decoder_start_token_id"]
    trained = getattr(config, "decoder_start_token_id", None)
    if trained is not None and trained != task.start["decoder_start_token_id"]:
        other = repr(task.tokenizer.convert_ids_to_tokens(trained))
        return Check(
            "decoder start",
            "failed",
            f"in training the decoder starts with {other} (config.json), in use with {first} (generation_config.json)",
            "Give both files the same decoder_start_token_id.",
        )
    words = f"the decoder starts with {first}"
    if "forced_bos_token_id" in named:
        words += f", and an answer begins with {named['forced_bos_token_id']}"
    return Check("decoder start", "ok", words)


def _stops(task: Seq2SeqTask) -> Check:
    names = [repr(task.tokenizer.convert_ids_to_tokens(stop)) for stop in task.stop_ids]
    return Check("stop tokens", "ok", f"an answer ends with {' or '.join(names)}")
