"""What a judging will cost before anything is sent: requests, how many the journal holds already, tokens, money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunesmith.judging.server import sent
from tunesmith.judging.work import Material
from tunesmith.score.judge import JudgeOptions, cost_of, planned_requests
from tunesmith.synthesize.estimate import estimate_items
from tunesmith.synthesize.journal import models_in

REPLY_PIECES = 2
"""Of `estimate.TOKENS_A_PIECE` tokens: three sentences and a JSON object, before the journal has any reply."""


def judging_cost(material: Material, options: JudgeOptions, journal: Path) -> dict[str, Any]:
    """What the judge will be asked.

    Returns:
        `requests`, `most_requests`, `prompt_characters` as `score.judge.Cost` has them; `kept`: replies in the journal,
        for free; and of what has still to be asked, without further votes, `prompt_tokens` and `reply_tokens`
        (estimated), `money` and `most_money` (null without prices); `spent` and `sent` by earlier runs. For a server
        whose model is not named and that the journal does not know as serving one, nothing is counted as kept.
    """
    requests = {
        request.key: request
        for request in planned_requests(
            options, pairs=material.pairs, predictions=material.predictions, rows=material.rows
        )
    }
    cost: dict[str, Any] = asdict(cost_of(requests.values(), material.pairs, options))
    endpoint = options.endpoint
    if endpoint is None:
        nothing = {"kept": 0, "prompt_tokens": 0, "reply_tokens": 0, "sent": 0}
        return cost | nothing | dict.fromkeys(("money", "most_money", "spent"))
    known = models_in(journal, endpoint.url)
    model = endpoint.model or (known[0] if len(known) == 1 else "")
    items = ((sent(request, endpoint.url, model).request, REPLY_PIECES) for request in requests.values())
    found = estimate_items(items, journal, endpoint.prices, endpoint.concurrency)
    return cost | {
        "kept": found.kept,
        "prompt_tokens": found.prompt_tokens,
        "reply_tokens": found.reply_tokens,
        "money": found.cost,
        "most_money": found.most_cost,
        "spent": found.spent,
        "sent": found.n_sent,
    }


def cost_words(cost: Mapping[str, Any]) -> str:
    """`40 requests, 10 of them in the journal and free; about 9,000 tokens of prompts …: about 0.12, at most 0.3`."""
    kept = f", {cost['kept']:,} of them in the journal and free" if cost["kept"] else ""
    most = cost["most_requests"]
    further = f", at most {most:,} with further votes" if most > cost["requests"] else ""
    said = f"{cost['requests']:,} requests{further}{kept}"
    if not cost["prompt_tokens"]:
        return said
    said += f"; about {cost['prompt_tokens']:,} tokens of prompts and {cost['reply_tokens']:,} of replies left to pay"
    if cost["money"] is None:
        return said
    return f"{said}: about {cost['money']:.2f}, at most {cost['most_money']:.2f} without further votes"


def cost_remarks(cost: Mapping[str, Any], options: JudgeOptions) -> Iterator[str]:
    """For `tunesmith check`: what the judge is asked, and whether its budget holds that."""
    endpoint = options.endpoint
    if endpoint is None or not cost["requests"]:
        return
    unpriced = "" if endpoint.prices else "; what that costs is not known without judge.judge.prices"
    yield f"The judge: {cost_words(cost)}{unpriced}."
    budget = endpoint.budget
    if budget is None:
        return
    left = cost["requests"] - cost["kept"]
    if budget.requests is not None and left > budget.requests - cost["sent"]:
        yield (
            f"The judge's budget has {max(budget.requests - cost['sent'], 0):,} of {budget.requests:,} requests left:"
            " it ends the asking early."
        )
    if budget.money is not None and cost["money"] > (rest := budget.money - (cost["spent"] or 0.0)):
        yield f"The judge's budget has {max(rest, 0.0):.2f} of {budget.money:g} left: it ends the asking early."
