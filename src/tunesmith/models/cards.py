"""The card beside what was trained: which base weights it belongs to, and how it was made.

`tunesmith.json` stands in the folder of an adapter, or of a model that was trained as a whole. A folder from elsewhere
has none, and nothing is known of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError

CARD = "tunesmith.json"


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    (folder / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card in `folder`; `None` where there is none.

    Raises:
        InputError: it is there and cannot be read.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the card cannot be read ({error})", where=str(path), do="Train the adapter again."
        ) from error
    if not isinstance(card, dict):
        raise InputError("the card is no mapping", where=str(path), do="Train the adapter again.")
    return card


def agreed(folders: Iterable[Path | None], names: Iterable[str], what: str) -> dict[str, Any] | None:
    """The training options called `names` that all cards agree on; `None` when no folder has a card.

    Options that an older card does not have are left out.

    Raises:
        InputError: two cards differ; `what` says in what.
    """
    names = list(names)
    first: tuple[Path, dict[str, Any]] | None = None
    for folder in folders:
        card = read_card(folder) if folder is not None else None
        if folder is None or card is None:
            continue
        options = {name: card["train"][name] for name in names if name in card.get("train", {})}
        if first is None:
            first = (folder, options)
        elif first[1] != options:
            differing = sorted(name for name in names if first[1].get(name) != options.get(name))
            raise InputError(
                f"{first[0]} and {folder} were trained with another {what} ({', '.join(differing)})",
                where=str(folder),
                do="Answer with each of them in a run of its own.",
            )
    return None if first is None else first[1]
