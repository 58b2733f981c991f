"""What the judge needs from whatever can answer messages: a server behind the teacher's engine, or a local model."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tunesmith.errors import InputError
from tunesmith.records import content_id

PATIENCE = 20
"""Replies without anything usable after which a judge is given up."""

LEAST_ON_MENU = 0.5
"""Least probability on the words of the menu for a first token to be taken for a verdict."""

Outcome = Literal["won", "lost", "tied"]
LabelReader = Callable[[str | None, Mapping[Outcome, Iterable[str]]], Outcome | None]
"""Text and the labels of each outcome to the outcome that the text means, or `None` when it is none of them."""


@dataclass(frozen=True)
class Request:
    messages: tuple[dict[str, str], ...]
    """`{"role", "content"}`: system and user."""
    options: dict[str, Any]
    """`temperature`, `max_tokens`, and `seed` unless none is sent."""
    schema: dict[str, Any]
    """JSON schema of the reply, for servers and models that can be held to one."""
    menu: tuple[str, ...] = ()
    """The verdicts, where the reply is to be one of them and nothing else; empty where more is asked for."""
    key: str = field(init=False)
    """Names the request by its content, so that a journal finds its reply again."""

    def __post_init__(self) -> None:
        content = json.dumps([self.messages, self.options, *self.menu], sort_keys=True, ensure_ascii=False)
        object.__setattr__(self, "key", content_id(content, length=32))


def sampling(temperature: float, max_tokens: int, seed: int | None, vote: int = 0) -> dict[str, Any]:
    """A request's options; vote v has seed + v, so that votes are different requests."""
    options: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
    return options if seed is None else options | {"seed": seed + vote}


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    is_cut: bool = False
    """Stopped at the token limit."""
    trouble: str | None = None
    """Why there is no reply, after all tries."""
    chances: Mapping[str, float] | None = None
    """Probability of each word of the request's menu, where the model told them; they add up to 1."""

    @property
    def likeliest(self) -> str | None:
        """The likeliest word of the menu, where the model told how likely they are."""
        chances = self.chances
        return None if chances is None else max(chances, key=lambda word: chances[word])


def likeliest(chances: Sequence[float], request: Request, field: str) -> int:
    """The place of the likeliest choice; at a temperature T above 0 a draw from p^(1/T), seeded by the request."""
    temperature = float(request.options["temperature"])
    if temperature == 0:
        return max(range(len(chances)), key=lambda index: chances[index])
    weights = [chance ** (1 / temperature) for chance in chances]
    return random.Random(f"{request.key} {field}").choices(range(len(chances)), weights)[0]


def first_token_chances(
    menu: Sequence[str], first_tokens: Mapping[str, float], least: float = LEAST_ON_MENU
) -> dict[str, float] | None:
    """How likely each word of a menu is, by the probabilities of a reply's first token.

    A token speaks for the word that it begins (`A`, ` tie`, `"par`), markup, case and white space apart. `None` when
    less than `least` of the probability lies on tokens that begin a word of the menu: the model was about to say
    something else.

    Args:
        menu: words that begin differently.
        first_tokens: ln p of the likeliest tokens.
        least: share of 1.
    """
    sums = dict.fromkeys(menu, 0.0)
    for token, log in first_tokens.items():
        start = token.strip(" \t\r\n\"'*_`[(▁Ġ").casefold()
        begun = [word for word in menu if start and word.casefold().startswith(start)]
        if len(begun) == 1:
            sums[begun[0]] += math.exp(log)
    total = sum(sums.values())
    return {word: chance / total for word, chance in sums.items()} if total >= least else None


def told_chances(field: str, menu: Sequence[Any], chances: Sequence[float]) -> str:
    """The probabilities of a menu as the reason of a verdict."""
    return f"{field}: " + ", ".join(
        f"{choice} {chance:.3f}" for choice, chance in zip(menu, chances, strict=True)
    )


class Asker(Protocol):
    @property
    def name(self) -> str:
        """The model that answers, as reports call it."""
        ...

    def ask(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """One reply for each request, in order; requests may be drawn ahead of the replies given out."""
        ...


class Patience:
    """Gives a judge up that never says anything usable, before more is paid for."""

    def __init__(self, judge: str) -> None:
        self._judge = judge
        self._n_failed = 0
        self._n_read = 0
        self._last = ""

    def count(self, raw: str, *, is_read: bool) -> None:
        """Notes one reply. Raises `InputError` after the first `PATIENCE` replies if none could be read."""
        self._n_read += is_read
        self._n_failed += not is_read
        self._last = raw
        if self._n_failed >= PATIENCE:
            self.check()

    def check(self) -> None:
        """Raises `InputError` if there were replies and none could be read."""
        if self._n_failed and not self._n_read:
            said = " ".join(self._last.split())[:200] or "(nothing)"
            replies = "1 reply" if self._n_failed == 1 else f"{self._n_failed} replies"
            raise InputError(
                f"the judge {self._judge} gave no verdict in {replies}; the last one: {said}",
                where="judge",
                do="try a stronger model as judge, or allow it longer replies (max_tokens)",
            )
