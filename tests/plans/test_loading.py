from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import Stack
from safetensors.torch import load_file, save_file

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import activate, apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.loading import load_adapted
from adapterkit.plans.saving import save_adapted
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from tests.plans.conftest import build, states

MakeModel = Callable[[bool], RecursiveAdapterModel]
Batch = dict[str, torch.Tensor]
MIXED = "0:seq_bn 1:layerwise 2:lora 3:full"


@torch.no_grad()
def logits(model: RecursiveAdapterModel, batch: Batch) -> torch.Tensor:
    return model(**batch).logits


def trained(model: RecursiveAdapterModel, plan: str, name: str = "task") -> AppliedPlan:
    """A model whose learning parameters are no longer what they were made with."""
    model.add_tagging_head(name, num_labels=5)
    applied = apply_plan(model, StepPlan.parse(plan), name=name)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for tensor in applied.trainable:
            parameter = model.get_parameter(tensor)
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return applied


@pytest.fixture
def saved(make_model: MakeModel, tmp_path: Path) -> Path:
    save_adapted(trained(make_model(True), MIXED), tmp_path / "saved")
    return tmp_path / "saved"


def test_folder_holds_adapterhub_folders(saved: Path) -> None:
    files = sorted(path.relative_to(saved).as_posix() for path in saved.rglob("*.*"))
    assert files == [
        "head/head_config.json",
        "head/model_head.safetensors",
        "layerwise/adapter.safetensors",
        "layerwise/adapter_config.json",
        "plan.json",
        "task-2/adapter.safetensors",
        "task-2/adapter_config.json",
        "task/adapter.safetensors",
        "task/adapter_config.json",
        "weights.safetensors",
    ]
    config = json.loads((saved / "layerwise" / "adapter_config.json").read_text())
    assert [member["leave_out"] for member in config["config"]["configs"]] == [[0, 2, 3]] * 2
    assert config["model_name"] is None


@pytest.mark.parametrize(
    "plan",
    ["seq_bn", "1-2:lora rest:frozen", "double_seq_bn", "unipelt(prefix_length=3)", "noreft"],
)
@pytest.mark.parametrize("layerwise", [True, False])
def test_adapterhub_itself_loads_the_adapter_and_the_head(
    make_model: MakeModel, batch: Batch, tmp_path: Path, plan: str, layerwise: bool
) -> None:
    applied = trained(make_model(layerwise), plan)
    save_adapted(applied, tmp_path / "saved")
    model = make_model(layerwise)
    model.load_adapter(str(tmp_path / "saved" / "task"), use_safetensors=True)
    model.load_head(str(tmp_path / "saved" / "head"), use_safetensors=True)
    model.set_active_adapters(Stack(*applied.active))
    torch.testing.assert_close(logits(model.eval(), batch), logits(applied.model, batch))


def test_saved_elsewhere_under_another_name(
    make_model: MakeModel, batch: Batch, saved: Path, tmp_path: Path
) -> None:
    expected = logits(load_adapted(make_model(True), saved).model, batch)
    renamed = load_adapted(make_model(True), saved, name="attention")
    assert renamed.adapter_names == ("attention", "attention-2")
    assert renamed.head == "attention"
    assert torch.equal(logits(renamed.model, batch), expected)
    save_adapted(renamed, tmp_path / "again")
    again = load_adapted(make_model(True), tmp_path / "again", name="task")
    assert torch.equal(logits(again.model, batch), expected)


def test_two_results_in_one_model(make_model: MakeModel, batch: Batch, tmp_path: Path) -> None:
    expected = {}
    for name, plan in (("ner", "seq_bn"), ("ner2", "1-3:lora rest:frozen")):
        applied = trained(make_model(True), plan, name)
        expected[name] = logits(applied.model, batch)
        save_adapted(applied, tmp_path / name)
    model = make_model(True)
    loaded = {name: load_adapted(model, tmp_path / name) for name in expected}
    for name, applied in loaded.items():
        model.set_active_adapters(Stack(*applied.active))
        model.active_head = name
        assert torch.equal(logits(model, batch), expected[name])
        save_adapted(applied, tmp_path / f"{name}-again")
        for file in tmp_path.joinpath(name).rglob("*.safetensors"):
            other = tmp_path / f"{name}-again" / file.relative_to(tmp_path / name)
            assert file.read_bytes() == other.read_bytes()


