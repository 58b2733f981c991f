"""Several processes, one run: the first one leads, the others follow, and one says why when one is lost.

The first process (rank 0) does the run, and is the only one that writes to the run folder and speaks. The others wait
in `follow`, for as long as it takes, join whenever the first one trains, and end when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError
from tunesmith.train.distributed import from_first, join, leave, own_device, store, world

if TYPE_CHECKING:
    import torch

_SECONDS_FOR_A_REASON = 10.0
"""How long a process that was left alone waits for the word of the one that failed."""
_SECONDS_TO_LEAVE = 3.0
"""How long the first process stays when it is done, so that the others can read why: one that is dead never does."""
_FOREVER = timedelta(days=3650)


class LostProcess(TunesmithError):
    """The run cannot go on, since one of its processes failed or is gone."""


class _Stopped(BaseException):
    """The launcher wants this process to end. No `Exception`, so that no stage takes it for a failure of its own."""


_leading = {"is": False, "calls": 0}


@contextmanager
def leading() -> Iterator[None]:
    """For the first process: the others join each training that starts inside, and are let go at the end."""
    if world().size == 1:
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _stop)
    _leading["is"] = True
    try:
        yield
    except _Stopped:
        raise _lost() from None
    finally:
        _leading["is"] = False
        with contextlib.suppress(RuntimeError, _Stopped):  # the store may be gone with its launcher
            store().set("over", "1")
            store().set(f"call/{_leading['calls']}", "end")
            if os.environ.get("TORCHELASTIC_USE_AGENT_STORE", "").lower() != "true":
                # It lives in this process, and the others read from it that the run is over.
                _comes(*(f"left/{rank}" for rank in range(1, world().size)), seconds=_SECONDS_TO_LEAVE)
        signal.signal(signal.SIGTERM, before)
        leave()


def _stop(*_: object) -> None:
    raise _Stopped


def call_the_others(device: torch.device | str, work: Any) -> None:
    """Tell the processes that wait in `follow` to join, and hand them the work."""
    import torch

    if not _leading["is"]:
        return  # every process calls by itself, as in a script of the user's own
    store().set(f"call/{_leading['calls']}", torch.device(device).type)
    _leading["calls"] += 1
    join(device)
    from_first(work)


def follow(do: Callable[[Any], None]) -> int:
    """Wait for the first process; `do` what it hands over; return this process's exit code when it ends.

    Nothing is printed while the first process can still say why the run ended.
    """
    signal.signal(signal.SIGTERM, _stop)
    calls = 0
    try:
        while True:
            kind = _wait_for(f"call/{calls}")
            if kind == "end":
                return 0
            join(own_device(kind))
            do(from_first(None))
            calls += 1
    except KeyboardInterrupt:
        return 130
    except _Stopped:
        return _left_alone()
    except Exception as error:
        if is_loss(error):
            return _left_alone()
        if not isinstance(error, TunesmithError):
            raise
        return _tell_the_first(error)
    finally:
        with contextlib.suppress(RuntimeError, _Stopped):
            store().set(f"left/{world().rank}", "1")
        leave()


def _wait_for(key: str) -> str:
    store().wait([key], _FOREVER)
    word: bytes = store().get(key)
    return word.decode()


def _tell_the_first(error: TunesmithError) -> int:
    """The first process prints it, as soon as it finds that this one is gone; if it cannot hear, it is printed here."""
    try:
        store().set("failed", json.dumps({"rank": world().rank, "message": str(error)}))
    except (RuntimeError, _Stopped):
        print(f"tunesmith: process {world().rank}: {error}", file=sys.stderr)
    return error.exit_code


def _left_alone() -> int:
    """Some process is gone. The first one says so, unless it is the first one that is gone."""
    message = _gone("the first process")
    try:
        if _comes("over"):
            return 1
    except RuntimeError:  # where there is no launcher to hold it, the store went with the first process
        message = "the first process is gone; if it did not say why, it was killed, or short of memory"
    except _Stopped:
        pass
    if world().rank == 1:
        print(f"tunesmith: {message}", file=sys.stderr)
    return 1


def _comes(*keys: str, seconds: float = _SECONDS_FOR_A_REASON) -> bool:
    """Whether all these words are said within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if store().check(list(keys)):
            return True
        time.sleep(0.05)
    return False


def is_loss(error: BaseException) -> bool:
    """Whether a collective call failed because another process is not there any more."""
    import torch.distributed as dist

    if isinstance(error, LostProcess | dist.DistError):
        return True
    signs = (
        "connection closed",
        "connection reset",
        "connection was",
        "broken pipe",
        "gloo",
        "nccl",
        "socket",
    )
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in signs)


def _lost() -> LostProcess:
    """Why the first process cannot go on: the word of the one that failed, or that there was none."""
    for _ in range(2):  # the launcher may want this process to end just now, too
        with contextlib.suppress(RuntimeError, _Stopped):
            if _comes("failed", seconds=2.0):
                word = json.loads(store().get("failed"))
                return LostProcess(f"process {word['rank']}: {word['message']}")
            break
    return LostProcess(_gone("another process of this run"))


def _gone(who: str) -> str:
    return (
        f"{who} ended without a word: killed, or short of memory\n"
        "  Run the same command again: it goes on from the last checkpoint."
    )


@contextmanager
def told_when_lost() -> Iterator[None]:
    """Turn the failure of a collective call into one message."""
    if world().size == 1:
        yield
        return
    try:
        yield
    except RuntimeError as error:
        if not is_loss(error) or not world().is_first:
            raise
        raise _lost() from error
