"""What every method tells: how large it is, and which backbones it suits."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from adapterkit.plans.mistakes import say_steps
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site

Container = Literal["shared_parameters", "prefix_tunings", "sides"]
"""Where a model keeps what the steps of an adapter or a side path have in common."""


class Sizes(Protocol):
    """The sizes of a backbone that adapters depend on, as a `BackboneShape` has them."""

    @property
    def num_hidden_layers(self) -> int:
        """Number of recursion steps."""

    @property
    def hidden_size(self) -> int:
        """Width of the block."""

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward layer."""

    @property
    def max_position_embeddings(self) -> int:
        """Tokens of the longest text."""


@dataclass(frozen=True)
class Size:
    """How many numbers something stores.

    Args:
        learnable: Those that learn.
        fixed: Those saved with them that do not.
    """

    learnable: int
    fixed: int = 0


class Method(ABC):
    """One method with the settings that its size follows from.

    Subclasses are frozen dataclasses. Those of AdapterHub's methods have its names for fields.
    """

    @abstractmethod
    def at_step(self, sizes: Sizes) -> Size:
        """What each step that it adapts has to itself."""

    def in_common(self, sizes: Sizes, steps: int) -> Mapping[Container, Size]:
        """What the steps that it adapts have in common, and where it is kept; mostly nothing.

        Args:
            sizes: The backbone's.
            steps: How many steps it adapts.
        """
        return {}

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that it suits a backbone.

        Raises:
            UserError: It does not; says which option to change.
        """
        return None

    def with_options(self, options: Mapping[str, Any]) -> Method:
        """The method with some of AdapterHub's fields set; others change no size."""
        fields = {field.name for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        known = {name: value for name, value in options.items() if name in fields}
        changed: Method = dataclasses.replace(self, **known)  # type: ignore[type-var]
        return changed


def linear(read: int, written: int) -> int:
    """Parameters of a linear layer with a bias."""
    return read * written + written


def too_large(site: Site, what: str, limit: str, found: float, allowed: str) -> UserError:
    """The error for an option that is beyond a size of the backbone."""
    return UserError(
        f"The {what} of {site.choice} is larger than the backbone's {limit}.",
        where=f"steps {say_steps(site.steps)}",
        found=str(found),
        allowed=allowed,
    )
