"""How many tokens of each source the model saw, from the records of the run.

    python seen.py

Reads `data.json` (what `prepare.py` put in) and `training_log.json` (how far the run got in each phase).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from prepare import PHASES

HERE = Path(__file__).parent
# Shares of a kind by source, as `prepare.py` draws them; plain text by characters of the sources.
SOURCES = {
    "text": {"OpenStax": 0.948, "SQuALITY": 0.052},
    "glossary": {"WordNet": 0.5, "OpenStax": 0.5},
    "definition": {"WordNet": 0.3, "OpenStax": 0.7},
    "summary": {"facts": 0.2, "OpenStax": 0.8},
    "facts": {"facts": 1.0},
    "instruction": {"alpaca-libre": 1.0},
    "plot": {"SQuALITY": 1.0},
}


def main() -> None:
    data = json.loads((HERE / "data.json").read_text(encoding="utf-8"))
    log = json.loads((HERE / "training_log.json").read_text(encoding="utf-8"))
    kinds: Counter[str] = Counter()
    for number, (phase, position) in enumerate(zip(PHASES, log["position"], strict=True)):
        share = position / (phase.tokens // phase.length)
        kinds.update(
            {kind: count * share for kind, count in data[f"phase{number}"].items() if kind != "length"}
        )
    sources: Counter[str] = Counter()
    for kind, count in kinds.items():
        for source, share in SOURCES.get(kind, {"OpenStax": 1.0}).items():
            sources[source] += count * share
    for name, counts in ("kind", kinds), ("source", sources):
        print(name, {key: f"{count / 1e6:.2f} million" for key, count in counts.most_common()})
    print("tokens", log["tokens"], "steps", log["step"], "seconds", round(log["seconds"]))


if __name__ == "__main__":
    main()
