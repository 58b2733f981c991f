"""Fetching from the Hugging Face hub: a model or a data set as a local folder, or one clear message why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunesmith.errors import MissingError


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person is told who asked for something the hub does not give."""

    no_id: tuple[str, str]
    """(what is wrong, what to do) where the name cannot be a hub id."""
    terms: tuple[str, str]
    """Where terms have to be accepted first."""
    unknown: tuple[str, str]
    """Where there is none of that name, or it is private."""
    unreachable: tuple[str, str]
    """Where it is not on this machine and the hub cannot be reached."""


MODEL = Advice(
    no_id=("this is neither a folder nor a hub id", "Give an existing folder, a hub id, or `builtin`."),
    terms=(
        "the hub asks for a licence to be accepted for this model",
        "Accept it on the model's page, then set HF_TOKEN or run `hf auth login`.",
    ),
    unknown=(
        "the hub knows no such model, or it is private",
        "Check the spelling, or set HF_TOKEN.",
    ),
    unreachable=(
        "the model is not on this machine, and the hub cannot be reached",
        "Go online once, give a local folder, or take `builtin`.",
    ),
)
DATA_SET = Advice(
    no_id=("this is neither a file nor a hub id", "give a path, or owner/name"),
    terms=(
        "the hub asks for terms to be accepted for this data set",
        "accept them on its page, then set HF_TOKEN or run `hf auth login`",
    ),
    unknown=("the hub knows no such data set, or it is private", "check the spelling, or set HF_TOKEN"),
    unreachable=(
        "there is no such file here, and the hub cannot be reached for a data set of that name",
        "check the path, or go online once: after that the set is on this machine",
    ),
)


def fetch(
    name: str, patterns: Sequence[str], *, kind: Literal["model", "dataset"], where: str, advice: Advice
) -> Path:
    """The local folder of a hub repository; from the cache where it is there and the hub is not.

    Args:
        patterns: of the files that are wanted.
        where: what messages call the place where the name was written.

    Raises:
        MissingError: it cannot be had, with what to do.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    cause: Exception
    try:
        return Path(snapshot_download(name, repo_type=kind, allow_patterns=list(patterns)))
    except HFValidationError as error:
        cause, (what, do) = error, advice.no_id
    except GatedRepoError as error:  # a kind of RepositoryNotFoundError
        cause, (what, do) = error, advice.terms
    except RepositoryNotFoundError as error:
        cause, (what, do) = error, advice.unknown
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        cause, (what, do) = error, advice.unreachable
    raise MissingError(what, where=where, do=do) from cause
