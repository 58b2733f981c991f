"""A transformers model in this process as teacher, with the same journal as a server's replies."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from tunesmith.records import Refused
from tunesmith.synthesize.budget import Ledger, Outlay, Unanswered
from tunesmith.synthesize.engine import Sent
from tunesmith.synthesize.journal import Journal, Reply
from tunesmith.synthesize.options import LocalTeacher
from tunesmith.synthesize.request import Request, longer
from tunesmith.synthesize.troubles import spent
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
        self._ledger = Ledger(options.budget, None, journal.usage())
        self._started_at = time.time()
        self.model = options.model_name
        self.address = _address(writer)

    @property
    def outlay(self) -> Outlay:
        return self._ledger.outlay

    def ordered(self, items: Iterable[Sent]) -> Generator[tuple[Sent, Reply | Unanswered]]:
        """Each item with its reply, in order.

        Raises:
            InputError: memory does not hold one request.
            TunesmithError: the budget is spent, and the run is to stop.
        """
        waiting = iter(items)
        while window := list(islice(waiting, WINDOW * self._options.batch_size)):
            missing = {item.request.key: item.request for item in window if self._kept(item.request) is None}
            # Before they are sorted by length, so that it is the last ones that are left out.
            self._answer(list(missing.values())[: self._ledger.requests_left])
            for item in window:
                yield item, self._kept(item.request) or self._unasked()

    def _unasked(self) -> Unanswered:
        """Raises `TunesmithError` unless the run goes on with what there is."""
        budget = self._options.budget
        if budget is not None and budget.then == "stop":
            raise spent("synthesize.teacher", self._ledger.in_words())
        return self._ledger.unasked()

    def _kept(self, request: Request) -> Reply | None:
        kept = self._journal.get(request.key)
        if kept is None or kept.finish_reason != "length" or not self._options.longer_once:
            return kept
        more = self._journal.get(longer(self.address, request).key)
        return kept if more is not None and more.outcome == "rejected" else more

    def _answer(self, requests: list[Request]) -> None:
        """Writes the replies to the journal; what was cut is written again with twice the room."""
        # What is known already was cut in an earlier run, which did not come to the longer one.
        cut = [request for request in requests if self._journal.get(request.key) is not None]
        known = {request.key for request in cut}
        cut += self._write([request for request in requests if request.key not in known])
        if self._options.longer_once:
            self._write([longer(self.address, request) for request in cut])

    def _write(self, requests: list[Request]) -> list[Request]:
        """Answers in batches of like lengths, the longest first, so that memory runs out at once or never. A spent
        budget ends it before a batch.

        Returns:
            The requests whose replies were cut.
        """
        prompts: list[tuple[Rendered, Request]] = []
        for request in requests:
            prompt = self._writer.prompt(request.key, _message(request), room=request.max_tokens)
            if not isinstance(prompt, Refused):
                prompts.append((prompt, request))
            elif self._ledger.reserve(request) == "sent":
                self._keep(request, Reply("rejected", prompt.reason), 0.0)
        prompts.sort(key=lambda one: (-one[1].max_tokens, -len(one[0].input_ids), one[1].key))
        cut = []
        while prompts:
            size = self._writer.batch_size
            batch = [one for one in prompts[:size] if self._ledger.reserve(one[1]) == "sent"]
            prompts = prompts[size:] if len(batch) == len(prompts[:size]) else []
            if not batch:
                break
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
            self._journal.count_seconds(self._started_at, self._ledger.seconds)
        return cut

    def _keep(self, request: Request, reply: Reply, seconds: float) -> None:
        self._ledger.settle(request, reply)
        self._journal.count_attempt(request.key, "200", seconds, reply)
        self._journal.put(request, self.model, self.address, reply)


def address_of_local(options: LocalTeacher) -> str:
    """What names the model in the keys of requests; neither loaded nor asked. Raises as `open_local` does."""
    return _address(Writer(options.local, options, options.batch_size))


def _address(writer: Writer) -> str:
    return f"local:{writer.identity}"


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
