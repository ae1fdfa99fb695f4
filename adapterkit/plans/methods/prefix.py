"""Prefix tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.method import Container, Method, Size, Sizes, linear, too_large

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site


@dataclass(frozen=True)
class Prefix(Method):
    """Keys and values that stand before those of the text (arXiv 2101.00190).

    Args:
        prefix_length: How many.
        bottleneck_size: Width of the net that makes them, for all steps at once.
        flat: Whether they are learned directly, without a net.
        use_gating: Whether a learned gate of each step scales them.
    """

    prefix_length: int = 30
    bottleneck_size: int = 512
    flat: bool = False
    use_gating: bool = False

    def at_step(self, sizes: Sizes) -> Size:
        """A step's gate."""
        return Size(linear(sizes.hidden_size, 1) if self.use_gating else 0)

    def in_common(self, sizes: Sizes, steps: int) -> Mapping[Container, Size]:
        """The prefixes of all steps, or the net that makes them."""
        written = steps * 2 * sizes.hidden_size
        if self.flat:
            return {"prefix_tunings": Size(self.prefix_length * written)}
        net = linear(sizes.hidden_size, self.bottleneck_size)
        net += linear(self.bottleneck_size, written)
        return {"prefix_tunings": Size(self.prefix_length * sizes.hidden_size + net)}

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that the prefix leaves its kind of texts possible.

        Raises:
            UserError: It is longer than the longest text.
        """
        longest = sizes.max_position_embeddings
        if self.prefix_length > longest:
            raise too_large(site, "prefix", "longest text", self.prefix_length, f"1 to {longest}")
