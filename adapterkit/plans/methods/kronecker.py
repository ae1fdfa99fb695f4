"""KronA and AdaKron, whose sizes follow from how widths are split into two factors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterkit.plans.methods.bottleneck import Bottleneck
from adapterkit.plans.methods.method import Method, Size, Sizes, linear
from adapterkit.plans.mistakes import say_steps
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.plans.mechanism import Site


@dataclass(frozen=True)
class Krona(Method):
    """Kronecker products as updates of the block's matrices (KronA, arXiv 2212.10650).

    Args:
        factor: Rows and columns of the first factor.
        attn_matrices: Letters of the attention's matrices that have an update.
        intermediate_lora: Whether the feed-forward's first matrix has one.
        output_lora: Whether its second has one.
    """

    factor: int = 16
    attn_matrices: str = "qv"
    intermediate_lora: bool = False
    output_lora: bool = False

    def at_step(self, sizes: Sizes) -> Size:
        """The two factors of each of a step's updates."""
        hidden, inner = sizes.hidden_size, sizes.intermediate_size
        areas = [hidden * hidden] * len(self.attn_matrices)
        areas += [hidden * inner] * (self.intermediate_lora + self.output_lora)
        first = self.factor**2
        return Size(sum(first + area // first for area in areas))

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check that the factor divides the sizes of the matrices.

        Raises:
            UserError: It does not; says which do.
        """
        widths = [sizes.hidden_size]
        if self.intermediate_lora or self.output_lora:
            widths.append(sizes.intermediate_size)
        check_factor(self.factor, widths, site)


@dataclass(frozen=True)
class Adakron(Bottleneck):
    """``first(f(down(x))) (x) second(f(down(x)))`` (AdaKron, LREC-COLING 2024).

    Args:
        factor: Width of what `first` makes.
    """

    factor: int = 16

    def check(self, sizes: Sizes, site: Site) -> None:
        """Check the bottleneck, and that the factor divides the width.

        Raises:
            UserError: One of them does not fit.
        """
        super().check(sizes, site)
        check_factor(self.factor, [sizes.hidden_size], site)

    def _up(self, units: int, width: int) -> int:
        return linear(units, self.factor) + linear(units, width // self.factor)


def check_factor(factor: int, widths: list[int], site: Site) -> None:
    """Check that a factor divides widths of the backbone.

    Raises:
        UserError: It does not; says which do.
    """
    common = math.gcd(*widths)
    if common % factor == 0:
        return
    fitting = [size for size in range(1, common + 1) if common % size == 0]
    nearest = min(fitting, key=lambda size: abs(math.log(size / factor)))
    raise UserError(
        f"{site.choice} does not fit a backbone of width {widths[0]}.",
        where=f"steps {say_steps(site.steps)}",
        found=f"factor={factor}",
        allowed=f"what divides {' and '.join(map(str, widths))}: {', '.join(map(str, fitting))}",
        hint=f"try factor={nearest}",
    )
