"""Whether a plan fits a backbone."""

from __future__ import annotations

from adapterkit.plans.methods.method import Sizes
from adapterkit.plans.methods.reft import Reft
from adapterkit.plans.sites import plan_sites
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError


def check_fit(plan: StepPlan, sizes: Sizes, has_layerwise: bool) -> None:
    """Check that a plan can be applied to a backbone.

    Args:
        plan: The plan.
        sizes: The backbone's: its configuration, or what its files state.
        has_layerwise: Whether it has pretrained layer-wise adapters.

    Raises:
        UserError: The plan does not fit the backbone.
    """
    total = sizes.num_hidden_layers
    plan.check(total, has_layerwise)
    sites = plan_sites(plan, total, "task")
    for site in sites:
        for method in site.choice.methods:
            method.check(sizes, site)
    reft = [site for site in sites if any(isinstance(m, Reft) for m in site.choice.methods)]
    if len(reft) > 1:
        raise UserError(
            "A plan can have only one ReFT configuration: AdapterHub applies one at a time.",
            where=f"the plan {plan}",
            found=", ".join(str(site.choice) for site in reft),
            hint="use the same options at all its steps, or another adapter at some of them",
        )
