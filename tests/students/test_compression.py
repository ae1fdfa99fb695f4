"""Which forms a backbone is compressed to, within a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapterkit.backbones.factorised.forms import LowRank, MatrixProduct, form_from
from adapterkit.backbones.factorised.places import TABLE
from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.tying import LINEARS
from adapterkit.runs.errors import UserError
from adapterkit.students.compression import METHODS, Compression
from adapterkit.students.compression_plan import plan_compression
from adapterkit.students.factor_sizes import linear_flops

MINILM = BackboneShape(
    vocab_size=30522,
    embedding_size=384,
    hidden_size=384,
    num_hidden_layers=6,
    intermediate_size=1536,
    block_of_step=tuple(range(6)),
    embedding_projection=False,
    use_pooler=False,
)
BERT_BASE = replace(
    MINILM,
    embedding_size=768,
    hidden_size=768,
    num_hidden_layers=12,
    intermediate_size=3072,
    block_of_step=tuple(range(12)),
)


@pytest.mark.parametrize("target", [0.25, 0.12])
@pytest.mark.parametrize("method", METHODS)
def test_the_result_is_just_below_the_target(method: Any, target: float) -> None:
    planned = plan_compression(MINILM, Compression(method, target))
    assert planned.source_parameters == 22_565_376
    assert 0.97 * target <= planned.parameters / planned.source_parameters <= target
    assert set(planned.shape.factorised) == {TABLE, *LINEARS}
    assert (planned.keep < 1) == (method == "lada")


def test_operations_are_those_of_the_linear_layers() -> None:
    # At 128 tokens this is the 21.7e9 that KroneckerBERT gives for BERT-base.
    assert 128 * linear_flops(BERT_BASE) == pytest.approx(21.7e9, rel=0.005)
    planned = plan_compression(MINILM, Compression("lada", 0.25, svd=0.5))
    ranks = [form_from(planned.shape.factorised[name]).count for name in LINEARS]
    assert planned.flops_per_token == pytest.approx(6 * 2 * planned.keep * sum(ranks), rel=1e-4)


def test_operators_share_their_central_tensor_alone() -> None:
    planned = plan_compression(MINILM, Compression("mpo", 0.25))
    assert planned.shape.tied == "central"
    assert planned.shape.block_of_step == (0,) * 6
    forms = {name: form_from(planned.shape.factorised[name]) for name in LINEARS}
    own = shared = 0
    for form in forms.values():
        assert isinstance(form, MatrixProduct)
        central = 1
        for size in form.factor_shapes()[form.central]:
            central *= size
        shared += central
        own += form.count - central
    table = form_from(planned.shape.factorised[TABLE])
    assert isinstance(table, LowRank)
    outside = (512 + 2 + 2) * 384
    biases_and_norms = 384 * 4 + 1536 + 384 + 4 * 384
    assert planned.parameters == table.count + outside + shared + 6 * own + biases_and_norms


def test_pruning_does_what_the_svd_leaves() -> None:
    coarse = plan_compression(MINILM, Compression("lada", 0.2, svd=0.8))
    fine = plan_compression(MINILM, Compression("lada", 0.2, svd=0.3))
    assert coarse.keep < fine.keep < 1
    both = plan_compression(MINILM, Compression("lada", 0.2))
    rank = form_from(both.shape.factorised["ffn"]).count / (384 * 1536)
    assert rank == pytest.approx(both.keep, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_target_out_of_reach_is_told_with_the_nearest(method: Any) -> None:
    with pytest.raises(UserError, match="cannot be met") as caught:
        plan_compression(MINILM, Compression(method, 0.009))
    nearest = float(str(caught.value.allowed).split()[0])
    assert nearest > 0.009
    assert plan_compression(MINILM, Compression(method, nearest)).parameters > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"block_of_step": (0,) * 6}, "share a block"),
        ({"layerwise": 12.0}, "adapters of their own"),
        ({"relaxed": 8}, "adapters of their own"),
        ({"embedding_size": 128, "embedding_projection": True}, "narrower"),
        ({"factorised": {"ffn": LowRank(1536, 384, 3).as_dict()}}, "stored as factors"),
    ],
)
def test_what_is_compressed_already_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match="compressed already") as caught:
        plan_compression(replace(MINILM, **changes), Compression("kronecker", 0.25))
    assert said in str(caught.value.found)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"target": 0.0}, "--target"),
        ({"target": 1.0}, "--target"),
        ({"target": 0.2, "svd": 1.5}, "--svd"),
        ({"target": 0.2, "tensors": 1}, "tensors"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], where: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_compression(MINILM, Compression("mpo", **values))
    assert where in str(caught.value.where)


@pytest.mark.parametrize(
    ("method", "values", "where"),
    [
        ("kronecker", {"svd": 0.5}, "--svd"),
        ("lada", {"start": "stable"}, "--start"),
        # No matrix is left a rank of 1.
        ("lada", {"svd": 1e-4}, "--svd"),
    ],
)
def test_options_of_another_method_are_refused(
    method: Any, values: dict[str, Any], where: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan_compression(MINILM, Compression(method, 0.25, **values))
    assert caught.value.where == where
    assert caught.value.hint
