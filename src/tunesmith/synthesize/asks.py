"""What a model can be asked: for each ask its prompt file, the names that file may use, and the shape of the reply.

`kinds.py` says which asks make an example of which kind; the checks that need a model ask too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXT = {"type": "string"}
PASSAGE = ("passage", "title", "heading")
"""Names that stand for a passage. Every prompt knows `fence` too, a mark that does not occur in what it is shown."""


@dataclass(frozen=True, slots=True)
class Form:
    """One ask. Its prompt file is `prompts/NAME.jinja`."""

    names: tuple[str, ...]
    """What the prompt file may use."""
    shows: tuple[str, ...]
    """What its user message has to show: without it the model would answer about nothing."""
    fields: Mapping[str, Mapping[str, Any]]
    """The JSON schema of each field of an entry; the reply is one entry or a list of them. Empty: free text."""
    optional: tuple[str, ...] = ()
    """Fields an entry may lack."""
    several: str | None = None
    """The key under which a list of entries stands; `None` where the reply is one entry."""

    @property
    def is_free_text(self) -> bool:
        return not self.fields

    @property
    def schema(self) -> dict[str, Any] | None:
        """What a server is told of the reply; `None` for free text."""
        if self.is_free_text:
            return None
        entry = _object(self.fields)
        return entry if self.several is None else _object({self.several: {"type": "array", "items": entry}})


def _object(fields: Mapping[str, Any]) -> dict[str, Any]:
    # Servers with strict schemas want every property required, and none besides.
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": False,
    }


def _texts(*names: str) -> dict[str, dict[str, Any]]:
    return dict.fromkeys(names, _TEXT)


_TURN = _object({"role": {"type": "string", "enum": ["user", "assistant"]}, "text": _TEXT})
_YES_NO = {"type": "string", "enum": ["yes", "no"]}

FORMS: dict[str, Form] = {
    "question_answer": Form(
        (*PASSAGE, "count"), ("passage",), _texts("question", "answer", "evidence"), ("evidence",), "pairs"
    ),
    "questions": Form((*PASSAGE, "count"), ("passage",), _texts("question"), (), "questions"),
    "answer": Form(
        (*PASSAGE, "question"), ("passage", "question"), _texts("answer", "evidence"), ("evidence",)
    ),
    "unanswerable": Form((*PASSAGE, "count"), ("passage",), _texts("question"), (), "questions"),
    "summary": Form(PASSAGE, ("passage",), _texts("summary", "evidence"), ("evidence",)),
    "instruction": Form(
        (*PASSAGE, "count"),
        ("passage",),
        _texts("instruction", "response", "evidence"),
        ("evidence",),
        "tasks",
    ),
    "classification": Form(
        (*PASSAGE, "count", "label", "labels"), ("passage", "label"), _texts("text"), (), "texts"
    ),
    "dialogue": Form((*PASSAGE, "count"), ("passage",), {"turns": {"type": "array", "items": _TURN}}),
    "segmentation": Form(PASSAGE, ("passage",), {"paragraphs": {"type": "array", "items": _TEXT}}),
    "paraphrase": Form(PASSAGE, ("passage",), _texts("paraphrase")),
    "scenario": Form(
        ("attributes", "texts", "criteria", "instruction", "variant", "variants"), ("instruction",), {}
    ),
    "round_trip": Form((*PASSAGE, "question"), ("passage", "question"), _texts("answer")),
    "judge": Form(
        ("passage", "title", "heading", "instruction", "target", "criteria"),
        ("instruction", "target"),
        {"supported": _YES_NO, "answers": _YES_NO, "clear": _YES_NO, "reason": _TEXT},
        ("reason",),
    ),
}
