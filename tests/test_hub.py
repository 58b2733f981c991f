"""What the hub refuses is told in one message with a next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from tunesmith.errors import MissingError
from tunesmith.hub import DATA_SET, MODEL, Advice, fetch


def failing(kind: type[Exception]) -> Exception:
    """An error of the hub's client, as it is without the answer of a server."""
    return kind.__new__(kind, "it says so")


@pytest.mark.parametrize("advice", [MODEL, DATA_SET])
@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (HFValidationError, "no_id"),
        (GatedRepoError, "terms"),
        (RepositoryNotFoundError, "unknown"),
        (LocalEntryNotFoundError, "unreachable"),
        (HfHubHTTPError, "unreachable"),
        (ConnectionError, "unreachable"),
    ],
)
def test_each_refusal_has_its_message(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], case: str, advice: Advice
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise failing(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(MissingError) as caught:
        fetch("owner/name", ["*.json"], kind="model", where="train.base", advice=advice)
    assert (caught.value.what, caught.value.do) == getattr(advice, case)
    assert caught.value.where == "train.base"
    assert isinstance(caught.value.__cause__, kind)


def test_what_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def give(name: str, **how: Any) -> str:
        asked.append((name, how))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    assert fetch("a/b", ("*.csv",), kind="dataset", where="data", advice=DATA_SET) == tmp_path
    assert asked == [("a/b", {"repo_type": "dataset", "allow_patterns": ["*.csv"]})]
