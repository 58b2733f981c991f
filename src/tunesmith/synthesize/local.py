"""A transformers model in this process as teacher, with the same journal as a server's replies."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from tunesmith.records import Refused
from tunesmith.synthesize.budget import Outlay
from tunesmith.synthesize.client import Unanswered
from tunesmith.synthesize.engine import Sent
from tunesmith.synthesize.journal import Journal, Reply
from tunesmith.synthesize.options import LocalTeacher
from tunesmith.synthesize.request import Request, longer
from tunesmith.tasks.base import Rendered
from tunesmith.tasks.writing import Writer

WINDOW = 16
"""Batches whose requests are sorted by length together: of like length, so that little is padding, and given out in
order, so that a run that is stopped has lost little of its order."""


class LocalAnswerer:
    """`open_local` makes one."""

    def __init__(self, options: LocalTeacher, writer: Writer, journal: Journal) -> None:
        self._options = options
        self._writer = writer
        self._journal = journal
        self._n_before = journal.usage().requests
        self._n_written = 0
        self._seconds = journal.usage().seconds
        self.model = options.model_name
        self.address = f"local:{writer.identity}"

    @property
    def outlay(self) -> Outlay:
        return Outlay(self._n_before + self._n_written, None, self._seconds / 3600)

    def ordered(self, items: Iterable[Sent]) -> Generator[tuple[Sent, Reply | Unanswered]]:
        """Each item with its reply, in order. Raises `InputError` where memory does not hold one request."""
        waiting = iter(items)
        while window := list(islice(waiting, WINDOW * self._options.batch_size)):
            missing = {item.request.key: item.request for item in window if self._kept(item.request) is None}
            self._answer(list(missing.values()))
            for item in window:
                reply = self._kept(item.request)
                assert reply is not None, "every request was answered"
                yield item, reply

    def _kept(self, request: Request) -> Reply | None:
        kept = self._journal.get(request.key)
        if kept is None or kept.finish_reason != "length" or not self._options.longer_once:
            return kept
        more = self._journal.get(longer(self.address, request).key)
        return kept if more is not None and more.outcome == "rejected" else more

    def _answer(self, requests: list[Request]) -> None:
        """Writes the replies to the journal; what was cut is written again with twice the room."""
        cut: list[Request] = []
        prompts: list[tuple[Rendered, Request]] = []
        for request in requests:
            known = self._journal.get(request.key)
            if known is not None:  # it was cut in an earlier run, which did not come to the longer one
                cut.append(request)
                continue
            prompt = self._writer.prompt(request.key, _message(request), room=request.max_tokens)
            if isinstance(prompt, Refused):
                self._keep(request, Reply("rejected", prompt.reason), 0.0)
            else:
                prompts.append((prompt, request))
        cut += self._write(prompts)
        if not self._options.longer_once:
            return
        again = []
        for request in cut:
            more = longer(self.address, request)
            prompt = self._writer.prompt(more.key, _message(more), room=more.max_tokens)
            if isinstance(prompt, Refused):
                self._keep(more, Reply("rejected", prompt.reason), 0.0)
            else:
                again.append((prompt, more))
        self._write(again)

    def _write(self, prompts: list[tuple[Rendered, Request]]) -> list[Request]:
        """Answers in batches of like lengths, the longest first, so that memory runs out at once or never.

        Returns:
            The requests whose replies were cut.
        """
        prompts = sorted(prompts, key=lambda one: (-one[1].max_tokens, -len(one[0].input_ids), one[1].key))
        cut = []
        while prompts:
            size = self._writer.batch_size
            batch, prompts = prompts[:size], prompts[size:]
            started = time.monotonic()
            texts = self._writer.write(
                [prompt for prompt, _ in batch],
                max_new_tokens=batch[0][1].max_tokens,
                temperature=self._options.temperature,
                seed=self._options.seed,
            )
            seconds = (time.monotonic() - started) / len(batch)
            for text, (_, request) in zip(texts, batch, strict=True):
                reason = "stop" if text.ended else "length"
                reply = Reply("answered", text.text, reason, text.n_prompt, text.n_new)
                self._keep(request, reply, seconds)
                if not text.ended:
                    cut.append(request)
        return cut

    def _keep(self, request: Request, reply: Reply, seconds: float) -> None:
        self._n_written += 1
        self._seconds += seconds
        self._journal.count_attempt(request.key, "200", seconds, reply)
        self._journal.put(request, self.model, self.address, reply)


def _message(request: Request) -> str:
    """Its messages as one: not every template knows a system turn."""
    messages = json.loads(request.text)["messages"]
    return "\n\n".join(message["content"] for message in messages)


@contextmanager
def open_local(options: LocalTeacher, journal: Path) -> Iterator[LocalAnswerer]:
    """The model ready to write; its weights are loaded when the first request is not in the journal.

    Raises:
        MissingError, InputError: the model is not there or is no good.
    """
    writer = Writer(options.local, options, options.batch_size)
    kept = Journal(journal)
    try:
        yield LocalAnswerer(options, writer, kept)
    finally:
        kept.close()
