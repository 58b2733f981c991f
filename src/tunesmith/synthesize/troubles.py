"""What stops the asking as a whole, and how a person is told."""

from __future__ import annotations

from tunesmith.errors import InputError, MissingError, TunesmithError
from tunesmith.synthesize.options import TeacherOptions
from tunesmith.synthesize.wire import shown


def spent(option: str, in_words: str) -> TunesmithError:
    """The budget is used up. `option`: where a plan says how to reach the server."""
    return TunesmithError(
        f"the budget is spent: {in_words}",
        where=f"{option}.budget",
        do="raise it and run again: the replies so far are kept and not asked for again; or say then: go_on, to go "
        "on with what there is",
    )


def unreachable(options: TeacherOptions, option: str, reason: str) -> MissingError:
    """The server never answered."""
    return MissingError(
        f"the server does not answer ({reason})",
        where=options.url,
        do=f"start it, or mend {option}.url",
    )


def always_fails(options: TeacherOptions, option: str, trouble: str) -> InputError:
    """The server is there, and no request ever had a reply from it."""
    return InputError(
        f"the server fails at every request ({trouble})",
        where=options.url,
        do=f"see to the server, or name another in {option}.url",
    )


def broken_down(options: TeacherOptions, n_failed: int, trouble: str) -> TunesmithError:
    """The server answered before, and does no more."""
    return TunesmithError(
        f"{n_failed} requests in a row had no reply after {options.tries} tries each, and none between them had one"
        f" ({trouble})",
        where=options.url,
        do="see to the server, then run again: the replies so far are kept, and the run goes on from there",
    )


def stop_for(options: TeacherOptions, option: str, model: str, status: int, text: str) -> TunesmithError:
    """The error for a status that every further request would meet too."""
    said = f"HTTP {status}: {shown(text)}"
    url, variable = options.url, options.api_key_env
    if status == 404:
        return MissingError(
            f"the server has no model {model!r}, or no /chat/completions at this address ({said})",
            where=url,
            do=f"mend {option}.model or {option}.url",
        )
    if status == 402:
        return TunesmithError(
            f"the server wants payment ({said})", where=url, do="top up the account, then run again"
        )
    named = f"the key in {variable}" if variable else "a request without a key"
    return MissingError(
        f"the server does not accept {named} ({said})",
        where=url,
        do=f"set {option}.api_key_env to the name of an environment variable that holds a valid key",
    )
