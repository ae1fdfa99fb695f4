"""Sizes and costs of the forms, and what a configuration from outside may say of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given

from adapterkit.backbones.factorised.forms import (
    Form,
    Kronecker,
    LowRank,
    MatrixProduct,
    form_from,
)
from tests.backbones.factorised.small import factors_of, few, forms

KRONECKER: dict[str, Any] = {"form": "kronecker", "rows": [4, 2], "columns": [3, 5], "terms": 2}
MPO: dict[str, Any] = {"form": "mpo", "rows": [4, 2], "columns": [3, 5], "bond": 6}
LOW_RANK: dict[str, Any] = {"form": "low_rank", "rows": 8, "columns": 15, "rank": 3}


@few
@given(forms())
def test_the_count_is_that_of_the_tensors(form: Form) -> None:
    assert form.count == sum(tensor.numel() for tensor in factors_of(form).values())


@few
@given(forms())
def test_a_form_is_read_as_it_was_written(form: Form) -> None:
    read = form_from(json.loads(json.dumps(form.as_dict())))
    assert read == form
    assert hash(read) == hash(form)


@pytest.mark.parametrize("values", [KRONECKER, MPO, LOW_RANK])
def test_shapes_are_those_of_the_whole_matrix(values: dict[str, Any]) -> None:
    assert form_from(values).shape == (8, 15)


def test_tensors_are_named_in_order() -> None:
    assert form_from(KRONECKER).factor_shapes() == {"left": (2, 4, 3), "right": (2, 2, 5)}
    assert form_from(MPO).factor_shapes() == {"tensor0": (1, 4, 3, 6), "tensor1": (6, 2, 5, 1)}
    assert form_from(LOW_RANK).factor_shapes() == {"left": (8, 3), "right": (3, 15)}


def test_the_central_tensor_is_the_middle_one() -> None:
    assert MatrixProduct((2, 2, 2, 2, 2), (2, 2, 2, 2, 2)).central == "tensor2"
    assert MatrixProduct((2, 2), (2, 2)).central == "tensor1"


def test_operations_are_those_of_the_cheaper_order() -> None:
    """(A (x) B) x is A X B^T with X of 3 x 5: by hand, 3*5*2 + 4*3*2 against 4*3*5 + 4*5*2."""
    one = Kronecker((4, 2), (3, 5))
    assert one.multiply_adds == (54, 100)
    assert one.flops(7) == 2 * 7 * 54
    assert Kronecker((4, 2), (3, 5), 3).flops(7) == 3 * one.flops(7)
    assert LowRank(8, 15, 3).flops(7) == 2 * 7 * 3 * (8 + 15)


def test_a_matrix_product_costs_the_dense_product_and_multiplying_out_once() -> None:
    form = MatrixProduct((4, 2), (3, 5), 6)
    assert form.flops(7) - form.flops(6) == 2 * 8 * 15
    assert form.flops(0) == 2 * (4 * 3) * 6 * (2 * 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "form has to be one of kronecker, mpo, low_rank, not None"),
        ({"form": "tucker"}, "not 'tucker'"),
        ({"form": ["mpo"]}, r"not \['mpo'\]"),
        ({"form": "low_rank", "rows": 8, "columns": 15}, "low_rank lacks rank"),
        ({**LOW_RANK, "bond": 3}, "low_rank has no bond; it has rows, columns, rank"),
        ({**LOW_RANK, "rank": 9}, "rank may be 8 at most for this shape, not 9"),
        ({**LOW_RANK, "rank": 0}, "rank has to be an integer from 1 to 1,048,576, not 0"),
        ({**LOW_RANK, "rank": 1.0}, "rank has to be an integer"),
        ({**LOW_RANK, "rank": True}, "rank has to be an integer"),
        ({**LOW_RANK, "rows": 2**20 + 1}, "rows has to be an integer from 1 to 1,048,576"),
        ({**KRONECKER, "rows": [4, 2, 1]}, "rows has to be 2 integers"),
        ({**KRONECKER, "rows": 8}, "rows has to be 2 integers, not 8"),
        ({**KRONECKER, "columns": [3, "5"]}, r"columns\[1\] has to be an integer"),
        ({**KRONECKER, "rows": [-4, -2]}, r"rows\[0\] has to be an integer"),
        (
            {**KRONECKER, "rows": [2**20, 2]},
            "product of rows may be 1,048,576 at most, not 2,097,152",
        ),
        ({**KRONECKER, "terms": 11}, "terms may be 10 at most for this shape, not 11"),
        ({**MPO, "bond": 0}, "bond has to be an integer"),
        ({**MPO, "columns": [3, 5, 1]}, "equally many factors, not 2 and 3"),
        ({**MPO, "rows": [1] * 10, "columns": [1] * 10}, "rows has to be 2 to 9 integers"),
        ({**MPO, "rows": [8], "columns": [15]}, "rows has to be 2 to 9 integers"),
    ],
)
def test_what_is_no_form_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        form_from(values)


def test_a_cap_above_every_bond_cuts_nothing() -> None:
    """The paper's scripts set the caps to 100,000; bonds are at most the longer side anyway."""
    free = MatrixProduct((4, 2, 3), (3, 5, 2))
    capped = MatrixProduct((4, 2, 3), (3, 5, 2), 65_536)
    assert capped.bonds == free.bonds == (1, 12, 6, 1)


def test_the_highest_rank_is_that_of_random_factors() -> None:
    assert Kronecker((384, 2), (384, 2)).rank_bound == 768
    assert Kronecker((1, 8), (3, 5), 2).rank_bound == min(8, 2 * 5)
    assert Kronecker((2, 4), (3, 5), 1).rank_bound == 2 * 4


def test_sizes_are_told_without_torch() -> None:
    code = "import sys, adapterkit.backbones.factorised.forms; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
