"""A student's matrices, fitted to what the teacher sends through its own on some text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import BertModel

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.bert_layers import layer_module, layer_parameter
from adapterkit.backbones.relaxed import RELAXED

_ROUNDS = 6
_RIDGE = 1e-3


@dataclass(frozen=True)
class Moments:
    """What enters a linear layer, over many tokens.

    Attributes:
        mean: Shape (in,).
        second: Mean of ``x x^T``, shape (in, in).
    """

    mean: torch.Tensor
    second: torch.Tensor


def fit_matrices(
    model: RecursiveAdapterModel,
    encoder: BertModel,
    layers: Sequence[int],
    batches: Iterable[Mapping[str, torch.Tensor]],
) -> dict[str, float]:
    """Fit the shared matrices, and the steps' low-rank updates, to the teacher's on text.

    For each matrix of the block, the shared ``W`` and the updates ``B[i] A[i]`` of given rank are
    to minimise the error of the outputs, ``sum_i E |(T[i] - W - B[i] A[i]) x[i]|^2``, where
    ``T[i]`` is the matrix of the teacher layer that step i learns from and ``x[i]`` what enters it.
    Truncated SVD of ``T[i] - W`` weighs all directions of the input alike, of which text uses few.
    Given ``W``, the best update projects ``T[i] - W`` onto the leading left singular vectors of
    ``(T[i] - W) C[i]^(1/2)``, with ``C[i] = E x[i] x[i]^T``; given the updates, ``W`` is a
    least-squares solution; the two take turns, from where the block is. Where steps own their
    biases, these take up the mean of what remains, and ``C[i]`` is the covariance.

    Args:
        model: A student of the teacher's shape; changed in place.
        encoder: The teacher.
        layers: For each recursion step, the teacher layer it learns from, the first being 1.
        batches: Text, ``input_ids`` and ``attention_mask``.

    Returns:
        For each matrix the share of the outputs' mean square (variance, where steps own their
        biases) that the fit leaves unexplained, mean over the steps.
    """
    moments = input_moments(encoder, batches)
    blocks: list[Any] = model.albert.encoder.blocks()
    own_biases = model.config.tied == "matrices"
    found = {}
    for name in LORA_MODULES:
        own = [moments[layer - 1, _ENTERS.get(name, name)] for layer in layers]
        targets = [
            layer_parameter(encoder.encoder.layer[layer - 1], f"{name}.weight").double()
            for layer in layers
        ]
        linears = [block.get_submodule(name) for block in blocks]
        updates = [linear.loras[RELAXED] for linear in linears if RELAXED in linear.loras]
        rank = len(updates[0].lora_A) if updates else 0
        inputs = [_covariance(moment) if own_biases else moment.second for moment in own]
        fit = fit_shared(targets, inputs, linears[0].weight.double(), rank)
        with torch.no_grad():
            linears[0].weight.copy_(fit.shared)
            for update, (up, down) in zip(updates, fit.updates, strict=False):
                _set_factors(update, up, down)
            if own_biases:
                for linear, layer, rest, moment in zip(linears, layers, fit.rest, own, strict=True):
                    bias = layer_parameter(encoder.encoder.layer[layer - 1], f"{name}.bias")
                    linear.bias.copy_(bias + rest @ moment.mean)
        found[name] = fit.unexplained
    return found


@dataclass(frozen=True)
class SharedFit:
    """One matrix for all steps, and a low-rank update for each.

    Attributes:
        shared: Shape (out, in).
        updates: Each step's factors, of shapes (out, rank) and (rank, in).
        rest: For each step, what of its target neither holds, shape (out, in).
        unexplained: Share of the outputs' mean square that `rest` makes, mean over the steps.
    """

    shared: torch.Tensor
    updates: list[tuple[torch.Tensor, torch.Tensor]]
    rest: list[torch.Tensor]
    unexplained: float


@torch.no_grad()
def fit_shared(
    targets: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    shared: torch.Tensor,
    rank: int,
    rounds: int = _ROUNDS,
) -> SharedFit:
    """The shared matrix and the updates of `fit_matrices`, for one matrix of the block.

    Args:
        targets: Each step's target, shape (out, in), double precision.
        inputs: Each step's ``C``, shape (in, in), double precision.
        shared: Where the shared matrix starts.
        rank: Of the updates; 0: none.
        rounds: How often shared matrix and updates take turns. With no updates once is enough.
    """
    ridged = [_ridged(covariance) for covariance in inputs]
    roots = [torch.linalg.cholesky(covariance) for covariance in ridged]
    total = torch.linalg.inv(torch.stack(ridged).sum(0))
    updates = [_update(t - shared, r, rank) for t, r in zip(targets, roots, strict=True)]
    for _ in range(rounds if rank else 1):
        steps = zip(targets, updates, ridged, strict=True)
        shared = torch.stack([(t - up @ down) @ c for t, (up, down), c in steps]).sum(0) @ total
        updates = [_update(t - shared, r, rank) for t, r in zip(targets, roots, strict=True)]
    rest = [t - shared - up @ down for t, (up, down) in zip(targets, updates, strict=True)]
    shares = [
        float((left @ root).square().sum() / (target @ root).square().sum())
        for left, target, root in zip(rest, targets, roots, strict=True)
    ]
    return SharedFit(shared, updates, rest, sum(shares) / len(shares))


def _update(
    difference: torch.Tensor, root: torch.Tensor, rank: int
) -> tuple[torch.Tensor, torch.Tensor]:
    if rank == 0:
        return difference.new_zeros(len(difference), 0), difference.new_zeros(0, len(root))
    # Single precision finds the directions; the projection itself stays exact.
    left, _, _ = torch.linalg.svd((difference @ root).float(), full_matrices=False)
    up, _ = torch.linalg.qr(left[:, :rank].double())
    return up, up.T @ difference


def _set_factors(lora: Any, up: torch.Tensor, down: torch.Tensor) -> None:
    # Half of the scale in each factor, so that both learn alike.
    scale = down.norm(dim=1).clamp(min=1e-12).sqrt()
    lora.lora_A.zero_()
    lora.lora_B.zero_()
    lora.lora_A[: len(down)] = down / scale[:, None]
    lora.lora_B[:, : len(down)] = up * scale


_ENTERS = {"attention.key": "attention.query", "attention.value": "attention.query"}


@torch.no_grad()
def input_moments(
    encoder: BertModel, batches: Iterable[Mapping[str, torch.Tensor]]
) -> dict[tuple[int, str], Moments]:
    """Moments of what enters the linear layers of a teacher, padding left out.

    Args:
        encoder: The teacher.
        batches: Text, ``input_ids`` and ``attention_mask``.

    Returns:
        By layer, from 0, and the block's name of the linear layer; query, key and value have the
        same input and stand under ``"attention.query"``. Double precision.
    """
    layers: Any = encoder.encoder.layer
    names = [name for name in LORA_MODULES if name not in _ENTERS]
    sums: dict[tuple[int, str], list[torch.Tensor]] = {}
    kept = torch.empty(0, dtype=torch.bool)
    count = 0

    def adder(key: tuple[int, str]) -> Any:
        def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            states = inputs[0][kept]
            added = [states.sum(0).double(), (states.T @ states).double()]
            before = sums.get(key)
            sums[key] = (
                added if before is None else [a + b for a, b in zip(before, added, strict=True)]
            )

        return add

    with ExitStack() as hooks:
        for number, layer in enumerate(layers):
            for name in names:
                module = layer_module(layer, name)
                handle = module.register_forward_pre_hook(adder((number, name)))
                hooks.callback(handle.remove)
        for batch in batches:
            kept = batch["attention_mask"].bool()
            count += int(kept.sum())
            encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return {key: Moments(first / count, second / count) for key, (first, second) in sums.items()}


def _covariance(moments: Moments) -> torch.Tensor:
    return moments.second - torch.outer(moments.mean, moments.mean)


def _ridged(matrix: torch.Tensor) -> torch.Tensor:
    return matrix + torch.eye(len(matrix)).double() * (_RIDGE * matrix.diagonal().mean())
