"""How much of the machine's arithmetic the learning uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_SECONDS = 0.5
_SIZE = {"cpu": 1024, "cuda": 8192}


def count_flops(work: Callable[[], None]) -> int:
    """Floating-point operations of the matrix products in `work`, backward passes included.

    A product of (m, k) and (k, n) counts 2 m k n, as usual; everything else counts nothing.
    """
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return int(counter.get_total_flops())


def matrix_product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of large square matrix products, the median of many.

    Args:
        device: Where to multiply.
        dtype: In which precision.
    """
    size = _SIZE.get(device.type, _SIZE["cpu"])
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    _wait(device)
    spent: list[float] = []
    while len(spent) < 5 or sum(spent) < _SECONDS:
        started = time.perf_counter()
        left @ right
        _wait(device)
        spent.append(time.perf_counter() - started)
    return 2 * size**3 / median(spent)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
