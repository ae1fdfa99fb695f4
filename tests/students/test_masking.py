from __future__ import annotations

import torch
from transformers import BertTokenizerFast

from adapterkit.students.masking import IGNORED, generator_of, mask
from adapterkit.students.packing import Batch


def _batch(tokenizer: BertTokenizerFast, rows: int = 400, width: int = 50) -> Batch:
    torch.manual_seed(0)
    ids = torch.randint(5, len(tokenizer), (rows, width))
    ids[:, 0], ids[:, 40] = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids[:, 41:] = tokenizer.pad_token_id
    attended = torch.ones_like(ids)
    attended[:, 41:] = 0
    return {"input_ids": ids, "attention_mask": attended}


def test_shares_are_those_of_bert(tokenizer: BertTokenizerFast) -> None:
    batch = _batch(tokenizer)
    ids = batch["input_ids"]
    masked, labels = mask(batch, tokenizer, 0.15, generator_of(0, 0))
    chosen = labels != IGNORED
    words = 400 * 39
    assert abs(chosen.sum() / words - 0.15) < 0.012
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    as_mask = (masked == tokenizer.mask_token_id)[chosen].float().mean()
    same = (masked == ids)[chosen].float().mean()
    # A random token is, once in as many as there are, the mask or the one it stands for.
    assert abs(as_mask - (0.8 + 0.1 / len(tokenizer))) < 0.03
    assert abs(same - (0.1 + 0.1 / len(tokenizer))) < 0.03


def test_special_tokens_and_padding_are_never_chosen(tokenizer: BertTokenizerFast) -> None:
    batch = _batch(tokenizer)
    masked, labels = mask(batch, tokenizer, 1.0, generator_of(0, 0))
    assert (labels[:, 1:40] == batch["input_ids"][:, 1:40]).all()
    for column in (0, *range(40, 50)):
        assert (labels[:, column] == IGNORED).all()
        assert (masked[:, column] == batch["input_ids"][:, column]).all()


def test_chance_depends_on_seed_and_number_alone(tokenizer: BertTokenizerFast) -> None:
    batch = _batch(tokenizer, rows=4)

    def draw(seed: int, number: int) -> torch.Tensor:
        return mask(batch, tokenizer, 0.3, generator_of(seed, number))[0]

    first = draw(0, 7)
    torch.rand(3)
    assert torch.equal(first, draw(0, 7))
    assert not torch.equal(first, draw(0, 8))
    assert not torch.equal(first, draw(1, 7))
    assert not torch.equal(draw(1, 0), draw(0, 1))
