"""Representation fine-tuning (ReFT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.method import Method, Size, Sizes, linear, too_large

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site


@dataclass(frozen=True)
class Reft(Method):
    """Low-rank interventions at the first and last tokens (arXiv 2404.03592).

    Args:
        r: Rank of the intervention.
        prefix_positions: Tokens from the start.
        suffix_positions: Tokens from the end; they have an intervention of their own.
        orthogonality: Whether the projection is held orthogonal, by a fixed basis it is stored in.
    """

    r: int = 1
    prefix_positions: int = 3
    suffix_positions: int = 0
    orthogonality: bool = False

    def at_step(self, sizes: Sizes) -> Size:
        """The interventions of a step."""
        width = sizes.hidden_size
        units = 2 if self.prefix_positions and self.suffix_positions else 1
        basis = width * width if self.orthogonality else 0
        return Size(units * (linear(width, self.r) + width * self.r), units * basis)

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that the rank is one.

        Raises:
            UserError: It is larger than the width.
        """
        width = sizes.hidden_size
        if self.r > width:
            raise too_large(site, "rank", "width", self.r, f"1 to {width}")
