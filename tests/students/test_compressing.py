"""Compressing a small BERT, and going on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from adapterkit.backbones.canonical import canonical_tensors
from adapterkit.backbones.factorised.places import TABLE
from adapterkit.backbones.loading import Backbone, load_backbone, save_backbone
from adapterkit.backbones.pruned import masks_of, parameter_count
from adapterkit.backbones.tying import LINEARS
from adapterkit.students.compressing import Compressed, compress, prune_to
from adapterkit.students.compression import METHODS, Compression
from adapterkit.students.pruning import PruningSchedule, hold_pruned, prune_between

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(195)))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A BERT of three layers, read as a backbone."""
    folder = tmp_path_factory.mktemp("bert") / "bert"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=32,
    )
    model = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return load_backbone(folder)


def states(model: Any) -> torch.Tensor:
    ids = torch.tensor([[2, 9, 17, 120, 3], [2, 8, 3, 0, 0]])
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, attention_mask=(ids != 0).long())[0]
    return found


def compressed(backbone: Backbone, method: Any, target: float = 0.4, **values: Any) -> Compressed:
    return compress(backbone, Compression(method, target, **values))


@pytest.mark.parametrize("method", METHODS)
def test_counts_and_errors_are_those_of_the_model(backbone: Backbone, method: str) -> None:
    made = compressed(backbone, method)
    assert parameter_count(made.model) == made.planned.parameters
    source = canonical_tensors(backbone.model)
    for module in LINEARS:
        for step, block in enumerate(made.model.albert.encoder.blocks()):
            name = f"encoder.albert_layer_groups.{step}.albert_layers.0.{module}.weight"
            wanted, found = source[name], block.get_submodule(module).weight.detach()
            error = torch.linalg.norm(wanted - found) / torch.linalg.norm(wanted)
            assert made.errors[module][step] == pytest.approx(float(error), rel=1e-4)
            assert 0 < made.errors[module][step] < 1.2
    assert len(made.errors[TABLE]) == 1


@pytest.mark.parametrize("method", METHODS)
def test_it_is_saved_loaded_and_shown_as_a_backbone(
    backbone: Backbone, method: str, tmp_path: Path
) -> None:
    made = compressed(backbone, method)
    save_backbone(made.model, backbone.tokenizer, tmp_path / "small", card={"name": method})
    loaded = load_backbone(tmp_path / "small")
    assert torch.equal(states(loaded.model), states(made.model))
    assert parameter_count(loaded.model) == made.planned.parameters


def test_little_compression_computes_nearly_the_same(backbone: Backbone) -> None:
    made = compressed(backbone, "lada", 0.95, svd=0.97)
    far = compressed(backbone, "lada", 0.3)
    near = torch.nn.functional.cosine_similarity(states(made.model), states(backbone.model), -1)
    less = torch.nn.functional.cosine_similarity(states(far.model), states(backbone.model), -1)
    assert near.mean() > less.mean()
    assert max(made.errors["ffn"]) < min(far.errors["ffn"])


def test_an_operator_that_is_not_truncated_is_the_mean_of_the_layers(backbone: Backbone) -> None:
    made = compressed(backbone, "mpo", 0.9)
    source = canonical_tensors(backbone.model)
    names = [f"encoder.albert_layer_groups.{s}.albert_layers.0.ffn.weight" for s in range(3)]
    mean = torch.stack([source[name] for name in names]).mean(0)
    for block in made.model.albert.encoder.blocks():
        assert torch.allclose(block.ffn.weight, mean, atol=1e-5)


def test_a_stable_start_scales_what_a_step_adds(backbone: Backbone) -> None:
    plain = compressed(backbone, "mpo").model.albert.encoder.blocks()
    stable = compressed(backbone, "mpo", start="stable").model.albert.encoder.blocks()
    scale = (2 * 3) ** -0.25
    for module, factor in (("attention.query", 1), ("attention.value", scale), ("ffn", scale)):
        wanted = factor * plain[1].get_submodule(module).weight
        assert torch.allclose(stable[1].get_submodule(module).weight, wanted, atol=1e-5)


def test_the_source_is_left_as_it_is(backbone: Backbone) -> None:
    before = {name: tensor.clone() for name, tensor in canonical_tensors(backbone.model).items()}
    compressed(backbone, "lada")
    for name, tensor in canonical_tensors(backbone.model).items():
        assert torch.equal(tensor, before[name])


def test_pruning_follows_its_schedule_and_keeps_zeros(backbone: Backbone) -> None:
    made = compress(backbone, Compression("lada", 0.3), prune=False)
    assert not made.model.config.pruned
    schedule = PruningSchedule(keep=made.planned.keep, begin=100, end=1000)
    kept = [schedule.kept(tokens) for tokens in range(0, 1300, 50)]
    assert kept[:3] == [1, 1, 1]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == made.planned.keep
    # Half-way, 1 - (1/2)^3 of what is to go has gone.
    assert schedule.kept(550) == pytest.approx(schedule.keep + (1 - schedule.keep) / 8)
    gone: dict[str, torch.Tensor] = {}
    for tokens in range(0, 1300, 50):
        prune_between(made.model, schedule, tokens, tokens + 50)
        masks = masks_of(made.model)
        # What is pruned once stays so.
        assert not any((masks[name] & mask).any() for name, mask in gone.items())
        gone = {name: ~mask for name, mask in masks.items()}
    assert parameter_count(made.model) == made.planned.parameters


def test_what_the_optimiser_moves_is_set_to_zero_again(backbone: Backbone) -> None:
    made = compress(backbone, Compression("lada", 0.3), prune=False)
    prune_to(made.model, 0.5)
    name, mask = next(iter(masks_of(made.model).items()))
    with torch.no_grad():
        made.model.albert.get_parameter(name).add_(1)
    hold_pruned(made.model)
    assert not made.model.albert.get_parameter(name)[~mask].any()
