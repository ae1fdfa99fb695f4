"""Relaxed recursion: low-rank updates of each step, as an adapter of the backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AlbertAdapterModel, AutoAdapterModel
from adapters.composition import BatchSplit, Parallel, Stack
from adapters.configuration import IA3Config, LoRAConfig

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.canonical import canonical_tensors, pretrained_tensors
from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.pretrained import FORMS
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.saving import save_backbone
from adapterkit.backbones.tensors import read_safetensors, write_safetensors
from adapterkit.runs.errors import UserError
from tests.backbones.conftest import batch, output, random_model

RANK = 3
TASK = LoRAConfig(
    r=2,
    alpha=6,
    attn_matrices=["q", "k", "v"],
    intermediate_lora=True,
    output_lora=True,
    init_weights="bert",
)


def relaxed_model(**changes: Any) -> RecursiveAdapterModel:
    return random_model(rank=RANK, tied="matrices", **changes)


@torch.no_grad()
def written_out(model: RecursiveAdapterModel, *adapters: str) -> RecursiveAdapterModel:
    """The same model, every step's matrices its own with the updates of `adapters` in them."""
    layerwise = LAYERWISE in model.adapters_config
    plain = random_model(layerwise, block_of_step=[0, 1, 2, 3], tied="none")
    values = model.albert.state_dict()
    for name, parameter in plain.albert.named_parameters():
        parameter.copy_(values[name])
    blocks = zip(plain.albert.encoder.blocks(), model.albert.encoder.blocks(), strict=True)
    for target, source in blocks:
        for name in LORA_MODULES:
            loras = source.get_submodule(name).loras
            for adapter in adapters:
                if adapter in loras:
                    lora = loras[adapter]
                    weight = target.get_submodule(name).weight
                    weight += lora.scaling * lora.delta_w
    return plain


@pytest.mark.parametrize("layerwise", [True, False])
def test_each_step_computes_with_its_own_matrices(layerwise: bool) -> None:
    model = relaxed_model(layerwise=layerwise)
    names = (RELAXED, LAYERWISE) if layerwise else (RELAXED,)
    assert model.active_adapters.children == list(names)
    assert (output(model) - output(written_out(model, RELAXED))).abs().max() < 1e-5
    assert (output(model) - output(written_out(model))).abs().max() > 1e-2


def test_every_matrix_has_an_update() -> None:
    model = relaxed_model()
    tensors = pretrained_tensors(model, RELAXED)
    assert {n: tuple(t.shape) for n, t in tensors.items()} == FORMS[RELAXED].shapes(
        model.config, RANK
    )
    assert len(tensors) == 4 * 6 * 2


@pytest.mark.parametrize("order", [(RELAXED, LAYERWISE, "task"), ("task", RELAXED, LAYERWISE)])
def test_a_task_lora_adds_to_the_update(order: tuple[str, ...]) -> None:
    model = relaxed_model()
    model.add_adapter("task", config=TASK)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".loras.task." in name:
                parameter.normal_(std=0.3)
    before = output(model)
    model.set_active_adapters(Stack(*order))
    found = output(model)
    assert (found - output(written_out(model, RELAXED, "task"))).abs().max() < 1e-4
    assert (found - before).abs().max() > 1e-2


def test_ia3_scales_the_update_too() -> None:
    model = relaxed_model(layerwise=False)
    model.add_adapter("task", config=IA3Config())
    scale = 1.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".loras.task." in name:
                parameter.fill_(scale)
    reference = written_out(model, RELAXED)
    with torch.no_grad():
        for block in reference.albert.encoder.blocks():
            for module in (block.attention.key, block.attention.value, block.ffn):
                module.weight *= scale
                module.bias *= scale
    model.set_active_adapters(Stack(RELAXED, "task"))
    assert (output(model) - output(reference)).abs().max() < 1e-4


def test_tasks_run_beside_each_other() -> None:
    model = relaxed_model(layerwise=False)
    for task in ("one", "two"):
        model.add_adapter(task, config=TASK)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if f".loras.{task}." in name:
                    parameter.normal_(std=0.3)
    alone = []
    for task in ("one", "two"):
        model.set_active_adapters(Stack(RELAXED, task))
        alone.append(output(model))
    stacks = [Stack(RELAXED, task) for task in ("one", "two")]
    model.set_active_adapters(Parallel(*stacks))
    assert (output(model) - torch.cat(alone)).abs().max() < 1e-5
    model.set_active_adapters(BatchSplit(*stacks, batch_sizes=[1, 1]))
    split = torch.stack([alone[0][0], alone[1][1]])
    assert (output(model) - split).abs().max() < 1e-5


@pytest.mark.parametrize("layerwise", [True, False])
def test_stored_and_loaded(tmp_path: Path, tokenizer: Any, layerwise: bool) -> None:
    model = relaxed_model(layerwise=layerwise)
    save_backbone(model, tokenizer, tmp_path / "b", card={})
    backbone = load_backbone(tmp_path / "b")
    assert backbone.has_relaxed
    assert backbone.has_layerwise == layerwise
    assert backbone.fingerprint == fingerprint(model)
    assert backbone.model.active_adapters.children == model.active_adapters.children
    assert torch.equal(output(backbone.model), output(model))
    stored = read_safetensors(tmp_path / "b" / RELAXED / "adapter.safetensors")
    assert sum(t.numel() for t in stored.values()) == 4 * RANK * (4 * 2 * 32 + 2 * (32 + 64))


