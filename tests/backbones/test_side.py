"""The side path: what it computes, what it reads, and that the backbone gets no gradient."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.canonical import canonical_tensors, pretrained_tensors
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.loading import load_model
from adapterkit.backbones.prefix import prefix_states, states_above
from adapterkit.backbones.saving import save_backbone
from adapterkit.backbones.side import SidePath, most_heads, states_read

from .conftest import random_model

WIDTH, INNER = 8, 20
PLACEMENTS = ((0, 1, 2, 3), (1,), (0, 2), (3,))

placements = pytest.mark.parametrize("steps", PLACEMENTS, ids=str)


def with_side(steps: tuple[int, ...], **changes: Any) -> RecursiveAdapterModel:
    """A random backbone with a random side path of two heads; only the path learns."""
    model = random_model(**changes)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    side = SidePath(model.config, steps, WIDTH, INNER)
    side.block.heads = 2
    with torch.no_grad():
        for parameter in side.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.albert.encoder.sides["task"] = side
    model.albert.encoder.active_side = "task"
    model.albert.frozen_prefix = model.config.num_hidden_layers
    return model.eval()


def texts() -> dict[str, torch.Tensor]:
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 5:] = 0
    mask[2, 1:] = 0
    return {"input_ids": torch.randint(0, 50, (3, 9)), "attention_mask": mask}


def normalised(row: torch.Tensor, norm: torch.nn.LayerNorm) -> torch.Tensor:
    centred = row - row.mean()
    scaled: torch.Tensor = centred / torch.sqrt((centred**2).mean() + norm.eps)
    return scaled * norm.weight + norm.bias


def written_out(side: SidePath, states: list[torch.Tensor], heads: int) -> torch.Tensor:
    """The path over one text without padding, (tokens, hidden), token by token, head by head."""
    weights = dict(side.named_parameters())

    def linear(name: str, row: torch.Tensor) -> torch.Tensor:
        return weights[f"{name}.weight"] @ row + weights.get(f"{name}.bias", 0.0)

    tokens = range(len(states[0]))
    path = [linear("start", states[side.steps[0]][token]) for token in tokens]
    for step in side.steps:
        mu = 1 / (1 + math.exp(-weights[f"rungs.{step}.gate"].item() / 0.1))
        path = [
            mu * linear(f"rungs.{step}.down", states[step + 1][t]) + (1 - mu) * path[t]
            for t in tokens
        ]
        seen = [normalised(row, side.block.attention_norm) for row in path]
        projected = [linear("block.query_key_value", row).chunk(3) for row in seen]
        size = WIDTH // heads
        read = []
        for query, _, _ in projected:
            parts = []
            for head in range(heads):
                here = slice(head * size, (head + 1) * size)
                scores = [float(query[here] @ key[here]) / size**0.5 for _, key, _ in projected]
                shares = torch.softmax(torch.tensor(scores, dtype=query.dtype), dim=0)
                values = torch.stack([value[here] for _, _, value in projected])
                parts.append((shares[:, None] * values).sum(dim=0))
            read.append(torch.cat(parts))
        path = [path[t] + linear("block.attention_output", read[t]) for t in tokens]
        for t in tokens:
            inner = linear("block.ffn", normalised(path[t], side.block.ffn_norm))
            inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
            path[t] = path[t] + linear("block.ffn_output", inner)
    up = [linear("up", normalised(row, side.norm)) for row in path]
    return torch.stack([states[-1][t] + up[t] for t in tokens])


@placements
@torch.no_grad()
def test_it_computes_what_is_written_out(steps: tuple[int, ...]) -> None:
    model, batch = with_side(steps).double(), texts()
    found = model.albert(**batch).last_hidden_state
    side = model.albert.encoder.side
    model.albert.encoder.active_side = None
    for text, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
        # A text alone, so that padding is held to mean nothing.
        alone = {name: rows[text : text + 1, :length] for name, rows in batch.items()}
        states = [s[0] for s in model.albert(**alone, output_hidden_states=True).hidden_states]
        expected = written_out(side, states, heads=2)
        torch.testing.assert_close(found[text, :length], expected, rtol=0, atol=1e-9)
        assert (expected - states[-1]).abs().max() > 0.1


@placements
def test_a_fresh_one_leaves_the_output_as_it_is(steps: tuple[int, ...]) -> None:
    model, batch = random_model(), texts()
    before = model.albert(**batch).last_hidden_state
    model.albert.encoder.sides["task"] = SidePath(model.config, steps, WIDTH, INNER)
    model.albert.encoder.active_side = "task"
    assert torch.equal(model.albert(**batch).last_hidden_state, before)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3, 4)),
        ((1,), (1, 2, 4)),
        ((3,), (3, 4)),
        ((0, 2), (0, 1, 3, 4)),
        ((1, 2), (1, 2, 3, 4)),
    ],
)
def test_states_it_reads(steps: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert states_read(steps, 4) == expected == with_side(steps).albert.encoder.side.reads


def test_states_of_other_steps_are_not_read() -> None:
    model, batch = with_side((1,)), texts()
    states = model.albert(**batch, output_hidden_states=True).hidden_states
    side = model.albert.encoder.side
    assert [s.shape[-1] for s in states] == [32] * 5
    with pytest.raises(ValueError, match="zip"):
        side(states, None)


@pytest.mark.parametrize(
    ("width", "expected"), [(1, 1), (15, 1), (17, 1), (32, 2), (48, 3), (54, 3), (96, 6), (97, 1)]
)
def test_heads_are_not_too_small(width: int, expected: int) -> None:
    assert most_heads(width) == expected
    assert width % expected == 0


@placements
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_it_starts_from_kept_states_too(steps: tuple[int, ...], attention: str) -> None:
    model, batch = with_side(steps), texts()
    model.albert.attn_implementation = attention
    model.add_tagging_head("task", num_labels=3)
    mask = batch["attention_mask"].bool()
    kept = prefix_states(model, **batch)
    reads = states_above(model.albert)
    assert reads == states_read(steps, 4)
    assert kept.shape == (3, 9, 32 * len(reads))
    model.albert.encoder.active_side = None
    states = model.albert(**batch, output_hidden_states=True).hidden_states
    model.albert.encoder.active_side = "task"
    for read, state in zip(reads, kept.chunk(len(reads), dim=-1), strict=True):
        assert torch.equal(state[mask], states[read][mask])
    whole = model(**batch).logits
    above = model(**batch, states=kept * mask[..., None]).logits
    torch.testing.assert_close(above[mask], whole[mask], rtol=0, atol=1e-5)


def test_outputs_are_albert_s() -> None:
    model, batch = with_side((0, 2)), texts()
    whole = model.albert(**batch, output_hidden_states=True, output_attentions=True)
    assert len(whole.hidden_states) == 5
    assert len(whole.attentions) == 4
    assert torch.equal(whole.hidden_states[-1], whole.last_hidden_state)
    plain = model.albert(**batch)
    assert (plain.hidden_states, plain.attentions) == (None, None)
    listed = model.albert(**batch, return_dict=False)
    assert len(listed) == 2
    assert torch.equal(listed[0], plain.last_hidden_state)
    assert torch.equal(listed[1], plain.last_hidden_state[:, 0])
    assert not torch.equal(prefix_states(model, **batch)[..., -32:], plain.last_hidden_state)


def saved_bytes(model: RecursiveAdapterModel, batch: dict[str, torch.Tensor]) -> tuple[int, Any]:
    """Bytes that autograd keeps for the backward pass, parameters left out; and the loss."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(**batch, labels=batch["input_ids"] % 3).loss
    return sum(kept.values()), loss


