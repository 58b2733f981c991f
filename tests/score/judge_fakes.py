"""Judges that say what a test wants, and answers for them to judge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tunesmith.records import Prediction
from tunesmith.score.judging.asking import Reply, Request
from tunesmith.score.judging.pairs import Pair, build_pairs


class FakeAsker:
    """Answers by a function of the request, one at a time, and keeps what it was asked."""

    def __init__(self, answer: Callable[[Request], str | Reply], name: str = "fake-judge") -> None:
        self.answer = answer
        self.name = name
        self.asked: list[Request] = []

    def ask(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            self.asked.append(request)
            said = self.answer(request)
            yield said if isinstance(said, Reply) else Reply(said)


def says(verdict: object, reason: str = "because") -> str:
    """A reply as it was asked for."""
    return f"Short comparison.\n{json.dumps({'reason': reason, 'verdict': verdict})}"


def shown(request: Request, name: str) -> str:
    """The text between the fences of that name, read as a careful judge would."""
    system, user = (message["content"] for message in request.messages)
    code = re.search(r"carry the code ([0-9a-f]{16})", system)
    assert code is not None
    found = re.findall(
        rf"^\[begin {name} {code[1]}\]\n(.*?)\n\[end {name} {code[1]}\]$", user, re.DOTALL | re.MULTILINE
    )
    assert len(found) == 1, f"{name} stands in the request {len(found)} times"
    return str(found[0])


def by_answer(prefer: Callable[[str], float]) -> Callable[[Request], str]:
    """A consistent judge: the answer with the higher value wins, wherever it stands."""

    def answer(request: Request) -> str:
        first, second = prefer(shown(request, "answer A")), prefer(shown(request, "answer B"))
        return says("TIE" if first == second else "A" if first > second else "B")

    return answer


def prediction(number: int, system: str, text: str, **fields: Any) -> Prediction:
    known: dict[str, Any] = {
        "id": f"item{number:03}",
        "source_id": f"document{number // 2:03}",
        "prompt": f"Question {number}?",
        "references": (f"The answer is {number}.",),
        "status": "ok" if text else "empty",
    }
    return Prediction(system=system, text=text, **{**known, **fields})


def pairs_of(*texts: tuple[str, str], **fields: Any) -> list[Pair]:
    """Pairs of (base, tuned) answers."""
    predictions = [
        prediction(number, system, text, **fields)
        for number, both in enumerate(texts)
        for system, text in zip(("base", "tuned"), both, strict=True)
    ]
    return build_pairs(predictions, "base", "tuned")
