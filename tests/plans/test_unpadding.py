"""What leaving padding out spares, and where it does nothing.

That it changes no result is shown beside the tokens that are asked for: see `test_positions`.
"""

from __future__ import annotations

import pytest
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from tests.plans.test_contract import adapted
from tests.plans.test_positions import LENGTHS, POSITIONS, MakeModel, texts, without_dropout

PIECES = int(LENGTHS.sum())


def rows_of_each_step(model: RecursiveAdapterModel, positions: torch.Tensor) -> list[int]:
    """How many states, of all texts together, each step's feed-forward layer computes."""
    seen: list[int] = []
    hooks = [
        block.ffn_output.register_forward_hook(lambda *call: seen.append(call[2].shape[:2].numel()))
        for block in model.albert.encoder.blocks()
    ]
    without_dropout(model)(**texts(), positions=positions)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ("mechanism", "last"),
    [("double_seq_bn", PIECES), ("prefix_tuning_flat(prefix_length=3)", PIECES), ("loreft", 36)],
)
def test_steps_compute_no_padding(mechanism: str, last: int, make_model: MakeModel) -> None:
    model = adapted(make_model(True), mechanism, (0, 1, 2, 3)).model
    assert rows_of_each_step(model, POSITIONS)[:-1] == [36, 36, 36]
    model.base_model.encoder.unpads = True
    assert rows_of_each_step(model, POSITIONS)[:-1] == [last, last, last]
    assert model(**texts()).logits.shape == (4, 9, 5)


def test_rows_are_of_few_lengths(make_model: MakeModel) -> None:
    model = adapted(make_model(True), "double_seq_bn", (0, 1, 2, 3)).model
    encoder = model.base_model.encoder
    encoder.unpads, encoder.row_multiple = True, 16
    assert PIECES % 16
    assert POSITIONS.numel() % 16
    assert rows_of_each_step(model, POSITIONS) == [32, 32, 32, 16]
    assert rows_of_each_step(model, POSITIONS[:, :1]) == [32, 32, 32, 16]


def test_texts_of_one_length_have_nothing_to_leave_out(make_model: MakeModel) -> None:
    model = without_dropout(adapted(make_model(True), "lora", (0, 1, 2, 3)).model)
    ids = texts()["input_ids"]
    whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "positions": POSITIONS}
    expected = model(**whole).logits
    model.base_model.encoder.unpads = True
    assert torch.equal(model(**whole).logits, expected)


def test_scoring_leaves_nothing_out(make_model: MakeModel) -> None:
    model = adapted(make_model(True), "lora", (0, 1, 2, 3)).model.eval()
    expected = model(**texts(), positions=POSITIONS).logits
    model.base_model.encoder.unpads = True
    assert torch.equal(model(**texts(), positions=POSITIONS).logits, expected)


def test_what_was_left_out_is_forgotten_after_an_error(make_model: MakeModel) -> None:
    model = without_dropout(adapted(make_model(True), "lora", (0, 1, 2, 3)).model)
    expected = model(**texts()).logits
    model.base_model.encoder.unpads = True
    with pytest.raises(RuntimeError, match="out of bounds"):
        model(**texts(), positions=torch.full((4, 1), -99))
    assert torch.equal(model(**texts()).logits, expected)
