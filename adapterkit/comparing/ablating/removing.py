"""An adapted model without what learned at one of its recursion steps."""

from __future__ import annotations

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.comparing.ablating.mixing import MixedSteps, Mixture, SkippedRungs, Variants
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.choice import Choice
from adapterkit.runs.errors import UserError


def learning_steps(applied: AppliedPlan) -> dict[int, Choice]:
    """The steps at which something learned, with what adapts them.

    Raises:
        UserError: There is none, or removing what learned at one has no meaning.
    """
    choices = applied.plan.resolve(applied.model.config.num_hidden_layers)
    learned = {step: choice for step, choice in enumerate(choices) if choice.definition.learns}
    if not learned:
        raise UserError(
            "There is nothing to remove: at no step did anything learn, only the head.",
            where=f"the plan {applied.plan}",
            allowed="a run in which something learned at a step",
        )
    for step, choice in learned.items():
        if not choice.definition.removed:
            raise UserError(
                f"What the mechanism {choice.mechanism} learns cannot be removed from one step.",
                where=f"the plan {applied.plan}, step {step}",
            )
    return learned


def with_and_without(applied: AppliedPlan, pretrained: RecursiveAdapterModel) -> Variants:
    """The adapted model itself, and then without what learned at each of its `learning_steps`.

    A step without what learned there is the pretrained one, its layer-wise adapters included. What
    learned below step 0, as embeddings do where every step is ``full``, stays as it was tuned. A
    side path passes the step by.

    Args:
        applied: The adapted model, in evaluation mode.
        pretrained: Its backbone before; gets the embeddings of the adapted model.
    """
    removed = list(learning_steps(applied))
    if applied.side is not None:
        return SkippedRungs(applied.model, [(), *((step,) for step in removed)])
    _share_embeddings(applied.model, pretrained)
    total = applied.model.config.num_hidden_layers
    mixtures = [Mixture((0,) * total, head=0)]
    for step in removed:
        origins = tuple(int(other == step) for other in range(total))
        mixtures.append(Mixture(origins, head=0))
    return MixedSteps([applied.model, pretrained], mixtures)


def _share_embeddings(adapted: RecursiveAdapterModel, pretrained: RecursiveAdapterModel) -> None:
    below, tuned = pretrained.base_model, adapted.base_model
    below.embeddings = tuned.embeddings
    below.encoder.embedding_hidden_mapping_in = tuned.encoder.embedding_hidden_mapping_in
