from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.bert_layers import layer_parameter
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.backbones.saving import save_backbone
from adapterkit.students.relaxed import truncated_svd
from adapterkit.students.start import Start, build_student

OWN = ("layernorms", "biases")


def student(teacher: BertModel, rank: int | None, **changes: Any) -> RecursiveAdapterModel:
    values: dict[str, Any] = {"embedding_size": 32, "reduction_factor": None, "own": OWN}
    layers = changes.pop("layers", (1, 2, 3))
    kind = changes.pop("kind", "average")
    return build_student(Start(kind, layers, rank=rank, **{**values, **changes}), teacher)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 5:] = 0
    return {"input_ids": torch.randint(1, 40, (3, 9)), "attention_mask": mask}


@torch.no_grad()
def distances(
    model: RecursiveAdapterModel, teacher: BertModel, batch: dict[str, torch.Tensor]
) -> list[float]:
    """The largest difference from the teacher behind the embeddings and behind each layer."""
    kept = batch["attention_mask"].bool()
    ours = model.albert(**batch, output_hidden_states=True).hidden_states
    theirs = teacher(**batch, output_hidden_states=True).hidden_states
    return [float((a - b)[kept].abs().max()) for a, b in zip(ours, theirs, strict=True)]


@pytest.fixture
def wide_teacher(teacher: BertModel) -> BertModel:
    """The teacher with matrices large enough that its layers differ visibly."""
    with torch.no_grad():
        for name, parameter in teacher.encoder.named_parameters():
            if "LayerNorm" not in name:
                parameter.normal_(std=0.2)
    return teacher


@pytest.mark.parametrize("kind", ["average", "layer:2"])
@pytest.mark.parametrize("layerwise", [None, 8])
def test_full_rank_reproduces_the_teacher(
    wide_teacher: BertModel, batch: dict[str, torch.Tensor], kind: str, layerwise: float | None
) -> None:
    model = student(wide_teacher, 32, kind=kind, reduction_factor=layerwise)
    assert max(distances(model, wide_teacher, batch)) < 1e-4
    names = [RELAXED] if layerwise is None else [RELAXED, LAYERWISE]
    assert model.active_adapters.children == names
    model.set_active_adapters(None if layerwise is None else LAYERWISE)
    assert min(distances(model, wide_teacher, batch)[1:]) > 0.1


def test_a_teacher_of_bert_width_is_reproduced_through_its_folder(
    wide_teacher: BertModel, batch: dict[str, torch.Tensor], tokenizer: Any, tmp_path: Any
) -> None:
    model = student(wide_teacher, 32)
    save_backbone(model, tokenizer, tmp_path / "b", card={})
    loaded = load_backbone(tmp_path / "b").model
    assert max(distances(loaded, wide_teacher, batch)) < 1e-4


def test_higher_ranks_come_closer(wide_teacher: BertModel, batch: dict[str, torch.Tensor]) -> None:
    first_step = [distances(student(wide_teacher, r), wide_teacher, batch)[1] for r in (1, 16, 32)]
    assert first_step[0] > first_step[1] > 100 * first_step[2]


def test_updates_are_the_best_of_their_rank(wide_teacher: BertModel) -> None:
    model = student(wide_teacher, 4, layers=(3, 1))
    for block, number in zip(model.albert.encoder.blocks(), (3, 1), strict=True):
        for name in LORA_MODULES:
            linear = block.get_submodule(name)
            theirs = layer_parameter(wide_teacher.encoder.layer[number - 1], f"{name}.weight")
            difference = theirs - linear.weight
            lora = linear.loras[RELAXED]
            left = (difference - lora.scaling * lora.delta_w).square().sum()
            best = torch.linalg.svdvals(difference)[4:].square().sum()
            torch.testing.assert_close(left, best, rtol=1e-4, atol=1e-6)


def test_without_a_teachers_layer_updates_start_at_zero(teacher: BertModel) -> None:
    sizes = {"hidden_size": 16, "attention_heads": 2}
    model = student(teacher, 4, kind="random", **sizes)
    for block in model.albert.encoder.blocks():
        for name in LORA_MODULES:
            lora = block.get_submodule(name).loras[RELAXED]
            assert lora.lora_A.abs().max() > 0
            assert lora.lora_B.abs().max() == 0


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_truncated_svd(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    up, down = truncated_svd(matrix, 20)
    assert (up.shape, down.shape) == ((shape[0], min(shape)), (min(shape), shape[1]))
    torch.testing.assert_close(up @ down, matrix, rtol=0, atol=1e-5)
    up, down = truncated_svd(matrix, 2)
    values = torch.linalg.svdvals(matrix)
    torch.testing.assert_close((matrix - up @ down).norm(), values[2:].norm())
    torch.testing.assert_close(up.norm(dim=0), down.norm(dim=1))
