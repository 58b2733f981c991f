"""From a plan file and `a.b=value` overrides to checked options: every mistake found is told at once, with its line.

YAML is read by the safe loader only, so a plan cannot run code. Nothing here knows the stages: the caller names the
pydantic model that the plan has to fit.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunesmith.errors import InputError, PlanError

Schema = TypeVar("Schema", bound=BaseModel)
KeyPath = tuple[str | int, ...]

OVERRIDE = "command line"


class _Loader(yaml.SafeLoader):
    """The safe loader, without a surprise of YAML 1.1: `1e-4` is a number here."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_plan(path: Path, overrides: Sequence[str], schema: type[Schema]) -> Schema:
    """Read, override and check a plan.

    Args:
        path: a YAML file with one mapping.
        overrides: `key.path=value`, the value in YAML (`train.lora_r=8`, `score.metrics=[bleu, rougeL]`).
        schema: the pydantic model of the whole plan.

    Raises:
        InputError: the file cannot be read.
        PlanError: it can, but holds mistakes; all of them are in the message.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            "no such plan file", where=str(path), do="`tunesmith init` writes one to start from"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the plan cannot be read: {error}", where=str(path)) from None
    return parse_plan(text, overrides, schema, name=str(path))


def parse_plan(text: str, overrides: Sequence[str], schema: type[Schema], *, name: str) -> Schema:
    """`load_plan` for a text; `name` stands for the file in messages."""
    values, lines, problems = _read_yaml(text, name)
    for override in overrides:
        problem = _apply_override(values, lines, override)
        if problem:
            problems.append(problem)
    plan: Schema | None = None
    try:
        plan = schema.model_validate(values)
    except ValidationError as error:
        problems.extend(_explain(error, values, lines, schema))
    if problems or plan is None:
        raise PlanError(sorted(problems, key=_line_number), where=name)
    return plan


def _line_number(problem: str) -> float:
    found = re.match(r"line (\d+):", problem)
    return int(found[1]) if found else float("inf")


def _read_yaml(text: str, name: str) -> tuple[dict[str, Any], dict[KeyPath, str], list[str]]:
    """The plan's values, the line each key stands on, and what is wrong with the YAML itself."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise PlanError([f"not valid YAML: {error.problem}"], where=f"{name}{line}") from None
    if node is None:
        return {}, {}, []
    if not isinstance(node, yaml.MappingNode):
        raise PlanError(["a plan is a mapping of keys to values (`name: …`, `read: …`)"], where=name)
    lines: dict[KeyPath, str] = {}
    problems = list(_note_lines(node, (), lines))
    try:
        values: dict[str, Any] = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:  # a tag the safe loader refuses, such as !!python/object
        mark = error.problem_mark
        raise PlanError(
            [f"not allowed in a plan: {error.problem}"], where=f"{name}:{mark.line + 1}" if mark else name
        ) from None
    return values, lines, problems


def _note_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, str]) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = f"line {key_node.start_mark.line + 1}"
            if key in seen:
                yield f"{line}: {dotted((*path, key))} is given twice"
            seen.add(key)
            lines[(*path, key)] = line
            yield from _note_lines(value_node, (*path, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = f"line {item.start_mark.line + 1}"
            yield from _note_lines(item, (*path, index), lines)


def _apply_override(values: dict[str, Any], lines: dict[KeyPath, str], override: str) -> str | None:
    """Put one `a.b=value` into `values`. Returns what is wrong with it, if anything."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        return f"{OVERRIDE}: {override!r} is not of the form key.path=value"
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return f"{OVERRIDE}: the value of {override!r} is not valid YAML; put it in quotes"
    target = values
    for depth, part in enumerate(parts[:-1], start=1):
        inner = target.get(part)
        if inner is None:
            inner = target[part] = {}
        if not isinstance(inner, dict):
            return f"{OVERRIDE}: {'.'.join(parts[:depth])} is a single value, so {key} cannot be set in it"
        target = inner
    target[parts[-1]] = value
    lines[tuple(parts)] = OVERRIDE
    return None


def dotted(path: KeyPath) -> str:
    """`("score", "metrics", 1)` as `score.metrics[1]`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.lstrip(".")


def _explain(
    error: ValidationError, values: Mapping[str, Any], lines: Mapping[KeyPath, str], schema: type[BaseModel]
) -> list[str]:
    problems: list[str] = []
    for detail in error.errors(include_url=False):
        path, is_real = _path_in_values(detail["loc"], values)
        if not is_real:
            continue
        line = _line_of(path, lines)
        place = [line, dotted(path)] if path else [line]
        problem = ": ".join([*place, _sentence(detail, path, schema)])
        if problem not in problems:
            problems.append(problem)
    return problems


def _path_in_values(location: tuple[str | int, ...], values: Any) -> tuple[KeyPath, bool]:
    """Pydantic's location without the names of union branches, and whether the branch fits what the user wrote.

    A union such as `str | TeacherOptions` is reported once for each branch. The branch whose kind (mapping or single
    value) is not the user's only confuses, so its report is left out.
    """
    path: list[str | int] = []
    current: Any = values
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if (isinstance(current, Mapping) and part in current) or (
            isinstance(current, list) and isinstance(part, int) and part < len(current)
        ):
            current = cast(Any, current)[part]
            path.append(part)
        elif (
            is_last
            and isinstance(current, Mapping)
            and isinstance(part, str)
            and part.isidentifier()
            and (part not in {"str", "int", "float", "bool"})
        ):
            path.append(part)  # a required key that is missing
        elif isinstance(current, Mapping) and part in {"str", "int", "float", "bool"}:
            return tuple(path), False
    return tuple(path), True


def _line_of(path: KeyPath, lines: Mapping[KeyPath, str]) -> str:
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return "plan"


def _sentence(detail: ErrorDetails, path: KeyPath, schema: type[BaseModel]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"unknown key{suggest(str(path[-1]), fields_at(schema, path[:-1]))}"
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        expected = detail.get("ctx", {}).get("expected", "")
        return f"{detail['input']!r} is not one of {expected}"
    if kind == "value_error":
        return str(detail["ctx"]["error"]) if "ctx" in detail else detail["msg"]
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"should be {message}, not {detail['input']!r}"


def suggest(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?` when one of `known` is close to `word`, else the list of what there is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(known)}" if known else ""


def fields_at(schema: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that may stand at `path` of a plan."""
    models = [schema]
    for part in path:
        named = any(part in model.model_fields for model in models)
        if isinstance(part, int) or not named:
            continue  # a place in a list, or a name that the user gave
        models = [
            inner
            for model in models
            if part in model.model_fields
            for inner in _models_in(model.model_fields[str(part)].annotation)
        ]
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (
        typing.Union,
        types.UnionType,
        list,
        tuple,
        dict,
        typing.Annotated,
    ):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)
