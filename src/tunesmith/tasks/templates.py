"""The words and tokens round a message: the model's own chat template or a plain one, the same in training and in use.

Thinking models write their thoughts between `<think>` and `</think>` before they answer. What happens to those is one
key, `thinking`, and it holds for what is learnt, for the prompt, and for the answers that come back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from tunesmith.errors import InputError
from tunesmith.models.cards import agreed
from tunesmith.options import Options

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = "### Instruction:\n{prompt}\n\n### Response:\n"
"""For models without a chat template, after Stanford Alpaca. It ends in a newline, so that the first word of the answer
is tokenised the same whether it follows the prompt or stands alone."""

Thinking = Literal["keep", "strip", "off"]

THOUGHT_TAGS = _OPEN, _CLOSE = "<think>", "</think>"
_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
_NO_THOUGHT = re.compile(r"<think>\s*</think>\s*")
_PROBE_PROMPT, _PROBE_ANSWER, _PROBE_SYSTEM = "tell me", "an answer", "be kind"
_FIXED_DATE = "26 Jul 2024"
"""Llama 3.2 writes today's date into its prompts unless it is told one; this is the one Llama 3.1 always writes."""


class TemplateOptions(Options):
    """How a message is put before the model. What was trained with it is used with it."""

    system_prompt: str | None = Field(
        None,
        min_length=1,
        description="What the model is told before every message; where its template has no place for that, it stands"
        " at the head of the message.",
    )
    thinking: Thinking = Field(
        "keep",
        description="Thoughts in <think> tags: keep them in what is learnt; strip them, from answers too; off: strip"
        " them, and tell the model by its template not to think.",
    )
    added_tokens: list[str] = Field(
        [], description="Tokens put into the vocabulary; their embeddings are trained and saved."
    )

    @field_validator("thinking", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML 1.1 reads a bare `off` as false."""
        return "off" if value is False else value

    @field_validator("added_tokens")
    @classmethod
    def _whole_and_once(cls, tokens: list[str]) -> list[str]:
        if any(not token.strip() for token in tokens):
            raise ValueError("an added token needs at least one letter or sign")
        if len(set(tokens)) != len(tokens):
            raise ValueError("added_tokens names one token twice")
        return tokens


USUAL = TemplateOptions()


def trained_with(folders: Iterable[Path | None]) -> TemplateOptions:
    """The options that the adapters in `folders` were trained with; the usual ones where none has a card.

    The base model, and every adapter beside it, is asked in the same words.

    Raises:
        InputError: two of them were trained with different ones.
    """
    found = agreed(folders, TemplateOptions.model_fields, "template")
    return USUAL if found is None else TemplateOptions(**found)


def without_thoughts(text: str) -> str:
    """The text after its thoughts. A thought that was cut off before its end tag leaves nothing."""
    text = _THOUGHT.sub("", text)
    if _CLOSE in text:  # the prompt had opened it
        text = text.rpartition(_CLOSE)[2]
    return text.partition(_OPEN)[0].strip()


Turns = Sequence[Mapping[str, str]]
"""What was said before, as `{role, content}`."""


@dataclass(frozen=True)
class Template:
    """Puts a message, and an answer, into the words of one model."""

    tokenizer: PreTrainedTokenizerBase
    options: TemplateOptions = USUAL

    def check(self, base: str) -> None:
        """Raises `InputError` when `thinking: off` would change nothing."""
        if self.options.thinking == "off" and not self._can_be_told_not_to_think:
            raise InputError(
                "thinking: off has no effect: the template of this model cannot be told not to think",
                where=base,
                do="Take thinking: strip, which takes thoughts out of the answers.",
            )

    def prompt(self, message: str, earlier: Turns = ()) -> str:
        """All the text that the model is given before it answers.

        Args:
            earlier: turns before the message, for a tokenizer with a chat template; a system message among them takes
                the place of `system_prompt`.
        """
        message = self.defuse(message)
        if not self.tokenizer.chat_template:
            head = f"{self.options.system_prompt}\n\n" if self.options.system_prompt else ""
            return head + PLAIN_TEMPLATE.format(prompt=message)
        text = self._chat(self._turns(message, earlier), add_generation_prompt=True)
        if self.options.thinking == "off" and text.rstrip().endswith(_OPEN):
            text = f"{text.rstrip()}\n\n{_CLOSE}\n\n"
        return text

    def completion(self, message: str, answer: str, *, prompt: str, earlier: Turns = ()) -> str:
        """All the text that follows `prompt`, which was made of `message` and `earlier`, as the template writes it."""
        answer = self._learnt(answer)
        if not self.tokenizer.chat_template:
            return answer
        turns = [*self._turns(self.defuse(message), earlier), {"role": "assistant", "content": answer}]
        whole = self._chat(turns, add_generation_prompt=False)
        if whole.startswith(prompt) and _thought_of(answer) in whole[len(prompt) :]:
            return whole[len(prompt) :]
        # Templates that take thoughts out of what was said before, though here they are what is to be learnt.
        if prompt.rstrip().endswith(_OPEN):
            answer = answer.partition(_OPEN)[2].lstrip("\n") if _OPEN in answer else f"\n{_CLOSE}\n\n{answer}"
        return answer + self.tail

    def seen(self, text: str) -> str:
        """What counts as the answer in a text the model wrote."""
        if self.options.thinking == "keep":
            return _NO_THOUGHT.sub("", text, count=1).strip()
        return without_thoughts(text)

    def compared(self, answer: str) -> str:
        """A right answer as what the model writes is held against it: its thoughts go where the model's do."""
        if self.options.thinking == "keep" or not (_CLOSE in answer or _OPEN in answer):
            return answer
        return without_thoughts(answer)

    def _learnt(self, answer: str) -> str:
        answer = self.compared(answer)
        parts = re.split(f"({_OPEN}|{_CLOSE})", answer)
        return "".join(part if part in (_OPEN, _CLOSE) else self.defuse(part) for part in parts)

    def _turns(self, message: str, earlier: Turns = ()) -> list[dict[str, str]]:
        own = [self.defuse(turn["content"]) for turn in earlier if turn["role"] == "system"]
        system = "\n\n".join(own) if own else self.options.system_prompt
        turns = [
            {"role": turn["role"], "content": self.defuse(turn["content"])}
            for turn in earlier
            if turn["role"] != "system"
        ]
        turns.append({"role": "user", "content": message})
        if system is None:
            return turns
        if self._has_system_turn:
            return [{"role": "system", "content": system}, *turns]
        return [{"role": "user", "content": f"{system}\n\n{turns[0]['content']}"}, *turns[1:]]

    def _chat(self, turns: list[dict[str, str]], *, add_generation_prompt: bool, **extra: Any) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **(self.arguments | extra),
            )
        )

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What the template is told beside the turns."""
        told: dict[str, Any] = {"enable_thinking": False} if self.options.thinking == "off" else {}
        source = str(self.tokenizer.chat_template)
        if "strftime_now" in source and "date_string" in source:
            told["date_string"] = _FIXED_DATE
        return told

    @cached_property
    def _has_system_turn(self) -> bool:
        """Whether the template has a place for a system turn; Gemma's refuses one, others pass it over."""
        from jinja2 import TemplateError

        turns = [
            {"role": "system", "content": _PROBE_SYSTEM},
            {"role": "user", "content": _PROBE_PROMPT},
        ]
        try:
            return _PROBE_SYSTEM in self._chat(turns, add_generation_prompt=True)
        except (TemplateError, ValueError):
            return False

    @cached_property
    def _can_be_told_not_to_think(self) -> bool:
        if not self.tokenizer.chat_template:
            return False
        turns = [{"role": "user", "content": _PROBE_PROMPT}]
        usual = self._chat(turns, add_generation_prompt=True, enable_thinking=True)
        silent = self._chat(turns, add_generation_prompt=True, enable_thinking=False)
        return usual != silent or usual.rstrip().endswith(_OPEN)

    @property
    def thinks(self) -> bool:
        """Whether the template knows thoughts at all."""
        return _OPEN in str(self.tokenizer.chat_template or "")

    @cached_property
    def tail(self) -> str:
        """What the template puts after an answer: `<|im_end|>\\n` and the like."""
        if not self.tokenizer.chat_template:
            return ""
        turns = [
            {"role": "user", "content": _PROBE_PROMPT},
            {"role": "assistant", "content": _PROBE_ANSWER},
        ]
        whole = self._chat(turns, add_generation_prompt=False)
        return whole.rpartition(_PROBE_ANSWER)[2] if _PROBE_ANSWER in whole else ""

    @cached_property
    def turn_end(self) -> int | None:
        """The control token with which the template ends an answer, if it is one."""
        ids = self.tokenizer(self.tail, add_special_tokens=False)["input_ids"] if self.tail else []
        special = set(self.tokenizer.all_special_ids)
        found = [token for token in ids if token in special and token != self.tokenizer.bos_token_id]
        return int(found[0]) if found else None

    @cached_property
    def _special_text(self) -> re.Pattern[str] | None:
        texts = sorted(
            (text for text in self.tokenizer.all_special_tokens if len(text) > 1), key=len, reverse=True
        )
        return re.compile("|".join(re.escape(text) for text in texts)) if texts else None

    def defuse(self, text: str) -> str:
        """The text with the model's control tokens broken up: a document must not end the user's turn."""
        if self._special_text is None:
            return text
        return self._special_text.sub(lambda match: f"{match.group()[0]}\u200b{match.group()[1:]}", text)


def _thought_of(answer: str) -> str:
    return answer.partition(_OPEN)[2].partition(_CLOSE)[0].strip() if _CLOSE in answer else ""
