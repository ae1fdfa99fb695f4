"""The sizes of a backbone, and the tensors they imply, without building any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapterkit.backbones.factorised.forms import form_from
from adapterkit.backbones.factorised.places import TABLE, matrix_shape
from adapterkit.backbones.tying import FACTORS, MODULES, step_name, tied_names

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class BackboneShape:
    """What a backbone's configuration and its own adapters say of sizes.

    Names and defaults are `RecursiveConfig`'s.

    Args:
        vocab_size: Number of word pieces.
        hidden_size: Width of the block.
        num_hidden_layers: Number of recursion steps.
        intermediate_size: Width of the feed-forward layer.
        block_of_step: For each step, the step whose block it uses.
        embedding_size: Width of the embedding tables.
        max_position_embeddings: Tokens of the longest text.
        type_vocab_size: Number of segments.
        tied: ``"all"``, ``"matrices"``, ``"central"`` or ``"none"``.
        own_parameters: ``"STEP.NAME"`` of parameters kept out of the ties.
        factorised: The form of each matrix that is stored as factors, by its module.
        embedding_projection: Whether a linear map leads from embedding to hidden width.
        embedding_adapter_size: Units of the bottleneck behind the embedding projection, if any.
        use_pooler: Whether the backbone owns a pooler.
        layerwise: Hidden width over bottleneck width of its layer-wise adapters, if it has any.
        relaxed: Rank of its steps' own updates (relaxed recursion), if it has any.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    block_of_step: tuple[int, ...]
    embedding_size: int = 128
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    tied: str = "all"
    own_parameters: tuple[str, ...] = ()
    factorised: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    embedding_projection: bool = True
    embedding_adapter_size: int | None = None
    use_pooler: bool = True
    layerwise: float | None = None
    relaxed: int | None = None

    @classmethod
    def of(
        cls, values: Mapping[str, Any], layerwise: float | None, relaxed: int | None
    ) -> BackboneShape:
        """The shape of a configuration.

        Args:
            values: A configuration as ``config.json`` holds it; what it leaves out has
                `RecursiveConfig`'s default. Keys that say nothing of sizes are passed over.
            layerwise: Hidden width over bottleneck width of the layer-wise adapters, if any.
            relaxed: Rank of the steps' own updates, if any.
        """
        fields = cls.__dataclass_fields__
        known = {key: _frozen(value) for key, value in values.items() if key in fields}
        known["block_of_step"] = known.get("block_of_step") or (0,) * known["num_hidden_layers"]
        known["own_parameters"] = known.get("own_parameters") or ()
        known["factorised"] = known.get("factorised") or {}
        return cls(**{**known, "layerwise": layerwise, "relaxed": relaxed})

    @property
    def has_layerwise(self) -> bool:
        """Whether the backbone has pretrained layer-wise adapters."""
        return self.layerwise is not None


def outer_shapes(backbone: BackboneShape) -> Shapes:
    """Name in a `RecursiveModel` and shape of every tensor outside the block, in its order."""
    width, hidden = backbone.embedding_size, backbone.hidden_size
    shapes: Shapes = {
        **_matrix(backbone, TABLE, (backbone.vocab_size, width)),
        "embeddings.position_embeddings.weight": (backbone.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (backbone.type_vocab_size, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    if backbone.embedding_projection:
        shapes |= _linear("encoder.embedding_hidden_mapping_in", width, hidden)
    if (units := backbone.embedding_adapter_size) is not None:
        shapes |= _linear("encoder.embedding_adapter.down", hidden, units)
        shapes |= _linear("encoder.embedding_adapter.up", units, hidden)
        shapes |= {f"encoder.embedding_adapter.norm.{kind}": (hidden,) for kind in _KINDS}
    if backbone.use_pooler:
        shapes |= _linear("pooler", hidden, hidden)
    return shapes


def block_shapes(backbone: BackboneShape) -> Shapes:
    """Name in the block and shape of every parameter of the block, in its order."""
    hidden = backbone.hidden_size
    shapes: Shapes = {}
    for module in MODULES:
        if module.endswith(("LayerNorm", "layer_norm")):
            shapes |= {f"{module}.{kind}": (hidden,) for kind in _KINDS}
        else:
            shape = matrix_shape(module, backbone)
            matrix = _matrix(backbone, module, shape)
            bias = {f"{module}.bias": shape[:1]}
            # As PyTorch orders them: a module's own parameters, then those of its parts.
            shapes |= bias | matrix if module in backbone.factorised else matrix | bias
    return shapes


def stored_shapes(backbone: BackboneShape) -> Shapes:
    """Name and shape of every tensor that is stored for a backbone, but for its adapters'."""
    return {**outer_shapes(backbone), **dict(_stored_block(backbone))}


_KINDS = ("weight", "bias")


def _stored_block(backbone: BackboneShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    copies = {step_name(entry) for entry in tied_names(backbone)}
    shapes = block_shapes(backbone)
    for step in range(backbone.num_hidden_layers):
        for name, shape in shapes.items():
            if (full := step_name(f"{step}.{name}")) not in copies:
                yield full, shape


def _matrix(backbone: BackboneShape, module: str, shape: tuple[int, ...]) -> Shapes:
    """The matrix of a module, or the factors that stand in its place."""
    if module not in backbone.factorised:
        return {f"{module}.weight": shape}
    factors = form_from(backbone.factorised[module]).factor_shapes()
    return {f"{module}.{FACTORS}.{name}": shape for name, shape in factors.items()}


def _linear(module: str, read: int, written: int) -> Shapes:
    return {f"{module}.weight": (written, read), f"{module}.bias": (written,)}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
