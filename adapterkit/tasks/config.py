"""What a task is: the schema of ``task_configs/*.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapterkit.tasks.schemes import Scheme, split_tag

Kind = Literal["ner", "classification", "multilabel"]
Split = Literal["train", "dev", "test"]

METRICS: Mapping[str, tuple[str, ...]] = {
    "ner": ("strict_f1",),
    "classification": ("accuracy", "macro_f1", "micro_f1"),
    "multilabel": ("micro_f1", "example_f1", "macro_f1"),
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class SplitFiles(_Model):
    """The files of one split, relative to the data folder."""

    data: str
    """The examples."""
    documents: str | None = None
    """Document ids, one line an example; for NER files."""


class Columns(_Model):
    """Where in a row or line each thing stands."""

    token: int = 0
    """CoNLL files: column of the word."""
    tag: int = -1
    """CoNLL files: column of the tag; negative numbers count from the right."""
    tokens: str = "tokens"
    """JSON rows: the list of words."""
    tags: str = "tags"
    """JSON rows: the list of tags."""
    tag_ids: tuple[str, ...] = ()
    """JSON rows whose tags are numbers: the tag each number stands for, from 0."""
    text: str | Annotated[int, Field(ge=0)] = "text"
    """Text rows: key, column heading, or column number in a file without headings."""
    label: str | Annotated[int, Field(ge=0)] = "label"
    """Text rows: the label, or the list of labels."""
    label_separator: str = "|"
    """Delimited text rows: what stands between the labels of a multi-label task."""
    id: str | None = None
    """Key of the example's id, which must be unique in its split."""
    document: str | None = None
    """Key of the document's id."""
    document_separator: str | None = None
    """Where the document's id is the example's id up to the last such character."""


class HubSource(_Model):
    """Plain data files of a dataset repository at the Hugging Face Hub."""

    repository: str
    revision: str = "main"
    files: dict[Split, str]
    """Path of the JSON, JSONL or parquet file of each split."""
    columns: Columns = Columns()
    ignore_labels: tuple[str, ...] = ()
    """Labels there that mean "no label"."""
    join_documents: bool = False
    """Whether rows are sentences, to be joined to documents, with the union of their labels."""
    examples: dict[Split, int] = {}
    """Examples expected in each split."""
    note: str = ""
    """How the data there differ from the corpus as described."""


class Expected(_Model):
    """Counts of one split of the real corpus."""

    examples: int
    documents: int | None = None
    tokens: int | None = None
    labels: dict[str, int] = {}
    """NER: mentions of each type. Classification: examples of each class."""
    shared_documents: dict[Split, int] = {}
    """Documents that the corpus itself has in another split too: known, and no mistake of yours."""


class TaskConfig(_Model):
    """One task: what is learned, from which files, and how it is scored."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    title: str = ""
    kind: Kind
    labels: tuple[str, ...]
    """NER: entity types. Otherwise: classes. Their order is that of the head's outputs."""
    metric: str = ""
    """Which figure is the score; by default the first that METRICS lists for the kind."""
    negative_labels: tuple[str, ...] = ()
    """Classes that count as "nothing" and stay out of a classification task's micro-F1."""
    ignore_labels: tuple[str, ...] = ()
    """Labels of the files that this task reads as none, so that one corpus makes several tasks."""
    max_length: Annotated[int, Field(ge=8, le=8192)] = 256
    """Sub-words a window, special tokens included."""
    scheme: Scheme | Literal["auto"] = "auto"
    """Tagging scheme of the files; ``auto`` finds it out."""
    source: str = ""
    licence: str = ""
    citation: str = ""
    files: dict[Split, SplitFiles]
    columns: Columns = Columns()
    hub: HubSource | None = None
    """Where the hub holds the same corpus as plain data, if it does."""
    expected: dict[Split, Expected] = {}
    notes: tuple[str, ...] = ()
    corpus: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*)?$")] = ""
    """Name of the corpus's folder among the data; by default the task's."""
    data: Path | None = None
    """Folder of the files. In a user's own YAML relative to it, and by default its folder."""

    @property
    def tag_names(self) -> tuple[str, ...]:
        """Tags of a NER task in the order of the head's outputs: O, B-X, I-X, B-Y, ..."""
        if self.kind != "ner":
            raise ValueError(f"{self.name} is a {self.kind} task and has no tags")
        return ("O", *(f"{prefix}-{label}" for label in self.labels for prefix in "BI"))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the head's outputs: the tags of a NER task, the labels of any other."""
        return self.tag_names if self.kind == "ner" else self.labels

    @property
    def folder(self) -> str:
        """Name of the folder that holds the files, under the data's root or the samples."""
        return self.corpus or self.name

    @field_validator("files", mode="before")
    @classmethod
    def _accept_bare_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: {"data": v} if isinstance(v, str) else v for key, v in value.items()}

    @field_validator("labels")
    @classmethod
    def _labels_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one label is needed")
        if repeated := sorted({label for label in value if value.count(label) > 1}):
            raise ValueError(f"named twice: {', '.join(repeated)}")
        if odd := [label for label in value if not label or label != " ".join(label.split())]:
            raise ValueError(
                f"a label is empty or has white space around it or line breaks in it: {odd[0]!r}"
            )
        return value

    @field_validator("files")
    @classmethod
    def _some_split_is_named(cls, value: dict[Split, SplitFiles]) -> dict[Split, SplitFiles]:
        if not value:
            raise ValueError("at least one of train, dev, test is needed")
        return value

    @model_validator(mode="before")
    @classmethod
    def _choose_metric(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.get("metric") and value.get("kind") in METRICS:
            return {**value, "metric": METRICS[value["kind"]][0]}
        return value

    @model_validator(mode="after")
    def _parts_agree(self) -> TaskConfig:
        allowed = METRICS[self.kind]
        if self.metric not in allowed:
            raise ValueError(
                f"metric {self.metric!r} is none of a {self.kind} task's: {', '.join(allowed)}"
            )
        named = {
            "negative_labels": set(self.negative_labels),
            "expected": {label for split in self.expected.values() for label in split.labels},
            "columns.tag_ids": _tag_labels(self.columns),
            "hub.columns.tag_ids": _tag_labels(self.hub.columns) if self.hub else set(),
        }
        for field, labels in named.items():
            known = {*self.labels, *(self.ignore_labels if "tag_ids" in field else ())}
            if unknown := sorted(labels - known):
                raise ValueError(f"{field} names {', '.join(unknown)}, which labels does not list")
        if both := [label for label in self.labels if label in self.ignore_labels]:
            raise ValueError(f"ignore_labels names {both[0]}, which is a label of the task")
        if self.ignore_labels and self.kind == "classification":
            raise ValueError("ignore_labels would leave examples of this kind without a class")
        return self


def _tag_labels(columns: Columns) -> set[str]:
    try:
        return {split_tag(tag)[1] for tag in columns.tag_ids} - {""}
    except ValueError as error:
        raise ValueError(f"columns.tag_ids is wrong: {error}") from error
