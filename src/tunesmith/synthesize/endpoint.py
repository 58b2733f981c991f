"""The model as teacher: asks to requests, replies to examples. Who answers is `engine`'s or `local`'s business."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol

from tunesmith.models.load import is_at_hand
from tunesmith.records import Example, Refused
from tunesmith.synthesize.asks import FORMS
from tunesmith.synthesize.budget import Outlay, Unanswered
from tunesmith.synthesize.engine import Sent, connected, read_key
from tunesmith.synthesize.estimate import Estimate, estimate_items
from tunesmith.synthesize.journal import Journal, Reply, Usage, models_in
from tunesmith.synthesize.kinds import Source
from tunesmith.synthesize.options import LocalTeacher, SynthesizeOptions, TeacherOptions
from tunesmith.synthesize.prompts import Prompt, open_prompts
from tunesmith.synthesize.request import Request, make_request
from tunesmith.synthesize.writing import Asked, draft_asks, expected_asks, write_drafts


@dataclass(frozen=True, slots=True)
class Item(Generic[Asked]):
    """One request to be made, and what it asks."""

    ask: Asked
    request: Request


class Answerer(Protocol):
    """Who answers requests: a server, or a model in this process."""

    @property
    def model(self) -> str:
        """Its name, as examples and reports call it."""
        ...

    @property
    def address(self) -> str:
        """What names it in the keys of requests, so that no other's replies are taken for its own."""
        ...

    @property
    def outlay(self) -> Outlay: ...

    def ordered(self, items: Iterable[Sent]) -> Generator[tuple[Sent, Reply | Unanswered]]:
        """Each item with its reply, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a model is asked, whoever answers."""

    max_tokens: int
    temperature: float | None
    seed: int | None

    def body(self, model: str, messages: list[dict[str, str]]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": self.max_tokens}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        return body if self.seed is None else body | {"seed": self.seed}


class ModelTeacher:
    """A model that writes examples, and answers for the checks that ask one.

    Args:
        name: what messages call it before it has answered.
        manner: how it is asked.
        journal: file of its replies.
        connect: opens whoever answers.
        prompts: the words it is asked with, by form.
    """

    def __init__(
        self,
        name: str,
        manner: Manner,
        journal: Path,
        connect: Callable[[], AbstractContextManager[Answerer]],
        prompts: Mapping[str, Prompt],
    ) -> None:
        self.name = name
        self._manner = manner
        self._journal = journal
        self._connect = connect
        self._prompts = prompts
        self._answerer: Answerer | None = None
        self.n_replied = 0
        """Requests whose replies were read, of `n_items`."""
        self.n_unanswered = 0
        """Of them, those that had no reply after all tries: the next run asks again."""
        self.listener: Callable[[Item[Any], Reply | Unanswered], None] | None = None
        """Hears each reply before its examples are given out."""

    def usage(self) -> Usage:
        """Requests, replies and tokens in the journal so far."""
        journal = Journal(self._journal)
        try:
            return journal.usage()
        finally:
            journal.close()

    @property
    def outlay(self) -> Outlay | None:
        """What all runs of the journal came to so far; `None` before the first session."""
        return None if self._answerer is None else self._answerer.outlay

    def n_items(self, sources: Iterable[Source], options: SynthesizeOptions) -> int | None:
        """Requests that the sources take; `None` where that hangs on the replies."""
        asks_again = options.calls == 2 or options.segment or (options.asks_model and options.judge is None)
        return None if asks_again else sum(1 for _ in draft_asks(sources, options))

    def n_at_most(self, sources: Iterable[Source], options: SynthesizeOptions) -> int:
        """Requests that the sources may take, where that hangs on the replies."""
        return sum(1 for _ in expected_asks(sources, options))

    def write(self, sources: Iterable[Source], options: SynthesizeOptions) -> Iterator[Example | Refused]:
        """Drafts that nobody has checked yet. Raises what stops the whole run, as a session does."""
        with self.session() as model:
            yield from write_drafts(sources, model, options)

    @contextmanager
    def session(self) -> Generator[Session]:
        """The model, ready to answer. Raises `MissingError` or `TunesmithError` for what stops the whole run."""
        self.n_replied = self.n_unanswered = 0
        with self._connect() as answerer:
            self._answerer = answerer
            yield Session(self, answerer)

    def item(self, ask: Asked, address: str, model: str) -> Item[Asked]:
        """The request that puts an ask to the model of that name and address."""
        form = FORMS[ask.form]
        body = self._manner.body(model, self._prompts[ask.form].messages(ask.names))
        return Item(ask, make_request(address, body, form.schema))

    def heard(self, item: Item[Any], reply: Reply | Unanswered) -> None:
        self.n_replied += 1
        self.n_unanswered += isinstance(reply, Unanswered) and reply.tries > 0
        if self.listener is not None:
            self.listener(item, reply)


class Session:
    """A model teacher while whoever answers is there. `ModelTeacher.session` makes one."""

    def __init__(self, teacher: ModelTeacher, answerer: Answerer) -> None:
        self._teacher = teacher
        self._answerer = answerer

    @property
    def name(self) -> str:
        return self._answerer.model

    def ask(self, asks: Iterable[Asked]) -> Iterator[tuple[Asked, Reply | Unanswered]]:
        """Each ask with its reply, in order."""
        address, model = self._answerer.address, self._answerer.model
        items = (self._teacher.item(ask, address, model) for ask in asks)
        with closing(self._answerer.ordered(items)) as replies:
            for item, reply in replies:
                self._teacher.heard(item, reply)
                yield item.ask, reply


def open_endpoint_teacher(
    options: TeacherOptions, journal: Path, prompts: Mapping[str, Prompt]
) -> ModelTeacher:
    """Raises `MissingError` when the environment variable with the key is not set."""
    key = read_key(options.api_key_env)
    return ModelTeacher(
        options.model or options.url,
        _manner_of(options),
        journal,
        lambda: connected(options, journal, key),
        prompts,
    )


def open_local_teacher(options: LocalTeacher, journal: Path, prompts: Mapping[str, Prompt]) -> ModelTeacher:
    """A model in this process; its weights are loaded when the first request is not in the journal."""
    from tunesmith.synthesize.local import open_local

    return ModelTeacher(
        options.model_name,
        _manner_of(options),
        journal,
        lambda: open_local(options, journal),
        prompts,
    )


def _manner_of(options: TeacherOptions | LocalTeacher) -> Manner:
    return Manner(options.max_tokens, options.temperature, options.seed)


def estimate_model(
    options: TeacherOptions | LocalTeacher,
    asks: Iterable[tuple[Asked, int]],
    journal: Path,
    prompts: Mapping[str, Path],
) -> Estimate:
    """What the requests would come to. Nothing is sent, the key is not needed, and a model in this process is neither
    loaded nor fetched.

    Args:
        asks: what would be asked, each with the number of examples it may give. Those that hang on replies (answers to
            questions, checks by the teacher) are taken to be as many as they can be.

    Raises:
        MissingError: a prompt file, or the model in this process, is not there.
        InputError: a prompt is no good.
    """
    teacher = ModelTeacher("", _manner_of(options), journal, _nobody, open_prompts(prompts))
    if isinstance(options, LocalTeacher):
        from tunesmith.synthesize.local import address_of_local

        # Only the weights tell whether replies of an earlier run are this model's.
        is_known = journal.exists() and is_at_hand(options.local)
        address, model = address_of_local(options) if is_known else "local:", options.model_name
    else:
        # Where the plan leaves the model to the server, the journal knows which it was.
        models = [options.model] if options.model else models_in(journal, options.url)
        address, model = options.url, models[0] if len(models) == 1 else ""
    asked = ((teacher.item(ask, address, model).request, pieces) for ask, pieces in asks)
    if isinstance(options, LocalTeacher):
        return estimate_items(asked, journal, None, 1)  # a batch's time is shared out among its requests
    return estimate_items(
        asked,
        journal,
        options.prices,
        options.concurrency,
        requests_per_minute=options.requests_per_minute,
        tokens_per_minute=options.tokens_per_minute,
    )


def _nobody() -> AbstractContextManager[Answerer]:
    raise AssertionError("an estimate asks nobody")
