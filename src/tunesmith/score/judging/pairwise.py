"""Which of two answers is better, asked of a model: blind, in both orders, again where the order decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import Any, Literal

from tunesmith.records import JudgedAs, Judgement
from tunesmith.score.judging.asking import Asker, LabelReader, Patience, Reply, Request, sampling
from tunesmith.score.judging.pairs import Pair, settled_without_asking
from tunesmith.score.judging.prompts import JudgePrompt
from tunesmith.score.judging.replies import read_letter
from tunesmith.score.metric import answer_text

Order = Literal["base first", "tuned first"]
ORDERS: tuple[Order, Order] = ("base first", "tuned first")

LETTERS = ("A", "B", "TIE")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        # the reason comes first, so that the verdict rests on it
        "reason": {"type": "string"},
        "verdict": {"type": "string", "enum": list(LETTERS)},
    },
    "required": ["reason", "verdict"],
    "additionalProperties": False,
}


BRIEF_SCHEMA = SCHEMA | {"properties": {"verdict": SCHEMA["properties"]["verdict"]}, "required": ["verdict"]}
"""Of a verdict without a reason."""


@dataclass(frozen=True)
class PairwiseJudge:
    """A model that compares two answers.

    Args:
        asker: who answers.
        prompt: the words of mode `pairwise`.
        read_label: which labels a text means.
        votes: how often a flipped item is asked again in each order; 1 for not at all.
        vote_temperature: of those further votes. The first judgement is at temperature 0.
        max_tokens: of one reply.
        seed: sent with each request, `None` for none; vote v has seed + v, so that votes differ.
        is_brief: the verdict alone is asked for, without a reason before it.
    """

    asker: Asker
    prompt: JudgePrompt
    read_label: LabelReader
    votes: int = 1
    vote_temperature: float = 0.7
    max_tokens: int = 512
    seed: int | None = 0
    is_brief: bool = False

    @property
    def name(self) -> str:
        return self.asker.name

    def judge(self, pairs: Iterable[Pair]) -> Iterator[Judgement]:
        """Both orders of every pair in turn, then the votes on those that flipped.

        Raises:
            InputError: the judge gave no verdict at all in its first replies.
        """
        flipped: list[Pair] = []
        first: Judgement | None = None
        patience = Patience(self.name)
        for pair, judgement in self.ask(pairs):
            if judgement.order is not None:
                patience.count(judgement.raw, is_read=judgement.verdict != "unparsed")
            if judgement.order == ORDERS[0]:
                first = judgement
            elif judgement.order == ORDERS[1] and first is not None and _flipped(first, judgement):
                flipped.append(pair)
            yield judgement
        patience.check()
        if self.votes > 1:
            for _, judgement in self.ask(flipped, votes=range(1, self.votes + 1)):
                yield judgement

    def ask(
        self, pairs: Iterable[Pair], votes: Sequence[int] = (0,), *, settle: bool = True
    ) -> Iterator[tuple[Pair, Judgement]]:
        """Every pair in both orders, once for each vote.

        Args:
            pairs: read ahead only as far as the asker reads ahead.
            votes: 0 is the judgement at temperature 0.
            settle: answer without asking where nothing has to be asked.
        """
        plan = ((pair, order, vote) for pair in pairs for vote in votes for order in _orders(pair, settle))
        kept, sent = tee(plan)
        replies = self.asker.ask(self.request(*item) for item in sent if item[1] is not None)
        for pair, order, vote in kept:
            if order is None:
                yield pair, settled_judgement(pair, self.name)
            else:
                yield pair, self._read(pair, order, vote, next(replies))

    def request(self, pair: Pair, order: Order | None, vote: int) -> Request:
        """What the judge is sent. Nothing in it tells which system wrote which answer."""
        first, second = _shown(pair, order)
        texts = {
            "task": pair.task,
            "passage": pair.passage,
            "reference": pair.reference,
            "answer A": first,
            "answer B": second,
        }
        temperature = self.vote_temperature if vote else 0.0
        options = sampling(temperature, self.max_tokens, self.seed, vote)
        if self.is_brief:
            return Request(self.prompt.messages(texts), options, BRIEF_SCHEMA, LETTERS)
        return Request(self.prompt.messages(texts), options, SCHEMA)

    def _read(self, pair: Pair, order: Order, vote: int, reply: Reply) -> Judgement:
        texts = [*_shown(pair, order), pair.task, *pair.references, pair.passage or ""]
        found = read_letter(reply, texts, self.read_label, has_drawn=vote > 0)
        return judgement(
            pair,
            self.name,
            _verdict(found.value, order),
            order=order,
            vote=vote,
            status=found.status,
            raw=reply.trouble if reply.trouble is not None else reply.text,
            reason=found.reason,
            prompt_hash=self.prompt.hash,
            preference=_preference(reply.chances, order),
        )


def judge_locally(
    pairs: Iterable[Pair], name: str, decide: Callable[[Pair], tuple[JudgedAs, str]], *, control: str = ""
) -> Iterator[Judgement]:
    """Judgements of a rule that has no order to be swayed by. `decide` gives verdict and reason."""
    for pair in pairs:
        if settled_without_asking(pair) is not None and control != "self":
            yield settled_judgement(pair, name, control=control)
        else:
            verdict, reason = decide(pair)
            yield judgement(pair, name, verdict, reason=reason, control=control)


def settled_judgement(pair: Pair, judge: str, *, control: str = "") -> Judgement:
    """The judgement of a pair that needs no judge."""
    settled = settled_without_asking(pair)
    assert settled is not None
    return judgement(pair, judge, settled[0], status=settled[1], control=control)


def judgement(
    pair: Pair,
    judge: str,
    verdict: JudgedAs,
    *,
    order: Order | None = None,
    vote: int = 0,
    status: str = "ok",
    raw: str = "",
    reason: str = "",
    prompt_hash: str = "",
    control: str = "",
    preference: float | None = None,
) -> Judgement:
    return Judgement(
        id=pair.id,
        source_id=pair.source_id,
        base=pair.base.system,
        tuned=pair.tuned.system,
        order=order,
        verdict=verdict,
        status=status,
        raw=raw,
        reason=reason,
        judge=judge,
        prompt_hash=prompt_hash,
        base_length=len(answer_text(pair.base)),
        tuned_length=len(answer_text(pair.tuned)),
        vote=vote,
        control=control,
        attributes=dict(pair.attributes),
        preference=preference,
    )


def _orders(pair: Pair, settle: bool) -> tuple[Order | None, ...]:
    return (None,) if settle and settled_without_asking(pair) is not None else ORDERS


def _shown(pair: Pair, order: Order | None) -> tuple[str, str]:
    base, tuned = answer_text(pair.base), answer_text(pair.tuned)
    return (base, tuned) if order == "base first" else (tuned, base)


def _verdict(letter: str | None, order: Order) -> JudgedAs:
    if letter is None:
        return "unparsed"
    if letter == "TIE":
        return "tie"
    return "win" if (letter == "A") == (order == "tuned first") else "loss"


def _preference(chances: Mapping[str, float] | None, order: Order) -> float | None:
    """How likely the judge was to prefer the tuned system's answer, a tie as half; `None` where it did not tell."""
    if chances is None:
        return None
    first = chances["A"] + chances["TIE"] / 2
    return first if order == "tuned first" else 1 - first


def _flipped(first: Judgement, second: Judgement) -> bool:
    return first.verdict != second.verdict and "unparsed" not in (first.verdict, second.verdict)
