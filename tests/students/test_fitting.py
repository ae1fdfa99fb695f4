from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertModel

from adapterkit.backbones.adapter_model import LORA_MODULES, RecursiveAdapterModel
from adapterkit.backbones.bert_layers import layer_parameter
from adapterkit.backbones.relaxed import RELAXED
from adapterkit.students.embeddings import count_word_pieces, factorise_embeddings
from adapterkit.students.fitting import fit_matrices, fit_shared, input_moments
from adapterkit.students.start import Start, build_student

OWN = ("layernorms", "biases")
LAYERS = (1, 2, 3)


@pytest.fixture
def wide(teacher: BertModel) -> BertModel:
    """The teacher with matrices so large that what a step adds to its input is seen behind it."""
    with torch.no_grad():
        for name, parameter in teacher.encoder.named_parameters():
            if name.endswith("dense.weight") or ".self." in name:
                parameter.normal_(std=0.3 if name.endswith("weight") else 0.1)
    return teacher


@pytest.fixture
def text() -> list[dict[str, torch.Tensor]]:
    """Two batches of skewed word pieces, the second one padded."""
    torch.manual_seed(5)
    weights = 1 / torch.arange(1, 40).float()
    ids = 1 + torch.multinomial(weights, 2 * 12 * 30, replacement=True).view(2, 12, 30)
    mask = torch.ones(2, 12, 30, dtype=torch.long)
    mask[1, 4:, 17:] = 0
    return [{"input_ids": i, "attention_mask": m} for i, m in zip(ids, mask, strict=True)]


def student(teacher: BertModel, rank: int | None, **changes: Any) -> RecursiveAdapterModel:
    values: dict[str, Any] = {"embedding_size": 32, "reduction_factor": None, "own": OWN}
    return build_student(Start("average", LAYERS, rank=rank, **{**values, **changes}), teacher)


def entering(
    teacher: BertModel, batch: dict[str, torch.Tensor], layer: int, module: str
) -> torch.Tensor:
    """What enters a module of a layer, of the tokens that are not padding."""
    seen: list[torch.Tensor] = []
    names = {"attention.value": "attention.self.value", "ffn_output": "output.dense"}
    found = teacher.encoder.layer[layer].get_submodule(names[module])
    handle = found.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        teacher(**batch)
    handle.remove()
    return seen[0][batch["attention_mask"].bool()]


@pytest.mark.parametrize("module", ["attention.value", "ffn_output"])
def test_moments_are_those_of_all_that_enters(
    wide: BertModel, text: list[dict[str, torch.Tensor]], module: str
) -> None:
    moments = input_moments(wide, text)
    assert len(moments) == 3 * 4
    name = {"attention.value": "attention.query"}.get(module, module)
    states = torch.cat([entering(wide, batch, 1, module) for batch in text]).double()
    torch.testing.assert_close(moments[1, name].mean, states.mean(0), atol=1e-5, rtol=1e-4)
    second = states.T @ states / len(states)
    torch.testing.assert_close(moments[1, name].second, second, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def error(
    model: RecursiveAdapterModel, teacher: BertModel, text: list[dict[str, torch.Tensor]], name: str
) -> float:
    """Mean square of what a module's outputs lack of the teacher's on what enters there."""
    total, count = 0.0, 0
    for step, block in enumerate(model.albert.encoder.blocks()):
        linear: Any = block.get_submodule(name)
        weight, bias = linear.weight, linear.bias
        if RELAXED in linear.loras:
            lora = linear.loras[RELAXED]
            weight = weight + lora.lora_B @ lora.lora_A
        layer = teacher.encoder.layer[step]
        for batch in text:
            states = entering(teacher, batch, step, name)
            wanted = states @ layer_parameter(layer, f"{name}.weight").T
            wanted = wanted + layer_parameter(layer, f"{name}.bias")
            total += float((states @ weight.T + bias - wanted).square().sum())
            count += wanted.numel()
    return total / count


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("own", [(), OWN])
@pytest.mark.parametrize("module", ["attention.value", "ffn_output"])
def test_the_fit_is_nearer_than_truncated_svd(
    wide: BertModel,
    text: list[dict[str, torch.Tensor]],
    rank: int | None,
    own: tuple[str, ...],
    module: str,
) -> None:
    model = student(wide, rank, own=own)
    before = error(model, wide, text, module)
    left = fit_matrices(model, wide, LAYERS, text)
    assert set(left) == set(LORA_MODULES)
    assert error(model, wide, text, module) < 0.9 * before
    assert all(0 < share < 1 for share in left.values())


def test_nothing_near_the_fit_is_better(
    wide: BertModel, text: list[dict[str, torch.Tensor]]
) -> None:
    model = student(wide, 4)
    fit_matrices(model, wide, LAYERS, text)
    torch.manual_seed(0)
    best = error(model, wide, text, "ffn_output")
    block = model.albert.encoder.blocks()[0]
    linear: Any = block.ffn_output
    for parameter in (
        linear.weight,
        linear.bias,
        linear.loras[RELAXED].lora_A,
        linear.loras[RELAXED].lora_B,
    ):
        kept = parameter.detach().clone()
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * 0.2 * kept.std() * torch.randn_like(kept))
            assert error(model, wide, text, "ffn_output") > best
            with torch.no_grad():
                parameter.copy_(kept)


