"""What a suite is: the schema of ``benchmarks/suites/*.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapterkit.comparing.suites.search_space import Search

Epochs = Annotated[int, Field(ge=1, le=10_000, strict=True)]
Rate = Annotated[float, Field(ge=1e-8, le=1.0)]
Tokens = Annotated[int, Field(ge=8, le=1_000_000, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)]
PrecisionName = Literal["float32", "bf16"]
ProtocolName = Literal["word", "nlpie"]
CacheMode = Literal["auto", "off"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Options(_Section):
    """How every run trains and is scored; what is null is left to `tune`."""

    epochs: Epochs | None = None
    learning_rate: Rate | None = None
    head_learning_rate: Rate | None = None
    batch_tokens: Tokens | None = None
    patience: Count | None = None
    limit_train: Count | None = None
    """Train on the first so many examples."""
    limit_dev: Count | None = None
    """Choose the epoch by the first so many dev examples; test is scored whole."""
    precision: PrecisionName | None = None
    protocol: ProtocolName | None = None
    prefix_cache: CacheMode | None = None

    @field_validator("prefix_cache", mode="before")
    @classmethod
    def _accept_bare_off(cls, value: Any) -> Any:
        # YAML reads a bare off as false.
        return "off" if value is False else value

    def given(self) -> dict[str, Any]:
        """The options that are not left open, by name."""
        return {name: value for name, value in self if value is not None}


class Vary(_Section):
    """Options of which every value is run, each combination with each seed."""

    epochs: tuple[Epochs, ...] = ()
    learning_rate: tuple[Rate, ...] = ()
    head_learning_rate: tuple[Rate, ...] = ()
    batch_tokens: tuple[Tokens, ...] = ()
    patience: tuple[Count, ...] = ()
    limit_train: tuple[Count, ...] = ()

    def given(self) -> dict[str, tuple[Any, ...]]:
        """The options that vary, by name."""
        return {name: values for name, values in self if values}


class PlanEntry(_Section):
    """A plan, and what its runs alone are asked for."""

    plan: str
    """In short form: ``adapter``, or ``0-2:frozen 3-5:lora(r=8)``."""
    options: Options = Options()


class Suite(_Section):
    """Tasks x plans x backbones x seeds, and the options of the runs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of tasks, or YAML files relative to the suite's."""
    plans: Annotated[tuple[PlanEntry, ...], Field(min_length=1)]
    """In short form, or as ``{plan: ..., options: {...}}``."""
    backbones: Annotated[tuple[str, ...], Field(min_length=1)] = ("bundled",)
    """``bundled``, folders relative to the suite's file, or hub ids."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """A number, counted from 0, or a list."""
    data: str = "auto"
    """``auto``, ``sample``, ``hub``, or a folder that holds one folder a task."""
    options: Options = Options()
    vary: Vary = Vary()
    search: Search | None = None

    @field_validator("tasks", "backbones", mode="before")
    @classmethod
    def _accept_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("plans", mode="before")
    @classmethod
    def _accept_short_forms(cls, value: Any) -> Any:
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list | tuple):
            return entries
        return [{"plan": entry} if isinstance(entry, str) else entry for entry in entries]

    @field_validator("seeds", mode="before")
    @classmethod
    def _accept_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= 10_000:
                raise ValueError(f"{value} seeds; a suite has 1 to 10000, or a list of them")
            return tuple(range(value))
        return value

    @field_validator("tasks", "backbones", "seeds")
    @classmethod
    def _are_distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if repeated := sorted({item for item in value if value.count(item) > 1}):
            raise ValueError(f"named twice: {', '.join(map(str, repeated))}")
        return value

    @model_validator(mode="after")
    def _options_are_set_once(self) -> Suite:
        fixed = set(self.options.given()).union(*(entry.options.given() for entry in self.plans))
        varied = set(self.vary.given())
        searched = self.search.options_searched if self.search else set()
        if self.search and varied:
            raise ValueError("vary and search exclude each other")
        if twice := sorted((fixed & varied) | (fixed & searched)):
            other = "vary" if twice[0] in varied else "search"
            raise ValueError(f"{twice[0]} is fixed by options and set by {other} as well")
        return self

    def as_dict(self) -> dict[str, Any]:
        """The suite as plain JSON values."""
        return self.model_dump(mode="json")
