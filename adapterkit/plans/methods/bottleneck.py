"""Bottleneck adapters and Compacter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.method import Container, Method, Size, Sizes, linear, too_large
from adapterkit.plans.mistakes import say_steps
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site


@dataclass(frozen=True)
class Bottleneck(Method):
    """``up(f(down(x)))``, plain or Kronecker-factored (Compacter, arXiv 2106.04647).

    Args:
        reduction_factor: Hidden width over bottleneck width.
        mh_adapter: Whether there is one behind attention.
        output_adapter: Whether there is one at the feed-forward.
        scaling: A number, or one learned: ``"learned"``, or for each ``"channel"``.
        use_gating: Whether a learned gate scales the output.
        phm_layer: Whether the projections are sums of Kronecker products.
        phm_dim: How many products, and the width of their first factors.
        phm_rank: Rank of their second factors.
    """

    reduction_factor: float
    mh_adapter: bool = False
    output_adapter: bool = True
    scaling: float | str = 1.0
    use_gating: bool = False
    phm_layer: bool = False
    phm_dim: int = 4
    phm_rank: int = 1

    def at_step(self, sizes: Sizes) -> Size:
        """The bottlenecks of a step."""
        hidden, units = sizes.hidden_size, self._units(sizes.hidden_size)
        one = self._projection(hidden, units) + self._up(units, hidden)
        one += {"learned": 1, "channel": hidden}.get(str(self.scaling), 0)
        one += linear(hidden, 1) if self.use_gating else 0
        return Size(one * (self.mh_adapter + self.output_adapter))

    def in_common(self, sizes: Sizes, steps: int) -> Mapping[Container, Size]:
        """The first factors of the Kronecker products."""
        return {"shared_parameters": Size(self.phm_dim**3)} if self.phm_layer else {}

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that the bottleneck is none the other way round, and that its factors divide.

        Raises:
            UserError: It is, or they do not.
        """
        width, inner = sizes.hidden_size, sizes.intermediate_size
        # Compared as floats: the quotient may be beyond what an int can be made of.
        if width / self.reduction_factor > inner:
            least = f"r={width / inner:g} or more"
            raise too_large(site, "bottleneck", "feed-forward", self.reduction_factor, least)
        if self.phm_layer:
            self._check_kronecker(width, site)

    def _units(self, width: int) -> int:
        return max(1, int(width // self.reduction_factor))

    def _up(self, units: int, width: int) -> int:
        return self._projection(units, width)

    def _projection(self, read: int, written: int) -> int:
        if not self.phm_layer:
            return linear(read, written)
        # For each product a factor (read / n, rank) and one (rank, written / n).
        return self.phm_rank * (read + written) + written

    def _check_kronecker(self, width: int, site: Site) -> None:
        units = self._units(width)
        if width % self.phm_dim == 0 and units % self.phm_dim == 0:
            return
        fitting = [
            f"r={width // units}"
            for units in range(self.phm_dim, width + 1, self.phm_dim)
            if width % units == 0
        ]
        raise UserError(
            f"{site.choice} does not fit a backbone of width {width}.",
            where=f"steps {say_steps(site.steps)}",
            found=f"a bottleneck of {units} units, and phm_dim={self.phm_dim}",
            allowed=f"width and units that phm_dim={self.phm_dim} divides",
            hint=f"try {' or '.join(fitting[:4])}" if fitting else "try another phm_dim",
        )
