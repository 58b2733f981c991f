"""Judges and pairs that show what a judge's verdict is worth.

Two judges that know nothing (`longest`: the longer answer wins; `random`: a coin by hash) give the win rate that
knowing nothing gives on these very answers. Two kinds of pairs have a known outcome: an answer against itself must
tie, and an answer must win against a corrupted copy of itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tunesmith.records import JudgedAs, Judgement, content_id
from tunesmith.score.judging.builtin import SimilarityJudge
from tunesmith.score.judging.pairs import Pair, settled_without_asking
from tunesmith.score.judging.pairwise import PairwiseJudge, judge_locally
from tunesmith.score.metric import answer_text

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_NUMBER = re.compile(r"\d+")


def null_judgements(pairs: Sequence[Pair], seed: int = 0) -> Iterator[Judgement]:
    """What the two judges that know nothing say of every pair."""
    yield from judge_locally(pairs, "the longer answer wins", longest_wins, control="longest")
    yield from judge_locally(pairs, "a coin", lambda pair: random_by_hash(pair, seed), control="random")


def longest_wins(pair: Pair) -> tuple[JudgedAs, str]:
    """Verdict and reason by the number of characters alone."""
    base, tuned = len(answer_text(pair.base)), len(answer_text(pair.tuned))
    verdict: JudgedAs = "tie" if base == tuned else "win" if tuned > base else "loss"
    return verdict, f"tuned {tuned}, base {base} characters"


def random_by_hash(pair: Pair, seed: int = 0) -> tuple[JudgedAs, str]:
    """A fair coin thrown by the item's id and the seed."""
    heads = int(content_id("coin", str(seed), pair.id), 16) % 2 == 0
    return ("win" if heads else "loss"), "a coin by hash"


def control_judgements(
    judge: PairwiseJudge | SimilarityJudge, pairs: Sequence[Pair], count: int, seed: int = 0
) -> Iterator[Judgement]:
    """What the judge says of `count` answers against themselves and of `count` against corrupted copies.

    The self pairs ask for real: equal answers are not settled without the judge here. In the corrupted pairs the
    sound answer stands in the tuned system's place, so that `win` is right.
    """
    yield from _judged(judge, _self_pairs(pairs, count, seed), "self")
    yield from _judged(judge, _corrupted_pairs(pairs, count, seed), "corrupted")


def control_pairs(pairs: Sequence[Pair], count: int, seed: int = 0) -> list[Pair]:
    """The pairs that `control_judgements` asks about."""
    return [*_self_pairs(pairs, count, seed), *_corrupted_pairs(pairs, count, seed)]


def _self_pairs(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    chosen = _sample([pair for pair in pairs if settled_without_asking(pair) is None], count, seed)
    return [against_itself(pair) for pair in chosen]


def _corrupted_pairs(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    spoiled = (against_corrupted(pair) for pair in _sample(pairs, len(pairs), seed + 1))
    return [pair for pair in spoiled if pair is not None][:count]


def against_itself(pair: Pair) -> Pair:
    """The tuned system's answer on both sides."""
    return replace(pair, base=replace(pair.tuned, system=pair.base.system))


def against_corrupted(pair: Pair) -> Pair | None:
    """A sound answer on the tuned side, its corrupted copy on the base side; `None` when it cannot be corrupted.

    The sound answer is the first reference, or where there is none the tuned system's answer.
    """
    sound = next((text for text in pair.references if text), answer_text(pair.tuned))
    spoiled = corrupt(sound)
    if not sound or spoiled == sound:
        return None
    return replace(
        pair,
        base=replace(pair.base, text=spoiled, status="ok"),
        tuned=replace(pair.tuned, text=sound, status="ok"),
    )


def corrupt(text: str) -> str:
    """The text with every number wrong; without numbers, its sentences in another order; of one sentence, its words."""
    if _NUMBER.search(text):
        return _NUMBER.sub(lambda match: "".join(str((int(digit) + 3) % 10) for digit in match[0]), text)
    sentences = _SENTENCE_END.split(text)
    parts, joint = (sentences, " ") if len(sentences) > 1 else (text.split(), " ")
    shuffled = parts[:]
    random.Random(content_id(text)).shuffle(shuffled)
    if shuffled == parts:
        shuffled = parts[::-1]
    return joint.join(shuffled)


def _judged(judge: PairwiseJudge | SimilarityJudge, pairs: list[Pair], control: str) -> Iterator[Judgement]:
    if isinstance(judge, SimilarityJudge):
        yield from judge.judge(pairs, control=control)
        return
    for _, judgement in judge.ask(pairs, settle=False):
        yield replace(judgement, control=control)


def _sample(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """`count` pairs chosen by the hash of their ids."""
    return sorted(pairs, key=lambda pair: content_id("control", str(seed), pair.id))[:count]
