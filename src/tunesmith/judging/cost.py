"""What a judging will cost before anything is sent: requests, how many the journal holds already, characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunesmith.judging.server import sent
from tunesmith.judging.work import Material
from tunesmith.score.judge import JudgeEndpoint, JudgeOptions, cost_of, planned_requests
from tunesmith.score.judging.asking import Request
from tunesmith.synthesize.journal import Journal, models_in


def judging_cost(material: Material, options: JudgeOptions, journal: Path) -> dict[str, Any]:
    """What the judge will be asked, as `score.judge.Cost` has it, and `kept`: replies in the journal, for free.

    `kept` is null for a server whose model is not named and that the journal does not know: only the server can tell.
    """
    requests = list(
        planned_requests(options, pairs=material.pairs, predictions=material.predictions, rows=material.rows)
    )
    cost = asdict(cost_of(requests, material.pairs, options))
    return cost | {"kept": _kept(requests, options.endpoint, journal)}


def _kept(requests: Sequence[Request], endpoint: JudgeEndpoint | None, journal: Path) -> int | None:
    if endpoint is None or not journal.exists():
        return 0
    models = [endpoint.model] if endpoint.model else models_in(journal, endpoint.url)
    if len(models) > 1:
        return None
    kept = Journal(journal)
    try:
        keys = {sent(request, endpoint.url, model).request.key for model in models for request in requests}
        return sum(kept.get(key) is not None for key in keys)
    finally:
        kept.close()
