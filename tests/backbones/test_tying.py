"""Parameters that steps share stay shared, and those they do not share stay apart."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import LoRAConfig
from safetensors import safe_open

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import canonical_shapes
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.model import RecursiveModel
from adapterkit.backbones.saving import save_backbone
from adapterkit.backbones.tying import (
    BLOCK_PARAMETERS,
    is_matrix,
    tied_names,
    untied_layout,
)

from .conftest import batch, output, random_model, small_config

Model = RecursiveAdapterModel


def objects(model: Any, name: str) -> list[int]:
    """The identity of one block parameter in every step."""
    return [id(block.get_parameter(name)) for block in model.base_model.encoder.blocks()]


def assert_shared(model: Any) -> None:
    for name in BLOCK_PARAMETERS:
        assert len(set(objects(model, name))) == 1, name


def through_pickle(model: Model) -> Model:
    loaded: Model = pickle.loads(pickle.dumps(model))
    return loaded


def through_torch_save(model: Model) -> Model:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded: Model = torch.load(buffer, weights_only=False)
    return loaded


def through_state_dict(model: Model) -> Model:
    fresh = random_model(embedding_adapter_size=2)
    fresh.load_state_dict(model.state_dict())
    return fresh


def through_assignment(model: Model) -> Model:
    """Each stored tensor becomes a Parameter of its own."""
    fresh = random_model(embedding_adapter_size=2)
    stored = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fresh.load_state_dict(stored, assign=True)
    return fresh


def through_bfloat16(model: Model) -> Model:
    return model.to(torch.bfloat16).to(torch.float32)


def as_it_is(model: Model) -> Model:
    return model


@pytest.mark.parametrize(
    "journey",
    [
        as_it_is,
        copy.deepcopy,
        through_pickle,
        through_torch_save,
        through_state_dict,
        through_assignment,
    ],
    ids=lambda function: function.__name__,
)
def test_ties_and_outputs_survive(journey: Callable[[Model], Model]) -> None:
    model = random_model(embedding_adapter_size=2)
    before = output(model)
    after = journey(model)
    assert_shared(after)
    assert torch.equal(output(after), before)


def test_ties_survive_a_change_of_dtype() -> None:
    model = through_bfloat16(random_model())
    assert_shared(model)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert_shared(model.half())


def test_ties_survive_where_no_parameter_object_can_be_kept() -> None:
    assert_shared(random_model().to("meta").to_empty(device="cpu"))


def test_ties_survive_training() -> None:
    model = random_model().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(**batch()).last_hidden_state.square().mean().backward()
    optimiser.step()
    assert_shared(model)
    blocks = model.albert.encoder.blocks()
    values = [block.ffn.weight for block in blocks]
    assert all(torch.equal(values[0], value) for value in values)


def test_optimiser_sees_a_shared_parameter_once() -> None:
    model = random_model(layerwise=False)
    names = [name for name, _ in model.albert.named_parameters() if "albert_layer_groups" in name]
    assert len(names) == len(BLOCK_PARAMETERS)


def test_one_block_is_stored(tmp_path: Path, tokenizer: Any) -> None:
    sizes = {}
    for steps in (2, 8):
        path = tmp_path / str(steps)
        model = random_model(layerwise=False, num_hidden_layers=steps)
        save_backbone(model, tokenizer, path, card={})
        with safe_open(path / "model.safetensors", framework="pt") as file:
            keys = list(file.keys())
        assert sum("albert_layer_groups" in key for key in keys) == len(BLOCK_PARAMETERS) == 16
        sizes[steps] = (path / "model.safetensors").stat().st_size
    assert sizes[2] == sizes[8]
    assert_shared(load_backbone(tmp_path / "8").model)


@pytest.mark.parametrize("model_class", [RecursiveModel, RecursiveAdapterModel])
def test_transformers_own_saving_keeps_one_block(tmp_path: Path, model_class: Any) -> None:
    model = model_class(small_config()).eval()
    model.save_pretrained(tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", framework="pt") as file:
        assert sum("albert_layer_groups" in key for key in file.keys()) == 16  # noqa: SIM118
    loaded, report = model_class.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert_shared(loaded)
    assert torch.equal(output(loaded), output(model))


@pytest.mark.parametrize(
    ("together", "apart", "expected"),
    [
        ([2, 3], [], [0, 0, 2, 2]),
        ([], [2, 3], [0, 0, 2, 3]),
        ([0, 3], [1], [0, 1, 2, 0]),
        ([], [0], [0, 1, 1, 1]),
        ([0, 1, 2, 3], [], [0, 0, 0, 0]),
    ],
)
def test_steps_leave_the_shared_block(
    together: list[int], apart: list[int], expected: list[int]
) -> None:
    model = random_model()
    before = output(model)
    layout = untied_layout(model.config, together, apart)
    assert layout == expected
    model.set_blocks(layout)
    assert torch.equal(output(model), before)
    for name in BLOCK_PARAMETERS:
        found = objects(model, name)
        assert [found.index(identity) for identity in found] == expected
    assert len(canonical_shapes(model.config)) == len(canonical_shapes(small_config())) + 16 * (
        len(set(expected)) - 1
    )


def test_steps_that_left_learn_alone(tmp_path: Path, tokenizer: Any) -> None:
    model = random_model()
    model.set_blocks([0, 0, 2, 2])
    blocks = model.albert.encoder.blocks()
    with torch.no_grad():
        blocks[3].ffn.weight.add_(1.0)
    assert torch.equal(blocks[2].ffn.weight, blocks[3].ffn.weight)
    assert not torch.equal(blocks[1].ffn.weight, blocks[2].ffn.weight)
    save_backbone(model, tokenizer, tmp_path / "b", card={})
    loaded = load_backbone(tmp_path / "b")
    assert torch.equal(output(loaded.model), output(model))
    assert loaded.model.config.block_of_step == [0, 0, 2, 2]
    assert loaded.fingerprint == fingerprint(model)


def test_steps_come_together_again() -> None:
    model = random_model()
    before = output(model)
    model.set_blocks([0, 1, 2, 3])
    model.set_blocks([0, 0, 0, 0])
    assert_shared(model)
    assert torch.equal(output(model), before)


@pytest.mark.parametrize(
    "layout", [[0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 3, 2], [0, 0, 0, 9]]
)
def test_layouts_that_make_no_sense(layout: list[int]) -> None:
    with pytest.raises(ValueError, match="block_of_step"):
        small_config(block_of_step=layout)


@pytest.mark.parametrize("layout", [[0, 0], [0, 0, 3, 2], [0, 0, 0, 9]])
def test_refused_layout_leaves_the_model_alone(layout: list[int]) -> None:
    model = random_model()
    before = output(model)
    with pytest.raises(ValueError, match="block_of_step"):
        model.set_blocks(layout)
    assert model.config.block_of_step == [0, 0, 0, 0]
    assert_shared(model)
    assert torch.equal(output(model), before)


def test_relaxed_recursion_shares_matrices_alone(tmp_path: Path, tokenizer: Any) -> None:
    model = random_model(tied="matrices")
    matrices = [name for name in BLOCK_PARAMETERS if is_matrix(name)]
    for name in BLOCK_PARAMETERS:
        assert len(set(objects(model, name))) == (1 if name in matrices else 4), name
    norms = [block.attention.LayerNorm.weight for block in model.albert.encoder.blocks()]
    assert not torch.equal(norms[0], norms[1]), "steps must have norms of their own to test this"
    save_backbone(model, tokenizer, tmp_path / "relaxed", card={})
    loaded = load_backbone(tmp_path / "relaxed")
    assert torch.equal(output(loaded.model), output(model))
    with safe_open(tmp_path / "relaxed" / "model.safetensors", framework="pt") as file:
        stored = sum("albert_layer_groups" in key for key in file.keys())  # noqa: SIM118
    assert stored == len(matrices) + 4 * (16 - len(matrices))


def test_nothing_tied() -> None:
    model = random_model(tied="none")
    assert tied_names(model.config) == []
    for name in BLOCK_PARAMETERS:
        assert len(set(objects(model, name))) == 4


def test_dropout_is_that_of_untied_steps() -> None:
    """Under one seed, a tied model in training computes what four equal blocks would."""
    tied = random_model().train()
    untied = copy.deepcopy(tied)
    untied.set_blocks([0, 1, 2, 3])
    outputs = []
    for model in (tied, untied, tied):
        torch.manual_seed(7)
        outputs.append(output(model))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    torch.manual_seed(8)
    assert not torch.equal(output(tied), outputs[0])


def test_loaded_backbone_trains_as_the_saved_one(saved: Path) -> None:
    one, other = (load_backbone(saved).model.train() for _ in range(2))
    results = []
    for model in (one, other):
        torch.manual_seed(3)
        model(**batch()).last_hidden_state.square().mean().backward()
        results.append(model.albert.encoder.blocks()[0].ffn.weight.grad)
    assert torch.equal(results[0], results[1])


def test_gradient_of_a_shared_weight_sums_over_steps() -> None:
    tied = random_model()
    untied = copy.deepcopy(tied)
    untied.set_blocks([0, 1, 2, 3])
    for model in (tied, untied):
        model(**batch()).last_hidden_state.square().sum().backward()
    shared = tied.albert.encoder.blocks()[0].ffn.weight.grad
    apart = sum(block.ffn.weight.grad for block in untied.albert.encoder.blocks())
    torch.testing.assert_close(shared, apart, rtol=1e-4, atol=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    plain = random_model(embedding_adapter_size=2).train()
    saving = copy.deepcopy(plain)
    saving.gradient_checkpointing_enable()
    assert saving.albert.encoder.gradient_checkpointing
    gradients = []
    for model in (plain, saving):
        torch.manual_seed(5)
        model(**batch()).last_hidden_state.square().mean().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-6)


class TestMerging:
    """Merging an adapter into a weight that steps share changes one step."""

    @pytest.fixture
    def model(self) -> Model:
        model = random_model()
        model.add_adapter("lora", config=LoRAConfig(leave_out=[0, 1, 3], r=2, init_weights="bert"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "loras.lora" in name:
                    parameter.normal_()
        return model

    def test_merging_unties_that_step_alone(self, model: Model) -> None:
        from adapters.composition import Stack

        model.set_active_adapters(Stack(LAYERWISE, "lora"))
        adapted = output(model)
        model.set_active_adapters(LAYERWISE)
        plain = output(model)
        before = model.albert.encoder.blocks()[0].attention.query.weight.clone()
        model.merge_adapter("lora")
        assert (output(model) - adapted).abs().max() < 1e-4
        assert (adapted - plain).abs().max() > 1e-2
        found = objects(model, "attention.query.weight")
        assert found[0] == found[1] == found[3] != found[2]
        assert torch.equal(model.albert.encoder.blocks()[3].attention.query.weight, before)
        assert sorted(model.config.own_parameters) == [
            "2.attention.query.weight",
            "2.attention.value.weight",
        ]

    def test_merged_backbone_is_stored_and_loaded(
        self, model: Model, tmp_path: Path, tokenizer: Any
    ) -> None:
        model.set_active_adapters(LAYERWISE)
        unmerged = fingerprint(model)
        model.merge_adapter("lora")
        save_backbone(model, tokenizer, tmp_path / "merged", card={})
        loaded = load_backbone(tmp_path / "merged")
        assert torch.equal(output(loaded.model), output(model))
        assert loaded.fingerprint == fingerprint(model) != unmerged

    def test_merged_step_keeps_its_weight_when_others_move(
        self, model: Model, tmp_path: Path, tokenizer: Any
    ) -> None:
        model.set_active_adapters(LAYERWISE)
        model.merge_adapter("lora")
        with pytest.raises(ValueError, match="merged"):
            model.set_blocks([0, 0, 0, 3])
        save_backbone(model, tokenizer, tmp_path / "merged", card={})
        loaded = load_backbone(tmp_path / "merged").model
        before = output(loaded)
        loaded.set_blocks([0, 0, 0, 3])
        assert torch.equal(output(loaded), before)
        found = objects(loaded, "attention.query.weight")
        assert found[0] == found[1]
        assert len(set(found)) == 3

    def test_resetting_shares_again(self, model: Model) -> None:
        model.set_active_adapters(LAYERWISE)
        before = output(model)
        model.merge_adapter("lora")
        model.reset_adapter()
        assert_shared(model)
        assert model.config.own_parameters == []
        assert torch.equal(output(model), before)
