"""The sizes of a ladder side network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.method import Container, Method, Size, Sizes, linear, too_large

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site


@dataclass(frozen=True)
class Side(Method):
    """A narrow path beside the backbone (arXiv 2206.06522); see `backbones.side.SidePath`.

    Args:
        reduction_factor: Width of the backbone over width of the path, in its block's feed-forward
            too.
        dropout: Of its block.
    """

    reduction_factor: float = 8
    dropout: float = 0.0

    def width(self, sizes: Sizes) -> int:
        """Width of the path."""
        return self._reduced(sizes.hidden_size)

    def inner(self, sizes: Sizes) -> int:
        """Width of its block's feed-forward."""
        return self._reduced(sizes.intermediate_size)

    def at_step(self, sizes: Sizes) -> Size:
        """A rung: the projection down and the gate."""
        return Size(linear(sizes.hidden_size, self.width(sizes)) + 1)

    def in_common(self, sizes: Sizes, steps: int) -> Mapping[Container, Size]:
        """The projection at the start, the block, the last LayerNorm and the projection up."""
        hidden, width, inner = sizes.hidden_size, self.width(sizes), self.inner(sizes)
        attention = 3 * width * width + linear(width, width)
        norms = 3 * 2 * width
        block = attention + linear(width, inner) + linear(inner, width) + norms
        return {"sides": Size(linear(hidden, width) + block + linear(width, hidden))}

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that the path is not wider than the backbone.

        Raises:
            UserError: It is.
        """
        if self.reduction_factor < 1:
            raise too_large(site, "side path", "width", self.reduction_factor, "r=1 or more")

    def _reduced(self, width: int) -> int:
        return max(1, int(width // self.reduction_factor))
