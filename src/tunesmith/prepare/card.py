"""The card of a prepared data set: a README that people and the hub read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from tunesmith.prepare.data import DataFacts
from tunesmith.prepare.leaks import LeakReport
from tunesmith.prepare.lengths import Lengths

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's words for how many rows there are."""
NOT_STATED = "not stated"

_HUB = (
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda "
    "cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by- "
    "nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 "
    "eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 llama2 llama3 llama3.1 llama3.2 "
    "llama3.3 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 other pddl "
    "postgresql unknown unlicense wtfpl zlib"
)
HUB_LICENSES = frozenset(_HUB.split())
"""Names that the hub knows (its documentation, "Licenses")."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    name: str
    splits: Mapping[str, int]
    """Rows of each split."""
    sources: Mapping[str, int]
    """Different sources (documents, groups) of each split."""
    hashes: Mapping[str, str]
    """SHA-256 of each split's file."""
    funnel: Sequence[tuple[str, int, Mapping[str, int]]]
    """Step, what came out of it, and what it refused by reason."""
    sets: Sequence[DataFacts]
    leaks: LeakReport
    lengths: Mapping[str, Lengths]
    window: int | None
    """`None` when lengths were not measured."""
    base: str
    teacher: str
    """Who wrote the rows; empty for finished ones."""
    licenses: Mapping[str, int] = field(default_factory=dict)
    """Licence to documents under it, as `licenses_of` counts them; empty for finished rows."""
    mixed: Mapping[str, int] = field(default_factory=dict)
    """Rows mixed in, by set."""
    task: str = "causal"
    command: str = ""


def licenses_of(sources: Iterable[str], given: str | Mapping[str, str] | None) -> dict[str, int]:
    """Licence to the number of sources under it.

    Args:
        sources: names of the documents that rows come from, each once.
        given: one licence for all, or patterns of names (`reports/*`) to licences, of which the first that fits counts.
    """
    patterns = {"*": given} if isinstance(given, str) else given or {}
    found: Counter[str] = Counter()
    for source in sources:
        found[next((name for pattern, name in patterns.items() if fnmatch(source, pattern)), NOT_STATED)] += 1
    return dict(found)


def on_the_hub(license: str) -> str:
    """What the hub calls a licence in the head of a card. Words of one's own it refuses: they are `other` there."""
    name = license.strip().lower()
    return name if name in HUB_LICENSES else "other"


def render_card(facts: CardFacts) -> str:
    """Markdown with a YAML head, as the hub has it."""
    import yaml

    total = sum(facts.splits.values())
    stated = {one.license for one in facts.sets if one.license} | set(facts.licenses) - {NOT_STATED}
    licenses = sorted({on_the_hub(one) for one in stated})
    head = {
        "pretty_name": facts.name,
        **({"license": licenses[0] if len(licenses) == 1 else licenses} if licenses else {}),
        "task_categories": ["text-classification" if facts.task == "classify" else "text-generation"],
        "size_categories": [next((words for most, words in SIZES if total < most), "n>1M")],
        "tags": ["tunesmith", *(["synthetic"] if facts.teacher else [])],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": name, "path": f"{name}.jsonl"} for name, n in facts.splits.items() if n
                ],
            }
        ],
    }
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {facts.name}",
        "",
    ]
    lines += [f"{total:,} rows of `prompt` and `completion`, {_origin(facts)}.", ""]
    lines += ["## Splits", "", "| split | rows | sources | SHA-256 |", "|---|---:|---:|---|"]
    lines += [
        f"| {name} | {n:,} | {facts.sources[name]:,} | `{facts.hashes[name]}` |"
        for name, n in facts.splits.items()
    ]
    if facts.licenses:
        lines += ["", "## Licences of the documents", "", "| licence | documents |", "|---|---:|"]
        lines += [f"| {_cell(name)} | {n:,} |" for name, n in sorted(facts.licenses.items())]
    lines += ["", "## From source to rows", "", "| step | out | refused, by reason |", "|---|---:|---|"]
    lines += [f"| {_cell(name)} | {n:,} | {_reasons(reasons)} |" for name, n, reasons in facts.funnel]
    lines += _sets(facts)
    lines += _leaks(facts.leaks)
    lines += _lengths(facts)
    if facts.command:
        lines += ["", "## Make it again", "", f"    {facts.command}"]
    return "\n".join(lines) + "\n"


def _origin(facts: CardFacts) -> str:
    if facts.teacher:
        return f"written by {facts.teacher}"
    return f"from {', '.join(one.name for one in facts.sets if one.share is None)}"


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(reasons.items())) or "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _sets(facts: CardFacts) -> list[str]:
    if not facts.sets:
        return []
    lines = [
        "",
        "## Finished sets in it",
        "",
        "| set | format | rows | refused | use | licence |",
        "|---|---|---:|---:|---|---|",
    ]
    for one in facts.sets:
        use = one.use.replace("_", " ")
        if one.share is not None:
            use = f"{facts.mixed.get(one.name, 0):,} rows mixed in, {100 * one.share:g} % of training"
        lines.append(
            f"| {_cell(one.name)} | {', '.join(one.formats)} | {one.rows:,} | {one.refused:,} | {use}"
            f" | {_cell(one.license or NOT_STATED)} |"
        )
    return lines


def _leaks(report: LeakReport) -> list[str]:
    lines = ["", "## Held-out rows seen in training", "", "| kind of leak | held-out rows |", "|---|---:|"]
    lines += [f"| {rule.replace('_', ' ')} | {n:,} |" for rule, n in report.counts.items()]
    lines += [f"| {rule.replace('_', ' ')} | not looked: {why} |" for rule, why in report.not_looked.items()]
    return lines


def _lengths(facts: CardFacts) -> list[str]:
    if facts.window is None:
        return ["", "## Lengths", "", f"Not measured: the tokenizer of {facts.base} was not at hand."]
    lines = [
        "",
        "## Lengths",
        "",
        f"In tokens of {facts.base}, which sees {facts.window:,} at once: median, 90 %, 99 %, longest.",
        "",
        "| split | prompt | answer | whole row | over the window |",
        "|---|---|---|---|---:|",
    ]
    for name, one in facts.lengths.items():
        if one.rows:
            spans = (", ".join(f"{n:,}" for n in part) for part in (one.prompt, one.answer, one.whole))
            share = one.over_window / one.rows
            lines.append(f"| {name} | {' | '.join(spans)} | {one.over_window:,} ({share:.1%}) |")
    return lines
