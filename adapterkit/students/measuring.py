"""What a distillation's speed amounts to on the machine it ran on."""

from __future__ import annotations

from typing import Any

import torch

from adapterkit.students.session import Session
from adapterkit.students.state import LoopState
from adapterkit.students.throughput import count_flops, matrix_product_rate

_ROWS = 4


def measure_throughput(session: Session, state: LoopState) -> dict[str, Any]:
    """The arithmetic of the updates made, beside that of plain matrix products.

    Returns:
        ``flops_per_token``: matrix products of student and teacher, forward and backward, for a
        word piece that is no padding; ``flops_per_second``: done by each process;
        ``matrix_products_per_second``: floating-point operations that large products reach on the
        same device, in ``precision``; ``fraction``: the one over the other.
    """
    batch = next(session.batches(0))
    batch = {name: tensor[:_ROWS] for name, tensor in batch.items()}
    tokens = int(batch["attention_mask"].sum())

    def learn() -> None:
        torch.autograd.backward(session.plain_terms(batch)["loss"])

    with torch.compiler.set_stance("force_eager"):
        per_token = count_flops(learn) / tokens
    session.optimiser.zero_grad()
    lower = session.accelerator.mixed_precision == "bf16"
    dtype = torch.bfloat16 if lower else torch.float32
    rate = matrix_product_rate(session.device, dtype)
    done = per_token * state.tokens_per_second / session.accelerator.num_processes
    return {
        "flops_per_token": round(per_token),
        "flops_per_second": round(done),
        "matrix_products_per_second": round(rate),
        "fraction": round(done / rate, 4),
        "precision": str(dtype).removeprefix("torch."),
        "processes": session.accelerator.num_processes,
        "compiled": session.compiled,
    }
