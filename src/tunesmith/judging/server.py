"""The judge's requests over the engine that also asks the teacher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith.score.judge import JudgeEndpoint
from tunesmith.score.judging.asking import Reply, Request, first_token_chances
from tunesmith.synthesize.budget import Unanswered
from tunesmith.synthesize.engine import Connection, connected, read_key
from tunesmith.synthesize.journal import Reply as Answered
from tunesmith.synthesize.options import TeacherOptions
from tunesmith.synthesize.request import Request as Message
from tunesmith.synthesize.request import make_request

OPTION = "judge.judge"
"""Where a plan says how to reach the judge; messages name it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of the judge as the server gets it."""

    request: Message


class ServerAsker:
    """Asks a server, a few requests ahead of the replies that are read. `open_asker` makes one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.name = connection.client.model

    def ask(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """One reply for each request, in order. Raises `TunesmithError` for what stops the judging."""
        # A judge that makes no sense is given up after a few replies: not many more may have been paid for.
        window = 2 * self._connection.client.options.concurrency
        with closing(self._connection.ordered(map(self._sent, requests), window)) as replies:
            for item, reply in replies:
                yield _read(item.request, reply)

    def _sent(self, request: Request) -> Sent:
        return sent(request, self._connection.client.options.url, self.name)


def sent(request: Request, url: str, model: str) -> Sent:
    """A request as the model at this address gets it."""
    body = {"model": model, "messages": list(request.messages), **request.options}
    return Sent(make_request(url, body, request.schema, request.menu))


def _read(request: Message, reply: Answered | Unanswered) -> Reply:
    if isinstance(reply, Unanswered):
        return Reply("", trouble=reply.reason)
    if reply.outcome == "rejected":
        return Reply("", trouble=f"the server turned the request down: {reply.text}")
    told = reply.first_tokens if request.menu else None
    chances = None if told is None else first_token_chances(request.menu, told)
    return Reply(reply.text, is_cut=reply.finish_reason == "length", chances=chances)


@contextmanager
def open_asker(endpoint: JudgeEndpoint, journal: Path) -> Iterator[ServerAsker]:
    """Whoever asks the judge's server; a request whose reply is in the journal is not sent.

    Raises:
        MissingError: the environment variable of the key is not set, the server does not answer, or it serves several
            models and none is named.
    """
    key = read_key(endpoint.api_key_env, OPTION)
    options = TeacherOptions.model_validate(endpoint.connection())
    with connected(options, journal, key, OPTION) as connection:
        yield ServerAsker(connection)
