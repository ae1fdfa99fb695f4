"""Which parameters the recursion steps share, and making them share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn

    from adapterkit.backbones.config import RecursiveConfig

STEP_PREFIX = "encoder.albert_layer_groups.{step}.albert_layers.0."
"""Where the block of a recursion step stands in a `RecursiveModel`."""

_NORMS = ("full_layer_layer_norm", "attention.LayerNorm")
_MODULES = (
    "full_layer_layer_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.dense",
    "attention.LayerNorm",
    "ffn",
    "ffn_output",
)

MATRICES: tuple[str, ...] = tuple(f"{name}.weight" for name in _MODULES if name not in _NORMS)
"""Names of the block's weight matrices, relative to the block."""

BLOCK_PARAMETERS: tuple[str, ...] = tuple(
    f"{module}.{kind}" for module in _MODULES for kind in ("weight", "bias")
)
"""Names of every parameter of the transformer block, relative to the block, in its order."""


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
        """``"all"``, ``"matrices"`` or ``"none"``."""

    @property
    def own_parameters(self) -> Sequence[str]:
        """``"STEP.NAME"`` of parameters kept out of the ties."""


def shared_groups(config: Sharing, name: str) -> list[list[int]]:
    """Sets of recursion steps that share the block parameter `name`.

    Args:
        config: The backbone's configuration.
        name: One of `BLOCK_PARAMETERS`.

    Returns:
        Lists of steps in ascending order; together they hold every step once. The first step of a
        list is the one whose copy is stored.
    """
    steps = range(config.num_hidden_layers)
    if config.tied == "none" or (config.tied == "matrices" and name not in MATRICES):
        return [[step] for step in steps]
    groups: dict[tuple[str, int], list[int]] = {}
    for step in steps:
        alone = f"{step}.{name}" in config.own_parameters
        key = ("own", step) if alone else ("block", config.block_of_step[step])
        groups.setdefault(key, []).append(step)
    return list(groups.values())


def tied_names(config: Sharing) -> list[str]:
    """Block parameters that are copies of another step's, as ``"STEP.NAME"``."""
    return [
        f"{step}.{name}"
        for name in BLOCK_PARAMETERS
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
    for name in BLOCK_PARAMETERS:
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
    for name in BLOCK_PARAMETERS:
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
    for name in BLOCK_PARAMETERS:
        for group in shared_groups(config, name):
            yield group[0], name


def _replace(block: nn.Module, name: str, parameter: nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(block.get_submodule(path), leaf, parameter)
