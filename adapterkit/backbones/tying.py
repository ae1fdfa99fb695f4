"""Which parameters the recursion steps share, and making them share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from adapterkit.backbones.factorised.forms import MatrixProduct, form_from

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.config import RecursiveConfig

STEP_PREFIX = "encoder.albert_layer_groups.{step}.albert_layers.0."
"""Where the block of a recursion step stands in a `RecursiveModel`."""

_NORMS = ("full_layer_layer_norm", "attention.LayerNorm")
MODULES = (
    "full_layer_layer_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.dense",
    "attention.LayerNorm",
    "ffn",
    "ffn_output",
)
"""The parts of the block that have parameters, in its order."""

LINEARS: tuple[str, ...] = tuple(name for name in MODULES if name not in _NORMS)
"""The block's linear layers."""

BLOCK_PARAMETERS: tuple[str, ...] = tuple(
    f"{module}.{kind}" for module in MODULES for kind in ("weight", "bias")
)
"""Names of every parameter of a block whose matrices are dense, in its order."""

FACTORS = "factors"
"""What stands in the names of the factors of a matrix: ``attention.query.factors.left``."""


class Sharing(Protocol):
    """What says which steps share what; a `RecursiveConfig`, or what a file states of one."""

    @property
    def num_hidden_layers(self) -> int:
        """Number of recursion steps."""

    @property
    def block_of_step(self) -> Sequence[int]:
        """For each step, the step whose block it uses."""

    @property
    def tied(self) -> str:
        """``"all"``, ``"matrices"``, ``"central"`` or ``"none"``."""

    @property
    def own_parameters(self) -> Sequence[str]:
        """``"STEP.NAME"`` of parameters kept out of the ties."""

    @property
    def factorised(self) -> Mapping[str, Mapping[str, Any]]:
        """The form of each matrix that is stored as factors, by its module."""


def block_parameters(config: Sharing) -> tuple[str, ...]:
    """Names of every parameter of the block, relative to it, in its order.

    `BLOCK_PARAMETERS`, but that the factors of a matrix stand in the place of its weight.
    """
    return tuple(name for module in MODULES for name in _parameters_of(config, module))


def factor_names(config: Sharing, module: str) -> list[str]:
    """Names of the factors of a module's matrix, relative to what `module` is relative to."""
    form = form_from(config.factorised[module])
    return [f"{module}.{FACTORS}.{name}" for name in form.factor_shapes()]


def _parameters_of(config: Sharing, module: str) -> list[str]:
    if module in config.factorised:
        return [f"{module}.bias", *factor_names(config, module)]
    return [f"{module}.weight", f"{module}.bias"]


def is_matrix(name: str) -> bool:
    """Whether a block parameter is a matrix, or a factor of one."""
    return f".{FACTORS}." in name or (
        name.endswith(".weight") and name.removesuffix(".weight") in LINEARS
    )


def is_auxiliary(config: Sharing, name: str) -> bool:
    """Whether a block parameter is a local tensor of an operator, and not the central one."""
    module, _, factor = name.partition(f".{FACTORS}.")
    if not factor:
        return False
    form = form_from(config.factorised[module])
    return isinstance(form, MatrixProduct) and factor != form.central


def shared_groups(config: Sharing, name: str) -> list[list[int]]:
    """Sets of recursion steps that share the block parameter `name`.

    Args:
        config: The backbone's configuration.
        name: One of `block_parameters`.

    Returns:
        Lists of steps in ascending order; together they hold every step once. The first step of a
        list is the one whose copy is stored.
    """
    steps = range(config.num_hidden_layers)
    if _is_never_shared(config, name):
        return [[step] for step in steps]
    groups: dict[tuple[str, int], list[int]] = {}
    for step in steps:
        alone = f"{step}.{name}" in config.own_parameters
        key = ("own", step) if alone else ("block", config.block_of_step[step])
        groups.setdefault(key, []).append(step)
    return list(groups.values())


def _is_never_shared(config: Sharing, name: str) -> bool:
    if config.tied == "matrices":
        return not is_matrix(name)
    if config.tied == "central":
        return is_auxiliary(config, name)
    return config.tied == "none"


def tied_names(config: Sharing) -> list[str]:
    """Block parameters that are copies of another step's, as ``"STEP.NAME"``."""
    return [
        f"{step}.{name}"
        for name in block_parameters(config)
        for group in shared_groups(config, name)
        for step in group[1:]
    ]


def step_name(entry: str) -> str:
    """The name in a `RecursiveModel` of ``"STEP.NAME"``, as `tied_names` writes it."""
    step, _, name = entry.partition(".")
    return STEP_PREFIX.format(step=step) + name


def tie(blocks: Sequence[nn.Module], config: RecursiveConfig) -> None:
    """Give the steps that share a parameter one `Parameter` object, that of the first of them.

    Args:
        blocks: The block of every recursion step.
        config: Says which steps share what.
    """
    for name in block_parameters(config):
        for first, *others in shared_groups(config, name):
            source = blocks[first].get_parameter(name)
            for step in others:
                _replace(blocks[step], name, source)


def set_blocks(
    blocks: Sequence[nn.Module], config: RecursiveConfig, block_of_step: Sequence[int]
) -> None:
    """Change which steps share a block, keeping the values that every step has now.

    Args:
        blocks: The block of every recursion step.
        config: Updated in place.
        block_of_step: For each step, the step whose block it is to use. Steps that are to share a
            block must hold equal values now, or the values of the first of them win. Single
            parameters that are a step's own (`RecursiveConfig.own_parameters`) stay so.

    Raises:
        ValueError: `block_of_step` is no layout of these steps; nothing was changed.
    """
    from torch import nn

    layout = config.checked_layout(block_of_step)
    for name in block_parameters(config):
        seen: set[int] = set()
        for block in blocks:
            parameter = block.get_parameter(name)
            if id(parameter) in seen:
                copy = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                _replace(block, name, copy)
            seen.add(id(block.get_parameter(name)))
    config.block_of_step = layout
    tie(blocks, config)


def untied_layout(
    config: RecursiveConfig, together: Iterable[int], apart: Iterable[int]
) -> list[int]:
    """The `block_of_step` after some steps leave the block they share.

    Args:
        config: The present layout.
        together: Steps that get one new block for all of them.
        apart: Steps that get a block of their own each.

    Returns:
        For each step, the step whose block it uses. Steps named in neither stay together.
    """
    together, apart = sorted(together), set(apart)
    label: dict[int, tuple[str, int]] = {}
    for step in range(config.num_hidden_layers):
        if step in apart:
            label[step] = ("apart", step)
        elif step in together:
            label[step] = ("together", 0)
        else:
            label[step] = ("stay", config.block_of_step[step])
    first: dict[tuple[str, int], int] = {}
    return [first.setdefault(label[step], step) for step in sorted(label)]


def iter_storage_names(config: Sharing) -> Iterator[tuple[int, str]]:
    """Each stored block parameter once: the step that stores it and its name in the block."""
    for name in block_parameters(config):
        for group in shared_groups(config, name):
            yield group[0], name


def _replace(block: nn.Module, name: str, parameter: nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(block.get_submodule(path), leaf, parameter)