def test_full_rank_reproduces_the_teacher(
    wide: BertModel, text: list[dict[str, torch.Tensor]]
) -> None:
    model = student(wide, 32)
    left = fit_matrices(model, wide, LAYERS, text)
    assert max(left.values()) < 1e-9
    with torch.no_grad():
        for batch in text:
            kept = batch["attention_mask"].bool()
            ours = model.albert(**batch, output_hidden_states=True).hidden_states
            theirs = wide(**batch, output_hidden_states=True).hidden_states
            for mine, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(mine[kept], other[kept], atol=2e-4, rtol=0)


def test_alike_layers_are_held_by_the_shared_matrix_alone() -> None:
    torch.manual_seed(0)
    target = torch.randn(6, 5).double()
    inputs = [torch.eye(5).double() * scale for scale in (1.0, 2.0)]
    fit = fit_shared([target, target], inputs, torch.zeros_like(target), 0)
    torch.testing.assert_close(fit.shared, target)
    assert fit.unexplained < 1e-20


def test_the_update_is_the_best_of_its_rank() -> None:
    """With one step and a shared matrix that stays zero: Eckart and Young in the input's metric."""
    torch.manual_seed(0)
    target, factor = torch.randn(6, 5).double(), torch.randn(5, 5).double()
    second = factor @ factor.T
    fit = fit_shared([target], [second], torch.zeros_like(target), 2, rounds=0)
    ridged = second + 1e-3 * second.diagonal().mean() * torch.eye(5).double()
    values = torch.linalg.svdvals(target @ torch.linalg.cholesky(ridged))
    best = float(values[2:].square().sum() / values.square().sum())
    assert fit.unexplained == pytest.approx(best, rel=1e-6)
    assert torch.linalg.matrix_rank(target - fit.rest[0]) == 2


def test_counts_leave_padding_out() -> None:
    ids = torch.tensor([[3, 3, 5, 0], [5, 1, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    counts = count_word_pieces([{"input_ids": ids, "attention_mask": mask}] * 2, 6)
    assert counts.tolist() == [0, 2, 0, 4, 0, 4]


def test_counted_embeddings_keep_what_the_text_uses(teacher: BertModel) -> None:
    counts = torch.zeros(40)
    counts[:6] = 1000.0
    table = teacher.embeddings.word_embeddings.weight.detach()
    model = student(teacher, None, embedding_size=6)

    def explained() -> float:
        """Share of the six pieces' differences that their rows in the student keep."""
        narrow = model.albert.embeddings.word_embeddings.weight.detach()[:6]
        wide_rows = table[:6] - table[:6].mean(0)
        kept = (narrow - narrow.mean(0)).square().sum()
        return float(kept / wide_rows.square().sum())

    before = explained()
    factorise_embeddings(model, teacher, counts)
    assert explained() > 0.999 > before
