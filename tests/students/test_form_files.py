"""The form of every matrix from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapterkit.backbones.factorised.forms import Kronecker, LowRank, MatrixProduct
from adapterkit.backbones.factorised.places import TABLE
from adapterkit.backbones.tying import LINEARS
from adapterkit.runs.errors import UserError
from adapterkit.students.compression import Compression, Method
from adapterkit.students.compression_plan import plan_compression
from adapterkit.students.form_files import read_forms
from tests.students.test_compression import BERT_BASE, MINILM

SHAPES = Path(__file__).resolve().parents[2] / "benchmarks" / "rivals" / "shapes"
KRONECKER = """\
embeddings: {rows: [30522, 1], columns: [48, 8]}
attention: {rows: [2, 192], columns: [192, 2], terms: 3}
attention.value: {rows: [4, 96], columns: [96, 4]}
ffn: {rows: [8, 192], columns: [2, 192]}
ffn_output: {rows: [2, 192], columns: [8, 192]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "forms.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "parameters", "operations"),
    [("kronecker-8", 14_654_216, 5_492_441_088), ("kronecker-21", 5_228_272, 1_415_577_600)],
)
def test_the_published_shapes_have_the_published_sizes(
    name: str, parameters: int, operations: int
) -> None:
    bert = replace(BERT_BASE, use_pooler=True)
    forms = read_forms(SHAPES / f"{name}.yaml", "kronecker", bert)
    planned = plan_compression(bert, Compression("kronecker", None, forms=forms))
    assert planned.parameters == parameters
    assert 128 * planned.flops_per_token == operations
    assert planned.keep == 1


def test_a_matrix_of_its_own_goes_before_its_group(tmp_path: Path) -> None:
    forms = read_forms(written(tmp_path, KRONECKER), "kronecker", MINILM)
    assert list(forms) == [TABLE, *LINEARS]
    assert forms["attention.query"] == Kronecker((2, 192), (192, 2), 3)
    assert forms["attention.value"] == Kronecker((4, 96), (96, 4))


def test_operators_and_ranks(tmp_path: Path) -> None:
    text = """\
embeddings: {rank: 64}
attention: {rows: [4, 4, 4, 6], columns: [4, 4, 4, 6], bond: 20}
ffn: {rows: [4, 8, 8, 6], columns: [4, 4, 4, 6]}
ffn_output: {rows: [4, 4, 4, 6], columns: [4, 8, 8, 6]}
"""
    forms = read_forms(written(tmp_path, text), "mpo", MINILM)
    assert forms[TABLE] == LowRank(30522, 384, 64)
    assert forms["attention.key"] == MatrixProduct((4, 4, 4, 6), (4, 4, 4, 6), 20)
    assert isinstance(forms["ffn"], MatrixProduct)
    assert forms["ffn"].bond is None
    planned = plan_compression(MINILM, Compression("mpo", None, forms=forms))
    assert planned.shape.tied == "central"

    ranks = "embeddings: {rank: 64}\nattention: {rank: 32}\nffn: {rank: 9}\nffn_output: {rank: 9}\n"
    forms = read_forms(written(tmp_path, ranks), "lada", MINILM)
    assert forms["ffn"] == LowRank(1536, 384, 9)


@pytest.mark.parametrize(
    ("method", "old", "new", "told"),
    [
        ("kronecker", "columns: [192, 2]", "columns: [200, 2]", "line 2"),
        ("kronecker", "columns: [192, 2]", "columns: [200, 2]", "columns could be "),
        ("kronecker", "columns: [192, 2]", "columns: [200, 2]", "[192, 2]"),
        ("kronecker", "columns: [192, 2]", "columns: [200, 2]", "384 x 384"),
        ("kronecker", "[8, 192], columns: [2", "[8, 190], columns: [2", "rows could be "),
        ("kronecker", "terms: 3", "terms: 400", "terms may be 384 at most"),
        ("kronecker", "terms: 3", "terms: 0", "integer from 1"),
        ("kronecker", "terms: 3", "rank: 3", "no rank"),
        ("kronecker", "ffn: {", "fnn: {", "did you mean ffn?"),
        ("kronecker", "ffn_output: {rows: [2, 192], columns: [8, 192]}\n", "", "ffn_output"),
        ("kronecker", "attention: {rows: [2, 192], columns: [192, 2], terms: 3}", "attention: 3",
         "keys and values"),
        ("mpo", "embeddings: {rows: [30522, 1], columns: [48, 8]}", "embeddings: {rank: 400}",
         "rank may be 384 at most"),
        ("mpo", "embeddings: {rows: [30522, 1], columns: [48, 8]}", "embeddings: {rank: 40}",
         "terms"),
        ("lada", "embeddings", "embeddings", "lacks rank"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_lines(
    method: Method, old: str, new: str, told: str, tmp_path: Path
) -> None:
    assert old in KRONECKER
    path = written(tmp_path, KRONECKER.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_forms(path, method, MINILM)
    assert str(path) in str(caught.value.where)
    assert told in str(caught.value)


def test_ranks_are_not_said_twice() -> None:
    with pytest.raises(UserError, match="said twice") as caught:
        plan_compression(MINILM, Compression("lada", None, svd=0.5, forms={}))
    assert caught.value.where == "--svd"


def test_a_target_and_forms_exclude_each_other() -> None:
    for target, forms, found in ((None, None, "neither"), (0.25, {}, "both")):
        with pytest.raises(UserError, match="said once") as caught:
            plan_compression(MINILM, Compression("lada", target, forms=forms))
        assert caught.value.found == found
