"""What a search for hyper-parameters may choose: the section ``search`` of a suite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Family = Literal[
    "head",
    "full",
    "layerwise",
    "bottleneck",
    "lora",
    "ia3",
    "prefix_tuning",
    "compacter",
    "reft",
    "mam",
    "unipelt",
    "side",
]
"""Mechanisms that want like hyper-parameters; see `adapterkit.plans.choice.Choice.family`."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dimension(_Section):
    """The values that one hyper-parameter may have: a range, or a list."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    """Whether the range is searched by its logarithm."""
    choices: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> Dimension:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("a dimension is either low and high, or choices")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a dimension needs low and high, or choices")
        if not 0 < self.low < self.high:
            raise ValueError(f"the range {self.low:g} to {self.high:g} is empty or not above 0")
        return self

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(f"{value:g}" for value in self.choices)
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


class Space(_Section):
    """The hyper-parameters that are searched."""

    epochs: Dimension | None = None
    learning_rate: Dimension | None = None
    head_learning_rate: Dimension | None = None
    batch_tokens: Dimension | None = None
    patience: Dimension | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _accept_lists(cls, value: Any) -> Any:
        return {"choices": value} if isinstance(value, list) else value

    def dimensions(self) -> dict[str, Dimension]:
        """What is searched, by name."""
        return {name: dimension for name, dimension in self if dimension is not None}

    def __str__(self) -> str:
        return ", ".join(f"{name} {dimension}" for name, dimension in self.dimensions().items())


class TrialOptions(_Section):
    """What the runs of the search are asked for in place of the suite's options."""

    epochs: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    patience: Annotated[int, Field(ge=1, strict=True)] | None = None
    limit_train: Annotated[int, Field(ge=1, strict=True)] | None = None
    limit_dev: Annotated[int, Field(ge=1, strict=True)] | None = None

    def given(self) -> dict[str, Any]:
        """The options that are not left open, by name."""
        return {name: value for name, value in self if value is not None}


class Search(_Section):
    """A search for hyper-parameters on dev, with the same budget for every plan."""

    trials: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    """Settings tried for each plan, on each backbone."""
    space: Space
    families: dict[Family, Space] = {}
    """Spaces of some families of mechanisms, in place of `space`."""
    tasks: tuple[str, ...] = ()
    """Tasks by whose mean dev score the setting for all tasks is chosen; none: each by its own."""
    options: TrialOptions = TrialOptions()
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)] = 0
    """Of the search and of its runs."""

    @model_validator(mode="after")
    def _something_is_searched(self) -> Search:
        names = {name: space.dimensions().keys() for name, space in self.families.items()}
        if not self.space.dimensions():
            raise ValueError("search.space names no hyper-parameter")
        for family, found in names.items():
            if found != self.space.dimensions().keys():
                raise ValueError(
                    f"search.families.{family} must search what search.space does: "
                    + ", ".join(self.space.dimensions())
                )
        if twice := sorted(self.options_searched & set(self.options.given())):
            raise ValueError(f"{twice[0]} is fixed by search.options and searched as well")
        return self

    @property
    def options_searched(self) -> set[str]:
        """Names of the hyper-parameters that are searched."""
        return set(self.space.dimensions())

    def space_of(self, families: Iterable[str]) -> Space:
        """The space of a plan whose learning mechanisms are of these families."""
        own: dict[str, Space] = dict(self.families.items())
        spaces = {own.get(family, self.space) for family in families}
        return spaces.pop() if len(spaces) == 1 else self.space
