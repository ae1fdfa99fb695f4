"""Mixed models compute each step as the model it comes from does in a forward pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.prefix import attention_bias
from adapterkit.comparing.ablating.mixing import Texts, read
from adapterkit.comparing.ablating.removing import learning_steps, with_and_without
from adapterkit.comparing.ablating.swapping import mixed
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from tests.plans.conftest import STEPS
from tests.plans.test_contract import MECHANISMS
from tests.plans.test_stacking import NEUTRAL, neutralise

MakeModel = Callable[[bool], RecursiveAdapterModel]
BESIDE = [mechanism for mechanism in MECHANISMS if not mechanism.startswith("side")]
MIXED_PLANS = (
    "0-1:seq_bn(r=4) 2:full 3:frozen",
    "0:untied 1:prefix_tuning(prefix_length=3,bottleneck_size=8) 2:lora 3:loreft",
)


@torch.no_grad()
def learn(model: RecursiveAdapterModel, plan: str, seed: int = 3) -> AppliedPlan:
    """Apply a plan and change what learns at random, as training would."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.add_tagging_head("task", num_labels=5)
    applied = apply_plan(model, StepPlan.parse(plan), name="task", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * 0.3
            if name.endswith(".original"):
                # The diagonal of PyTorch's orthogonal parametrisation holds signs, not weights.
                noise.fill_diagonal_(0.0)
            parameter.add_(noise)
    model.active_head = applied.head
    model.eval()
    return applied


def texts_of(batch: dict[str, torch.Tensor]) -> Texts:
    ids = batch["input_ids"]
    positions = torch.arange(ids.shape[1]).expand(ids.shape)
    return Texts(ids, batch["attention_mask"], positions)


@torch.no_grad()
def logits_of(model: RecursiveAdapterModel, texts: Texts) -> torch.Tensor:
    return model(input_ids=texts.input_ids, attention_mask=texts.attention_mask).logits


BACKBONES = pytest.mark.parametrize(
    "layerwise",
    [pytest.param(True, id="layerwise"), pytest.param(False, id="plain", marks=pytest.mark.slow)],
)


def group(model: RecursiveAdapterModel, step: int) -> torch.nn.Module:
    return model.albert.encoder.albert_layer_groups[step]


@torch.no_grad()
def state_of(
    model: RecursiveAdapterModel, texts: Texts, step: int, given: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a step of a forward pass reads and makes; it may be given something else to read."""
    seen: list[torch.Tensor] = []
    layer = group(model, step)
    before = layer.register_forward_pre_hook(
        lambda _, args: (given, *args[1:]) if given is not None else args
    )
    watched = layer.register_forward_hook(lambda _m, args, out: seen.extend((args[0], out[0])))
    logits_of(model, texts)
    before.remove()
    watched.remove()
    return seen[0], seen[1]


@torch.no_grad()
def with_output(
    model: RecursiveAdapterModel, texts: Texts, step: int, output: torch.Tensor
) -> torch.Tensor:
    """The logits if a step makes `output`."""
    hook = group(model, step).register_forward_hook(lambda _m, _a, out: (output, *out[1:]))
    logits = logits_of(model, texts)
    hook.remove()
    return logits


def assert_all_close(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@BACKBONES
@pytest.mark.parametrize("plan", [*(f"0-3:{m}" for m in BESIDE), *MIXED_PLANS])
def test_a_removed_step_computes_as_the_pretrained_one(
    make_model: MakeModel, batch: dict[str, torch.Tensor], plan: str, layerwise: bool
) -> None:
    if "layerwise" in plan and not layerwise:
        pytest.skip("a backbone without layer-wise adapters")
    applied, pretrained = learn(make_model(layerwise), plan), make_model(layerwise).eval()
    texts = texts_of(batch)
    pretrained.add_tagging_head("task", num_labels=5)
    with torch.no_grad():
        whole, *without = with_and_without(applied, pretrained).logits(texts)
    assert_all_close([whole], [logits_of(applied.model, texts)])
    expected = []
    for step in learning_steps(applied):
        below = state_of(applied.model, texts, step)[0]
        if step == 0:
            # The embedding adapter belongs to step 0, and the tuned embeddings stay.
            below = state_of(pretrained, texts, 0)[0]
        made = state_of(pretrained, texts, step, below)[1]
        expected.append(with_output(applied.model, texts, step, made))
    assert_all_close(without, expected)
    assert all((each - whole).abs().max() > 1e-3 for each in without)


@BACKBONES
@pytest.mark.parametrize("choice", NEUTRAL)
def test_removing_an_adapter_is_making_it_compute_zero(
    make_model: MakeModel, batch: dict[str, torch.Tensor], choice: str, layerwise: bool
) -> None:
    plan = f"0-3:{choice}"
    texts = texts_of(batch)
    applied = learn(make_model(layerwise), plan)
    with torch.no_grad():
        _, *without = with_and_without(applied, make_model(layerwise).eval()).logits(texts)
    for step in range(STEPS):
        reference = learn(make_model(layerwise), plan)
        assert neutralise(group(reference.model, step), "task")
        assert_all_close([without[step]], [logits_of(reference.model, texts)])


@pytest.mark.parametrize("mechanism", ["full", "untied"])
@pytest.mark.parametrize("steps", ["0-3", "1-2"])
def test_removing_a_block_is_restoring_its_weights(
    make_model: MakeModel, batch: dict[str, torch.Tensor], mechanism: str, steps: str
) -> None:
    plan = f"{steps}:{mechanism}" + ("" if steps == "0-3" else " rest:frozen")
    texts = texts_of(batch)
    applied, pretrained = learn(make_model(False), plan), make_model(False).eval()
    with torch.no_grad():
        _, *without = with_and_without(applied, pretrained).logits(texts)
    for place, step in enumerate(learning_steps(applied)):
        reference = learn(make_model(False), plan).model
        reference.set_blocks(range(STEPS))
        group(reference, step).load_state_dict(group(make_model(False), step).state_dict())
        assert_all_close([without[place]], [logits_of(reference, texts)])


@BACKBONES
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        *((f"0-3:{mechanism}", f"0-3:{mechanism}") for mechanism in BESIDE),
        ("0-3:full", "0-3:lora"),
        ("0-3:prefix_tuning_flat(prefix_length=3)", "0-3:prefix_tuning_flat(prefix_length=5)"),
        ("head", MIXED_PLANS[1]),
    ],
)
def test_swapped_steps_read_what_the_others_make(
    make_model: MakeModel, batch: dict[str, torch.Tensor], lower: str, upper: str, layerwise: bool
) -> None:
    if "layerwise" in lower and not layerwise:
        pytest.skip("a backbone without layer-wise adapters")
    first = learn(make_model(layerwise), lower, seed=3).model
    second = learn(make_model(layerwise), upper, seed=4).model
    texts = texts_of(batch)
    with torch.no_grad():
        found = mixed(first, second).logits(texts)
    expected = [logits_of(second, texts)]
    for k in range(1, STEPS):
        below = state_of(first, texts, k)[0]
        made = state_of(second, texts, k, below)[1]
        expected.append(with_output(second, texts, k, made))
    expected.append(logits_of(first, texts))
    assert_all_close(found, expected)
    assert (found[0] - found[-1]).abs().max() > 1e-2


def test_a_skipped_rung_leaves_the_backbone_as_it_is(
    make_model: MakeModel, batch: dict[str, torch.Tensor]
) -> None:
    applied = learn(make_model(True), "1-2:side(r=4) rest:frozen")
    texts = texts_of(batch)
    with torch.no_grad():
        whole, *without = with_and_without(applied, make_model(True)).logits(texts)
    assert_all_close([whole], [logits_of(applied.model, texts)])
    assert all((each - whole).abs().max() > 1e-3 for each in without)
    base, side = applied.model.albert, applied.model.albert.encoder.side
    with torch.no_grad():
        states = [state_of(applied.model, texts, step)[0] for step in (1, 2, 3)]
        last = state_of(applied.model, texts, 3)[1]
        bias = attention_bias(base, texts.attention_mask, last)
        # States 1, 2 and 3 are what these steps read; a rung reads what its own step makes.
        for kept, found in ((2, without[0]), (1, without[1])):
            narrow = side.start(states[0])
            narrow = side.block(side.rungs[str(kept)](states[kept], narrow), bias)
            expected = last + side.up(side.norm(narrow))
            assert_all_close([found], [read(applied.model, expected)])


def test_nothing_to_remove(make_model: MakeModel) -> None:
    applied = learn(make_model(True), "head")
    with pytest.raises(UserError, match="nothing to remove"):
        learning_steps(applied)
