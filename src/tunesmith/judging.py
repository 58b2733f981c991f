"""Who judges two files or systems: the judge's requests over the engine that also asks the teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith.compare.judged import judge_summary
from tunesmith.compare.labels import parse_label
from tunesmith.evaluation import read_two_systems
from tunesmith.records import Judgement
from tunesmith.score.judge import JudgeEndpoint, JudgeOptions, judge_pairs, pairwise_cost
from tunesmith.score.judging.asking import Asker, Reply, Request
from tunesmith.score.judging.pairs import Pair, build_pairs
from tunesmith.score.predictions import check_references
from tunesmith.synthesize.client import Unanswered
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
            for _, reply in replies:
                yield _read(reply)

    def _sent(self, request: Request) -> Sent:
        body = {"model": self.name, "messages": list(request.messages), **request.options}
        return Sent(make_request(self._connection.client.options.url, body, request.schema))


def _read(reply: Answered | Unanswered) -> Reply:
    if isinstance(reply, Unanswered):
        return Reply("", trouble=reply.reason)
    if reply.outcome == "rejected":
        return Reply("", trouble=f"the server turned the request down: {reply.text}")
    return Reply(reply.text, is_cut=reply.finish_reason == "length")


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


def judgements_of(pairs: Sequence[Pair], options: JudgeOptions, journal: Path) -> Iterator[Judgement]:
    """Everything the judge says about the pairs, with its controls; `journal` is made for a server only.

    Raises:
        InputError: the judge gives no verdict, or the built-in judge lacks a reference.
        MissingError: the server or its key is not there.
    """
    if options.endpoint is None:
        yield from _judgements(pairs, options, None)
        return
    with open_asker(options.endpoint, journal) as asker:
        yield from _judgements(pairs, options, asker)


def _judgements(pairs: Sequence[Pair], options: JudgeOptions, asker: Asker | None) -> Iterator[Judgement]:
    return judge_pairs(pairs, options, asker=asker, read_label=parse_label)


def judge_files(
    base: Path,
    tuned: Path,
    options: JudgeOptions,
    *,
    journal: Path,
    columns: Mapping[str, str] | None = None,
    announce: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """What a judge says of two files of predictions for the same items, joined by id.

    Args:
        base: predictions; the systems are called as in `evaluation.compare_files`.
        tuned: the other system's, with the same references and prompts.
        options: mode `pairwise`.
        journal: file that keeps a server's replies, so that the same judging sends nothing again.
        columns: our column name to the files'.
        announce: hears the cost before anything is asked.

    Returns:
        What `compare.judged.judge_summary` returns, and `cost` {requests, most_requests, prompt_characters}, of JSON
        types.

    Raises:
        InputError: a file cannot be used, the items differ, or the judge gives no verdict.
        MissingError: the judge's server or its key is not there.
    """
    names, of_base, of_tuned = read_two_systems(base, tuned, columns)
    if options.judge == "builtin":
        check_references(base, of_base, columns=columns)
    pairs = build_pairs([*of_base, *of_tuned], *names)
    cost = asdict(pairwise_cost(pairs, options))
    if announce is not None:
        announce(cost)
    judgements = list(judgements_of(pairs, options, journal))
    return judge_summary(judgements, contestants=dict(zip(("base", "tuned system"), names, strict=True))) | {
        "cost": cost
    }
