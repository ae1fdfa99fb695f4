"""Distillation that goes on from a compressed backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertTokenizerFast

from adapterkit.backbones.loading import load_backbone, save_backbone
from adapterkit.backbones.pruned import masks_of, parameter_count
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.students.compressing import compress
from adapterkit.students.compression import METHODS, Compression
from adapterkit.students.distil import distil, resume_distillation
from adapterkit.students.recipe import Recipe

from .test_distil import Recorder, _equal, _recipe, _weights, teacher_folder, values

__all__ = ["teacher_folder", "values"]

TARGET = 0.6


def made(teacher: Path, method: str, folder: Path, *, prune: bool = True) -> Path:
    source = load_backbone(teacher)
    result = compress(source, Compression(method, TARGET), prune=prune)  # type: ignore[arg-type]
    card = {"name": method, "compression": result.as_dict()}
    save_backbone(result.model, source.tokenizer, folder, card=card)
    return folder


def going_on(values: dict[str, Any], backbone: Path, **student: Any) -> Recipe:
    return _recipe({**values, "student": {"backbone": str(backbone), **student}})


@pytest.mark.parametrize("method", METHODS)
def test_a_compressed_backbone_learns_and_keeps_its_form(
    method: str, values: dict[str, Any], teacher_folder: Path, tmp_path: Path
) -> None:
    start = made(teacher_folder, method, tmp_path / "start")
    distilled = distil(going_on(values, start), tmp_path / "done")
    before, after = load_backbone(start).model, load_backbone(distilled.path).model
    assert after.config.factorised == before.config.factorised
    assert after.config.pruned == before.config.pruned
    assert parameter_count(after) == parameter_count(before) == distilled.card["parameters"]
    curve = distilled.card["curve"]
    assert sum(curve[-1]["cosines"]) > sum(curve[0]["cosines"])
    assert distilled.card["recipe"]["student"]["backbone"] == "start"
    origin = distilled.card["went_on_from"]
    assert origin["fingerprint"] == load_backbone(start).fingerprint
    assert origin["compression"]["parameters"] == parameter_count(before)


@pytest.mark.parametrize("prune", [True, False])
def test_stopped_and_resumed_it_ends_the_same(
    prune: bool, values: dict[str, Any], teacher_folder: Path, tmp_path: Path
) -> None:
    start = made(teacher_folder, "lada", tmp_path / "start", prune=prune)
    recipe = going_on(values, start, pruning=None if prune else {"begin": 0, "end": 0.5})
    whole = distil(recipe, tmp_path / "whole")
    with pytest.raises(Interrupted):
        distil(recipe, tmp_path / "stopped", progress=Recorder(stop_after=6))
    resumed = resume_distillation(tmp_path / "stopped")
    assert _equal(_weights(resumed.path), _weights(whole.path))
    one, other = load_backbone(whole.path).model, load_backbone(resumed.path).model
    masks = masks_of(other)
    assert all(torch.equal(mask, masks[name]) for name, mask in masks_of(one).items())


def test_pruning_ends_at_what_the_compression_asked_for(
    values: dict[str, Any], teacher_folder: Path, tmp_path: Path
) -> None:
    start = made(teacher_folder, "lada", tmp_path / "start", prune=False)
    distilled = distil(going_on(values, start, pruning={}), tmp_path / "done")
    at_once = made(teacher_folder, "lada", tmp_path / "at-once")
    wanted = load_backbone(at_once).model
    found = load_backbone(distilled.path).model
    assert parameter_count(found) == parameter_count(wanted)
    stored = load_file(distilled.path / "model.safetensors")
    kept = sum(tensor.numel() for name, tensor in stored.items() if name.endswith(".values"))
    assert kept == sum(found.config.pruned.values())


def test_updates_of_each_step_start_at_nothing(
    values: dict[str, Any], teacher_folder: Path, tmp_path: Path
) -> None:
    start = made(teacher_folder, "mpo", tmp_path / "start")
    recipe = going_on(values, start, relaxed={"rank": 2, "own": []})
    distilled = distil(recipe, tmp_path / "done")
    backbone = load_backbone(distilled.path)
    assert backbone.has_relaxed
    update = backbone.model.albert.encoder.blocks()[1].get_submodule("ffn").loras["relaxed"]
    assert update.lora_B.any()


def refused(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        distil(recipe, folder)
    assert not folder.exists()
    return str(caught.value)


def test_what_cannot_be_pruned_is_refused(
    values: dict[str, Any], teacher_folder: Path, tmp_path: Path
) -> None:
    pruned = made(teacher_folder, "lada", tmp_path / "pruned")
    factors = made(teacher_folder, "kronecker", tmp_path / "kronecker")
    unsaid = tmp_path / "unsaid"
    save_backbone(
        load_backbone(made(teacher_folder, "lada", tmp_path / "later", prune=False)).model,
        load_backbone(pruned).tokenizer,
        unsaid,
        card={"name": "unsaid"},
    )
    for start, said in (
        (pruned, "pruned already"),
        (factors, "cannot be pruned"),
        (teacher_folder, "cannot be pruned"),
        (unsaid, "how much pruning"),
    ):
        recipe = going_on(values, start, pruning={})
        assert said in refused(recipe, tmp_path / "out")


def test_other_word_pieces_are_refused(
    values: dict[str, Any], teacher_folder: Path, tokenizer: BertTokenizerFast, tmp_path: Path
) -> None:
    start = made(teacher_folder, "kronecker", tmp_path / "start")
    lines = (start / "vocab.txt").read_text().splitlines()
    lines[-2:] = lines[:-3:-1]
    other = tmp_path / "other"
    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(lines) + "\n")
    save_backbone(
        load_backbone(start).model, BertTokenizerFast(str(words)), other, card={"name": "other"}
    )
    assert "word pieces" in refused(going_on(values, other), tmp_path / "out")


@pytest.mark.parametrize(
    ("student", "said"),
    [
        ({"backbone": "x", "embedding_size": 64}, "leave out embedding_size"),
        ({"backbone": "x", "start": "layer:2", "steps": 3}, "leave out steps, start"),
        ({"backbone": "x", "relaxed": {"rank": 2}}, r"relaxed\.own"),
        ({"pruning": {}}, "name a backbone"),
        ({"backbone": "x", "pruning": {"begin": 0.5, "end": 0.5}}, "before end"),
        ({"backbone": "x", "pruning": {"keep": 1.0}}, "keep"),
    ],
)
def test_recipes_that_contradict_themselves(
    student: dict[str, Any], said: str, values: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe.model_validate({**values, "student": student})


def test_a_recipe_survives_being_written_down(values: dict[str, Any]) -> None:
    student = {"backbone": "x", "pruning": {"end": 0.5}, "relaxed": {"rank": 2, "own": []}}
    recipe = Recipe.model_validate({**values, "student": student})
    assert Recipe.model_validate(recipe.as_dict()) == recipe
