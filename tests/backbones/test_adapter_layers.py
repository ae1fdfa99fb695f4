"""AdapterHub's layers on shared parameters: sent to other processes, merged, taken out again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import adapters
import pytest
import torch
from adapters import (
    CompacterConfig,
    DoRAConfig,
    IA3Config,
    LoRAConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    VeraConfig,
)

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.kronecker_configs import AdakronConfig, KronaConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.backbones.model import RecursiveForTokenClassification
from adapterkit.backbones.tying import BLOCK_PARAMETERS

from .conftest import output, random_model, small_config

MERGED = {
    "lora": LoRAConfig(r=4, intermediate_lora=True, output_lora=True),
    "lora-some-steps": LoRAConfig(r=4, leave_out=[0, 2]),
    "ia3": IA3Config(),
    "dora": DoRAConfig(r=4),
    "vera": VeraConfig(),
    "krona": KronaConfig(factor=8, alpha=2, intermediate_lora=True, output_lora=True),
}


def adapted(config: Any, **changes: Any) -> RecursiveAdapterModel:
    """A model with an active adapter whose every weight is random."""
    model = random_model(layerwise=False, **changes)
    model.add_adapter("task", config=config, set_active=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".task." in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def sharing(model: Any) -> list[list[int]]:
    """For each parameter of the block, which steps hold the same object."""
    blocks = model.albert.encoder.blocks()
    objects = [[id(block.get_parameter(name)) for block in blocks] for name in BLOCK_PARAMETERS]
    return [[step.index(one) for one in step] for step in objects]


@pytest.mark.parametrize(
    "config",
    [
        SeqBnConfig(reduction_factor=8),
        CompacterConfig(reduction_factor=8, phm_dim=2),
        LoRAConfig(),
        IA3Config(),
        DoRAConfig(),
        KronaConfig(),
        AdakronConfig(),
        VeraConfig(),
        PrefixTuningConfig(prefix_length=3),
        PromptTuningConfig(prompt_length=2),
        PromptTuningConfig(prompt_length=2, combine="prefix_after_bos"),
    ],
    ids=lambda config: type(config).__name__,
)
def test_adapters_can_be_sent_to_another_process(config: Any) -> None:
    model = adapted(config)
    received = pickle.loads(pickle.dumps(model))
    assert torch.equal(output(received), output(model))
    assert sharing(received) == sharing(model)


@pytest.mark.parametrize("tied", ["all", "matrices"])
@pytest.mark.parametrize("config", MERGED.values(), ids=MERGED)
class TestMerging:
    """The biases of these models are random, not zero as in a model just initialised."""

    def test_merging_changes_no_output(self, config: Any, tied: str) -> None:
        model = adapted(config, tied=tied)
        before = output(model)
        model.merge_adapter("task")
        assert (output(model) - before).abs().max() < 1e-5

    def test_merged_model_is_stored_and_loaded(
        self, config: Any, tied: str, tmp_path: Path
    ) -> None:
        model = adapted(config, tied=tied)
        model.merge_adapter("task")
        model.save_pretrained(tmp_path / "merged")
        loaded, report = RecursiveAdapterModel.from_pretrained(
            tmp_path / "merged", output_loading_info=True
        )
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert torch.equal(output(loaded.eval()), output(model))
        assert sharing(loaded) == sharing(model)

    def test_resetting_shares_again(self, config: Any, tied: str) -> None:
        model = adapted(config, tied=tied)
        before, shared, unmerged = output(model), sharing(model), fingerprint(model)
        model.merge_adapter("task")
        assert model.config.own_parameters
        assert fingerprint(model) != unmerged
        model.reset_adapter()
        assert model.config.own_parameters == []
        assert sharing(model) == shared
        assert fingerprint(model) == unmerged
        assert torch.equal(output(model), before)


def test_reset_after_a_change_of_dtype() -> None:
    """Where every step is merged, no step holds the shared weight while the model is converted."""
    model = adapted(MERGED["lora"])
    model.merge_adapter("task")
    model.half().reset_adapter()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}


@pytest.mark.parametrize("part", ["whole", "base"])
def test_prefixes_work_after_saving(part: str, tmp_path: Path) -> None:
    model = adapted(PrefixTuningConfig(prefix_length=3))
    before = output(model)
    (model if part == "whole" else model.base_model).save_pretrained(tmp_path / "saved")
    assert torch.equal(output(model), before)
    model.delete_adapter("task")
    assert not torch.equal(output(model), before)


def test_models_with_a_static_head_have_these_layers() -> None:
    model = RecursiveForTokenClassification(small_config(num_labels=3))
    adapters.init(model)
    steps = model.config.num_hidden_layers
    model.add_adapter(LAYERWISE, config=layerwise_config(steps), set_active=True)
    norms = [m.adapter_norm_after for m in model.modules() if hasattr(m, "adapter_norm_after")]
    assert {norm.eps for norm in norms} == {model.config.layer_norm_eps}
    model.add_adapter("task", config=LoRAConfig(leave_out=[0, 1, 2]))
    model.merge_adapter("task")
    assert model.config.own_parameters == ["3.attention.query.weight", "3.attention.value.weight"]
    assert {tuple(row) for row in sharing(model)} == {(0, 0, 0, 0), (0, 0, 0, 3)}
