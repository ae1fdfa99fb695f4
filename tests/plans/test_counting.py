"""The ledger worked out from sizes is the ledger counted from storage, row by row."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.loading import load_model
from adapterkit.backbones.saving import save_backbone
from adapterkit.backbones.shape import BackboneShape
from adapterkit.backbones.stated import stated_backbone
from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.apply import apply_plan, check_plan
from adapterkit.plans.counting import count_plan
from adapterkit.plans.fitting import check_fit
from adapterkit.plans.ledger import ledger
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.plans.options import Option
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.tasks.registry import load_task
from adapterkit.tuning.heads import add_head, head_parameters
from tests.plans.conftest import RANK, build

MakeModel = Callable[[bool], RecursiveAdapterModel]

PLACEMENTS = ("{}", "1:{} rest:frozen", "1-2:{} 0,3:frozen", "3:{} rest:frozen", "0,2-3:{} 1:full")

# For every option that a size follows from, values at both ends of what fits width 32 and between.
VALUES: dict[str, tuple[str, ...]] = {
    "reduction_factor": ("1", "2.5", "8", "64"),
    "scaling": ("0.5", "2", "channel", "learned"),
    "phm_dim": ("1", "2", "8"),
    "phm_rank": ("1", "3"),
    "factor": ("1", "8", "32"),
    "r": ("1", "5", "32"),
    "attn_matrices": ("q", "kv", "qkv"),
    "intermediate_lora": ("true", "false"),
    "output_lora": ("true", "false"),
    "prefix_length": ("1", "7", "40"),
    "bottleneck_size": ("1", "9"),
    "prefix_positions": ("0,suffix_positions=4", "5"),
    "suffix_positions": ("0", "4"),
}
# These change no size.
OTHERS = {"non_linearity": "tanh", "dropout": "0.2", "alpha": "3"}
# What a size of a tiny backbone needs before an option of the configuration can be tried.
BASE = {"compacter": "r=4", "compacter++": "r=4"}

BACKBONES: dict[str, dict[str, Any]] = {
    "tied": {},
    "matrices": {"tied": "matrices"},
    "none": {"tied": "none"},
    "two blocks": {"block_of_step": [0, 0, 2, 2]},
    "two blocks, matrices": {"block_of_step": [0, 1, 0, 1], "tied": "matrices"},
    "no projection": {"embedding_projection": False, "embedding_size": 32},
    "no pooler": {"use_pooler": False},
    "embedding adapter": {"embedding_adapter_size": 5},
    "relaxed": {"tied": "matrices", "rank": RANK},
    "relaxed, tied": {"rank": RANK},
}
PLANS = (
    "stack(seq_bn,r=4)",
    "stack(double_seq_bn)",
    "stack(lora)",
    "fuse(seq_bn,r=4,n=3)",
    "0:frozen 1:fuse(double_seq_bn) 2:lora 3:fuse(seq_bn,scaling=learned)",
    "head",
    "full",
    "untied",
    "2-3:full rest:frozen",
    "0,3:full 1:untied 2:frozen",
    "0,2:compacter(r=8) 1,3:prefix_tuning_flat(prefix_length=3)",
    "0:loreft 1:par_bn 2:compacter(r=8) 3:unipelt(prefix_length=3,bottleneck_size=8)",
    "0,2:krona(intermediate=true) 1:adakron 3:full",
    "side",
    "2:side(r=2.5,dropout=0.1) rest:frozen",
    "1,3:side(r=1) rest:frozen",
    "0-2:side(r=100) 3:frozen",
)
LAYERWISE_PLANS = (
    "layerwise",
    "0:layerwise rest:frozen",
    "0,3:full 1-2:layerwise",
    "3:layerwise rest:lora",
)


def option_values(option: Option) -> tuple[str, ...]:
    return VALUES.get(option.attribute) or (OTHERS[option.attribute],)


def configurations(name: str) -> Iterator[str]:
    base = [BASE[name]] if name in BASE else []
    for option in ADAPTER_SPECS[name].options:
        others = [b for b in base if not b.startswith(f"{option.name}=")]
        for value in option_values(option):
            # Kronecker products need units that phm_dim divides.
            if base and option.name == "r" and value not in ("1", "8"):
                continue
            yield f"{name}({','.join([*others, f'{option.name}={value}'])})"


def with_base(name: str) -> str:
    return f"{name}({BASE[name]})" if name in BASE else name


def plans_of_configurations() -> Iterator[str]:
    """Two configurations a plan, each at two steps, the last among them."""
    for name, spec in ADAPTER_SPECS.items():
        texts = list(configurations(name))
        # A plan can have only one ReFT configuration.
        seconds = (
            ["seq_bn"] * len(texts) if spec.family == "reft" else [*texts[1::2], with_base(name)]
        )
        firsts = texts if spec.family == "reft" else texts[::2]
        for first, second in zip(firsts, seconds, strict=False):
            yield f"0,2:{first} 1,3:{second}"


class Tokenizer:
    """Stands for a tokenizer where none is read again."""

    def save_pretrained(self, directory: str) -> None:
        Path(directory, "vocab.txt").write_text("")


def shape_of(
    model: RecursiveAdapterModel, layerwise: bool, rank: int | None = None
) -> BackboneShape:
    return BackboneShape.of(model.config.to_dict(), 16 if layerwise else None, rank)


def compare(model: RecursiveAdapterModel, shape: BackboneShape, text: str, head: int = 0) -> None:
    plan = StepPlan.parse(text)
    expected = ledger(apply_plan(model, plan, name="task"))
    assert count_plan(shape, plan, name="task", head=head) == expected


@pytest.mark.parametrize("plan", plans_of_configurations())
def test_every_option_of_every_configuration(make_model: MakeModel, plan: str) -> None:
    model = make_model(True)
    compare(model, shape_of(model, True), plan)


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("name", ADAPTER_SPECS)
def test_every_configuration_at_every_placement(
    make_model: MakeModel, name: str, layerwise: bool
) -> None:
    for placement in PLACEMENTS:
        model = make_model(layerwise)
        compare(model, shape_of(model, layerwise), placement.format(with_base(name)))


@pytest.mark.parametrize(
    ("backbone", "layerwise"),
    [*((name, True) for name in BACKBONES), ("tied", False), ("relaxed", False)],
)
def test_every_mechanism_on_every_kind_of_backbone(backbone: str, layerwise: bool) -> None:
    options = BACKBONES[backbone]
    template = pickle.dumps(build(layerwise, **options))
    for plan in (*PLANS, *(LAYERWISE_PLANS if layerwise else ())):
        model = pickle.loads(template)
        compare(model, shape_of(model, layerwise, options.get("rank")), plan)


def test_every_mechanism_is_compared() -> None:
    used = {c.mechanism for p in (*PLANS, *LAYERWISE_PLANS) for c in StepPlan.parse(p).choices}
    assert used == set(MECHANISMS)


@pytest.mark.parametrize("plan", ["full", "lora", "2-3:full rest:frozen"])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_head_and_the_pooler_it_reads(make_model: MakeModel, plan: str, pooled: bool) -> None:
    model = make_model(True)
    model.add_classification_head("task", num_labels=3, layers=1, use_pooler=pooled)
    expected = ledger(apply_plan(model, StepPlan.parse(plan), name="task"))
    shape, parsed = shape_of(model, True), StepPlan.parse(plan)
    assert count_plan(shape, parsed, name="task", head=3 * 33, pooled=pooled) == expected


def test_a_merged_adapter_keeps_its_step_apart(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(True)
    apply_plan(model, StepPlan.parse("1-2:lora rest:frozen"), name="first")
    model.merge_adapter("first")
    save_backbone(model, Tokenizer(), tmp_path / "merged", card={})
    stated, loaded = stated_backbone(tmp_path / "merged"), load_model(tmp_path / "merged")
    assert stated is not None
    assert len(stated.shape.own_parameters) == 4
    for plan in ("full", "seq_bn", "head"):
        compare(copy.deepcopy(loaded), stated.shape, plan)
    for plan in ("2-3:full rest:frozen", "untied"):
        with pytest.raises(UserError, match="merged into the backbone"):
            count_plan(stated.shape, StepPlan.parse(plan), name="task")


@pytest.mark.parametrize(
    "plan",
    [
        "7:full rest:frozen",
        "lora(r=33)",
        "0:loreft rest:noreft",
        "compacter(phm_dim=5)",
        "krona(factor=12)",
        "krona(factor=64,intermediate=true)",
        "adakron(factor=5)",
        "side(r=0.5)",
    ],
)
def test_plans_that_do_not_fit_are_refused_alike(make_model: MakeModel, plan: str) -> None:
    model = make_model(True)
    with pytest.raises(UserError) as by_model:
        check_plan(model, StepPlan.parse(plan))
    for refuse in (
        lambda shape, parsed: check_fit(parsed, shape, shape.has_layerwise),
        lambda shape, parsed: count_plan(shape, parsed, name="task"),
    ):
        with pytest.raises(UserError) as by_sizes:
            refuse(shape_of(model, True), StepPlan.parse(plan))
        assert str(by_sizes.value) == str(by_model.value)


@pytest.mark.parametrize("task", ["bc5cdr", "hoc"])
def test_the_head_of_a_task_is_counted_as_it_is_added(make_model: MakeModel, task: str) -> None:
    model, config = make_model(True), load_task(task)
    add_head(model, config, "task", seed=0)
    plan = StepPlan.parse("full")
    expected = ledger(apply_plan(model, plan, name="task"))
    head = head_parameters(config, model.config.hidden_size)
    assert count_plan(shape_of(model, True), plan, name="task", head=head) == expected
