from __future__ import annotations

from collections.abc import Callable

import pytest
from adapters.loading import AdapterLoader

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.parts import adapter_of, stored_tensors
from adapterkit.plans.step_plan import StepPlan

MakeModel = Callable[[bool], RecursiveAdapterModel]


@pytest.mark.parametrize("choice", ADAPTER_SPECS)
def test_adapters_own_the_tensors_adapterhub_stores_with_them(
    make_model: MakeModel, choice: str
) -> None:
    model = make_model(True)
    options = "(r=8)" if choice.startswith("compacter") else ""
    apply_plan(model, StepPlan.parse(choice + options), name="task")
    for adapter in ("task", LAYERWISE):
        belongs = AdapterLoader(model).filter_func(adapter)
        for name in model.state_dict():
            assert (adapter_of(model, name) == adapter) == belongs(name), name


def test_each_tensor_is_stored_once(make_model: MakeModel) -> None:
    model = make_model(True)
    apply_plan(model, StepPlan.parse("prefix_tuning"), name="task")
    stored = stored_tensors(model)
    assert {id(p) for p in model.parameters()} <= {id(tensor) for tensor in stored.values()}
    assert len({tensor.data_ptr() for tensor in stored.values()}) == len(stored)
    assert "albert.prefix_tuning.prefix_tunings.task.self_prefix.wte.weight" in stored
