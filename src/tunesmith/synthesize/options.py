"""What `synthesize` can be told. `stage.py` hands these names on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tunesmith import plugins
from tunesmith.endpoints import address_of, base_address
from tunesmith.models.load import ComputeOptions
from tunesmith.options import Options
from tunesmith.spending import Budget, Prices, check_budget
from tunesmith.synthesize.asks import FORMS
from tunesmith.synthesize.checks import ALL_CHECKS, DEFAULT_CHECKS, MODEL_CHECKS

BUILTIN = "builtin"
CheckName = str
WrittenKind = Literal[
    "question_answer", "summary", "instruction", "classification", "dialogue", "segmentation", "paraphrase"
]
RULE_KINDS = ("question_answer", "summary")
"""What the built-in teacher writes."""


class TeacherOptions(Options):
    url: str = Field(
        description="base address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1"
    )
    model: str | None = Field(
        None, description="name of the model there; may be left out where only one is served"
    )
    api_key_env: str | None = Field(
        None,
        description="name of the environment variable that holds the key; the key itself is never written anywhere",
    )
    temperature: float | None = Field(
        0.3, ge=0, le=2, description="sampling temperature; null leaves it to the server"
    )
    max_tokens: int = Field(
        1024, ge=16, description="longest reply in tokens; a reply cut there is never mended"
    )
    seed: int | None = Field(None, description="sampling seed sent with each request; null sends none")
    structured: Literal["json_schema", "json_object", "off"] = Field(
        "json_schema",
        description="how a JSON reply is asked for; a server that refuses one form is asked in the next",
    )
    concurrency: int = Field(
        8, ge=1, le=512, description="most requests in flight; fewer while the server says 429"
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="most requests in a minute, at even distances, repeated ones counted; null: no limit",
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="most tokens of prompts and replies in a minute; null: no limit"
    )
    timeout_s: float = Field(120.0, gt=0, description="seconds to wait for one reply")
    tries: int = Field(
        6, ge=1, description="times one request is sent before its item is refused (429, 5xx, network)"
    )
    give_up_after: int = Field(
        10,
        ge=1,
        description="requests in a row without a reply after all their tries that stop the run; it can go on later",
    )
    longer_once: bool = Field(
        True,
        description="whether a reply that was cut at max_tokens is asked for once more, with twice as many",
    )
    prices: Prices | None = Field(None, description="what a million tokens cost, {input: …, output: …}")
    budget: Budget | None = Field(
        None,
        description="most that all runs of this folder may spend: {money: …, requests: …, hours: …, then: stop}",
    )

    @model_validator(mode="after")
    def _can_be_counted(self) -> TeacherOptions:
        check_budget(self.budget, self.prices)
        return self

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return base_address(url)


class LocalTeacher(ComputeOptions):
    """A causal model in this process."""

    local: str = Field(description="builtin, a model folder, or a hub id")
    max_tokens: int = Field(
        1024, ge=16, description="longest reply in tokens; a reply cut there is never mended"
    )
    longer_once: bool = Field(
        True,
        description="whether a reply that was cut at max_tokens is written once more, with twice as many",
    )
    temperature: float = Field(
        0.3, ge=0, le=2, description="sampling temperature; 0 takes the likeliest token each time"
    )
    seed: int = Field(0, ge=0, description="seed of the draws, for each request its own")
    batch_size: int = Field(
        8, ge=1, description="requests answered at once; halved when memory does not hold so many"
    )
    budget: Budget | None = Field(
        None, description="most that all runs of this folder may take: {requests: …, hours: …, then: stop}"
    )

    @property
    def model_name(self) -> str:
        """A folder by its last name, so that a model may be moved."""
        return Path(self.local).name if Path(self.local).expanduser().exists() else self.local

    @model_validator(mode="after")
    def _seed_has_an_effect(self) -> LocalTeacher:
        if self.temperature == 0 and self.seed != 0:
            raise ValueError("seed has no effect at temperature: 0")
        return self

    @model_validator(mode="after")
    def _costs_no_money(self) -> LocalTeacher:
        if self.budget is not None and self.budget.money is not None:
            raise ValueError("budget.money has no effect on a model in this process: limit requests or hours")
        return self


class AddedTeacher(Options):
    """A teacher that another package brings, under the entry point group `tunesmith.teacher`."""

    name: str = Field(description="what its entry point is called")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="whatever that teacher can be told; handed to it as it is"
    )


def _kind_of_teacher(teacher: Any) -> str:
    if isinstance(teacher, AddedTeacher) or (isinstance(teacher, dict) and "name" in teacher):
        return "an added teacher"
    if isinstance(teacher, LocalTeacher) or (isinstance(teacher, dict) and "local" in teacher):
        return "a local model"
    return "a server" if isinstance(teacher, TeacherOptions | dict) else "a word"


class SynthesizeOptions(Options):
    # told apart by what was written, so that a mistake in one kind is not reported for the others too
    teacher: Annotated[
        Annotated[str, Tag("a word")]
        | Annotated[TeacherOptions, Tag("a server")]
        | Annotated[LocalTeacher, Tag("a local model")]
        | Annotated[AddedTeacher, Tag("an added teacher")],
        Discriminator(_kind_of_teacher),
    ] = Field(
        BUILTIN,
        description="who writes the examples: builtin (rules, no model), ollama/NAME, a server's address, {url, model, "
        "…}, {local: MODEL, …}, or the name of a teacher from another package",
    )
    kinds: tuple[WrittenKind, ...] = Field(
        ("question_answer",), description="what to write about each passage", min_length=1
    )
    per_chunk: int = Field(8, ge=1, description="most examples of each kind from one chunk")
    calls: Literal[1, 2] = Field(
        1,
        description="question_answer: 1 asks for pairs, 2 for questions first and for each answer by itself",
    )
    segment: bool = Field(
        False,
        description="whether the teacher first splits each passage into paragraphs, which then are the passages; a "
        "passage whose words it changes stays whole",
    )
    unanswerable: float = Field(
        0.0, ge=0, lt=1, description="share of the kept questions that their passage does not answer"
    )
    unanswerable_answer: str = Field(
        "The passage does not say.", min_length=1, description="what the student should answer to those"
    )
    labels: tuple[str, ...] = Field((), description="classification: the labels, each written equally often")
    turns: int = Field(3, ge=1, description="dialogue: questions in one conversation, each with its answer")
    checks: tuple[CheckName, ...] = Field(
        DEFAULT_CHECKS,
        description="checks each example has to pass, in this order; what they refuse is kept with the reason",
    )
    near_duplicate: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of 5-character pieces from which two prompts (or answers) are the same",
    )
    semantic_duplicate: float = Field(
        0.95,
        gt=0,
        le=1,
        description="cosine of two prompts from which semantic_duplicate takes them for the same",
    )
    opener_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="largest share of kept prompts with the same three first words, for opener",
    )
    max_question_words: int = Field(60, ge=3, description="longest question, in words")
    max_answer_words: int = Field(120, ge=1, description="longest answer or summary, in words")
    max_response_words: int = Field(
        600, ge=1, description="longest response of an instruction, a dialogue or a scenario, in words"
    )
    prompts: dict[str, str] = Field(
        {},
        description="Jinja files in place of the built-in prompts, {NAME: file}, relative to the plan; `tunesmith "
        "prompts FOLDER` writes the built-in ones",
    )
    judge: (
        Annotated[
            Annotated[str, Tag("a word")]
            | Annotated[TeacherOptions, Tag("a server")]
            | Annotated[LocalTeacher, Tag("a local model")],
            Discriminator(_kind_of_teacher),
        ]
        | None
    ) = Field(
        None,
        description="who answers for the checks judge and round_trip, as teacher; null: the teacher itself",
    )

    @field_validator("teacher", mode="after")
    @classmethod
    def _is_known(
        cls, teacher: str | TeacherOptions | LocalTeacher | AddedTeacher
    ) -> str | TeacherOptions | LocalTeacher | AddedTeacher:
        if isinstance(teacher, TeacherOptions | LocalTeacher):
            return teacher
        name = teacher if isinstance(teacher, str) else teacher.name
        if isinstance(teacher, str) and (name == BUILTIN or address_of(name) is not None):
            return teacher
        added = plugins.names("teacher", {})
        if name not in added:
            there = f", and the installed packages bring {', '.join(added)}" if added else ""
            raise ValueError(
                f"{name!r} is no teacher: say builtin, ollama/NAME, a server's http address, {{url, model}} or "
                f"{{local: MODEL}}{there}"
            )
        return teacher

    @field_validator("checks")
    @classmethod
    def _are_checks(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in checks if name not in ALL_CHECKS]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: no such check; there are {', '.join(ALL_CHECKS)}")
        return checks

    @field_validator("prompts")
    @classmethod
    def _are_asks(cls, prompts: dict[str, str]) -> dict[str, str]:
        wrong = [name for name in prompts if name not in FORMS]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: no such prompt; there are {', '.join(FORMS)}")
        return prompts

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> SynthesizeOptions:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if "classification" in self.kinds:
            if len(set(self.labels)) < 2:
                yield "classification needs labels, at least two different ones"
        elif self.labels:
            yield "labels have no effect without the kind classification"
        if "dialogue" not in self.kinds and self.turns != 3:
            yield "turns have no effect without the kind dialogue"
        if "question_answer" not in self.kinds:
            if self.calls == 2:
                yield "calls: 2 has no effect without the kind question_answer"
            if self.unanswerable:
                yield "unanswerable has no effect without the kind question_answer"
        asking = [name for name in self.checks if name in MODEL_CHECKS]
        if self.judge is not None and not asking:
            yield f"judge has no effect without the check {' or '.join(MODEL_CHECKS)}"
        if isinstance(self.judge, str) and self.judge_endpoint is None:
            known = "ollama/NAME, a server's http address, {url, model} or {local: MODEL}"
            yield f"judge: {self.judge!r} is no model: say {known}"
        if asking and self.judge is None and not self.is_model:
            yield f"{', '.join(asking)} needs a model: name one with teacher or judge"
        if self.teacher == BUILTIN:
            yield from self._asks_too_much_of_rules()

    def _asks_too_much_of_rules(self) -> Iterator[str]:
        unknown = [kind for kind in self.kinds if kind not in RULE_KINDS]
        if unknown:
            yield f"the built-in teacher does not write {', '.join(unknown)}; name a model with teacher"
        for name, default in (("calls", 1), ("segment", False), ("prompts", {})):
            if getattr(self, name) != default and not (name == "prompts" and self.judge is not None):
                yield f"{name} has no effect with the built-in teacher"

    @property
    def endpoint(self) -> TeacherOptions | None:
        """The server to ask, or `None` for a teacher of another kind."""
        return _server(self.teacher)

    @property
    def local(self) -> LocalTeacher | None:
        """The model in this process, or `None`."""
        return self.teacher if isinstance(self.teacher, LocalTeacher) else None

    @property
    def added(self) -> AddedTeacher | None:
        """The teacher of another package, or `None`."""
        if isinstance(self.teacher, AddedTeacher):
            return self.teacher
        is_added = isinstance(self.teacher, str) and self.teacher != BUILTIN and self.endpoint is None
        return AddedTeacher(name=str(self.teacher)) if is_added else None

    @property
    def is_model(self) -> bool:
        """Whether the teacher is a model that can be asked anything."""
        return self.endpoint is not None or self.local is not None

    @property
    def judge_endpoint(self) -> TeacherOptions | None:
        """The server that answers for the checks, or `None` where it is none."""
        return _server(self.judge)

    @property
    def asks_model(self) -> bool:
        """Whether a check asks a model."""
        return any(name in MODEL_CHECKS for name in self.checks)

    @property
    def teacher_name(self) -> str:
        """What reports call the teacher; never holds a key."""
        endpoint, added = self.endpoint, self.added
        if endpoint is not None:
            return f"{endpoint.model or 'the served model'} at {endpoint.url}"
        if self.local is not None:
            return f"{self.local.model_name} in this process"
        return BUILTIN if added is None else added.name

    def files(self, root: Path) -> list[Path]:
        """The user's files that the result depends on besides the options."""
        return [root / path for path in self.prompts.values()]


def _server(teacher: object) -> TeacherOptions | None:
    """The server that a teacher or judge names, or `None` where it is no server."""
    if isinstance(teacher, TeacherOptions):
        return teacher
    address = address_of(teacher) if isinstance(teacher, str) else None
    return None if address is None else TeacherOptions.model_validate(address)
