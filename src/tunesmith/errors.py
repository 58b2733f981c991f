"""What can go wrong, and the exit code each kind ends with.

    TunesmithError            1  the work failed
    ├── PlanError             2  the plan, an option or the command line is wrong
    ├── InputError            2  a file or folder of the user's cannot be used
    ├── GateError             3  a check that guards the result said no (leak, nothing to train on)
    └── MissingError          4  something that has to be there is not (model, package, key)

These are the user's to mend, so each says what happened, where, and what to do, and is shown without a traceback.
Everything else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class TunesmithError(Exception):
    """A failure that the user can understand and act on.

    Args:
        what: one sentence, in the user's words.
        where: file and line, plan key, page; `None` when `what` says it already.
        do: the next step.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, do: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.do}" if self.do else head


class PlanError(TunesmithError):
    """The plan cannot be used; `problems` holds every mistake found, not only the first."""

    exit_code = 2

    def __init__(self, problems: list[str], *, where: str, do: str | None = None) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([count, *problems]), where=where, do=do)


class InputError(TunesmithError):
    """A file, folder or row of the user's cannot be used."""

    exit_code = 2


class GateError(TunesmithError):
    """A check that guards the result refused to go on."""

    exit_code = 3


class MissingError(TunesmithError):
    """A model, package, key or file that the work needs is not there."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """What another library said, in at most 200 characters; its name for the error where it said nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
