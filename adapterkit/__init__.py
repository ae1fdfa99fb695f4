"""adapterkit: adapt compact recursive language models, one recursion step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterkit.backbones.loading import load_backbone
    from adapterkit.comparing.ablating.ablate import ablate
    from adapterkit.plans.step_plan import StepPlan
    from adapterkit.serving.predictor import Predictor, load_adapter
    from adapterkit.serving.together import Predictors, load_adapters
    from adapterkit.tuning.run import Run
    from adapterkit.tuning.tune import tune

__all__ = [
    "Predictor",
    "Predictors",
    "Run",
    "StepPlan",
    "__version__",
    "ablate",
    "load_adapter",
    "load_adapters",
    "load_backbone",
    "tune",
]

# Looked up on first use: importing PyTorch takes seconds, and `adapterkit --help` needs none of it.
_HOMES = {
    "Predictor": "adapterkit.serving.predictor",
    "Predictors": "adapterkit.serving.together",
    "Run": "adapterkit.tuning.run",
    "StepPlan": "adapterkit.plans.step_plan",
    "ablate": "adapterkit.comparing.ablating.ablate",
    "load_adapter": "adapterkit.serving.predictor",
    "load_adapters": "adapterkit.serving.together",
    "load_backbone": "adapterkit.backbones.loading",
    "tune": "adapterkit.tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("adapterkit")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