def change_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def drop_first(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[min(tensors)]


def grow_first(tensors: dict[str, torch.Tensor]) -> None:
    name = min(tensors)
    tensors[name] = torch.cat([tensors[name], tensors[name]])


def halve_first(tensors: dict[str, torch.Tensor]) -> None:
    tensors[min(tensors)] = tensors[min(tensors)].half()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "tensor missing": (
        lambda d: change_tensors(d / "task" / "adapter.safetensors", drop_first),
        "lacks a tensor",
    ),
    "layer-wise tensor missing": (
        lambda d: change_tensors(d / "layerwise" / "adapter.safetensors", drop_first),
        "lacks a tensor",
    ),
    "head tensor missing": (
        lambda d: change_tensors(d / "head" / "model_head.safetensors", drop_first),
        "lacks a tensor",
    ),
    "block tensor missing": (
        lambda d: change_tensors(d / "weights.safetensors", drop_first),
        "lacks a tensor",
    ),
    "tensor unexpected": (
        lambda d: change_tensors(
            d / "task" / "adapter.safetensors", lambda t: t.update(extra=torch.ones(1))
        ),
        "does not belong",
    ),
    "tensor of another shape": (
        lambda d: change_tensors(d / "task" / "adapter.safetensors", grow_first),
        "shape",
    ),
    "tensor of another type": (
        lambda d: change_tensors(d / "task-2" / "adapter.safetensors", halve_first),
        "type",
    ),
    "file missing": (lambda d: (d / "weights.safetensors").unlink(), "cannot be read"),
    "folder missing": (lambda d: shutil.rmtree(d / "task-2"), "cannot be read"),
    "file cut short": (
        lambda d: (d / "weights.safetensors").write_bytes(
            (d / "weights.safetensors").read_bytes()[:-9]
        ),
        "cannot be read",
    ),
    "pickle beside it": (lambda d: (d / "task" / "pytorch_adapter.bin").touch(), "does not belong"),
    "pickle in a folder of its own": (
        lambda d: ((d / "more").mkdir(), (d / "more" / "model.pkl").touch()),
        "does not belong",
    ),
    "another configuration": (
        lambda d: change_json(
            d / "task-2" / "adapter_config.json", lambda c: c["config"].update(alpha=99)
        ),
        "not the one that the plan stands for",
    ),
    "another plan": (
        lambda d: change_json(d / "plan.json", lambda c: c.update(plan="0-3:adapter(lora)")),
        "contradicts its own plan",
    ),
    "another configuration key": (
        lambda d: change_json(d / "task" / "adapter_config.json", lambda c: c.update(extra=1)),
        "not the one that the plan stands for",
    ),
    "another fingerprint": (
        lambda d: change_json(d / "plan.json", lambda c: c.update(backbone="sha256:0")),
        "another backbone",
    ),
    "no fingerprint": (
        lambda d: change_json(d / "plan.json", lambda c: c.pop("backbone")),
        "backbone",
    ),
    "a tensor file too many": (
        lambda d: shutil.copy(d / "weights.safetensors", d / "more.safetensors"),
        "does not belong",
    ),
    "a folder in a file's place": (
        lambda d: ((d / "weights.safetensors").unlink(), (d / "weights.safetensors").mkdir()),
        "cannot be read",
    ),
    "an unreadable plan": (
        lambda d: change_json(d / "plan.json", lambda c: c.update(plan="0-3:adaptor")),
        "adaptor",
    ),
    "another layout": (
        lambda d: change_json(d / "plan.json", lambda c: c.update(block_of_step=[0, 0, 0, 0])),
        "contradicts its own plan",
    ),
    "another width": (
        lambda d: change_json(d / "plan.json", lambda c: c.update(hidden_size=64)),
        "another backbone",
    ),
    "another schema": (
        lambda d: change_json(d / "plan.json", lambda c: c.update(schema="x")),
        "another format",
    ),
    "no plan": (lambda d: (d / "plan.json").unlink(), "no adapted model"),
    "a damaged head": (
        lambda d: change_json(
            d / "head" / "head_config.json", lambda c: c["config"].update(num_labels="x")
        ),
        "damaged",
    ),
    "a head without configuration": (
        lambda d: change_json(d / "head" / "head_config.json", lambda c: c.pop("config")),
        "damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_and_the_model_left_as_it_was(
    make_model: MakeModel, batch: Batch, saved: Path, damage: str
) -> None:
    harm, says = DAMAGES[damage]
    harm(saved)
    model = make_model(True)
    before = states(model, batch)
    learning = {name: p.requires_grad for name, p in model.named_parameters()}
    with pytest.raises(UserError, match=says):
        load_adapted(model, saved)
    assert torch.equal(states(model, batch), before)
    assert list(model.adapters_config.adapters) == [LAYERWISE]
    assert list(model.heads) == []
    assert model.active_adapters == Stack(LAYERWISE)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == learning
    assert model.config.block_of_step == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("backbone", "says"),
    [
        ({"num_hidden_layers": 5}, "5 recursion steps"),
        ({"hidden_size": 64}, "64 units"),
        ({"layerwise": False}, "fingerprint"),
        ({"hidden_act": "relu"}, "fingerprint"),
    ],
)
def test_another_backbone_is_refused(saved: Path, backbone: dict[str, Any], says: str) -> None:
    layerwise = bool(backbone.pop("layerwise", True))
    with pytest.raises(UserError, match=says):
        load_adapted(build(layerwise, **backbone), saved)


