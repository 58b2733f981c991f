"""What `prepare` can be told. `stage.py` hands these names on."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tunesmith.options import Options
from tunesmith.prepare.formats import ROLES, FormatName
from tunesmith.prepare.leaks import LeakRule

DEFAULT_TEST, DEFAULT_VALIDATION = 0.2, 0.1


class SplitOptions(Options):
    by: str = Field(
        "source",
        min_length=1,
        description="what stays together: source (a whole document), passage (for a single document), or the name of"
        " an attribute or column, such as product",
    )
    stratify: str | None = Field(
        None,
        description="keep the shares of this alike in all parts: label (the answer), or the name of an attribute",
    )
    test: float = Field(
        DEFAULT_TEST, gt=0, lt=1, description="share of the examples to test on, where no test data is given"
    )
    validation: float = Field(
        DEFAULT_VALIDATION,
        ge=0,
        lt=1,
        description="share of the examples to validate on while training, where no validation data is given",
    )
    seed: int = Field(0, description="another seed, another split")

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> SplitOptions:
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test ({self.test}) and validation ({self.validation}) leave nothing to train on"
            )
        return self


class DataOptions(Options):
    """One set of finished rows."""

    path: str = Field(
        description="a table file (JSONL, JSON, CSV, TSV, XLSX, Parquet), a folder of them, a pattern, or a hub id"
    )
    format: FormatName | None = Field(
        None, description="what the rows look like; null: recognised, and shown"
    )
    columns: dict[str, str] = Field(
        default={},
        description="our name to the file's, such as {prompt: question, completion: answer}; a.b looks into an object",
    )
    instruction: str | None = Field(
        None, description="words put before each row's text, for rows that bring none of their own"
    )
    labels: dict[str, str] = Field(
        default={}, description="what a label stands for, such as {0: negative, 1: positive}"
    )
    attributes: tuple[str, ...] = Field(
        (), description="columns to keep with each row, for splits and tables"
    )
    turns: Literal["last", "each"] = Field(
        "last",
        description="of a conversation: a row for the last answer, or for each; earlier turns stand in the prompt",
    )
    subset: str | None = Field(
        None, description="which configuration of a hub data set; null: its only or default one"
    )
    take: Literal["train", "validation", "test"] | None = Field(
        None,
        description="use only this part of a set that comes in parts, as if it came in none; null: all parts",
    )
    license: str | None = Field(None, description="licence of these rows, for the data set card")
    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="mix in so many rows that they are this part of the training set; null: use all rows",
    )
    seed: int = Field(0, description="draws the rows that are mixed in")
    repeat: bool = Field(False, description="use rows more than once where there are too few for the share")
    validation: bool = Field(
        False, description="mix the same share into the validation set too; never into test"
    )

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_path(cls, value: Any) -> Any:
        """A path alone; `data` is another name for `path`."""
        if isinstance(value, str):
            return {"path": value}
        if isinstance(value, dict) and "data" in value and "path" not in value:
            return {"path": value["data"], **{key: part for key, part in value.items() if key != "data"}}
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _keys_are_texts(cls, labels: Any) -> Any:
        return {str(key): part for key, part in labels.items()} if isinstance(labels, dict) else labels

    @field_validator("columns")
    @classmethod
    def _roles_exist(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(columns) - ROLES)
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)}: not one of our names; there are: {', '.join(sorted(ROLES))}"
            )
        return columns

    @model_validator(mode="after")
    def _has_effect(self) -> DataOptions:
        if self.share is None:
            idle = [name for name in ("repeat", "validation", "seed") if name in self._changed()]
            if idle:
                raise ValueError(f"{', '.join(idle)}: without share there is nothing to mix in")
        return self

    def _changed(self) -> set[str]:
        fields = type(self).model_fields
        return {name for name in self.model_fields_set if getattr(self, name) != fields[name].default}

    @property
    def name(self) -> str:
        """What the set is called in messages, reports and ids: the path without its folders, or the hub id."""
        return self.path.rstrip("/")


class PrepareOptions(Options):
    data: tuple[DataOptions, ...] = Field(
        (),
        description="finished rows to start from, in place of read and synthesize: a path, or a list of sets",
    )
    test_data: tuple[DataOptions, ...] = Field(
        (), description="rows to test on, where they are a set of their own"
    )
    validation_data: tuple[DataOptions, ...] = Field(
        (), description="rows to validate on, where they are a set of their own"
    )
    mix: tuple[DataOptions, ...] = Field(
        (), description="sets to mix into training by share, such as [{data: general.jsonl, share: 0.3}]"
    )
    licenses: str | dict[str, str] | None = Field(
        None,
        description="licence of the documents, for the data set card: one for all, or {pattern of names: licence, …}",
    )
    subsets: tuple[float, ...] = Field(
        (),
        description="shares of the training set to write as files too, each inside the larger ones: [0.01, 0.1]",
    )
    bad_rows: float = Field(
        0.1, ge=0, le=1, description="largest share of a set's rows that may be unusable before the run stops"
    )
    duplicates: Literal["refuse", "keep"] = Field(
        "refuse",
        description="what is done with a row of finished data whose prompt and answer stood there before",
    )
    context: Literal["passage", "none"] = Field(
        "passage",
        description="passage: the student is shown the passage (open book); none: the question only (closed book)",
    )
    split: SplitOptions = Field(default=SplitOptions(), description="how rows are held out")
    leaks: Literal["stop", "drop", "allow"] = Field(
        "stop",
        description="a held-out example that was seen in training: stop the run, drop the training row, or allow it",
    )
    allow_leaks: tuple[LeakRule, ...] = Field(
        (),
        description="kinds of leaks that are known and accepted: counted and reported, nothing is stopped or dropped",
    )
    leak_words: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of one of two rows that runs of 13 common words hold where they are a leak; 0: one run is "
        "enough, however long the rows are",
    )
    leak_meaning: int = Field(
        5000,
        ge=0,
        description="most rows whose meaning is compared too (a pass of the sentence encoder over each row); 0: never",
    )

    @field_validator("data", "test_data", "validation_data", "mix", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict | DataOptions) else value

    @field_validator("subsets")
    @classmethod
    def _are_shares(cls, subsets: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [share for share in subsets if not 0 < share <= 1]
        if wrong:
            raise ValueError(
                f"{', '.join(map(str, wrong))}: a subset is a share of the training set, above 0, up to 1"
            )
        return subsets

    @model_validator(mode="after")
    def _data_fits_together(self) -> PrepareOptions:
        if self.data and all(source.share is not None for source in self.data):
            raise ValueError("data: every set has a share, so there is nothing for them to be a share of")
        for name, sources in (("test_data", self.test_data), ("validation_data", self.validation_data)):
            if sources and not self.data:
                raise ValueError(f"{name} goes with data: rows made from documents are split here")
            if any(source.share is not None for source in sources):
                raise ValueError(f"{name}: a share mixes into training only")
        without = [source.path for source in self.mix if source.share is None]
        if without:
            raise ValueError(f"mix: {', '.join(without)} has no share of the training set")
        if self.allow_leaks and self.leaks == "allow":
            raise ValueError("allow_leaks has no effect: leaks: allow accepts every kind")
        total = sum(source.share or 0 for source in self.mixed)
        if total >= 1:
            raise ValueError(f"mix: the shares add up to {total:g} and leave nothing of your own rows")
        for name, given, default in (
            ("test", self.test_data, DEFAULT_TEST),
            ("validation", self.validation_data, DEFAULT_VALIDATION),
        ):
            if given and getattr(self.split, name) != default:
                raise ValueError(f"split.{name} has no effect: {name}_data says what it is")
        return self

    @property
    def own(self) -> tuple[DataOptions, ...]:
        """The sets that are used whole."""
        return tuple(source for source in self.data if source.share is None)

    @property
    def mixed(self) -> tuple[DataOptions, ...]:
        """The sets of which a share is mixed in."""
        return (*(source for source in self.data if source.share is not None), *self.mix)


FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)
