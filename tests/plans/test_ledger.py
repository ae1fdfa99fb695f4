from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.config import RecursiveConfig
from adapterkit.backbones.layerwise import LAYERWISE, layerwise_config
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.loading import load_adapted
from adapterkit.plans.saving import save_adapted
from adapterkit.plans.shipped import shipped_tensors
from adapterkit.plans.show import show_plan
from adapterkit.plans.step_plan import StepPlan
from adapterkit.plans.tally import Ledger
from tests.plans.conftest import bytes_on_disk

MakeModel = Callable[[bool], RecursiveAdapterModel]

# By hand, for the model of conftest.py: width 32, 4 steps, feed-forward 64, embeddings 100 x 16.
BLOCK = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 2 * 32
EMBEDDINGS = (100 + 40 + 2) * 16 + 2 * 16 + 16 * 32 + 32
POOLER = 32 * 32 + 32
BOTTLENECK = 2 * 2 * 32 + 2 + 32
LAYERWISE_ADAPTER = BOTTLENECK + 2 * 32
HEAD = 32 * 5 + 5
# Eight units; the outputs that are multiplied have 16 and 2.
ADAKRON = (32 * 8 + 8) + (8 * 16 + 16) + (8 * 2 + 2)
# A side path of width 8, its feed-forward of width 16.
RUNG = 32 * 8 + 8 + 1
SIDE_BLOCK = 4 * 8 * 8 + 8 + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 2 * 8
SIDE = SIDE_BLOCK + (32 * 8 + 8) + (8 * 32 + 32) + 2 * 8

PLANS = (
    "head",
    "seq_bn",
    "1-2:seq_bn rest:frozen",
    "full",
    "2-3:full rest:frozen",
    "0,3:full 1:layerwise 2:lora",
    "0:full 1:untied 2:seq_bn 3:layerwise",
    "untied",
    "0:untied rest:frozen",
    "layerwise",
    "0:layerwise rest:frozen",
    "0:loreft 1:par_bn 2:compacter(r=8) 3:unipelt(prefix_length=3,bottleneck_size=8)",
    "1-3:prefix_tuning(prefix_length=3,bottleneck_size=8) rest:frozen",
    "compacter++(r=8)",
    "krona",
    "0-1:adakron 2:krona(factor=8,output=true) 3:layerwise",
    "side",
    "0,2:side(r=4) rest:frozen",
    "3:side rest:frozen",
)


def count(model: RecursiveAdapterModel, plan: str) -> Ledger:
    model.add_tagging_head("task", num_labels=5)
    return ledger(apply_plan(model, StepPlan.parse(plan), name="task"))


@pytest.mark.parametrize(
    ("plan", "trainable", "copies", "task"),
    [
        ("head", 0, 1, 0),
        ("seq_bn", 4 * BOTTLENECK, 1, 4 * BOTTLENECK),
        ("2-3:seq_bn rest:frozen", 2 * BOTTLENECK, 1, 2 * BOTTLENECK),
        ("full", BLOCK + EMBEDDINGS + 8 * LAYERWISE_ADAPTER, 1, 0),
        ("2-3:full rest:frozen", BLOCK, 2, 0),
        ("untied", 4 * BLOCK, 4, 0),
        ("1,3:untied rest:frozen", 2 * BLOCK, 3, 0),
        ("layerwise", 8 * LAYERWISE_ADAPTER, 1, 0),
        ("0:layerwise rest:frozen", 3 * LAYERWISE_ADAPTER, 1, 0),
        ("3:layerwise rest:frozen", 1 * LAYERWISE_ADAPTER, 1, 0),
        ("side(r=4)", 4 * RUNG + SIDE, 1, 4 * RUNG + SIDE),
        ("1,3:side(r=4) rest:frozen", 2 * RUNG + SIDE, 1, 2 * RUNG + SIDE),
        ("lora(r=2)", 4 * 2 * (2 * 2 * 32), 1, 4 * 2 * (2 * 2 * 32)),
        ("krona(factor=4)", 4 * 2 * (4 * 4 + 8 * 8), 1, 4 * 2 * (4 * 4 + 8 * 8)),
        ("1:adakron(r=4) rest:frozen", ADAKRON, 1, ADAKRON),
    ],
)
def test_counts_by_hand(
    make_model: MakeModel, plan: str, trainable: int, copies: int, task: int
) -> None:
    counted = count(make_model(True), plan)
    assert counted.backbone == copies * BLOCK + EMBEDDINGS + POOLER
    assert counted.layerwise == 8 * LAYERWISE_ADAPTER
    assert counted.task == task
    assert counted.head == HEAD
    assert counted.trainable == trainable + HEAD
    assert counted.shipped_bytes == 4 * (trainable + HEAD)


