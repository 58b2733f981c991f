"""Imports point down, `--help` stays light, and every test folder has its source folder."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "tunesmith"

FLOORS: list[set[str]] = [
    {"records", "errors", "options", "spending", "__init__"},
    {
        "config",
        "store",
        "plugins",
        "tables",
        "data_sets",
        "duplicates",
        "templates",
        "sentences",
        "endpoints",
        "hub",
    },
    {"models"},
    {"tasks"},
    {"read", "synthesize", "prepare", "train", "generate", "score", "compare", "report"},
    {"plan", "evaluation", "judging", "audit", "evidence", "unseen"},
    {"steps"},
    {"pipeline", "samples", "starter"},
    {"forecast", "sizes", "trial", "doctor", "display"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
STAGES = FLOORS[4]
ALLOWED_SIDEWAYS = {
    ("compare", "score.metric"),
    ("forecast", "sizes"),
    ("display", "forecast"),
    ("display", "trial"),
}


def modules() -> list[Path]:
    found = [path for path in SOURCE.rglob("*.py") if "documents" not in path.parts]
    assert len(found) > 25, "the source folder was not found"
    return found


def room(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """Dotted names below `tunesmith` that the file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            module = node.module or ""
            if module == "tunesmith":
                found |= {alias.name for alias in node.names if not alias.name.startswith("__")}
            elif module.startswith("tunesmith."):
                found |= {f"{module.removeprefix('tunesmith.')}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("tunesmith.")
                for alias in node.names
                if alias.name.startswith("tunesmith.")
            }
    return found


def floor_of(name: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if name in rooms:
            return number
    raise AssertionError(f"{name} stands on no floor: put it into FLOORS and docs/architecture.md")


def upward_arrows(path: Path) -> list[str]:
    here = room(path)
    problems = []
    for imported in imports(path):
        there = imported.split(".")[0]
        if there == here or any(
            here == start and f"{imported}.".startswith(f"{target}.") for start, target in ALLOWED_SIDEWAYS
        ):
            continue
        same_floor = floor_of(there) == floor_of(here)
        if floor_of(there) > floor_of(here) or (same_floor and here in STAGES):
            problems.append(f"{path.relative_to(SOURCE)} imports tunesmith.{imported}")
        if here in STAGES and there in {"store", "config"}:
            problems.append(f"{path.relative_to(SOURCE)}: a stage does not touch tunesmith.{there}")
    return problems


def test_arrows_point_down() -> None:
    problems = [problem for path in modules() for problem in upward_arrows(path)]
    assert not problems, "\n".join(problems)


def test_the_arrow_test_sees_an_upward_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    (tmp_path / "read").mkdir()
    wrong = tmp_path / "read" / "stage.py"
    wrong.write_text("def f():\n    from tunesmith.train.stage import train_adapter\n", encoding="utf-8")
    assert upward_arrows(wrong) == ["read/stage.py imports tunesmith.train.stage.train_adapter"]


def test_no_loops_between_modules() -> None:
    """Within a folder too: modules import each other in one direction."""
    graph: dict[str, set[str]] = {}
    names = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in modules()}
    for name, path in names.items():
        targets = set()
        for imported in imports(path):
            target = imported if imported in names else imported.rpartition(".")[0]
            if target in names and target != name:
                targets.add(target)
        graph[name] = targets
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        assert state.get(name) != 1, "a loop: " + " -> ".join((*trail, name))
        state[name] = 1
        for target in graph[name]:
            visit(target, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())
    assert len(state) == len(names)


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


HEAVY = ("torch", "transformers", "peft", "matplotlib", "scipy", "sklearn", "datasets", "nltk")


def test_help_imports_nothing_heavy_and_answers_at_once() -> None:
    code = (
        "import sys, tunesmith.cli\n"
        "code = tunesmith.cli.main(['--help'])\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    start = time.monotonic()
    assert run_python(code).strip().endswith("0 []")
    # The real figure is about a third of a second; the bar leaves room for a busy machine.
    assert time.monotonic() - start < 5


def test_checking_a_plan_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Title\n\nA valve is a part that stops a flow.\n", encoding="utf-8")
    (tmp_path / "plan.yaml").write_text("read: {documents: a.md}\n", encoding="utf-8")
    code = (
        "import sys, tunesmith.cli\n"
        f"code = tunesmith.cli.main(['check', {str(tmp_path / 'plan.yaml')!r}, '--json'])\n"
        "print(code, [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    assert run_python(code).strip().endswith("0 []")
