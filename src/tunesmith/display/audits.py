"""What `audit` prints for people, and the page it writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.display.console import plain_console
from tunesmith.store import write_atomically

if TYPE_CHECKING:
    from tunesmith.report.findings import Audit


def write_audit(found: Audit, page: Path) -> None:
    from tunesmith.report.audit_page import render_audit

    write_atomically(page, render_audit(found))


def show_audit(found: Audit, page: Path | None) -> None:
    """What `tunesmith audit` prints for people: the findings, what was clean or unseen, and the page's path last."""
    from tunesmith.report.findings import MISTAKES

    console = plain_console()
    for one in found.findings:
        console.print(f"{one.severity:<6}  {one.code}  {one.count:,} of {one.n:,}", markup=False)
        console.print(f"        {one.effect}", soft_wrap=True, markup=False)
    codes = {one.code for one in found.findings}
    clean = [code for code in MISTAKES if code not in codes and code not in found.unseen]
    console.print(f"{'clean':<6}  {', '.join(clean) or 'none'}", soft_wrap=True)
    reasons: dict[str, list[str]] = {}
    for code, why in found.unseen.items():
        reasons.setdefault(why, []).append(code)
    for why, unseen in reasons.items():
        console.print(f"not seen, because {why}: {', '.join(unseen)}", soft_wrap=True, markup=False)
    if page is not None:
        print(page)
