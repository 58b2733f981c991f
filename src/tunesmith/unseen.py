"""Which mistakes the files of a study cannot show, and why: what was not looked at must not pass for clean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median

from tunesmith.audit import judging, outputs, rating, scores, settings
from tunesmith.audit.constraints import violated_constraint
from tunesmith.audit.study import AuditedStudy, settings_in
from tunesmith.tables import TableRow


def unseen_mistakes(study: AuditedStudy) -> Iterator[tuple[str, str]]:
    """Code of each mistake on the list that these files cannot show, and why not."""
    for codes, looks in _NEEDS:
        why = next((reason for reason in (look(study) for look in looks) if reason), None)
        if why:
            yield from ((code, why) for code in codes)


Look = Callable[[AuditedStudy], str]


def _predictions(study: AuditedStudy) -> str:
    return "" if study.answers else "no predictions were given"


def _training_rows(study: AuditedStudy) -> str:
    return "" if study.training else "no training rows were given"


def _verdict_rows(study: AuditedStudy) -> str:
    return "" if study.verdicts else "no verdicts were given"


def _verdicts_or_ratings(study: AuditedStudy) -> str:
    return "" if study.ratings else _verdict_rows(study)


def _prompts(study: AuditedStudy) -> str:
    return "" if any(answer.prompt for answer in study.answers) else "the predictions carry no prompt"


def _sources(study: AuditedStudy) -> str:
    if not any(answer.source for answer in study.answers):
        return "the predictions do not name their source (source_id)"
    return (
        "" if any(row.source_id for row in study.training) else "the training rows do not name their source"
    )


def _two_systems(study: AuditedStudy) -> str:
    return "" if len(study.systems) > 1 else "it takes the answers of two systems"


def _two_systems_tested_or_rated(study: AuditedStudy) -> str:
    rated = {row.values.get(name) for row in study.ratings for name in rating.SYSTEM_COLUMNS} - {None, ""}
    return "" if len(rated) > 1 else _predictions(study) or _two_systems(study)


def _references(study: AuditedStudy) -> str:
    return "" if _reference_lengths(study) else "the predictions come without references"


def _reference_lengths(study: AuditedStudy) -> list[int]:
    """Words of each item's first reference."""
    found = [answer.prediction.references for answer in study.items.values()]
    return [len(references[0].split()) for references in found if references]


def _long_references(study: AuditedStudy) -> str:
    longest = max(_reference_lengths(study), default=0)
    least = outputs.SHORTEST_COPY
    return "" if longest >= least else f"no reference has {least} words or more"


def _references_for_bleu(study: AuditedStudy) -> str:
    least = scores.SHORTEST_BLEU
    if median(_reference_lengths(study) or [0]) >= least:
        return ""
    return f"half of the references have fewer than {least} words, too few for BLEU"


def _constraints(study: AuditedStudy) -> str:
    stated = any(violated_constraint(answer) is not None for answer in study.answers)
    return "" if stated else "no prompt states a number of sentences or words, or a form, that can be checked"


def _repeats(study: AuditedStudy) -> str:
    runs = Counter((answer.prediction.system, answer.prediction.id) for answer in study.answers)
    return "" if max(runs.values(), default=0) > 1 else "no system answered an item twice"


def _order(study: AuditedStudy) -> str:
    told = sum(_tells_order(row) for row in study.verdicts)
    if told >= judging.FEWEST:
        return ""
    return f"fewer than {judging.FEWEST} verdicts tell which answer the judge saw first"


def _tells_order(row: TableRow) -> bool:
    if str(row.values.get("order") or "").endswith(" first"):
        return True
    named = (row.values.get(name) for name in judging.FIRST_COLUMNS)
    if any(isinstance(value, str) and 0 < len(value.strip()) < judging.LONGEST_NAME for value in named):
        return True
    return any(isinstance(row.values.get(name), str) for name in judging.PROMPT_COLUMNS)


def _both_lengths(study: AuditedStudy) -> str:
    answered = [{answer.prediction.id for answer in study.by_system[name]} for name in study.systems[:2]]
    known = set.intersection(*answered) if len(answered) == 2 else set()
    told = sum(row.text("id") in known or _tells_lengths(row) for row in study.verdicts)
    if told >= judging.FEWEST:
        return ""
    return f"fewer than {judging.FEWEST} verdicts come with both answers"


def _tells_lengths(row: TableRow) -> bool:
    if all(row.values.get(name) not in (None, "") for name in ("base_length", "tuned_length")):
        return True
    sides = judging.TEXT_COLUMNS.values()
    return all(any(isinstance(row.values.get(name), str) for name in names) for names in sides)


def _decoding(study: AuditedStudy) -> str:
    names = {*settings.SAMPLING, *settings.BEAMS}
    in_answers = any(names & set(answer.prediction.settings or answer.columns) for answer in study.answers)
    in_plan = any(key in names for key, _ in settings_in(study.plan))
    return "" if in_answers or in_plan else "neither plan nor predictions hold settings of the decoding"


def _reported(study: AuditedStudy) -> str:
    if any(
        re.match(settings.RESULT, key) and isinstance(value, int | float)
        for key, value in settings_in(study.plan)
    ):
        return ""
    return "no reported numbers were given (they may stand in the plan)"


_NEEDS: tuple[tuple[tuple[str, ...], tuple[Look, ...]], ...] = (
    (("eval_in_train", "near_duplicate_in_train"), (_predictions, _training_rows, _prompts)),
    (("same_group",), (_predictions, _training_rows, _sources)),
    (("verbatim_reference",), (_predictions, _references, _long_references)),
    (("empty_outputs", "failed_items"), (_predictions,)),
    (("different_items",), (_two_systems_tested_or_rated,)),
    (("constraint_violated",), (_predictions, _constraints)),
    (("rerun_differs",), (_predictions, _repeats)),
    (("weak_baseline",), (_predictions, _two_systems, _references)),
    (("definition_dependent",), (_predictions, _references, _references_for_bleu)),
    (("dropped_verdicts",), (_verdicts_or_ratings,)),
    (("label_reveals_condition",), (_verdict_rows,)),
    (("fixed_order",), (_verdict_rows, _order)),
    (("length_bias",), (_verdict_rows, _both_lengths)),
    (("no_effect_parameter",), (_decoding,)),
    (("missing_interval",), (_reported,)),
    (("refusals_in_training", "truncated_targets"), (_training_rows,)),
)
"""Codes, and what has to be there for them to be looked for; a look gives the reason when it is not."""
