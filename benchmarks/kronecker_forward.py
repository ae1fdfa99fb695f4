"""Times the matrices and the encoder layer of KroneckerBERT against the dense ones of BERT-base.

    python benchmarks/kronecker_forward.py --output benchmarks/results/kronecker-forward.json

Both layers compute the same function: the dense one holds the products multiplied out, and their
outputs are compared before anything is timed. Times are medians of rounds in which the two take
turns, without gradients, and a profile says what the operations of the factored layer take.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from recording import machine, new_record, write_record, write_text
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLayer

from adapterkit.backbones.factorised.arithmetic import apply, materialise, start
from adapterkit.backbones.factorised.forms import Kronecker
from adapterkit.runs.environment import hardware, versions

ATTENTION = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
)
UP, DOWN = "intermediate.dense", "output.dense"
SHAPES = {
    "KroneckerBERT_8": {
        **dict.fromkeys(ATTENTION, Kronecker((384, 2), (384, 2))),
        UP: Kronecker((8, 384), (2, 384)),
        DOWN: Kronecker((2, 384), (8, 384)),
    },
    "KroneckerBERT_21": {
        **dict.fromkeys(ATTENTION, Kronecker((384, 2), (48, 16))),
        UP: Kronecker((16, 192), (2, 384)),
        DOWN: Kronecker((2, 384), (16, 192)),
    },
}
TIMED = {
    "an attention matrix": (ATTENTION[0],),
    "feed-forward, up": (UP,),
    "feed-forward, down": (DOWN,),
    "the six matrices": (*ATTENTION, UP, DOWN),
}


class FactoredLinear(nn.Module):
    """``nn.Linear`` by `apply`, for timing alone."""

    def __init__(self, form: Kronecker, dense: nn.Linear) -> None:
        super().__init__()
        self.form, self.bias = form, dense.bias
        self.factors = nn.ParameterDict(start(form, dense.weight))

    def forward(self, states: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return apply(self.form, self.factors, states, self.bias)


def main() -> None:
    """Time every shape with every number of threads, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--note", help="what a reader must know of this measurement")
    options = parser.parse_args()
    record = new_record() | {"hardware": hardware(), "versions": versions()}
    record |= {"texts": options.texts, "tokens": options.tokens, "rounds": options.rounds}
    if options.note:
        record["note"] = options.note
    torch.manual_seed(0)
    for name, forms in SHAPES.items():
        dense, factored = _layers(forms)
        for threads in options.threads:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                run = _measured(dense, factored, options)
            operations = _operations(forms, options.texts * options.tokens)
            record["runs"].append({"shapes": name, "threads": threads, **operations, **run})
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), _page(record))


def _layers(forms: Mapping[str, Kronecker]) -> tuple[nn.Module, nn.Module]:
    """BERT-base's layer, dense and factored, of one function."""
    config = BertConfig(attn_implementation="sdpa")
    dense = BertLayer(config).eval()
    factored = copy.deepcopy(dense)
    for name, form in forms.items():
        parent, _, leaf = name.rpartition(".")
        linear = FactoredLinear(form, factored.get_submodule(name))
        setattr(factored.get_submodule(parent), leaf, linear)
        with torch.no_grad():
            dense.get_submodule(name).weight.copy_(materialise(form, linear.factors))
    return dense, factored


def _measured(dense: nn.Module, factored: nn.Module, options: argparse.Namespace) -> dict[str, Any]:
    states = torch.randn(options.texts, options.tokens, 768)
    wide = torch.randn(options.texts, options.tokens, 3072)
    difference = (dense(states)[0] - factored(states)[0]).abs().max().item()
    if difference > 1e-3:
        sys.exit(f"the layers differ by {difference}")
    rows = {}
    for name, matrices in TIMED.items():
        ways = [_through(layer, matrices, states, wide) for layer in (dense, factored)]
        rows[name] = _medians(*ways, options.rounds)
    ways = [lambda layer=layer: layer(states) for layer in (dense, factored)]
    rows["the encoder layer"] = _medians(*ways, options.rounds)
    return {
        "largest_difference": difference,
        "milliseconds": rows,
        "profile": _profile(ways[1], options.rounds),
    }


def _through(
    layer: nn.Module, matrices: tuple[str, ...], states: Tensor, wide: Tensor
) -> Callable[[], None]:
    modules = [(layer.get_submodule(name), wide if name == DOWN else states) for name in matrices]

    def way() -> None:
        for module, read in modules:
            module(read)

    return way


def _medians(
    dense: Callable[[], Any], factored: Callable[[], Any], rounds: int
) -> dict[str, dict[str, float]]:
    taken: dict[str, list[tuple[float, float]]] = {"dense": [], "factored": []}
    for number in range(rounds + 2):
        for name, way in (("dense", dense), ("factored", factored)):
            processor, clock = time.process_time(), time.perf_counter()
            way()
            spent = (time.process_time() - processor, time.perf_counter() - clock)
            if number > 1:  # the first two rounds warm up
                taken[name].append(spent)
    return {
        name: {
            "processor": 1000 * statistics.median(one for one, _ in times),
            "clock": 1000 * statistics.median(two for _, two in times),
        }
        for name, times in taken.items()
    }


def _profile(way: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Milliseconds of one forward by operation, as PyTorch's profiler counts them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(rounds):
            way()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    return {event.key: event.self_cpu_time_total / 1000 / rounds for event in events[:8]}


def _operations(forms: Mapping[str, Kronecker], tokens: int) -> dict[str, int]:
    dense = sum(2 * tokens * form.shape[0] * form.shape[1] for form in forms.values())
    return {"flops_dense": dense, "flops": sum(form.flops(tokens) for form in forms.values())}


def _page(record: dict[str, Any]) -> str:
    lines = [
        "# Forward of KroneckerBERT's matrices and layer",
        "",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}. BERT-base's "
        f"widths, {record['texts']} texts of {record['tokens']} tokens, no gradients; medians of "
        f"{record['rounds']} rounds in milliseconds of processor time (on the clock in brackets). "
        "The dense layer holds the same weights multiplied out.",
        *([record["note"]] if "note" in record else []),
        "",
        "| shapes | threads | what | dense | factored | times faster |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for run in record["runs"]:
        for name, row in run["milliseconds"].items():
            dense, factored = (_cell(row[way]) for way in ("dense", "factored"))
            lines.append(
                f"| {run['shapes']} | {run['threads']} | {name} | {dense} | {factored} | "
                f"{_ratio(row, 'processor')} ({_ratio(row, 'clock')}) |"
            )
    lines += [
        "",
        "What the factored encoder layer takes, in milliseconds on the clock, profiled:",
        "",
    ]
    for run in record["runs"]:
        share = run["flops_dense"] / run["flops"]
        spent = ", ".join(f"`{name}` {taken:.1f}" for name, taken in run["profile"].items())
        lines.append(
            f"- {run['shapes']}, {run['threads']} thread(s), {share:.1f} times fewer operations in "
            f"the matrices: {spent}."
        )
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


def _cell(times: Mapping[str, float]) -> str:
    return f"{times['processor']:.1f} ({times['clock']:.1f})"


def _ratio(row: Mapping[str, Mapping[str, float]], kind: str) -> str:
    return f"{row['dense'][kind] / row['factored'][kind]:.2f}"


if __name__ == "__main__":
    main()