@pytest.mark.parametrize("cached", [False, True])
def test_no_gradient_reaches_the_backbone(cached: bool) -> None:
    model, batch = with_side((0, 1, 2, 3)), texts()
    model.add_tagging_head("task", num_labels=3)
    for parameter in model.albert.parameters():
        # Not even where somebody asks for it.
        parameter.requires_grad_(True)
    inputs = {**batch, "states": prefix_states(model, **batch)} if cached else batch
    model.train()
    model(**inputs, labels=batch["input_ids"] % 3).loss.backward()
    for name, parameter in model.albert.named_parameters():
        assert (parameter.grad is not None) == ("encoder.sides." in name), name
    states = model.albert(**batch, output_hidden_states=True).hidden_states
    assert [s.requires_grad for s in states] == [False, False, False, False, True]


def test_little_is_kept_for_the_backward_pass() -> None:
    model, batch = with_side((0, 1, 2, 3), intermediate_size=256), texts()
    model.add_tagging_head("task", num_labels=3)
    held, _ = saved_bytes(model, batch)
    numbers = batch["input_ids"].numel()
    # What the rungs read, and for each rung some twenty states of the path and its feed-forward.
    most = 4 * numbers * (5 * 32 + 4 * (20 * WIDTH + 4 * INNER) + 4 * 32)
    assert held < most
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.albert.encoder.active_side = None
    model.train()
    assert saved_bytes(model, batch)[0] > 2 * most


def test_dropout_is_in_the_path_alone() -> None:
    model, batch = with_side((1, 2)), texts()
    model.albert.encoder.side.block.dropout.p = 0.5
    constant = prefix_states(model, **batch)
    model.train()
    assert torch.equal(prefix_states(model, **batch), constant)
    one, other = (model.albert(**batch).last_hidden_state for _ in range(2))
    assert not torch.equal(one, other)
    model.eval()
    one, other = (model.albert(**batch).last_hidden_state for _ in range(2))
    assert torch.equal(one, other)


def test_the_backbone_is_the_same_with_it(tokenizer: Any, tmp_path: Path) -> None:
    model = with_side((0, 2), layerwise=True, rank=2, tied="matrices")
    bare = pickle.loads(pickle.dumps(model))
    del bare.albert.encoder.sides["task"]
    bare.albert.encoder.active_side = None
    assert fingerprint(model) == fingerprint(bare)
    for tensors in (canonical_tensors, pretrained_tensors):
        assert tensors(model).keys() == tensors(bare).keys()
    assert not any("side" in name for name in bare.state_dict())
    save_backbone(model, tokenizer, tmp_path / "saved", card={})
    loaded = load_model(tmp_path / "saved")
    assert fingerprint(loaded) == fingerprint(model)
    assert list(loaded.albert.encoder.sides) == []
