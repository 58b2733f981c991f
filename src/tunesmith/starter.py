"""The plan `tunesmith init` writes: every key with its default, and what it means, made from the options themselves."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tunesmith.plan import Plan

HEAD = """\
# A tunesmith plan. Check it with `tunesmith check plan.yaml`, run it with `tunesmith run plan.yaml`.
# Every key but read.documents may be left out; commented keys show their default.
# Any key can be set for one run: tunesmith run plan.yaml train.lora_r=8
"""
COMMENT_COLUMN = 44
TASK = f"{'task: causal':<{COMMENT_COLUMN}}  # {Plan.model_fields['task'].description}"
STARTS = ("read", "synthesize")
"""Stages that a plan for documents has, though a plan for finished rows leaves them out."""


def starter_plan(documents: str) -> str:
    """The YAML text of a plan that reads `documents` and leaves everything else at its default."""
    lines = [HEAD.rstrip("\n"), "", "name: study", TASK, ""]
    for name, info in Plan.model_fields.items():
        annotation = info.annotation
        if name in STARTS:
            (annotation,) = (part for part in typing.get_args(annotation) if _is_options(part))
        elif type(None) in typing.get_args(annotation):
            # commented once more: with these keys the step runs, and the default is that it does not
            (options,) = (part for part in typing.get_args(info.annotation) if _is_options(part))
            lines.append(f"{f'# {name}: null':<{COMMENT_COLUMN}}  # {info.description}")
            lines += [f"# {line}" for line in _section(options, "  ", {})] + [""]
        if not _is_options(annotation):
            continue
        is_read = name == "read"
        lines.append(f"{name}:" if is_read else f"# {name}:")
        lines += _section(annotation, "  ", given={"documents": documents} if is_read else {})
        lines.append("")
    return "\n".join(lines)


def _is_options(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _section(options: Any, indent: str, given: dict[str, Any]) -> Iterator[str]:
    for name, info in options.model_fields.items():
        if _is_options(info.annotation):
            yield f"# {indent}{name}:"
            yield from _section(info.annotation, indent + "  ", {})
            continue
        setting = (
            f"{indent}{name}: {_yaml(given[name])}"
            if name in given
            else f"# {indent}{name}: {_yaml(_default(info))}"
        )
        yield f"{setting:<{COMMENT_COLUMN}}  # {info.description}{_choices(info.annotation)}"


def _default(info: Any) -> Any:
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return None
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _choices(annotation: Any) -> str:
    values = [
        str(choice)
        for part in (annotation, *typing.get_args(annotation))
        if typing.get_origin(part) is typing.Literal
        for choice in typing.get_args(part)
    ]
    optional = isinstance(annotation, types.UnionType) and type(None) in typing.get_args(annotation)
    if optional and values:
        values.append("null")
    return f" ({' | '.join(values)})" if values else ""


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True))
        .removesuffix("...\n")
        .strip()
    )
