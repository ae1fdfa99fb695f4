"""What relaxed recursion lets each step have of its own, as a named AdapterHub adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters import LoRAConfig

RELAXED = "relaxed"
"""Name under which the low-rank updates of a backbone's recursion steps are kept."""

ATTENTION_OUTPUT = "o"
"""Letter of the matrix behind attention among a LoRA's ``attn_matrices``.

AdapterHub 1.3.0 knows q, k and v alone in ALBERT; recursive models know this one too.
"""


def relaxed_config(rank: int) -> LoRAConfig:
    """The AdapterHub configuration of relaxed recursion (Bae et al., arXiv 2410.20672).

    Step i computes with ``W + B[i] A[i]`` where the block has a matrix ``W``: in query, key, value,
    the output of attention, and both matrices of the feed-forward.

    Args:
        rank: Rows of ``A``. The scale alpha / rank is 1.
    """
    from adapters import LoRAConfig

    return LoRAConfig(
        selfattn_lora=True,
        intermediate_lora=True,
        output_lora=True,
        attn_matrices=["q", "k", "v", ATTENTION_OUTPUT],
        r=rank,
        alpha=rank,
    )
