"""Which parameters weight decay would harm."""

from __future__ import annotations

from adapters.methods.lora import IA3, LoRA
from adapters.methods.modeling import Adapter, BertFusion
from adapters.methods.reft import ReftUnit

from adapterkit.plans.applied import AppliedPlan


def undecayed(applied: AppliedPlan) -> tuple[str, ...]:
    """Names of learning parameters whose resting value is not zero.

    Weight decay pulls to zero, which is no neutral value for scales (IA3's vectors, DoRA's
    magnitudes, a bottleneck's learned scaling, a fusion's values). In ReFT's orthogonal matrices it
    would even destroy the adapter: PyTorch keeps signs on the diagonal of what it optimises and
    truncates them to integers, so the least decay makes them, and with them the matrix, zero.
    """
    learning = {id(parameter) for parameter in applied.learning()}
    names = []
    for module_name, module in applied.model.named_modules():
        for parameter_name in _undecayed_of(module):
            parameter = module.get_parameter(parameter_name)
            if id(parameter) in learning:
                names.append(f"{module_name}.{parameter_name}")
    return tuple(names)


def _undecayed_of(module: object) -> list[str]:
    if isinstance(module, IA3):
        return ["lora_B"]
    if isinstance(module, LoRA) and module.use_dora:
        return ["m.weight"]
    if isinstance(module, ReftUnit) and module.orthogonal:
        return ["projection.parametrizations.weight.original"]
    if isinstance(module, BertFusion) and module.config["value"]:
        return ["value.weight"]
    if isinstance(module, Adapter) and not isinstance(module.scaling, float):
        return ["scaling"]
    return []