def test_an_adapter_trained_behind_layerwise_adapters_needs_them(
    make_model: MakeModel, tmp_path: Path
) -> None:
    save_adapted(trained(make_model(True), "seq_bn"), tmp_path / "saved")
    with pytest.raises(UserError, match="belongs to another backbone"):
        load_adapted(make_model(False), tmp_path / "saved")


def test_a_taken_name_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    save_adapted(trained(make_model(True), "lora"), tmp_path / "lora")
    model = make_model(True)
    load_adapted(model, tmp_path / "lora")
    with pytest.raises(UserError, match="already"):
        load_adapted(model, tmp_path / "lora")


def test_a_head_of_that_name_is_not_overwritten(make_model: MakeModel, tmp_path: Path) -> None:
    save_adapted(trained(make_model(True), "head"), tmp_path / "saved")
    model = make_model(True)
    model.add_tagging_head("task", num_labels=5)
    before = model.heads["task"][1].weight.clone()
    with pytest.raises(UserError, match="has a head 'task' already"):
        load_adapted(model, tmp_path / "saved")
    assert torch.equal(model.heads["task"][1].weight, before)
    assert load_adapted(model, tmp_path / "saved", name="again").head == "again"


def test_other_weights_of_the_same_shapes_are_refused(make_model: MakeModel, saved: Path) -> None:
    model = make_model(True)
    with torch.no_grad():
        model.albert.embeddings.word_embeddings.weight[7, 3] += 1e-3
    with pytest.raises(UserError, match="fingerprint sha256:"):
        load_adapted(model, saved)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("full", "lora", "another backbone"),
        ("layerwise", "seq_bn", "another backbone"),
        ("untied", "untied", "another backbone"),
        ("1:full rest:frozen", "3:full rest:frozen", "another backbone"),
        ("lora", "full", "changes the backbone"),
        ("lora", "2:layerwise rest:frozen", "changes the backbone"),
        ("head", "3:untied rest:frozen", "changes the backbone"),
    ],
)
def test_results_that_would_change_each_other_are_refused(
    make_model: MakeModel, batch: Batch, tmp_path: Path, first: str, second: str, says: str
) -> None:
    kept = trained(make_model(True), first, "first")
    expected = logits(kept.model, batch)
    save_adapted(kept, tmp_path / "first")
    save_adapted(trained(make_model(True), second, "second"), tmp_path / "second")
    model = make_model(True)
    load_adapted(model, tmp_path / "first")
    with pytest.raises(UserError, match=says):
        load_adapted(model, tmp_path / "second")
    assert torch.equal(logits(model, batch), expected)