def test_layerwise_at_every_step_trains_the_papers_number() -> None:
    """912,960 parameters in the layer-wise adapters of a MiniALBERT of width 768 and 6 steps."""
    config = RecursiveConfig(
        vocab_size=50,
        embedding_size=16,
        hidden_size=768,
        intermediate_size=64,
        embedding_adapter_size=48,
    )
    model = RecursiveAdapterModel(config)
    model.add_adapter(LAYERWISE, config=layerwise_config(6))
    counted = ledger(apply_plan(model, StepPlan.parse("layerwise"), name="task"))
    assert counted.trainable == counted.layerwise == 912_960


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("plan", PLANS)
def test_ledger_reconciles_with_disk_and_rows(
    make_model: MakeModel, tmp_path: Path, plan: str, layerwise: bool
) -> None:
    if "layerwise" in plan and not layerwise:
        plan = plan.replace("layerwise", "ia3")
    model = make_model(layerwise)
    model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse(plan), name="task")
    counted = ledger(applied)
    save_adapted(applied, tmp_path / "saved")
    assert bytes_on_disk(tmp_path / "saved") == counted.shipped_bytes
    rows = (*counted.steps, *counted.shared)
    assert sum(row.shipped_bytes for row in rows) == counted.shipped_bytes
    assert sum(row.trainable for row in rows) == counted.trainable
    assert [row.step for row in counted.steps] == [0, 1, 2, 3]
    storages = [tensor.data_ptr() for tensor in shipped_tensors(applied).values()]
    assert len(storages) == len(set(storages))


def test_shared_rows_name_the_steps_that_share(make_model: MakeModel) -> None:
    counted = count(make_model(True), "0:frozen 1-2:full 3:prefix_tuning(prefix_length=3)")
    shared = {row.part: row for row in counted.shared}
    assert shared["block"].steps == (1, 2)
    assert shared["block"].trainable == BLOCK
    assert shared["head"].trainable == HEAD
    assert [row.trainable for row in counted.steps[:3]] == [0, 0, 0]
    assert counted.steps[3].trainable == counted.task
    side = count(make_model(True), "1,3:side(r=4) rest:frozen")
    assert {row.part: row.steps for row in side.shared} == {"side task": (1, 3), "head": ()}
    assert [row.trainable for row in side.steps] == [0, RUNG, 0, RUNG]
    alone = count(make_model(True), "2:side(r=4) rest:frozen")
    assert [row.trainable for row in alone.steps] == [0, 0, RUNG + SIDE, 0]
    compacter = count(make_model(True), "1,3:compacter(r=8) rest:frozen")
    assert {row.part: row.steps for row in compacter.shared} == {"adapter task": (1, 3), "head": ()}


def test_show_lists_every_step_and_adds_up(make_model: MakeModel) -> None:
    rows, counted = show_plan(make_model(True), StepPlan.parse("0:frozen 1:lora 2-3:full"))
    assert [row.steps for row in rows] == [(0,), (1,), (2,), (3,), (2, 3)]
    assert [row.mechanism for row in rows[:4]] == ["frozen", "adapter(lora)", "full", "full"]
    assert rows[0].learns == "nothing"
    assert sum(row.trainable for row in rows) == counted.trainable
    assert sum(row.shipped_bytes for row in rows) == counted.shipped_bytes == 4 * counted.trainable


def test_ledger_survives_json(make_model: MakeModel) -> None:
    counted = count(make_model(True), "seq_bn")
    read = json.loads(json.dumps(counted.as_dict()))
    assert read["trainable"] == counted.trainable
    assert read["steps"][2] == {
        "step": 2,
        "mechanism": "adapter(seq_bn)",
        "learns": "a bottleneck behind the feed-forward",
        "trainable": BOTTLENECK,
        "shipped_bytes": 4 * BOTTLENECK,
    }


@pytest.mark.parametrize(
    ("plan", "copies"),
    [
        ("1:lora(r=2) rest:frozen", 2),
        ("1-2:lora(r=2) 0,3:frozen", 4),
        ("0:frozen 1:lora(r=2) 2-3:full", 2),
        # The others have left the block, so that the step has it to itself already.
        ("1:lora(r=2) 0,2-3:full", 0),
    ],
)
def test_merging_unties_the_step_and_the_ledger_says_so(
    make_model: MakeModel, batch: dict[str, torch.Tensor], tmp_path: Path, plan: str, copies: int
) -> None:
    model = make_model(True)
    model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse(plan), name="task")
    with torch.no_grad():
        for name in applied.trainable:
            model.get_parameter(name).add_(0.1)
        before, expected = ledger(applied), model(**batch).logits
        model.merge_adapter("task")
        torch.testing.assert_close(model(**batch).logits, expected, atol=1e-5, rtol=0)
    merged = ledger(applied)
    assert merged.backbone == before.backbone + copies * 32 * 32
    assert (merged.trainable, merged.shipped_bytes, merged.task) == (
        before.trainable,
        before.shipped_bytes,
        before.task,
    )
    save_adapted(applied, tmp_path / "saved")
    assert bytes_on_disk(tmp_path / "saved") == merged.shipped_bytes
    loaded = load_adapted(make_model(True), tmp_path / "saved")
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(**batch).logits, expected, atol=1e-5, rtol=0)
    model.reset_adapter()
    assert ledger(applied) == before


def test_half_precision_ships_half_the_bytes(make_model: MakeModel) -> None:
    model = make_model(True)
    applied = apply_plan(model, StepPlan.parse("full"), name="task")
    full = ledger(applied).shipped_bytes
    model.to(torch.bfloat16)
    assert ledger(applied).shipped_bytes * 2 == full
