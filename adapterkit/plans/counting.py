"""The ledger of a plan worked out from a backbone's sizes, without building a model.

`ledger.ledger` counts the same from storage; a test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.weights import KINDS, Weights, backbone_weights
from adapterkit.plans.fitting import check_fit
from adapterkit.plans.mechanism import Site
from adapterkit.plans.sites import plan_sites, untied_blocks
from adapterkit.plans.step_plan import StepPlan
from adapterkit.plans.tally import Entry, Ledger, tally

_BYTES = 4
"""Of a number: a backbone is always loaded in float32, and what is added to it is float32 too."""


def count_plan(
    backbone: BackboneShape, plan: StepPlan, *, name: str, head: int = 0, pooled: bool = False
) -> Ledger:
    """What `ledger` would count once `plan` was applied to a backbone.

    Args:
        backbone: The backbone's sizes.
        plan: The plan.
        name: Name of the task adapter.
        head: Parameters of the task head, which learns.
        pooled: Whether the head reads the backbone's pooler.

    Raises:
        UserError: The plan does not fit the backbone.
    """
    check_fit(plan, backbone, backbone.has_layerwise)
    total = backbone.num_hidden_layers
    resolved = plan.for_steps(total)
    sites = plan_sites(resolved, total, name, pooled)
    adapted = replace(backbone, block_of_step=tuple(untied_blocks(backbone, sites)))
    weights = sorted(_weights(adapted, sites, head), key=lambda w: KINDS.index(w.kind))
    entries = (entry for w in weights for entry in _entries(w, sites, total))
    return tally(entries, resolved.resolve(total))


def _weights(backbone: BackboneShape, sites: Sequence[Site], head: int) -> Iterator[Weights]:
    yield from backbone_weights(backbone)
    for site in sites:
        yield from site.choice.definition.added(backbone, site)
    if head:
        yield Weights("head", (), head)


def _entries(weights: Weights, sites: Sequence[Site], total: int) -> Iterator[Entry]:
    is_task = weights.adapter is not None or weights.kind == "head"
    learns = weights.kind == "head" or any(
        site.choice.definition.trains(weights, site, total) for site in sites
    )
    part, steps = _owner(weights)
    for count, learnable in ((weights.learnable, True), (weights.fixed, False)):
        if count:
            yield Entry(
                column=_column(weights),
                part=part,
                steps=steps,
                count=count,
                bytes=count * _BYTES,
                learns=learns and learnable,
                ships=is_task or (learns and learnable),
            )


def _column(weights: Weights) -> Literal["backbone", "layerwise", "task", "head"]:
    if weights.kind == "head":
        return "head"
    if weights.adapter is not None:
        return "task"
    return "layerwise" if weights.kind in ("layerwise", "embedding_adapter") else "backbone"


def _owner(weights: Weights) -> tuple[str, tuple[int, ...]]:
    """The part and steps they are listed under; no part means that one step owns them."""
    if weights.kind == "embedding_adapter":
        return "", (0,)
    if len(weights.steps) == 1:
        return "", weights.steps
    if weights.kind == "head":
        return "head", ()
    if weights.adapter is not None:
        what = "side" if weights.kind == "sides" else "adapter"
        return f"{what} {weights.adapter}", weights.steps
    return ("block", weights.steps) if weights.kind == "block" else ("embeddings", ())
