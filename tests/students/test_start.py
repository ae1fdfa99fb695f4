from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from adapterkit.backbones.bert_layers import layer_parameter
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.tying import BLOCK_PARAMETERS, is_matrix
from adapterkit.runs.errors import UserError
from adapterkit.students.recipe import Student
from adapterkit.students.start import Start, build_student, fit_projection, start_student
from adapterkit.students.teacher import Teacher

OWN = ("layernorms", "biases")


def start(kind: str = "average", layers: tuple[int, ...] = (1, 2, 3), **changes: Any) -> Start:
    return Start(kind, layers, **{"embedding_size": 8, "reduction_factor": 8, **changes})


@pytest.mark.parametrize(("kind", "chosen"), [("average", (0, 1, 2)), ("layer:2", (1,))])
def test_the_block_starts_at_the_chosen_layers(
    teacher: BertModel, kind: str, chosen: tuple[int, ...]
) -> None:
    student = build_student(start(kind, reduction_factor=None), teacher)
    block = student.albert.encoder.blocks()[0]
    layers = teacher.encoder.layer
    for name in BLOCK_PARAMETERS:
        mean = sum(layer_parameter(layers[k], name) for k in chosen) / len(chosen)
        assert torch.allclose(block.get_parameter(name), mean, atol=1e-6), name


def test_one_layer_repeated_computes_what_the_teacher_repeating_it_does(teacher: BertModel) -> None:
    student = build_student(start("layer:2", (1, 2), reduction_factor=None), teacher)
    student.albert.encoder.embedding_hidden_mapping_in = torch.nn.Identity()
    states = torch.randn(2, 5, 32)
    layer = teacher.encoder.layer[1]
    with torch.no_grad():
        found = student.albert.encoder(states).last_hidden_state
        assert torch.allclose(found, layer(layer(states)[0])[0], atol=1e-5)


def test_what_steps_own_comes_from_the_layer_each_learns_from(teacher: BertModel) -> None:
    student = build_student(start(layers=(1, 3, 2, 3), own=OWN, reduction_factor=None), teacher)
    for block, number in zip(student.albert.encoder.blocks(), (1, 3, 2, 3), strict=True):
        for name in (name for name in BLOCK_PARAMETERS if not is_matrix(name)):
            theirs = layer_parameter(teacher.encoder.layer[number - 1], name)
            assert torch.equal(block.get_parameter(name), theirs), name
    blocks = student.albert.encoder.blocks()
    assert len({id(block.ffn.weight) for block in blocks}) == 1


@pytest.mark.parametrize("own", [(), OWN])
def test_layerwise_adapters_take_over_the_layernorms_of_their_layers(
    teacher: BertModel, own: tuple[str, ...]
) -> None:
    """Where all layers have the same matrices, each step computes what its teacher layer does."""
    first = teacher.encoder.layer[0]
    for layer in teacher.encoder.layer[1:]:
        matrices = {k: v for k, v in first.state_dict().items() if "LayerNorm" not in k}
        layer.load_state_dict(matrices, strict=False)
    student = build_student(start(layers=(2, 3), own=own), teacher)
    student.albert.encoder.embedding_hidden_mapping_in = torch.nn.Identity()
    states = torch.randn(2, 5, 32)
    with torch.no_grad():
        expected = teacher.encoder.layer[1](states)[0]
        found = student.albert.encoder(states, output_hidden_states=True).hidden_states
        assert torch.allclose(found[1], expected, atol=1e-5)
        last = teacher.encoder.layer[2](expected)[0]
        # Nothing stands behind the last step: only its own LayerNorm can be the teacher's.
        assert torch.allclose(found[2], last, atol=1e-5) == bool(own)
    assert student.active_adapters.flatten() == {LAYERWISE}


def test_full_width_embeddings_are_the_teachers(teacher: BertModel) -> None:
    student = build_student(start(embedding_size=32), teacher)
    ids = torch.randint(0, 40, (2, 9))
    with torch.no_grad():
        found = student.albert(input_ids=ids, output_hidden_states=True).hidden_states[0]
        assert torch.allclose(found, teacher.embeddings(ids), atol=1e-6)
    assert fit_projection(student, teacher, []) is None


def test_a_random_start_takes_only_the_embeddings_and_is_seeded(teacher: BertModel) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "attention_heads": 2}
    student, again, other = (
        build_student(start("random", (1, 3), **sizes), teacher, seed) for seed in (1, 1, 2)
    )
    before = torch.get_rng_state()
    average = build_student(start(), teacher, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    tables = [m.albert.embeddings.word_embeddings.weight for m in (student, average)]
    assert torch.equal(*tables)
    weights = [m.albert.encoder.blocks()[0].ffn.weight for m in (student, again, other)]
    assert weights[0].shape == (24, 16)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert 0.01 < float(weights[0].detach().std()) < 0.03
    assert fit_projection(student, teacher, []) is None
    with torch.no_grad():
        states = student.albert(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state
    assert states.shape == (1, 3, 16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 16}, "hidden_size"),
        ({"intermediate_size": 64}, "intermediate_size"),
        ({"attention_heads": 8}, "attention_heads"),
        ({"attention_heads": 5}, "5 attention heads"),
        ({"kind": "layer:4"}, "layer:1 to layer:3"),
        ({"kind": "layer:0"}, "layer:1 to layer:3"),
        ({"kind": "averge"}, "did you mean average"),
        ({"layers": (0, 1)}, "1 to 3"),
        ({"layers": (4,)}, "1 to 3"),
        ({"layers": ()}, "none"),
        ({"own": ("biases",)}, "relaxed.own"),
        ({"embedding_size": 33}, "1 to 32"),
        ({"rank": 33}, "relaxed.rank"),
        ({"rank": 0}, "relaxed.rank"),
        ({"reduction_factor": 33}, "layerwise.reduction_factor"),
    ],
)
def test_mistakes_are_named(teacher: BertModel, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_student(start(**changes), teacher)


def test_a_teacher_with_relative_positions_is_refused() -> None:
    config = BertConfig(
        vocab_size=20,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=8,
        position_embedding_type="relative_key",
    )
    config._attn_implementation = "eager"
    with pytest.raises(UserError, match="relative_key"):
        build_student(start(layers=(1,)), BertModel(config, add_pooling_layer=False))


def test_a_recipes_section_says_it_all(teacher: BertModel, tokenizer: BertTokenizerFast) -> None:
    section = Student.model_validate(
        {
            "steps": 2,
            "embedding_size": 8,
            "layerwise": {"reduction_factor": 4},
            "relaxed": {"rank": 3},
            "start": "layer:1",
        }
    )
    source = Teacher("tiny", teacher, None, tokenizer)
    found = start_student(section, source, seed=4)
    same = Start("layer:1", (2, 3), embedding_size=8, reduction_factor=4, rank=3, own=OWN)
    assert fingerprint(found) == fingerprint(build_student(same, teacher, seed=4))
    mapped = start_student(section, source, seed=4, layers=(1, 3))
    other = replace(same, layers=(1, 3))
    assert fingerprint(mapped) == fingerprint(build_student(other, teacher, seed=4))
    assert fingerprint(mapped) != fingerprint(found)
    whole = start_student(Student(embedding_size=8, layerwise=None), source, seed=0)
    assert whole.config.num_hidden_layers == 3
    assert whole.active_adapters is None
