"""Which passages a model is asked about first: a run that ends early has something of everything."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.synthesize.stub_server import StubServer
from tunesmith import cli
from tunesmith.records import Chunk, Example, Refused
from tunesmith.store import read_rows
from tunesmith.synthesize.order import in_even_order


def passages(**documents: int) -> list[Chunk]:
    return [
        Chunk(f"{name}{number}", name, name, None, "Text.", number, number + 5, 1, 1, 2)
        for name, count in documents.items()
        for number in range(count)
    ]


def test_order_by_hand() -> None:
    """Shares through a document: a at 0, 1/8, 2/8, …; b at 0, 1/4, …; c at 0, 1/2; d at 0. By bits: 0 4 2 6 …"""
    order = [chunk.id for chunk in in_even_order(passages(a=8, b=4, c=2, d=1))]
    assert " ".join(order) == "a0 b0 c0 d0 a4 a2 b2 a6 a1 b1 c1 a5 a3 b3 a7"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data())
def test_every_beginning_is_even(sizes: list[int], data: st.DataObject) -> None:
    given_passages = passages(**{f"d{number}-": size for number, size in enumerate(sizes)})
    order = in_even_order(given_passages)
    assert sorted(chunk.id for chunk in order) == sorted(chunk.id for chunk in given_passages)
    end = data.draw(st.integers(len(sizes), len(order)))
    asked = Counter(chunk.source_id for chunk in order[:end])
    shares = [(asked[f"d{number}-"], size) for number, size in enumerate(sizes)]
    assert all(count >= 1 for count, _ in shares)
    # no document is ahead of another by more than one of its own passages
    assert max((count - 1) / size for count, size in shares) <= min(count / size for count, size in shares)


def test_half_a_budget_covers_every_document(tmp_path: Path) -> None:
    (tmp_path / "tanks").mkdir()
    number = 0
    for name, count in {"a": 8, "b": 4, "c": 2, "d": 1}.items():
        text = ""
        for _ in range(count):
            number += 1
            text += (
                f"# Part {number}\n\nTank {number} holds {number + 3} litres. It stands in an old cellar.\n\n"
            )
        (tmp_path / f"tanks/{name}.md").write_text(text, encoding="utf-8")
    with StubServer() as server:
        plan = {
            "name": "t",
            "read": {"documents": "tanks", "chunk": {"tokens": 20}},
            "synthesize": {
                "teacher": {
                    "url": server.url,
                    "model": "stub",
                    "budget": {"requests": 8, "then": "go_on"},
                },
                "checks": ["format"],
            },
        }
        (tmp_path / "plan.yaml").write_text(json.dumps(plan), encoding="utf-8")
        assert cli.main(["run", str(tmp_path / "plan.yaml"), "--until", "synthesize"]) == 0
        assert len(server.requests) == 8
    examples = read_rows(tmp_path / "runs/t/synthesize/examples.jsonl", Example)
    assert Counter(one.source_id for one in examples) == {"a.md": 4, "b.md": 2, "c.md": 1, "d.md": 1}
    unasked = list(read_rows(tmp_path / "runs/t/synthesize/refused.jsonl", Refused))
    assert Counter((one.source_id, one.check) for one in unasked) == {
        ("a.md", "budget"): 4,
        ("b.md", "budget"): 2,
        ("c.md", "budget"): 1,
    }
