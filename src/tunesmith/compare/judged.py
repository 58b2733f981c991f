"""What a judge's verdicts come to, and how far the judge can be believed.

An item is won or lost only when the judge said so in both orders; otherwise it is a tie, unless further votes decided
it. Wins, losses and ties are added up by `compare.tally`, as verdicts from anywhere are. Beside them stands what a
reader needs to doubt them: how often the order decided, which side was chosen, what length explains, what the controls
showed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.compare.doubts import doubts
from tunesmith.compare.labels import Outcome
from tunesmith.compare.length import length_controlled
from tunesmith.compare.preference import graded_preference
from tunesmith.compare.tally import JudgedItem, tally, wilson
from tunesmith.errors import InputError
from tunesmith.records import JudgedAs, Judgement

OUTCOMES: dict[JudgedAs, Outcome | None] = {"win": "won", "loss": "lost", "tie": "tied", "unparsed": None}
ORDERS = ("base first", "tuned first")
CREDIT: dict[Outcome, float] = {"won": 1.0, "tied": 0.5, "lost": 0.0}

MOST_VALUES = 20
"""Of an attribute, to be shown by value."""
LENGTH_DRAWS = 2_000

_PREFERRED = re.compile(r"\b([AB])\b is (?:\w+ )?(?:better|superior|stronger|preferable)", re.IGNORECASE)


@dataclass(frozen=True)
class SettledItem:
    """What all judgements about one item come to."""

    id: str
    source_id: str
    outcome: Outcome | None
    orders: tuple[JudgedAs, ...]
    """Verdicts at temperature 0, first with the base answer shown first, then with the tuned one; empty when nobody
    was asked, or the judge knows no order."""
    status: str
    base_length: int
    tuned_length: int
    text: str
    """Of an item without a verdict: what the judge said instead."""
    attributes: Mapping[str, str]
    preference: float | None = None
    """How likely the judge was to prefer tuned, a tie as half, as the mean of both orders; `None` where it did not
    tell."""

    @property
    def is_flipped(self) -> bool:
        """Whether the verdict changed with the order."""
        return len(set(self.orders)) > 1 and "unparsed" not in self.orders

    @property
    def is_reversed(self) -> bool:
        """Whether the win itself changed sides with the order."""
        return set(self.orders) == {"win", "loss"}


def settle(judgements: Iterable[Judgement]) -> list[SettledItem]:
    """One outcome for each item, in the order of their first judgements. Controls have to be left out before.

    Raises:
        InputError: an item was judged twice in one order and vote, or in one order only.
    """
    by_item: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_item[judgement.id].append(judgement)
    return [_settle(held) for held in by_item.values()]


def judge_summary(
    judgements: Iterable[Judgement],
    *,
    contestants: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 20,
) -> dict[str, Any]:
    """Everything a report says about a judge, of JSON types only.

    Args:
        judgements: of one judge on one pair of systems, with their controls.
        contestants: role (`base model`, `teacher`, …) to model name, to warn of a judge of the same family.
        confidence: of all intervals.
        draws: resamples.
        seed: of the resampling.

    Returns:
        What `compare.tally.tally` returns, and
        `judge`, `base`, `tuned`, `prompt_hash`;
        `sign_test_p`: wins against losses as if items were independent;
        `tie_rate`, `flip_rate`, `reversal_rate` {value, low, high, n};
        `first_position` {value, low, high, n, p}: share of decided replies that chose the answer shown first; p is of
        the reversed items alone;
        `longer_wins` {value, low, high, n}: share of decided items of unequal length that the longer answer won;
        `graded_preference` {value, low, high, n}: how likely the judge was to prefer tuned, a tie as half, over the
        items where it told; null and 0 where it tells no probabilities;
        `length_controlled` {value, low, high, slope, notes}; `mean_length` {base, tuned} in characters;
        `replies` {n, status: count}; `settled` {status: count} of items that nobody was asked about;
        `unparsed_replies` [{id, order, vote, status, text}]; `contradictions` [id]: the reason names the other answer;
        `attributes` [{attribute, value, n, wins, losses, ties, unparsed, net_win_rate, ratio}], and
        `attributes_left_out` [name] with too many values; `controls` {name: {n, wins, losses, ties, unparsed, …}};
        `warnings` [sentence].

    Raises:
        InputError: there is no judgement, there are two judges or pairs of systems, or an item is incomplete.
    """
    held = list(judgements)
    own = [judgement for judgement in held if not judgement.control]
    head = _head(own)
    items = settle(own)
    found = tally(_judged(items), confidence=confidence, draws=draws, seed=seed)
    replies = [judgement for judgement in own if judgement.order is not None]
    found |= head
    found["sign_test_p"] = _sign_test(found["wins"], found["losses"])
    found |= _shares(items, replies, confidence)
    found["graded_preference"] = graded_preference(
        _told(items), confidence=confidence, draws=draws, seed=seed
    )
    found["length_controlled"] = _length_controlled(items, confidence, seed)
    found["mean_length"] = {
        "base": sum(item.base_length for item in items) / len(items),
        "tuned": sum(item.tuned_length for item in items) / len(items),
    }
    found["replies"] = {"n": len(replies), "status": dict(Counter(reply.status for reply in replies))}
    found["settled"] = dict(Counter(item.status for item in items if item.status != "ok" and not item.orders))
    found["unparsed_replies"] = [
        {"id": reply.id, "order": reply.order, "vote": reply.vote, "status": reply.status, "text": reply.raw}
        for reply in replies
        if reply.verdict == "unparsed"
    ]
    found["contradictions"] = list(dict.fromkeys(reply.id for reply in replies if _contradicts(reply)))
    found |= _by_attribute(items, confidence, seed)
    found["controls"] = _controls(held, items)
    found["warnings"] = list(doubts(found, contestants or {}))
    return found


def _head(judgements: Sequence[Judgement]) -> dict[str, str]:
    if not judgements:
        raise InputError("there are no judgements", do="judge at least one pair of answers")
    head = {}
    for name in ("judge", "base", "tuned"):
        values = sorted({getattr(judgement, name) for judgement in judgements})
        if len(values) > 1:
            raise InputError(
                f"the judgements have more than one {name}: {', '.join(values)}", do="sum up each by itself"
            )
        head[name] = values[0]
    hashes = {judgement.prompt_hash for judgement in judgements if judgement.prompt_hash}
    if len(hashes) > 1:
        raise InputError(
            "the judge was asked in different words for different items", do="judge all items with one prompt"
        )
    return head | {"prompt_hash": next(iter(hashes), "")}


def _settle(judgements: Sequence[Judgement]) -> SettledItem:
    first = judgements[0]
    by_vote: dict[int, dict[str | None, Judgement]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.order in by_vote[judgement.vote]:
            raise InputError(
                f"item {first.id} was judged twice in one order",
                do="keep one judgement per item, order and vote",
            )
        by_vote[judgement.vote][judgement.order] = judgement
    for orders in by_vote.values():
        if orders.keys() not in ({None}, set(ORDERS)):
            raise InputError(f"item {first.id} was judged in one order only", do="finish the judging")
    unread = next((one for one in judgements if one.verdict == "unparsed"), None)
    return SettledItem(
        id=first.id,
        source_id=first.source_id,
        outcome=_outcome([_agreed(orders.values()) for _, orders in sorted(by_vote.items())]),
        orders=tuple(by_vote[0][order].verdict for order in ORDERS if order in by_vote[0]),
        status=first.status,
        base_length=first.base_length,
        tuned_length=first.tuned_length,
        text="" if unread is None else unread.raw or f"({unread.status})",
        attributes=first.attributes,
        preference=_mean_preference(by_vote[0].values()),
    )


def _mean_preference(judgements: Iterable[Judgement]) -> float | None:
    told = [judgement.preference for judgement in judgements]
    known = [one for one in told if one is not None]
    return sum(known) / len(known) if known and len(known) == len(told) else None


def _told(items: Sequence[SettledItem]) -> list[tuple[str, float]]:
    """Source and preference of each item; what was settled without asking stands with its outcome beside the others."""
    if all(item.preference is None for item in items):
        return []
    told = []
    for item in sorted(items, key=lambda item: (item.source_id, item.id)):
        if item.preference is not None:
            told.append((item.source_id, item.preference))
        elif not item.orders and item.outcome is not None:
            told.append((item.source_id, CREDIT[item.outcome]))
    return told


def _agreed(judgements: Iterable[Judgement]) -> Outcome | None:
    """Won or lost when all orders say so, `None` when one could not be read, else tied."""
    verdicts = {judgement.verdict for judgement in judgements}
    if "unparsed" in verdicts:
        return None
    return OUTCOMES[verdicts.pop()] if len(verdicts) == 1 else "tied"


def _outcome(votes: Sequence[Outcome | None]) -> Outcome | None:
    """The first judgement; where there were further votes, what more than half of those said, else a tie."""
    first, *further = votes
    if not further:
        return first
    ((most, count),) = Counter(further).most_common(1)
    return most if 2 * count > len(further) else "tied"


def _judged(items: Iterable[SettledItem]) -> Iterator[JudgedItem]:
    for item in items:
        yield JudgedItem(item.id, item.source_id, item.outcome, item.text)


def _sign_test(wins: int, losses: int) -> float | None:
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else None


def _shares(
    items: Sequence[SettledItem], replies: Sequence[Judgement], confidence: float
) -> dict[str, dict[str, Any]]:
    def share(count: int, n: int) -> dict[str, Any]:
        return {**wilson(count, n, confidence), "n": n}

    parsed = [item for item in items if item.outcome is not None]
    both = [item for item in items if len(item.orders) == 2 and "unparsed" not in item.orders]
    decided = [reply for reply in replies if reply.vote == 0 and reply.verdict in ("win", "loss")]
    unequal = [item for item in parsed if item.outcome != "tied" and item.base_length != item.tuned_length]
    chose_first = sum(_chose_first(reply) for reply in decided)
    longer = sum((item.outcome == "won") == (item.tuned_length > item.base_length) for item in unequal)
    # a judge that is swayed by position is so in the items that it reversed; in all others both positions win once
    reversed_firsts = sum(item.orders == ("loss", "win") for item in both)
    n_reversed = sum(item.is_reversed for item in both)
    return {
        "tie_rate": share(sum(item.outcome == "tied" for item in parsed), len(parsed)),
        "flip_rate": share(sum(item.is_flipped for item in both), len(both)),
        "reversal_rate": share(n_reversed, len(both)),
        "first_position": share(chose_first, len(decided))
        | {"p": _sign_test(reversed_firsts, n_reversed - reversed_firsts)},
        "longer_wins": share(longer, len(unequal)),
    }


def _chose_first(reply: Judgement) -> bool:
    return (reply.verdict == "win") == (reply.order == "tuned first")


def _length_controlled(items: Sequence[SettledItem], confidence: float, seed: int) -> dict[str, Any]:
    import numpy

    parsed = sorted(
        (item for item in items if item.outcome is not None), key=lambda item: (item.source_id, item.id)
    )
    names = {name: number for number, name in enumerate(dict.fromkeys(item.source_id for item in parsed))}
    # of one source only, the items are what can be resampled
    numbers = [number if len(names) == 1 else names[item.source_id] for number, item in enumerate(parsed)]
    found = length_controlled(
        numpy.array([CREDIT[item.outcome] for item in parsed if item.outcome is not None], dtype=float),
        numpy.array([item.tuned_length - item.base_length for item in parsed], dtype=float),
        numpy.array(numbers, dtype=numpy.intp),
        confidence=confidence,
        draws=LENGTH_DRAWS,
        seed=seed,
    )
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "slope": found.slope,
        "notes": list(found.notes),
    }


def _contradicts(reply: Judgement) -> bool:
    """Whether the reason calls one answer better, and the verdict is the other."""
    if reply.verdict not in ("win", "loss"):
        return False
    praised = {letter.upper() for letter in _PREFERRED.findall(reply.reason)}
    return praised == ({"B"} if _chose_first(reply) else {"A"})


def _by_attribute(items: Sequence[SettledItem], confidence: float, seed: int) -> dict[str, Any]:
    rows, left_out = [], []
    for attribute in sorted({name for item in items for name in item.attributes}):
        groups: dict[str, list[SettledItem]] = defaultdict(list)
        for item in items:
            if attribute in item.attributes:
                groups[item.attributes[attribute]].append(item)
        if len(groups) > MOST_VALUES:
            left_out.append(attribute)
            continue
        for value, group in sorted(groups.items()):
            found = tally(_judged(group), confidence=confidence, draws=LENGTH_DRAWS, seed=seed)
            kept = ("n", "wins", "losses", "ties", "unparsed", "net_win_rate", "ratio")
            rows.append({"attribute": attribute, "value": value} | {name: found[name] for name in kept})
    return {"attributes": rows, "attributes_left_out": left_out}


def _controls(judgements: Sequence[Judgement], items: Sequence[SettledItem]) -> dict[str, dict[str, Any]]:
    """Counts of each control; of the judges that know nothing also how often the judge agrees with them."""
    by_control: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        if judgement.control:
            by_control[judgement.control].append(judgement)
    own = {item.id: item.outcome for item in items}
    found = {}
    for control, held in sorted(by_control.items()):
        settled = settle(held)
        counts = Counter(item.outcome for item in settled)
        found[control] = {
            "n": len(settled),
            "wins": counts["won"],
            "losses": counts["lost"],
            "ties": counts["tied"],
            "unparsed": counts[None],
            "reply_ties": sum(judgement.verdict == "tie" for judgement in held),
            "replies": len(held),
        }
        if control in ("longest", "random"):
            both = [
                item
                for item in settled
                if item.outcome in ("won", "lost") and own.get(item.id) in ("won", "lost")
            ]
            found[control]["agrees"] = sum(item.outcome == own[item.id] for item in both)
            found[control]["agrees_of"] = len(both)
    return found
