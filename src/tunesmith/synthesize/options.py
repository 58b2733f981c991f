"""What `synthesize` can be told. `stage.py` hands these names on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tunesmith import plugins
from tunesmith.endpoints import address_of, base_address
from tunesmith.models.load import ComputeOptions
from tunesmith.options import Options
from tunesmith.spending import Budget, Prices, check_budget
from tunesmith.synthesize.checks import CHECKS

BUILTIN = "builtin"
CheckName = str
WrittenKind = Literal["question_answer", "summary"]


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

    @property
    def model_name(self) -> str:
        """A folder by its last name, so that a model may be moved."""
        return Path(self.local).name if Path(self.local).expanduser().exists() else self.local

    @model_validator(mode="after")
    def _seed_has_an_effect(self) -> LocalTeacher:
        if self.temperature == 0 and self.seed != 0:
            raise ValueError("seed has no effect at temperature: 0")
        return self


class AddedTeacher(Options):
    """A teacher that another package brings, under the entry point group `tunesmith.teacher`."""

    name: str = Field(description="what its entry point is called")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="whatever that teacher can be told; handed to it as it is"
    )


def _kind_of_teacher(teacher: Any) -> str:
    if isinstance(teacher, AddedTeacher) or (isinstance(teacher, dict) and "name" in teacher):
        return "added"
    if isinstance(teacher, LocalTeacher) or (isinstance(teacher, dict) and "local" in teacher):
        return "local"
    return "server" if isinstance(teacher, TeacherOptions | dict) else "word"


class SynthesizeOptions(Options):
    # told apart by what was written, so that a mistake in one kind is not reported for the others too
    teacher: Annotated[
        Annotated[str, Tag("word")]
        | Annotated[TeacherOptions, Tag("server")]
        | Annotated[LocalTeacher, Tag("local")]
        | Annotated[AddedTeacher, Tag("added")],
        Discriminator(_kind_of_teacher),
    ] = Field(
        BUILTIN,
        description="who writes the examples: builtin (rules, no model), ollama/NAME, a server's address, {url, model, "
        "…}, {local: MODEL, …}, or the name of a teacher from another package",
    )
    kinds: tuple[WrittenKind, ...] = Field(("question_answer",), description="what to write", min_length=1)
    per_chunk: int = Field(8, ge=1, description="most examples of each kind from one chunk")
    checks: tuple[CheckName, ...] = Field(
        tuple(CHECKS),
        description="checks each example has to pass, in this order; what they refuse is kept with the reason",
    )
    near_duplicate: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of 5-character pieces from which two prompts (or answers) are the same",
    )
    max_question_words: int = Field(60, ge=3, description="longest question, in words")
    max_answer_words: int = Field(120, ge=1, description="longest answer, in words")
    prompt: str | None = Field(
        None,
        description="Jinja file in place of the built-in prompt for a model teacher, relative to the plan",
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
        wrong = [name for name in checks if name not in CHECKS]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: no such check; there are {', '.join(CHECKS)}")
        return checks

    @property
    def endpoint(self) -> TeacherOptions | None:
        """The server to ask, or `None` for a teacher of another kind."""
        if isinstance(self.teacher, TeacherOptions):
            return self.teacher
        if not isinstance(self.teacher, str):
            return None
        address = address_of(self.teacher)
        return None if address is None else TeacherOptions.model_validate(address)

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
        return [] if self.prompt is None else [root / self.prompt]
