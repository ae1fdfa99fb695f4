"""AdapterFusion: attention over what several adapters compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.method import Method, Size, Sizes, linear
from adapterkit.plans.mistakes import say_steps
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site

_MOST = 16


@dataclass(frozen=True)
class Fusion(Method):
    """Query, key and value matrices of a fusion layer (arXiv 2005.00247, section 3.2).

    Args:
        n: How many adapters it fuses.
    """

    n: int

    def at_step(self, sizes: Sizes) -> Size:
        """The layer of one slot; a step that has adapters in two slots has two."""
        hidden = sizes.hidden_size
        return Size(2 * linear(hidden, hidden) + hidden * hidden)

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that there are several adapters, and not very many.

        Raises:
            UserError: There are not.
        """
        if not 2 <= self.n <= _MOST:
            raise UserError(
                f"{site.choice} cannot fuse so many adapters.",
                where=f"steps {say_steps(site.steps)}",
                found=f"n={self.n}",
                allowed=f"n=2 to n={_MOST}",
            )
