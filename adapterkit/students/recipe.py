"""What a distillation is: the schema of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapterkit.runs.errors import nearest

Count = Annotated[int, Field(ge=1, strict=True)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Own = Literal["layernorms", "biases"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TeacherTraining(_Section):
    """A first stage: the teacher's own masked-LM training goes on, on the corpus."""

    tokens: Count
    """Word pieces to see."""
    learning_rate: Rate = 1e-4
    batch_tokens: Annotated[int, Field(ge=64, strict=True)] = 4096


class Layerwise(_Section):
    """Layer-wise bottleneck adapters of the student."""

    reduction_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 16
    """Hidden over bottleneck width."""


class Relaxed(_Section):
    """Relaxed recursion (arXiv 2410.20672): low-rank differences between the steps."""

    rank: Count = 32
    own: tuple[Own, ...] = ("layernorms", "biases")
    """What every step has of its own besides."""


class Pruning(_Section):
    """Pruning factors by magnitude as the student learns (LadaBERT, arXiv 2004.04124).

    What is kept falls from all to `keep` along a cubic curve (arXiv 1710.01878).
    """

    keep: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the factors' numbers kept at the end; null: what the backbone's card asks for."""
    begin: Share = 0.1
    """Share of the word pieces after which pruning begins."""
    end: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the word pieces after which nothing more is pruned."""

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Pruning:
        if self.begin >= self.end:
            raise ValueError(f"begin, {self.begin:g}, has to come before end, {self.end:g}")
        return self


class Student(_Section):
    """The recursive student; a size that is null is the teacher's."""

    backbone: Annotated[str, Field(min_length=1)] | None = None
    """A backbone to go on from, such as ``backbones compress`` writes: a folder or hub id. Of the
    other keys ``relaxed`` (low-rank updates that start at zero) and ``pruning`` can be given."""
    pruning: Pruning | None = None
    """Of a backbone whose factors are low-rank."""
    steps: Count | None = None
    hidden_size: Count | None = None
    intermediate_size: Count | None = None
    attention_heads: Count | None = None
    embedding_size: Count = 128
    layerwise: Layerwise | None = Layerwise()
    relaxed: Relaxed | None = None
    start: str = "average"
    """``random``, ``average`` or ``layer:K``, K being one of the teacher's layers from 1."""
    fit: Literal["weights", "text"] = "weights"
    """What tables and matrices are fitted to as they start: the teacher's ``weights`` alone, by
    truncated SVD, or what the ``text`` of the corpus sends through them."""

    @model_validator(mode="after")
    def _a_backbone_is_what_it_is(self) -> Student:
        free = ("backbone", "pruning", "relaxed")
        given = [name for name in type(self).model_fields if name not in free]
        plain = Student() if self.backbone is not None else self
        given = [name for name in given if getattr(self, name) != getattr(plain, name)]
        if given:
            raise ValueError(
                "a student that goes on from a backbone has its sizes and its start: leave out "
                + ", ".join(given)
            )
        if self.backbone is not None and self.relaxed is not None and self.relaxed.own:
            raise ValueError("what the steps of a backbone share is settled: set relaxed.own to []")
        if self.backbone is None and self.pruning is not None:
            raise ValueError("only factors are pruned: name a backbone that has some")
        return self

    @field_validator("start")
    @classmethod
    def _start_is_known(cls, value: str) -> str:
        kind, _, layer = value.partition(":")
        if value in ("random", "average") or (kind == "layer" and layer.isdecimal() and int(layer)):
            return value
        close = nearest(kind, ("random", "average", "layer"))
        hint = {"layer": "layer:K", None: None}.get(close, close)
        asked = f"; did you mean {hint}?" if hint else ""
        raise ValueError(
            f"{value!r} is none of random, average, layer:K"
            f" (K from 1: a layer of the teacher){asked}"
        )


class Objective(_Section):
    """Weight of each term; the defaults are MiniALBERT's (arXiv 2210.06425)."""

    masked_lm: Weight = 1
    attention: Weight = 3
    hidden: Weight = 3
    output: Weight = 5
    embedding: Weight = 0
    scores: Weight = 0
    feed_forward: Weight = 0
    temperature: Rate = 1
    """Of the output term."""

    @model_validator(mode="after")
    def _some_term_counts(self) -> Objective:
        values = self.model_dump(exclude={"temperature"}).values()
        if not any(values):
            raise ValueError("objective gives every term the weight 0: nothing would be learned")
        return self


class CorpusSection(_Section):
    """The text to learn on."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """Text or gzip, relative to the recipe; ``~`` and ``$NAME`` are filled in."""
    licences: tuple[str, ...] = ()
    window: Annotated[int, Field(ge=8, le=8192)] = 256
    """Word pieces a window, special tokens included."""
    masking: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the word pieces that are masked, where a term needs it."""
    held_out: Share = 0.005
    """Share of the word pieces, in whole documents, that is kept for evaluation."""

    @field_validator("licences", mode="before")
    @classmethod
    def _accept_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value or ()

    @field_validator("files", mode="before")
    @classmethod
    def _accept_one_file(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Training(_Section):
    """How long and how fast to learn."""

    tokens: Count
    """Word pieces to see, padding not counted."""
    learning_rate: Rate = 1e-3
    """Peak of AdamW's rate; warm-up, then half a cosine down to a tenth."""
    warmup: Share = 0.05
    """Share of `tokens` spent warming up."""
    weight_decay: Weight = 0.01
    batch_tokens: Annotated[int, Field(ge=64, strict=True)] = 8192
    """Word pieces an update on each device, padding included."""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation; ``auto`` is bfloat16 on a GPU that has it."""
    compile: Literal["auto", True, False] = "auto"
    """Whether torch.compile is used; ``auto`` does on a GPU."""
    checkpoint_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10


class Evaluation(_Section):
    """What is measured on the way."""

    every_tokens: Count | None = None
    """Word pieces between evaluations; null: ten of them, evenly spread."""
    probe: tuple[str, ...] = ()
    """Tasks, or one, whose train and dev splits the frozen states are probed on."""

    @field_validator("probe", mode="before")
    @classmethod
    def _accept_one_task(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else () if value is None else value

    @field_validator("probe")
    @classmethod
    def _tasks_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"named twice: {', '.join(repeated)}")
        return value


class Recipe(_Section):
    """One distillation, from teacher and corpus to backbone."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    licence: str | None = None
    """Of the backbone."""
    teacher: Annotated[str, Field(min_length=1)] = "minilm-l6"
    """``minilm-l6``, a folder or a hub id."""
    teacher_training: TeacherTraining | None = None
    student: Student = Student()
    layers: tuple[int, ...] | None = None
    """The teacher layer, from 1, that each step learns from; null spreads them evenly."""
    objective: Objective = Objective()
    corpus: CorpusSection
    training: Training
    evaluation: Evaluation = Evaluation()

    def as_dict(self) -> dict[str, Any]:
        """The recipe as a YAML file spells it."""
        return self.model_dump(mode="json")
