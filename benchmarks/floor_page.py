"""The page of `floors.py`: its record in words and tables."""

from __future__ import annotations

from typing import Any

from recording import machine

_HEAD = """# The floors of training, and the distance to them

An update cannot be faster than the arithmetic it needs at the rate of this machine's matrix
products, nor than the bytes it moves at the rate of its memory. Here both are worked out for the
bundled backbone's block, and updates are measured against them, all in one process and taking
turns."""

_FORMULAS = """## What an update needs

H = {H} is the hidden width, F = {F} the inner one, E = {E} that of the embeddings, L = {steps}
the steps, b = {b} and a = {a} the units of the layer-wise and the task's bottlenecks, R = {R} the
rank of relaxed recursion, C = {C} the tags, n the word pieces of a window, N those of an update, K
those of them that the head reads (for NER the first piece of each word).

Operations (a multiplication and an addition are two), for each word piece:

| where | forward |
|---|---|
| the matrices of a step | 2 (4 H² + 2 H F) = {block:.2f} million |
| attention of a step, over n pieces | 4 n H = {attention:.4f} n million |
| a layer-wise bottleneck: two a step, one at the last | 4 H b = {layerwise:.3f} million |
| a task bottleneck: two a step that has an adapter | 4 H a = {adapter:.3f} million |
| projection of the embeddings, head | 2 E H + 2 H C = {ends:.3f} million |

In the last step nothing but keys and values is needed of word pieces that the head does not read: K
takes the place of N for the other matrices, and of one n of attention.

Backward, a matrix costs as much again for the gradient of what goes into it, if anything learns
at or below that, and as much again for its own gradient, if it learns; attention costs twice its
forward if gradients pass through it. So a frozen step above the lowest one that learns needs
gradients of inputs alone, and a step below it needs the forward pass alone, once a text and not
with every update where the states are kept. Where relaxed updates are frozen they cost nothing
(they are written into each step's matrices); where they learn, the cheaper of two ways is
counted: 2 N R (in + out) a pass beside a matrix, 2 R in out a pass written into it.

Bytes of float32: each product reads its operands and writes its result once, 4 (N (in + out) + in
out), likewise backward; attention moves 4 N H numbers forward and 8 N H backward, in the last step
2 (N + K) H and 4 (N + K) H; each parameter
that learns moves 36 bytes (AdamW reads and writes it and its two moments, its gradient is written
once and read twice). Everything else is taken to happen in passing. So this is the traffic of a
perfectly fused program whose caches keep nothing from one product to the next.
"""

_MEASURED = """\
Time is the process's processor time; wall-clock time is in the JSON file. The share is the
arithmetic floor over the time measured, that is the rate at which needed operations are done over
the rate of matrix products. "Executed" counts what is done in fact, padding and needless products
included."""

_PROFILES = """\
Each plan was profiled once, over {updates} updates in the middle of an epoch (`adapterkit tune
--profile`); the profiler slows what happens between products most. Matrix products of attention
and its dropout are counted under attention. The first row is the share from the table above."""


def page(record: dict[str, Any]) -> str:
    """The page, as Markdown."""
    lines = [
        _HEAD,
        "",
        f"Commit `{record['commit'][:10]}`, {record['date']}, {machine(record)}, "
        f"threads: {record['hardware']['threads']}; BC5CDR's first {record['sentences']} training "
        "sentences, the default batch.",
        *([record["note"]] if "note" in record else []),
        "",
        *_formulas(record["widths"]),
        "| plan | forward | gradients of inputs | gradients of weights | together |",
        "|---|---:|---:|---:|---:|",
        *map(_needs, record["runs"]),
        "",
        "(million operations a word piece, over the windows that were timed)",
        "",
        "In one update of each plan PyTorch's own counter of operations finds",
        f"{_counted(record)} times what these formulas say of the same windows, padded.",
        "",
        *_rates(record),
        "",
        "## Updates",
        "",
        _MEASURED,
        "",
        "| plan | word pieces | needed GFLOP | arithmetic floor | MB moved | bytes floor "
        "| measured | share | executed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *map(_distance, record["runs"]),
        "",
        *_profiles(record["runs"]),
    ]
    return "\n".join([*lines, "", "Made by:", "", f"    {record['command']}", ""])


def _formulas(widths: dict[str, int]) -> list[str]:
    H, F, E = widths["H"], widths["F"], widths["E"]  # noqa: N806
    text = _FORMULAS.format(
        **widths,
        block=2 * (4 * H * H + 2 * H * F) / 1e6,
        attention=4 * H / 1e6,
        layerwise=4 * H * widths["b"] / 1e6,
        adapter=4 * H * widths["a"] / 1e6,
        ends=2 * (E * H + H * widths["C"]) / 1e6,
    )
    return [text]


def _needs(run: dict[str, Any]) -> str:
    parts = [value / 1e6 for value in run["flop_per_piece"].values()]
    return f"| `{run['options']}` | {' | '.join(f'{part:.1f}' for part in [*parts, sum(parts)])} |"


def _counted(record: dict[str, Any]) -> str:
    *most, last = (f"{run['counted_to_formula']:.4f}" for run in record["runs"])
    return f"{', '.join(most)} and {last}"


def _rates(record: dict[str, Any]) -> list[str]:
    products = record["products"]
    names = {"forward": "forward", "inputs": "gradients of inputs", "weights": "of weights"}
    rates = ", ".join(
        f"{name} {products[key]['median']['cpu'] / 1e9:.1f}" for key, name in names.items()
    )
    return [
        "## What the machine can do",
        "",
        f"- Matrix products of a step's six matrices with {record['product_pieces']} word pieces, "
        f"`torch.mm` into tensors that are there, GFLOP/s: {rates}. The first is the rate that "
        "updates are measured against.",
        f"- A copy of 128 MB: {record['copy']['median']['cpu'] / 1e9:.1f} GB/s, read and written.",
        "",
        f"Medians of {len(record['copy']['all'])}, by processor time.",
    ]


def _distance(run: dict[str, Any]) -> str:
    return (
        f"| `{run['options']}` | {run['pieces_per_update']:.0f}"
        f" | {run['flop_per_update'] / 1e9:.1f} | {_ms(run['arithmetic_floor'])}"
        f" | {run['bytes_per_update'] / 1e6:.0f} | {_ms(run['bytes_floor'])}"
        f" | {_ms(run['seconds_per_update']['median'])} | {run['share']['cpu']:.0%}"
        f" | {run['executed_share']['cpu']:.0%} |"
    )


def _ms(seconds: dict[str, float]) -> str:
    return f"{seconds['cpu'] * 1e3:.0f} ms"


def _profiles(runs: list[dict[str, Any]]) -> list[str]:
    names = [f"`{run['options']}`" for run in runs]
    floors = [f"*{run['share']['cpu']:.1%}*" for run in runs]
    profiles = [run["profile"] for run in runs]
    kinds = [part["kind"] for part in profiles[0]["kinds"]]
    shares = [{part["kind"]: part["share"] for part in p["kinds"]} for p in profiles]
    return [
        "## Where the time goes",
        "",
        _PROFILES.format(updates=profiles[0]["updates"]),
        "",
        f"| of the time | {' | '.join(names)} |",
        f"|---|{'---:|' * len(runs)}",
        f"| *the arithmetic floor* | {' | '.join(floors)} |",
        *(f"| {kind} | {' | '.join(f'{share[kind]:.1%}' for share in shares)} |" for kind in kinds),
    ]
