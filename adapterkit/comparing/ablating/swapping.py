"""Two runs of one backbone and task, mixed step by step."""

from __future__ import annotations

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.comparing.ablating.mixing import MixedSteps, Mixture
from adapterkit.runs.errors import UserError
from adapterkit.tuning.reloading import LoadedRun


def mixed(lower: RecursiveAdapterModel, upper: RecursiveAdapterModel) -> MixedSteps:
    """For each k from 0 to the number of steps, `lower` below step k and `upper` from it on.

    What lies below step 0 goes with that step, and the head with the last one, so that the first
    variant is `upper` and the last one `lower`.

    Args:
        lower: An adapted model in evaluation mode, with its head active.
        upper: Another one of the same backbone.
    """
    total = lower.config.num_hidden_layers
    mixtures = [
        Mixture((0,) * k + (1,) * (total - k), head=0 if k == total else 1)
        for k in range(total + 1)
    ]
    return MixedSteps([lower, upper], mixtures)


def check_mixable(lower: LoadedRun, upper: LoadedRun) -> None:
    """Check that two runs can be mixed.

    Raises:
        UserError: They are of other backbones or tasks, or mixing them has no meaning.
    """
    compared = {
        "backbone": [run.manifest.backbone.fingerprint for run in (lower, upper)],
        "task": [run.task.name for run in (lower, upper)],
        "labels": [", ".join(run.task.labels) for run in (lower, upper)],
        "protocol": [run.manifest.protocol for run in (lower, upper)],
        "window length": [str(run.max_length) for run in (lower, upper)],
    }
    for what, (first, second) in compared.items():
        if first != second:
            raise UserError(
                f"The runs cannot be mixed: their {what} is not the same.",
                where="--swap",
                found=second,
                allowed=first,
                hint="give two runs of one backbone and one task",
            )
    for loaded in (lower, upper):
        if loaded.applied.side is not None:
            raise UserError(
                "Runs with a side path cannot be mixed: it is one network beside all steps.",
                where="--swap",
                found=f"the plan {loaded.applied.plan}",
                allowed="any other plan",
            )
    if not any(
        site.choice.definition.learns for run in (lower, upper) for site in run.applied.sites
    ):
        raise UserError(
            "There is nothing to swap: at no step of either run did anything learn.",
            where="--swap",
            found=f"the plans {lower.applied.plan} and {upper.applied.plan}",
            allowed="a run in which something learned at a step",
        )
