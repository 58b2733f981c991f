"""A model in this process as judge, with the journal that a server's replies have: a killed judging goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.score.judge import JudgeModel, open_local_asker
from tunesmith.score.judging.asking import Asker, Reply, Request
from tunesmith.synthesize.journal import Journal
from tunesmith.synthesize.journal import Reply as Kept
from tunesmith.synthesize.request import Request as Message
from tunesmith.synthesize.request import make_request


class RememberingAsker:
    """Asks only what the journal does not hold. `remembered` makes one."""

    def __init__(self, asker: Asker, address: str, journal: Journal) -> None:
        self._asker = asker
        self._address = address
        self._journal = journal
        self.name = asker.name

    def ask(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """One reply for each request, in order. What cannot be asked (a prompt too long) is not kept."""
        for request in requests:
            message = self._message(request)
            kept = self._journal.get(message.key)
            if kept is None:
                started = time.monotonic()
                (reply,) = self._asker.ask([request])
                if reply.trouble is not None:
                    yield reply
                    continue
                kept = self._keep(message, reply, time.monotonic() - started)
            yield _read(kept)

    def _message(self, request: Request) -> Message:
        # the schema is what the model chooses from, so that it belongs to the question
        schema = json.dumps(request.schema, sort_keys=True)
        body = {"messages": list(request.messages), "schema": schema, **request.options}
        return make_request(self._address, body, request.schema, request.menu)

    def _keep(self, message: Message, reply: Reply, seconds: float) -> Kept:
        logs = None
        if reply.chances is not None:
            # the smallest number stands for 0, which has no logarithm
            logs = {word: math.log(max(chance, 5e-324)) for word, chance in reply.chances.items()}
        kept = Kept("answered", reply.text, "length" if reply.is_cut else "stop", first_tokens=logs)
        self._journal.count_attempt(message.key, "200", seconds, kept)
        self._journal.put(message, self.name, self._address, kept)
        return kept


def _read(kept: Kept) -> Reply:
    """Also of what was just said, so that it is the same to the last digit when it comes from the journal."""
    told = kept.first_tokens
    chances = None if told is None else {word: math.exp(log) for word, log in told.items()}
    return Reply(kept.text, is_cut=kept.finish_reason == "length", chances=chances)


@contextmanager
def remembered(model: JudgeModel, journal: Path) -> Iterator[RememberingAsker]:
    """A local judge; its weights are loaded when the first request is not in the journal.

    Raises:
        MissingError, InputError: the model is not there or is no good.
    """
    from tunesmith.tasks.writing import Writer

    # of the weights, the template and the precision: another model in the same folder is asked anew
    address = f"local:{Writer(model.local, model, 1).identity}"
    kept = Journal(journal)
    try:
        yield RememberingAsker(open_local_asker(model), address, kept)
    finally:
        kept.close()
