"""LoRA, DoRA and IA3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.method import Method, Size, Sizes, linear, too_large

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site


@dataclass(frozen=True)
class LowRank(Method):
    """Updates of the block's matrices.

    Args:
        r: Rank of the update.
        attn_matrices: Letters of the attention's matrices that have one.
        intermediate_lora: Whether the feed-forward's first matrix has one.
        output_lora: Whether its second has one.
        composition_mode: ``"add"`` a product of two matrices, or ``"scale"`` by a vector (IA3).
        use_dora: Whether magnitudes learn beside (DoRA).
        use_gating: Whether a learned gate scales the update.
    """

    r: int = 8
    attn_matrices: str = "qv"
    intermediate_lora: bool = False
    output_lora: bool = False
    composition_mode: str = "add"
    use_dora: bool = False
    use_gating: bool = False

    def at_step(self, sizes: Sizes) -> Size:
        """The updates of a step's matrices."""
        hidden, inner = sizes.hidden_size, sizes.intermediate_size
        matrices = [(hidden, hidden)] * len(self.attn_matrices)
        matrices += [(hidden, inner)] if self.intermediate_lora else []
        matrices += [(inner, hidden)] if self.output_lora else []
        return Size(sum(self._update(read, written) for read, written in matrices))

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that the rank is one.

        Raises:
            UserError: It is larger than the matrices.
        """
        width = sizes.hidden_size
        if self.r > width:
            raise too_large(site, "rank", "width", self.r, f"1 to {width}")

    def _update(self, read: int, written: int) -> int:
        numbers = self.r * written
        numbers += self.r * read if self.composition_mode == "add" else 0
        numbers += written if self.use_dora else 0
        return numbers + (linear(read, 1) if self.use_gating else 0)
