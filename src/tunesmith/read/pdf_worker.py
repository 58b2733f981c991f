"""PDFs are read in a process of their own, with limits of time and memory.

A small file can unfold to gigabytes, keep the parser busy for hours, or crash it. Then only that process ends: the
file is refused with a reason, and the next file gets a new process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from tunesmith.read.blocks import Unreadable
from tunesmith.read.pdf import PdfContent, extract_pdf

MAX_SECONDS = 120.0
"""Longest time for one file. A report of 300 pages takes about 3 seconds."""
MAX_MEMORY_MB = 4096
"""Largest address space of the process, in MB; kept where the system knows such a limit (Linux, macOS in part)."""
_LENGTH_BYTES = 8
_START = "from tunesmith.read.pdf_worker import serve; serve()"


class PdfWorker:
    """Reads PDFs one after the other in a second process, which starts with the first of them."""

    def __init__(self, *, max_seconds: float = MAX_SECONDS, max_memory_mb: int = MAX_MEMORY_MB) -> None:
        self._max_seconds = max_seconds
        self._max_memory_mb = max_memory_mb
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PdfWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def extract(self, path: Path, password: str | None) -> PdfContent:
        """What `extract_pdf` gives.

        Raises:
            Unreadable: as `extract_pdf`, or the process took too long (rule `too_slow`), or ended before it was done,
                usually for want of memory (`too_heavy`).
        """
        reply = self._ask((os.path.abspath(path), password))
        if isinstance(reply, PdfContent):
            return reply
        rule, text = reply
        if rule == "bug":
            raise RuntimeError(f"reading {path} failed in the worker:\n{text}")
        raise Unreadable(rule, text)

    def _ask(self, question: tuple[str, str | None]) -> Any:
        if self._process is None:
            self._process = _start_process(self._max_memory_mb)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        answer: list[Any] = []
        output = process.stdout

        def listen() -> None:
            with contextlib.suppress(EOFError, OSError, ValueError):
                answer.append(_receive(output))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        with contextlib.suppress(OSError):  # It may have ended already; then there is no answer.
            _send(process.stdin, question)
        listener.join(self._max_seconds)
        if answer:
            return answer[0]
        is_slow = listener.is_alive()
        self._stop()
        listener.join()
        if is_slow:
            raise Unreadable("too_slow", f"The PDF was not read within {self._max_seconds:g} seconds.")
        raise Unreadable(
            "too_heavy",
            f"Reading the PDF ended the reader: it asks for more than {self._max_memory_mb} MB, or makes it crash.",
        )

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _start_process(max_memory_mb: int) -> subprocess.Popen[bytes]:
    import tunesmith

    package_root = str(Path(tunesmith.__file__).resolve().parents[1])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-c", _START, str(max_memory_mb)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def serve() -> None:
    """The second process: answers questions on its standard input until that is closed."""
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Nothing a library prints may get between the answers.
    _limit_memory(int(sys.argv[1]))
    while True:
        try:
            path, password = _receive(questions)
        except EOFError:
            return
        _send(answers, _answer(Path(path), password))


def _answer(path: Path, password: str | None) -> PdfContent | tuple[str, str]:
    try:
        return extract_pdf(path, password)
    except Unreadable as problem:
        return problem.rule, problem.text
    except MemoryError:
        return "too_heavy", "The PDF asks for more memory than a reader is given."
    except OSError as error:
        return "not_readable", f"The file cannot be opened: {error.strerror or error}."
    except Exception:
        import traceback

        return "bug", traceback.format_exc()


def _limit_memory(max_memory_mb: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit; the limit of time still holds.
        return
    limit = max_memory_mb * 1024 * 1024
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _send(pipe: BinaryIO | Any, message: Any) -> None:
    data = pickle.dumps(message)
    pipe.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
    pipe.flush()


def _receive(pipe: BinaryIO | Any) -> Any:
    header = pipe.read(_LENGTH_BYTES)
    if len(header) < _LENGTH_BYTES:
        raise EOFError
    size = int.from_bytes(header, "big")
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)
