"""What the factorised matrices of a backbone cost and hold, worked out from its sizes."""

from __future__ import annotations

from adapterkit.backbones.factorised.forms import MatrixProduct, form_from
from adapterkit.backbones.factorised.places import TABLE, matrix_shape
from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.tying import LINEARS


def linear_flops(shape: BackboneShape, keep: float = 1) -> int:
    """Operations of all steps' linear layers on one token; see `compression.Planned`.

    Args:
        shape: The backbone.
        keep: Share of the factors' numbers that are kept; products with zeros are not counted.
    """
    step = 0
    for module in LINEARS:
        rows, columns = matrix_shape(module, shape)
        form = form_from(shape.factorised[module]) if module in shape.factorised else None
        if form is None or isinstance(form, MatrixProduct):
            step += 2 * rows * columns
        else:
            step += round(keep * form.flops(1))
    return shape.num_hidden_layers * step


def group_sizes(shape: BackboneShape) -> tuple[int, int]:
    """How many numbers the stored factors of the table have, and those of the blocks.

    Each is pruned by itself: an embedding table and a matrix product differ in scale.
    """
    table = block = 0
    for module, values in shape.factorised.items():
        count = form_from(values).count
        if module == TABLE:
            table += count
        else:
            block += count * len(set(shape.block_of_step))
    return table, block
