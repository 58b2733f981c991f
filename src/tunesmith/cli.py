"""The command line: a thin coat over the library, with one place where errors become messages and exit codes.

Exit codes: 0 ok, 1 failed, 2 usage or plan, 3 a gate said no (leak, nothing to train on), 4 something is missing,
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from tunesmith import __version__
from tunesmith.commands import auditing, data, doctor, files, judging, plans, reading
from tunesmith.errors import TunesmithError
from tunesmith.train.distributed import world

INTERRUPTED = 130

app = typer.Typer(
    name="tunesmith",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Documents in, a fine-tuned small language model out, and a verdict with intervals.",
    epilog="Start with `tunesmith demo`, then `tunesmith init` and `tunesmith run plan.yaml`.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tunesmith {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


COMMANDS: tuple[Callable[..., None], ...] = (
    plans.demo,
    plans.run,
    plans.check,
    reading.read,
    doctor.doctor,
    plans.synthesize,
    plans.init,
    plans.prompts,
    files.score,
    files.compare,
    judging.judge,
    judging.tally,
    files.estimate,
    data.convert,
)
"""In the order in which `tunesmith --help` lists them."""

for command in COMMANDS:
    app.command()(command)
app.command(cls=auditing.SeveralFiles)(auditing.audit)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the console script hands it to the shell."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="tunesmith")
    except TunesmithError as error:
        if world().is_first:  # of several processes of a launcher, one speaks
            print(f"tunesmith: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    else:
        code = 0
    if code == INTERRUPTED and world().is_first:
        print("\ntunesmith: interrupted; the same command goes on from here", file=sys.stderr)
    return code
