from __future__ import annotations

import time

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from adapterkit.students.throughput import count_flops, matrix_product_rate


def test_products_of_forward_and_backward_are_counted() -> None:
    layer, states = nn.Linear(16, 8, bias=False), torch.randn(5, 16, requires_grad=True)
    forward = 2 * 5 * 16 * 8
    assert count_flops(lambda: layer(states)) == forward
    assert count_flops(lambda: layer(states).sum().backward()) == 3 * forward


def test_attention_is_counted() -> None:
    query, key, value = (torch.randn(2, 3, 7, 4) for _ in range(3))
    products = 2 * (2 * 2 * 3 * 7 * 7 * 4)
    assert count_flops(lambda: scaled_dot_product_attention(query, key, value)) == products


def test_the_rate_is_that_of_this_machine() -> None:
    rate = matrix_product_rate(torch.device("cpu"), torch.float32)
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    left @ right
    started = time.perf_counter()
    for _ in range(5):
        left @ right
    own = 5 * 2 * 1024**3 / (time.perf_counter() - started)
    assert own / 5 < rate < own * 5
