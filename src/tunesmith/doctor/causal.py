"""What only a causal model's plan can get wrong: its template, its stop tokens, its thoughts."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.doctor.check import SHOWN, Check
from tunesmith.records import Row
from tunesmith.tasks.base import Rendered
from tunesmith.tasks.causal import CausalTask


def before_rows(task: CausalTask) -> list[Check]:
    return [_template(task), _stops(task)]


def of_rows(task: CausalTask, rows: Sequence[Row], whole: Sequence[Rendered]) -> list[Check]:
    return [_beginning(task, whole), *_thoughts(task, rows)]


def _template(task: CausalTask) -> Check:
    tokenizer = task.tokenizer
    if not tokenizer.chat_template:
        return Check("template", "ok", "the model has none: a plain one with an instruction and a response")
    source = str(tokenizer.chat_template)
    if "strftime_now" in source and "date_string" not in source:
        return Check(
            "template",
            "failed",
            "the model's chat template writes today's date into every prompt: prompts in use differ from training",
            "Give the model a chat template without a date.",
        )
    return Check("template", "ok", "the model's own chat template")


def _stops(task: CausalTask) -> Check:
    names = [repr(task.tokenizer.convert_ids_to_tokens(stop)) for stop in task.stop_ids]
    words = f"an answer ends with {' or '.join(names)}"
    end = task.template.turn_end
    if end is not None and end not in task.stop_ids:
        return Check("stop tokens", "failed", f"{words}, and the template ends it with another token")
    return Check("stop tokens", "ok", words)


def _beginning(task: CausalTask, whole: Sequence[Rendered]) -> Check:
    bos = task.tokenizer.bos_token_id
    if bos is None:
        return Check("beginning", "ok", "the model has no beginning-of-text token")
    doubled = [item.row_id for item in whole if item.input_ids[:2] == (bos, bos) and bos not in task.stop_ids]
    if doubled:
        return Check("beginning", "failed", f"two beginning-of-text tokens: {', '.join(doubled[:SHOWN])}")
    n = sum(item.input_ids[:1] == (bos,) for item in whole)
    words = "every row begins with one" if n == len(whole) else f"{n} of {len(whole)} rows begin with one"
    return Check(
        "beginning", "ok", f"{words} beginning-of-text token" if n else "no beginning-of-text token is used"
    )


def _thoughts(task: CausalTask, rows: Sequence[Row]) -> list[Check]:
    if not task.template.thinks or task.options.thinking != "keep":
        return []
    if any("</think>" in row.completion for row in rows):
        return [Check("thinking", "ok", "the template knows thoughts, and the answers have some")]
    return [
        Check(
            "thinking",
            "note",
            "the template knows thoughts and the answers have none: the base will think at length before it answers",
            "Take thinking: off, so that base and tuned answer at once.",
        )
    ]