def test_half_precision(tmp_path: Path, tokenizer: Any) -> None:
    save_backbone(relaxed_model(), tokenizer, tmp_path / "b", card={}, dtype=torch.float16)
    stored = read_safetensors(tmp_path / "b" / RELAXED / "adapter.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    load_backbone(tmp_path / "b")


def test_the_fingerprint_tells_updates_apart() -> None:
    model = relaxed_model()
    with_updates = fingerprint(model)
    with torch.no_grad():
        next(iter(pretrained_tensors(model, RELAXED).values()))[0, 0] += 1
    changed = fingerprint(model)
    model.delete_adapter(RELAXED)
    assert len({with_updates, changed, fingerprint(model)}) == 3


def test_adapterhub_loads_the_folder(tmp_path: Path, tokenizer: Any) -> None:
    model = relaxed_model(layerwise=False)
    save_backbone(model, tokenizer, tmp_path / "b", card={})
    stock = AutoAdapterModel.from_pretrained(tmp_path / "b").eval()
    report: dict[str, Any] = {}
    name = stock.load_adapter(
        str(tmp_path / "b" / RELAXED), use_safetensors=True, loading_info=report
    )
    assert name == RELAXED
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    stock.set_active_adapters(name)
    assert torch.equal(output(stock), output(model))


def test_exported_albert_holds_the_updates(tmp_path: Path, tokenizer: Any) -> None:
    model = relaxed_model(layerwise=False)
    save_backbone(model, tokenizer, tmp_path / "b", card={})
    notes = export_albert(load_backbone(tmp_path / "b"), tmp_path / "albert")
    assert any("low-rank" in note for note in notes)
    stock = AlbertAdapterModel.from_pretrained(tmp_path / "albert").eval()
    assert (output(stock) - output(model)).abs().max() < 1e-5
    again = load_backbone(tmp_path / "albert")
    assert not again.has_relaxed
    assert (output(again.model) - output(model)).abs().max() < 1e-5


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path, tokenizer: Any) -> Path:
        save_backbone(relaxed_model(), tokenizer, tmp_path / "b", card={})
        return tmp_path / "b"

    def test_another_configuration(self, folder: Path) -> None:
        path = folder / RELAXED / "adapter_config.json"
        described = json.loads(path.read_text())
        for key, value in (("alpha", 4), ("r", 0), ("r", True), ("r", 2.0), ("use_gating", True)):
            changed = described | {"config": described["config"] | {key: value}}
            path.write_text(json.dumps(changed))
            with pytest.raises(UserError, match="no relaxed-recursion adapter"):
                load_backbone(folder)

    def test_missing_and_misshapen_tensors(self, folder: Path) -> None:
        path = folder / RELAXED / "adapter.safetensors"
        tensors = read_safetensors(path)
        name = next(
            name for name in tensors if name.endswith("attention.dense.loras.relaxed.lora_A")
        )
        write_safetensors(path, {n: t for n, t in tensors.items() if n != name})
        with pytest.raises(UserError, match="lacks a tensor"):
            load_backbone(folder)
        write_safetensors(path, tensors | {name: tensors[name][:2]})
        with pytest.raises(UserError, match="contradicts"):
            load_backbone(folder)

    def test_a_changed_number(self, folder: Path) -> None:
        path = folder / RELAXED / "adapter.safetensors"
        tensors = read_safetensors(path)
        next(iter(tensors.values()))[0, 0] += 1
        write_safetensors(path, tensors)
        with pytest.raises(UserError, match="not the one its card describes"):
            load_backbone(folder)

    def test_an_adapter_that_only_has_the_name(self, tmp_path: Path, tokenizer: Any) -> None:
        model = random_model(layerwise=False)
        model.add_adapter(RELAXED, config=LoRAConfig())
        with pytest.raises(UserError, match="not a relaxed-recursion adapter"):
            save_backbone(model, tokenizer, tmp_path / "other", card={})


class TestMerging:
    def test_merged_it_is_stored_as_part_of_each_step(self, tmp_path: Path, tokenizer: Any) -> None:
        model = relaxed_model()
        before = output(model)
        model.merge_adapter(RELAXED)
        assert (output(model) - before).abs().max() < 1e-5
        save_backbone(model, tokenizer, tmp_path / "b", card={})
        loaded = load_backbone(tmp_path / "b")
        assert not loaded.has_relaxed
        assert loaded.fingerprint == fingerprint(model)
        assert torch.equal(output(loaded.model), output(model))

    def test_reset_it_is_as_before(self, tmp_path: Path, tokenizer: Any) -> None:
        model = relaxed_model()
        before, marked = output(model), fingerprint(model)
        model.merge_adapter(RELAXED)
        model.reset_adapter()
        assert torch.equal(output(model), before)
        assert fingerprint(model) == marked
        save_backbone(model, tokenizer, tmp_path / "b", card={})

    def test_a_task_adapter_cannot_be_merged_over_it(self) -> None:
        model = relaxed_model()
        model.add_adapter("task", config=TASK)
        before = {name: t.clone() for name, t in canonical_tensors(model).items()}
        with pytest.raises(ValueError, match="Cannot merge 'task'"):
            model.merge_adapter("task")
        assert all(torch.equal(t, before[n]) for n, t in canonical_tensors(model).items())
        assert model.config.own_parameters == []


def test_gradients_reach_every_update() -> None:
    model = relaxed_model()
    model.train_adapter(RELAXED)
    model.set_active_adapters(Stack(RELAXED, LAYERWISE))
    model(**batch()).last_hidden_state.square().sum().backward()
    learning = {n for n, p in model.named_parameters() if p.grad is not None}
    assert {f"albert.{n}" for n in FORMS[RELAXED].shapes(model.config, RANK)} == learning
