"""Settings that cannot have done anything, and results that come without an interval."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.audit.study import AuditedStudy, Finding

SAMPLING = ("temperature", "top_k", "top_p", "typical_p", "min_p")
NEUTRAL: dict[str, Any] = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0, "min_p": None}
"""What transformers takes when nothing is said."""
BEAMS = ("length_penalty", "early_stopping", "num_beam_groups", "diversity_penalty")
RESULT = re.compile(
    r"^(?:bleu|sacrebleu|chrf|rouge[-_]?\w*|meteor|bert[-_]?score\w*|perplexity|accuracy|f1\w*|exact_match|win_?rate|ratio|cosine\w*)$",
    re.IGNORECASE,
)
INTERVAL = re.compile(
    r"(?:^|[_-])(?:ci\w*|interval|low|high|lower|upper|stderr|se|std|sd|p|p_value|confidence\w*)(?:$|[_-])",
    re.IGNORECASE,
)


def look_at_settings(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about decoding settings and about reported results."""
    yield from _without_effect(study)
    yield from _unmoved_by_settings(study)
    yield from _without_interval(study)


def _without_effect(study: AuditedStudy) -> Iterator[Finding]:
    """Sampling parameters that are set while sampling is off, beam parameters with one beam."""
    found: dict[str, set[str]] = defaultdict(set)
    places = 0
    for place, settings in _places(study):
        places += 1
        for name in idle_parameters(settings):
            found[name].add(place)
    if found:
        ids = tuple(sorted({place for several in found.values() for place in several}))
        names = ", ".join(f"{name} (in {len(several)})" for name, several in sorted(found.items()))
        effect = (
            f"set without effect: {names}. Sampling is off (or there is one beam), so a comparison over these "
            f"values compares a "
            "setting with itself."
        )
        yield Finding("no_effect_parameter", "high", len(ids), places, ids, effect)


def idle_parameters(settings: Mapping[str, Any]) -> list[str]:
    """Parameters of a decoding that are set and change nothing."""
    sampling = settings.get("do_sample")
    temperature = settings.get("temperature")
    is_greedy = sampling is False or (sampling is None and temperature in (0, 0.0))
    idle = [
        name
        for name in SAMPLING
        if is_greedy
        and settings.get(name) not in (None, NEUTRAL[name], 0)
        and not isinstance(settings.get(name), bool)
    ]
    if settings.get("num_beams") in (None, 1):
        idle += [name for name in BEAMS if settings.get(name) not in (None, False, 1, 1.0, 0, 0.0)]
    return idle


def _places(study: AuditedStudy) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every set of decoding settings: of each answer, and of each part of the plan."""
    for answer in study.answers:
        settings = answer.prediction.settings or answer.columns
        if any(name in settings for name in (*SAMPLING, *BEAMS)):
            yield answer.prediction.id, settings
    yield from _parts("plan", study.plan)


def _parts(name: str, content: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(content, Mapping):
        if any(key in content for key in (*SAMPLING, *BEAMS)):
            yield name, {key: _single(value) for key, value in content.items()}
        for key, value in content.items():
            yield from _parts(f"{name}.{key}", value)
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield from _parts(f"{name}[{number}]", part)


def _single(value: Any) -> Any:
    """A swept value counts as set to its last one."""
    return value[-1] if isinstance(value, list) and value else value


def _unmoved_by_settings(study: AuditedStudy) -> Iterator[Finding]:
    """Systems that differ in sampling parameters only by name: the same texts throughout."""
    texts: dict[str, dict[tuple[Any, ...], str]] = defaultdict(dict)
    for answer in study.answers:
        settings = answer.prediction.settings or answer.columns
        setting = tuple(str(settings.get(name)) for name in SAMPLING)
        if any(name in settings for name in SAMPLING):
            texts[answer.prediction.id].setdefault(setting, answer.prediction.text.strip())
    several = {id: found for id, found in texts.items() if len(found) > 1}
    if several and all(len(set(found.values())) == 1 for found in several.values()):
        names = ", ".join(SAMPLING[:3])
        effect = f"all {len(several)} items got the same text under every value of {names}: sampling was off."
        yield Finding("no_effect_parameter", "high", len(several), len(several), tuple(several), effect)


def _without_interval(study: AuditedStudy) -> Iterator[Finding]:
    bare, total = [], 0
    for place, siblings, key in _results("", study.plan):
        total += 1
        if not any(INTERVAL.search(str(name)) for name in siblings if name != key):
            bare.append(place)
    if bare:
        effect = (
            f"{len(bare)} of {total} reported numbers come without an interval: whether a difference between "
            f"them is more than "
            "chance cannot be told. `tunesmith compare` gives intervals for the predictions."
        )
        yield Finding("missing_interval", "medium", len(bare), total, tuple(bare), effect)


def _results(place: str, content: Any) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            name = f"{place}.{key}" if place else str(key)
            if RESULT.match(str(key)) and isinstance(value, int | float) and not isinstance(value, bool):
                yield name, content, key
            else:
                yield from _results(name, value)
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield from _results(f"{place}[{number}]", part)
