"""A task adapter that computes zero leaves the backbone as it is, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.lora import IA3, LoRA
from adapters.methods.reft import ReftUnit
from torch.nn import functional as F  # noqa: N812

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.step_plan import StepPlan
from tests.plans.conftest import STEPS, states

MakeModel = Callable[[bool], RecursiveAdapterModel]
Batch = dict[str, torch.Tensor]

NEUTRAL = (
    "seq_bn",
    "seq_bn(non_linearity=gelu,r=4,dropout=0.1)",
    "double_seq_bn",
    "stack(seq_bn,r=4)",
    "stack(double_seq_bn)",
    "stack(lora)",
    "fuse(seq_bn,r=4,n=3)",
    "fuse(double_seq_bn)",
    "par_bn",
    "scaled_par_bn",
    "compacter(r=8)",
    "compacter++(r=8)",
    "lora",
    "lora(attn=qkv,intermediate=true,output=true,alpha=16)",
    "dora",
    "krona",
    "krona(factor=8,attn=qkv,intermediate=true,output=true,alpha=2)",
    "adakron",
    "adakron(factor=4,r=4,dropout=0.1,scaling=channel)",
    "ia3",
    "ia3(attn=qkv,output=true)",
    "loreft",
    "loreft(r=2,suffix_positions=2)",
    "noreft",
    "noreft(prefix_positions=0,suffix_positions=1)",
    "direft",
)
PREFIXED = (
    "prefix_tuning(prefix_length=3,bottleneck_size=8)",
    "prefix_tuning_flat(prefix_length=3)",
    "mam(prefix_length=3,bottleneck_size=8)",
    "unipelt(prefix_length=3,bottleneck_size=8)",
)
PLACEMENTS = {"all": "0-3", "one": "1", "middle": "1-2", "last": "3", "first and last": "0,3"}

placements = pytest.mark.parametrize("steps", PLACEMENTS.values(), ids=PLACEMENTS)
backbones = pytest.mark.parametrize("layerwise", [True, False], ids=["layerwise", "plain"])


def plan_for(steps: str, choice: str) -> StepPlan:
    return StepPlan.parse(f"{steps}:{choice}" + ("" if steps == "0-3" else " rest:frozen"))


@torch.no_grad()
def neutralise(model: RecursiveAdapterModel, adapter: str) -> int:
    """Make the parts of an adapter compute zero, or the factor one; how many there are."""
    count = 0
    for name, module in model.named_modules():
        if f".{adapter}" not in name:
            continue
        if isinstance(module, LoRA):
            module.lora_B.zero_()
            if module.use_dora:
                weight = model.get_submodule(name.partition(".loras.")[0]).weight
                module.m.weight.copy_(weight.norm(dim=1, keepdim=True))
        elif isinstance(module, IA3):
            module.lora_B.fill_(1.0)
        elif isinstance(module, ReftUnit):
            source = module.projection.weight if module.subtract_projection else 0.0
            module.learned_source.weight.copy_(torch.as_tensor(source))
            module.learned_source.bias.zero_()
        elif name.endswith("adapter_up"):
            for parameter in module.parameters():
                parameter.zero_()
        else:
            continue
        count += 1
    return count


@torch.no_grad()
def randomise(model: RecursiveAdapterModel, adapter: str) -> None:
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if f".{adapter}." in name:
            noise = torch.randn(parameter.shape, generator=generator) * 0.3
            if name.endswith(".original"):
                # The diagonal of PyTorch's orthogonal parametrisation holds signs, not weights.
                noise.fill_diagonal_(0.0)
            parameter.add_(noise)


@backbones
@placements
@pytest.mark.parametrize("choice", NEUTRAL)
def test_adapter_computing_zero_leaves_the_output(
    make_model: MakeModel, batch: Batch, layerwise: bool, steps: str, choice: str
) -> None:
    model = make_model(layerwise)
    before = states(model, batch)
    apply_plan(model, plan_for(steps, choice), name="task")
    randomise(model, "task")
    changed = states(model, batch)
    assert (changed - before).abs().max() > 1e-3
    assert neutralise(model, "task")
    torch.testing.assert_close(states(model, batch), before, atol=1e-5, rtol=0)


class Reference:
    """The recursive encoder of the paper, written out, with prefixes for its attention."""

    def __init__(self, model: RecursiveAdapterModel) -> None:
        self.model, self.encoder = model, model.albert.encoder
        self.heads = model.config.num_attention_heads
        self.width = model.config.hidden_size // self.heads

    def __call__(self, batch: Batch, prefixes: dict[int, Callable]) -> torch.Tensor:
        embeddings = self.model.albert.embeddings
        length = batch["input_ids"].shape[1]
        x = F.embedding(batch["input_ids"], embeddings.word_embeddings.weight)
        x = x + embeddings.position_embeddings.weight[:length]
        x = embeddings.LayerNorm(x + embeddings.token_type_embeddings.weight[0])
        x = self.encoder.embedding_hidden_mapping_in(x)
        if (first := self.encoder.embedding_adapter) is not None:
            x = first.norm(first.up(F.gelu(first.down(x))) + x)
        for step, block in enumerate(self.encoder.blocks()):
            prefix = prefixes[step](x) if step in prefixes else None
            attended = self.attention(block.attention, x, batch["attention_mask"], prefix)
            x = block.attention.LayerNorm(x + attended)
            x = self.adapter(block.attention.attention_adapters, x)
            inner = F.gelu(F.linear(x, block.ffn.weight, block.ffn.bias), approximate="none")
            fed = F.linear(inner, block.ffn_output.weight, block.ffn_output.bias)
            x = self.adapter(block.output_adapters, block.full_layer_layer_norm(x + fed))
        return x[batch["attention_mask"].bool()]

    def adapter(self, slot: BottleneckLayer, x: torch.Tensor) -> torch.Tensor:
        if LAYERWISE not in slot.adapters:
            return x
        adapter = slot.adapters[LAYERWISE]
        update = adapter.adapter_up(F.gelu(adapter.adapter_down[0](x)))
        return adapter.adapter_norm_after(update + x)

    def attention(
        self, attention: torch.nn.Module, x: torch.Tensor, mask: torch.Tensor, prefix: tuple | None
    ) -> torch.Tensor:
        q, k, v = (
            self.split(F.linear(x, linear.weight, linear.bias))
            for linear in (attention.query, attention.key, attention.value)
        )
        bias = (1.0 - mask[:, None, None, :].float()) * -1e9
        if prefix is not None:
            k, v = torch.cat([prefix[0], k], dim=2), torch.cat([prefix[1], v], dim=2)
            bias = F.pad(bias, (prefix[0].shape[2], 0))
        weights = torch.softmax(q @ k.transpose(-1, -2) / self.width**0.5 + bias, dim=-1)
        return attention.dense((weights @ v).transpose(1, 2).flatten(2))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], self.heads, self.width).transpose(1, 2)

    def prefixes(self, adapter: str, steps: tuple[int, ...]) -> dict[int, Callable]:
        """For each step with a prefix, the function from its input to prefix keys and values."""
        pool = self.model.albert.prefix_tuning.prefix_tunings[adapter]["self_prefix"]
        flat = pool.control_trans
        made = flat if isinstance(flat, torch.nn.Parameter) else flat(pool.wte.weight)
        made = made.view(-1, len(steps), 2, self.heads, self.width)

        def prefix_of(index: int, step: int) -> Callable[[torch.Tensor], tuple]:
            gates = self.encoder.blocks()[step].attention.prefix_tuning.prefix_gates

            def prefix(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                states = made[:, index].permute(1, 2, 0, 3).expand(-1, *[-1] * 3)
                keys, values = (s.expand(len(x), -1, -1, -1) for s in states[:, None])
                if adapter in gates:
                    gate = torch.sigmoid(gates[adapter](x)).mean(dim=1).view(-1, 1, 1, 1)
                    keys, values = keys * gate, values * gate
                return keys, values

            return prefix

        return {step: prefix_of(index, step) for index, step in enumerate(steps)}


@backbones
def test_reference_is_the_backbone(make_model: MakeModel, batch: Batch, layerwise: bool) -> None:
    model = make_model(layerwise)
    with torch.no_grad():
        expected = Reference(model)(batch, {})
    torch.testing.assert_close(states(model, batch), expected, atol=1e-5, rtol=1e-5)


@backbones
@placements
@pytest.mark.parametrize("choice", PREFIXED)
def test_prefixes_add_to_attention_and_change_nothing_else(
    make_model: MakeModel, batch: Batch, layerwise: bool, steps: str, choice: str
) -> None:
    """A prefix has no neutral value, so the whole forward is computed independently."""
    model = make_model(layerwise)
    before = states(model, batch)
    applied = apply_plan(model, plan_for(steps, choice), name="task")
    randomise(model, "task")
    neutralise(model, "task")
    sites = [site for site in applied.sites if site.adapter is not None]
    reference = Reference(model)
    with torch.no_grad():
        expected = reference(batch, reference.prefixes("task", sites[0].steps))
    adapted = states(model, batch)
    assert (adapted - before).abs().max() > 1e-3
    torch.testing.assert_close(adapted, expected, atol=1e-5, rtol=1e-5)


@backbones
@placements
def test_parallel_bottleneck_adds_before_the_layer_norm(
    make_model: MakeModel, batch: Batch, layerwise: bool, steps: str
) -> None:
    """It is h + s * f(x) of He et al. (arXiv 2110.04366), layer-wise adapters behind it."""
    model = make_model(layerwise)
    applied = apply_plan(model, plan_for(steps, "par_bn"), name="task")
    randomise(model, "task")
    blocks = model.albert.encoder.blocks()
    sites = [site for site in applied.sites if site.adapter is not None]
    for step in sites[0].steps:
        adapter = blocks[step].output_adapters.adapters["task"]
        seen: dict[str, torch.Tensor] = {}
        hooks = [
            blocks[step].ffn.register_forward_hook(
                lambda _m, args, _o, seen=seen: seen.update(x=args[0])
            ),
            blocks[step].ffn_output.register_forward_hook(
                lambda _m, _a, out, seen=seen: seen.update(h=out)
            ),
            blocks[step].register_forward_hook(
                lambda _m, _a, out, seen=seen: seen.update(out=out[0])
            ),
        ]
        states(model, batch)
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            update = adapter.adapter_up(F.relu(adapter.adapter_down[0](seen["x"]))) * 4.0
            expected = blocks[step].full_layer_layer_norm(seen["h"] + update + seen["x"])
            expected = Reference(model).adapter(blocks[step].output_adapters, expected)
        torch.testing.assert_close(seen["out"], expected, atol=1e-5, rtol=1e-5)


def test_bottlenecks_stand_behind_the_layerwise_adapters(make_model: MakeModel) -> None:
    applied = apply_plan(make_model(True), StepPlan.parse("seq_bn"), name="task")
    assert applied.active == (LAYERWISE, "task")
    mixed = "0:compacter(r=8) 1:lora 2:par_bn 3:loreft"
    applied = apply_plan(make_model(True), StepPlan.parse(mixed), name="task")
    assert applied.active == ("task-4", "task", "task-3", LAYERWISE, "task-2")
    assert len(applied.plan.assignments) == STEPS
