"""AdapterHub on a recursive backbone: every method sees the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import adapters
import pytest
import torch
from adapters import AutoAdapterModel, LoRAConfig, SeqBnConfig
from adapters.composition import BatchSplit, Fuse, Parallel
from transformers import PreTrainedModel

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.kronecker_configs import AdakronConfig, KronaConfig, OpenUnion
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.lora_layers import StepLoRALinear
from adapterkit.backbones.model import (
    STATIC_HEADS,
    RecursiveForMaskedLM,
    RecursiveForSequenceClassification,
    RecursiveForTokenClassification,
)

from .conftest import batch, output, random_model, small_config


@pytest.fixture
def two_tasks() -> Any:
    model = random_model(layerwise=False)
    for name, labels in (("one", 3), ("two", 5)):
        model.add_adapter(name, config=SeqBnConfig(reduction_factor=8))
        model.add_tagging_head(name, num_labels=labels)
    return model.eval()


def test_parallel_heads(two_tasks: Any) -> None:
    two_tasks.set_active_adapters(Parallel("one", "two"))
    with torch.no_grad():
        together = two_tasks(**batch())
    assert [head.logits.shape for head in together] == [(2, 6, 3), (2, 6, 5)]
    for name, head in zip(("one", "two"), together, strict=True):
        two_tasks.set_active_adapters(name)
        two_tasks.active_head = name
        with torch.no_grad():
            alone = two_tasks(**batch()).logits
        assert (head.logits - alone).abs().max() < 1e-5


def test_batch_split(two_tasks: Any) -> None:
    two_tasks.set_active_adapters(BatchSplit("one", "two", batch_sizes=[1, 1]))
    two_tasks.active_head = None
    with torch.no_grad():
        split = two_tasks(**batch()).last_hidden_state
    for row, name in enumerate(("one", "two")):
        two_tasks.set_active_adapters(name)
        two_tasks.active_head = None
        assert (split[row] - output(two_tasks)[row]).abs().max() < 1e-5


def test_fusion_has_weights_for_every_step(two_tasks: Any) -> None:
    fusion = Fuse("one", "two")
    two_tasks.add_adapter_fusion(fusion)
    two_tasks.set_active_adapters(fusion)
    two_tasks.active_head = None
    assert output(two_tasks).isfinite().all()
    names = [n for n, _ in two_tasks.named_parameters() if "fusion" in n and "query.weight" in n]
    assert len(names) == 4


@pytest.mark.parametrize(
    "config", [SeqBnConfig(leave_out=[0, 1]), LoRAConfig(leave_out=[0, 1])], ids=["bn", "lora"]
)
def test_leave_out_leaves_steps_out(config: Any) -> None:
    model = random_model(layerwise=False)
    model.add_adapter("task", config=config)
    model.train_adapter("task")
    steps = {
        int(name.split("albert_layer_groups.")[1].split(".")[0])
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    assert steps == {2, 3}


@pytest.mark.parametrize(
    "config",
    [
        SeqBnConfig(),
        KronaConfig(factor=8, alpha=2, intermediate_lora=True),
        AdakronConfig(factor=4, leave_out=[1]),
        OpenUnion(AdakronConfig(leave_out=[0]), KronaConfig(factor=2)),
    ],
    ids=["bn", "krona", "adakron", "union"],
)
def test_adapter_travels_between_models(config: Any, tmp_path: Path) -> None:
    model = random_model()
    model.add_adapter("task", config=config, set_active=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".task." in name:
                parameter.normal_(std=0.1)
    model.save_adapter(str(tmp_path / "task"), "task", use_safetensors=True)
    before = output(model)
    model.save_pretrained(tmp_path / "whole")
    whole = RecursiveAdapterModel.from_pretrained(tmp_path / "whole").eval()
    whole.set_active_adapters("task")
    assert torch.equal(output(whole), before)
    model.delete_adapter("task")
    model.set_active_adapters(model.load_adapter(str(tmp_path / "task"), use_safetensors=True))
    assert torch.equal(output(model), before)


def test_layerwise_epsilon_is_the_blocks() -> None:
    model = random_model()
    norms = [m.adapter_norm_after for m in model.modules() if hasattr(m, "adapter_norm_after")]
    assert len(norms) == 7
    assert {norm.eps for norm in norms} == {model.config.layer_norm_eps}


@pytest.mark.parametrize("zero", [True, False])
def test_layerwise_adapters_compute_what_they_should(zero: bool, saved: Path) -> None:
    """With zeroed up-projections an adapter is a LayerNorm of its input, not an identity."""
    model = load_backbone(saved).model
    active = output(model)
    if zero:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if f".{LAYERWISE}.adapter_up" in name:
                    parameter.zero_()
        assert not torch.allclose(output(model), active)
    model.set_active_adapters(None)
    assert not torch.allclose(output(model), active)


@pytest.mark.parametrize(
    ("static_class", "changes"),
    [
        (RecursiveForTokenClassification, {"num_labels": 3}),
        (RecursiveForSequenceClassification, {"num_labels": 3, "use_pooler": True}),
        (RecursiveForMaskedLM, {}),
        (RecursiveForMaskedLM, {"mlm_head": "miniALBERT"}),
    ],
)
def test_static_heads_are_saved_and_loaded(
    tmp_path: Path, static_class: Any, changes: dict[str, Any]
) -> None:
    model = static_class(small_config(**changes)).eval()
    model.save_pretrained(tmp_path / "static")
    loaded, report = static_class.from_pretrained(tmp_path / "static", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.no_grad():
        assert torch.equal(loaded.eval()(**batch()).logits, model(**batch()).logits)


def test_static_classifier_becomes_a_flexible_head(tmp_path: Path) -> None:
    model = RecursiveForTokenClassification(small_config(num_labels=3)).eval()
    model.save_pretrained(tmp_path / "static")
    flexible = AutoAdapterModel.from_pretrained(tmp_path / "static").eval()
    with torch.no_grad():
        found, wanted = flexible(**batch()).logits, model(**batch()).logits
    assert (found - wanted).abs().max() < 1e-5


def _randomised(model: Any) -> Any:
    with torch.no_grad():
        for parameter in dict.fromkeys(model.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gelu"},
        {"hidden_act": "gelu_new"},
        {"hidden_act": "relu"},
        {"mlm_head": "miniALBERT", "hidden_act": "gelu_new"},
    ],
    ids=lambda changes: "-".join(changes.values()),
)
@pytest.mark.parametrize("way", ["from_pretrained", "load_head"])
def test_static_masked_lm_head_becomes_a_flexible_head(
    tmp_path: Path, changes: dict[str, Any], way: str
) -> None:
    config = small_config(**changes)
    static = _randomised(RecursiveForMaskedLM(config))
    if way == "from_pretrained":
        static.save_pretrained(tmp_path / "static")
        flexible = AutoAdapterModel.from_pretrained(tmp_path / "static")
    else:
        adapters.init(static)
        static.save_head(tmp_path / "head")
        flexible = AutoAdapterModel.from_config(config)
        flexible.load_state_dict(static.state_dict(), strict=False)
        flexible.load_head(tmp_path / "head", load_as="words")
    flexible.save_pretrained(tmp_path / "flexible")
    again = AutoAdapterModel.from_pretrained(tmp_path / "flexible")
    with torch.no_grad():
        wanted = static(**batch()).logits
        assert (flexible.eval()(**batch()).logits - wanted).abs().max() < 1e-5
        assert (again.eval()(**batch()).logits - wanted).abs().max() < 1e-5


class TestModelsOfOneConfiguration:
    """Each works on a configuration of its own."""

    def test_heads(self) -> None:
        config = small_config()
        for _ in range(2):
            model = AutoAdapterModel.from_config(config)
            model.add_adapter("task", config=SeqBnConfig(reduction_factor=8))
            model.add_tagging_head("task", num_labels=3)
        assert not hasattr(config, "prediction_heads")

    def test_blocks(self, tmp_path: Path) -> None:
        config = small_config()
        one, other = RecursiveAdapterModel(config), RecursiveAdapterModel(config)
        one.set_blocks([0, 0, 2, 3])
        other.save_pretrained(tmp_path / "other")
        loaded = AutoAdapterModel.from_pretrained(tmp_path / "other")
        assert config.block_of_step == loaded.config.block_of_step == [0, 0, 0, 0]
        assert one.config.block_of_step == [0, 0, 2, 3]

    @pytest.mark.parametrize("static_class", [*STATIC_HEADS.values(), RecursiveAdapterModel])
    def test_one_model_has_one_configuration(self, static_class: Any) -> None:
        config = small_config()
        model = static_class(config)
        adapters.init(model)
        held = {id(m.config) for m in model.modules() if isinstance(m, PreTrainedModel)}
        linears = [m for m in model.modules() if isinstance(m, StepLoRALinear)]
        assert held == {id(m.model_config) for m in linears} == {id(model.albert.encoder.config)}
        assert model.config is not config


@pytest.mark.parametrize("method", ["double_seq_bn", "lora", "prefix_tuning", "prompt_tuning"])
@pytest.mark.parametrize("asked", ["maps", "head mask"])
def test_sdpa_keeps_adapters_when_attention_is_written_out(asked: str, method: str) -> None:
    model = random_model()
    model.add_adapter("task", config=method)
    _randomised(model)
    # AdapterHub leaves prompts out of stacks.
    stack = "task" if method == "prompt_tuning" else adapters.composition.Stack(LAYERWISE, "task")
    without = output(model)
    model.set_active_adapters(stack)
    wanted = output(model)
    assert wanted.shape != without.shape or not torch.allclose(wanted, without, atol=1e-3)
    config = model.config
    with torch.no_grad():
        if asked == "maps":
            found = model(**batch(), output_attentions=True)
            assert len(found.attentions) == config.num_hidden_layers
            assert torch.allclose(found.attentions[0].sum(-1), torch.ones(()), atol=1e-5)
        else:
            heads = torch.ones(config.num_hidden_layers, config.num_attention_heads)
            found = model(**batch(), head_mask=heads)
    kept = batch()["attention_mask"].bool()
    kept = torch.nn.functional.pad(kept, (wanted.shape[1] - kept.shape[1], 0), value=True)
    if method == "prompt_tuning":
        # In AdapterHub's SDPA attention, prompts see padding; in the written-out one they do not.
        kept[1] = False
    assert torch.allclose(found.last_hidden_state[kept], wanted[kept], atol=1e-5)
