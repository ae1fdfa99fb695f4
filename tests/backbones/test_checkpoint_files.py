"""Weights in several files, and tensors that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.importing import import_checkpoint
from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.errors import UserError

from .minialbert import Shape, Tensors, base_tensors, config_of, write

SHAPE = Shape(steps=2)
FORMATS = ("model.safetensors", "pytorch_model.bin")


def sharded(folder: Path, name: str) -> Path:
    """A checkpoint in two files; the path of their index."""
    tensors = base_tensors(SHAPE)
    write(folder, tensors, config_of(SHAPE))
    (folder / "model.safetensors").unlink()
    stem, ending = name.split(".")
    weight_map: dict[str, str] = {}
    for part, names in enumerate((sorted(tensors)[:20], sorted(tensors)[20:])):
        file = f"{stem}-{part + 1:05}-of-00002.{ending}"
        held = {key: tensors[key] for key in names}
        if ending == "bin":
            torch.save(held, folder / file)
        else:
            save_file(held, folder / file)
        weight_map |= dict.fromkeys(names, file)
    index = folder / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize("name", FORMATS)
def test_shards_are_one_checkpoint(tmp_path: Path, name: str) -> None:
    index = sharded(tmp_path / "shards", name)
    import_checkpoint(index.parent, tmp_path / "ours")
    whole = write(tmp_path / "whole", base_tensors(SHAPE), config_of(SHAPE))
    expected = fingerprint(load_backbone(whole).model)
    assert load_backbone(tmp_path / "ours").fingerprint == expected
    assert load_backbone(index.parent).fingerprint == expected


@pytest.mark.parametrize("name", FORMATS)
class TestDamagedShards:
    def refused(self, index: Path) -> str:
        with pytest.raises(UserError) as caught:
            import_checkpoint(index.parent, index.parent.parent / "ours")
        assert not (index.parent.parent / "ours").exists()
        return str(caught.value)

    def test_shard_missing(self, tmp_path: Path, name: str) -> None:
        index = sharded(tmp_path / "shards", name)
        lost = sorted(index.parent.glob("*-of-*"))[1]
        lost.unlink()
        assert lost.name in self.refused(index)

    def test_shard_is_not_what_the_index_says(self, tmp_path: Path, name: str) -> None:
        index = sharded(tmp_path / "shards", name)
        described = json.loads(index.read_text())
        described["weight_map"]["absent"] = sorted(described["weight_map"].values())[0]
        index.write_text(json.dumps(described))
        assert "absent" in self.refused(index)

    @pytest.mark.parametrize("file", ["../outside{}", "/outside{}", "x.py", "", None])
    def test_index_leads_elsewhere(self, tmp_path: Path, name: str, file: str | None) -> None:
        index = sharded(tmp_path / "shards", name)
        described = json.loads(index.read_text())
        ending = "." + name.split(".")[1]
        described["weight_map"]["absent"] = file and file.format(ending)
        index.write_text(json.dumps(described))
        assert "weight_map" in self.refused(index)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}'])
    def test_index_is_none(self, tmp_path: Path, name: str, text: str) -> None:
        index = sharded(tmp_path / "shards", name)
        index.write_text(text)
        assert index.name in self.refused(index)


def sparse(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_sparse()


def without_values(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")


@pytest.mark.parametrize("spoil", [sparse, without_values])
def test_tensors_that_are_no_plain_numbers(tmp_path: Path, spoil: object) -> None:
    name = "albert.projector.weight"
    tensors: Tensors = base_tensors(SHAPE)
    tensors[name] = spoil(tensors[name])  # type: ignore[operator]
    source = write(tmp_path / "nlpie", tensors, config_of(SHAPE), pickled=True)
    with pytest.raises(UserError, match="plain numbers") as caught:
        load_backbone(source)
    assert f"pytorch_model.bin: {name}" in str(caught.value)