def test_what_was_trained_on_a_changed_backbone_does_not_load_into_the_first(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = trained(make_model(True), "full", "first").model
    save_adapted(trained(model, "lora", "second"), tmp_path / "second")
    with pytest.raises(UserError, match="another backbone"):
        load_adapted(make_model(True), tmp_path / "second")


def test_damage_leaves_other_results_as_they_were(
    make_model: MakeModel, batch: Batch, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        save_adapted(trained(make_model(True), "lora", name), tmp_path / name)
    change_tensors(tmp_path / "second" / "second" / "adapter.safetensors", drop_first)
    model = make_model(True)
    load_adapted(model, tmp_path / "first")
    before, active = logits(model, batch), model.active_adapters
    with pytest.raises(UserError, match="lacks a tensor"):
        load_adapted(model, tmp_path / "second")
    assert torch.equal(logits(model, batch), before)
    assert model.active_adapters == active
    assert list(model.heads) == ["first"] == [model.active_head]


SIDE_DAMAGES: dict[str, tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "tensor missing": (drop_first, "lacks a tensor"),
    "tensor unexpected": (lambda t: t.update(extra=torch.ones(1)), "does not belong"),
    "another shape": (
        lambda t: t.update({n: torch.ones(3) for n in t if n.endswith("up.bias")}),
        "shape",
    ),
    "another type": (halve_first, "type"),
    "another step's rung": (
        lambda t: t.update({n.replace(".1.", ".2."): t.pop(n) for n in list(t)}),
        "lacks a tensor",
    ),
}


class TestSidePath:
    PLAN = "1,3:side(r=4) rest:frozen"

    def test_its_folder(self, make_model: MakeModel, tmp_path: Path) -> None:
        save_adapted(trained(make_model(True), self.PLAN), tmp_path / "saved")
        files = [p.relative_to(tmp_path / "saved").as_posix() for p in tmp_path.rglob("*.*")]
        assert sorted(files) == [
            "head/head_config.json",
            "head/model_head.safetensors",
            "plan.json",
            "side.safetensors",
        ]
        names = load_file(tmp_path / "saved" / "side.safetensors")
        assert all(name.startswith("albert.encoder.sides.task.") for name in names)

    @pytest.mark.parametrize("damage", SIDE_DAMAGES)
    def test_damage_is_refused_and_the_model_left_as_it_was(
        self, make_model: MakeModel, batch: Batch, tmp_path: Path, damage: str
    ) -> None:
        harm, says = SIDE_DAMAGES[damage]
        save_adapted(trained(make_model(True), self.PLAN), tmp_path / "saved")
        change_tensors(tmp_path / "saved" / "side.safetensors", harm)
        model = make_model(True)
        before = states(model, batch)
        with pytest.raises(UserError, match=says):
            load_adapted(model, tmp_path / "saved")
        assert torch.equal(states(model, batch), before)
        assert list(model.albert.encoder.sides) == []
        assert model.albert.encoder.active_side is None

    def test_several_results_in_one_model(
        self, make_model: MakeModel, batch: Batch, tmp_path: Path
    ) -> None:
        expected = {}
        plans = {"ner": self.PLAN, "ner2": "side", "ner3": "1:lora rest:frozen"}
        for name, plan in plans.items():
            applied = trained(make_model(True), plan, name)
            expected[name] = logits(applied.model, batch)
            save_adapted(applied, tmp_path / name)
        model = make_model(True)
        loaded = [load_adapted(model, tmp_path / name) for name in plans]
        for applied in (*loaded, *loaded[::-1]):
            activate(applied)
            model.active_head = applied.head
            assert torch.equal(logits(model, batch), expected[applied.name])
            counted = ledger(applied)
            assert counted.trainable * 4 == counted.shipped_bytes
        with pytest.raises(UserError, match="side path 'ner' already"):
            apply_plan(model, StepPlan.parse("lora"), name="ner")

    def test_under_another_name(self, make_model: MakeModel, batch: Batch, tmp_path: Path) -> None:
        applied = trained(make_model(False), self.PLAN)
        save_adapted(applied, tmp_path / "saved")
        renamed = load_adapted(make_model(False), tmp_path / "saved", name="attention")
        assert list(renamed.model.albert.encoder.sides) == ["attention"]
        assert torch.equal(logits(renamed.model, batch), logits(applied.model, batch))

    def test_full_fine_tuning_leaves_another_task_s(self, make_model: MakeModel) -> None:
        model = make_model(True)
        trained(model, "side", "first")
        model.add_tagging_head("second", num_labels=5)
        whole = apply_plan(model, StepPlan.parse("full"), name="second")
        assert not any(".sides." in name for name in whole.trainable)
        assert ledger(whole).task == 0


@pytest.mark.parametrize("size", [0, -1, 10**12, 2.5, None, "5"])
@pytest.mark.parametrize("field", ["num_labels", "layers"])
def test_head_sizes_its_tensors_do_not_have_are_refused_at_once(
    make_model: MakeModel, saved: Path, field: str, size: object
) -> None:
    path = saved / "head" / "head_config.json"
    change_json(path, lambda content: content["config"].update({field: size}))
    with pytest.raises(UserError, match=field):
        load_adapted(make_model(True), saved)


@pytest.mark.parametrize("plan", [MIXED, "side", "0:full 1:untied 2:seq_bn 3:layerwise"])
def test_a_deep_copy_is_an_adapted_model_of_its_own(
    make_model: MakeModel, batch: Batch, tmp_path: Path, plan: str
) -> None:
    applied = trained(make_model(True), plan)
    expected, counted = logits(applied.model, batch), ledger(applied)
    copied = copy.deepcopy(applied)
    assert torch.equal(logits(copied.model, batch), expected)
    assert ledger(copied) == counted
    assert copied.trainable == applied.trainable
    with torch.no_grad():
        for name in copied.trainable:
            copied.model.get_parameter(name).add_(0.5)
    assert torch.equal(logits(applied.model, batch), expected)
    save_adapted(copied, tmp_path / "copy")
    loaded = load_adapted(make_model(True), tmp_path / "copy")
    assert torch.equal(logits(loaded.model, batch), logits(copied.model, batch))


def test_saving_never_overwrites(make_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="taken"):
        save_adapted(trained(make_model(True), "lora"), tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["mine.txt"]
