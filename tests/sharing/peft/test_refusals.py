"""What is refused, each with what differs, before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterkit.runs.errors import UserError
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.packing import pack
from adapterkit.sharing.peft.exporting import export_peft
from adapterkit.sharing.peft.importing import import_peft
from adapterkit.tuning.rescoring import evaluate_adapter
from adapterkit.tuning.tune import tune
from tests.tuning.conftest import make_backbone, write_texts

from .conftest import Packed

LORA = "lora(r=2)"


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("adapter", "adapter(double_seq_bn"),
        ("0:lora(r=2) 1:frozen 2:dora(r=2)", "biases"),
        ("0-1:lora(r=2) 2:full", "full"),
        ("head", "no step has an update"),
        ("0:lora(r=2,dropout=0.1) 1-2:lora(r=2)", "one dropout"),
    ],
)
def test_plans_that_peft_does_not_compute(
    plan: str, told: str, packed: Packed, backbones: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        export_peft(packed(plan), tmp_path / "peft", backbone=backbones["plain"])
    assert told in str(caught.value)
    assert not (tmp_path / "peft").exists()


def test_a_backbone_with_layer_wise_adapters(corpus: Path, tmp_path: Path) -> None:
    backbone = make_backbone(tmp_path / "layered")
    options: dict[str, Any] = {"data": corpus, "epochs": 1, "limit_train": 8}
    run = tune("bc5cdr", LORA, backbone=backbone, output=tmp_path / "run", **options)
    pack([run.path], tmp_path / "package")
    with pytest.raises(UserError, match="no stock ALBERT") as caught:
        export_peft(tmp_path / "package", tmp_path / "peft", backbone=backbone)
    assert "layer-wise adapters" in str(caught.value)


def test_a_head_for_whole_texts(backbones: dict[str, Path], tmp_path: Path) -> None:
    task = {"name": "own", "kind": "classification", "labels": ["one", "two"]}
    own = write_texts(tmp_path / "texts", task, "jsonl")
    run = tune(own, LORA, backbone=backbones["plain"], epochs=1, output=tmp_path / "run")
    pack([run.path], tmp_path / "package")
    with pytest.raises(UserError, match="head") as caught:
        export_peft(tmp_path / "package", tmp_path / "peft", backbone=backbones["plain"])
    assert "pooler" in str(caught.value)


def test_a_projection_that_no_bert_has(
    packed: Packed, backbones: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no stock BERT"):
        export_peft(packed(LORA), tmp_path / "peft", layout="bert", backbone=backbones["plain"])


@pytest.fixture
def exported(packed: Packed, backbones: dict[str, Path], tmp_path: Path) -> Path:
    return export_peft(packed(LORA), tmp_path / "peft", backbone=backbones["plain"]).path


Edit = Callable[[Path], None]


def set_keys(**values: Any) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return edit


def change_tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return edit


def first(tensors: dict[str, torch.Tensor], ending: str) -> str:
    return next(name for name in tensors if name.endswith(ending))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (set_keys(peft_type="LOHA"), "peft_type"),
        (set_keys(r="2"), "r"),
        (set_keys(r=True), "r"),
        (set_keys(r=4), "rank_pattern"),
        (set_keys(lora_alpha=float("inf")), "lora_alpha"),
        (set_keys(lora_dropout=1.0), "lora_dropout"),
        (set_keys(fan_in_fan_out=True), "fan_in_fan_out"),
        (set_keys(something_new={"a": 1}), "something_new"),
        (set_keys(task_type="SEQ_CLS"), "task_type"),
        (set_keys(target_modules=["query"]), "target_modules"),
        (set_keys(target_modules=["query", "value", "key"]), "target_modules"),
        (set_keys(target_modules=["(a+)+$"]), "target_modules"),
        (set_keys(rank_pattern={"(a+)+$": 2}), "rank_pattern"),
        (set_keys(layers_to_transform=[0], target_modules=["query", "value"]), "target_modules"),
        (change_tensors(lambda t: t.pop(first(t, "classifier.bias"))), "no head"),
        (change_tensors(lambda t: t.pop(first(t, "lora_B.weight"))), "not whole"),
        (
            change_tensors(lambda t: t.update({first(t, "lora_A.weight"): torch.ones(2, 31)})),
            "does not fit",
        ),
        (
            change_tensors(lambda t: t.update({first(t, "classifier.weight"): torch.ones(3, 32)})),
            "does not fit",
        ),
        (
            change_tensors(lambda t: t[first(t, "lora_A.weight")].fill_(float("nan"))),
            "not finite",
        ),
        (change_tensors(lambda t: t.update(other=torch.ones(2))), "no place"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no adapter of PEFT"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"PK"), "damaged"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter_config.json"),
    ],
)
def test_what_was_tampered_with(
    edit: Edit, told: str, exported: Path, backbones: dict[str, Path], tmp_path: Path
) -> None:
    edit(exported)
    with pytest.raises(UserError) as caught:
        import_peft(exported, tmp_path / "package", task="bc5cdr", backbone=backbones["plain"])
    assert told in str(caught.value)
    assert not (tmp_path / "package").exists()


def test_another_backbone(exported: Path, bert: Path, tmp_path: Path) -> None:
    """Of as many steps; that it is another one nobody can tell, and the card does not hide it."""
    made = import_peft(exported, tmp_path / "package", task="bc5cdr", backbone=bert)
    card = (tmp_path / "package" / "README.md").read_text()
    assert "read from PEFT's format" in card
    assert made.origin.parents[0] in card
    assert "not scored yet" in card


def test_what_was_imported_is_scored_and_packed_in_turn(
    exported: Path, packed: Packed, backbones: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    folder = backbones["plain"]
    import_peft(exported, tmp_path / "package", task="bc5cdr", backbone=folder)
    shutil.rmtree(exported)
    scores = []
    for package in (tmp_path / "package", packed(LORA)):
        loaded = load_package(package, backbone=folder)
        found = evaluate_adapter(loaded, package, data=corpus)
        scores.append(found["metrics"])
        assert found["data"]["same_as_run"] == (package != tmp_path / "package")
    assert scores[0] == scores[1]
