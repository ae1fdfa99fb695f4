"""How far training is from what this machine could do at most.

    python benchmarks/floors.py

In one process, taking turns: the rate of float32 matrix products at the block's own shapes, the
bandwidth of a copy, and updates of three plans on BC5CDR's first training sentences, each through
`adapterkit.tune`. At the end each plan is profiled once (``tune --profile``). Written are
``results/floors.json`` and the same as a page, ``results/floors.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from floor_formulas import Widths, Window, Work, flops, padded, traffic, widths_of, work_of
from floor_page import page
from part import write_part
from recording import new_record, write_record, write_text
from torch.utils.flop_counter import FlopCounterMode

from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.prefix import steps_run
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.environment import hardware, versions
from adapterkit.runs.progress import Silence
from adapterkit.tuning.batches import Collator, TokenBatches
from adapterkit.tuning.prefix import with_states
from adapterkit.tuning.prepare import Prepared, prepare
from adapterkit.tuning.profiling import SUMMARY_FILE
from adapterkit.tuning.request import Request
from adapterkit.tuning.tune import tune

PLANS = {
    "--mode adapter": "adapter",
    "--mode adapter --steps 3-5": "3-5:adapter rest:frozen",
    "--mode full": "full",
}
_WARM_UP = 3
_COPIED = 128_000_000
_PASSES = ("forward", "inputs", "weights")
Times = dict[str, float]


@dataclass(frozen=True)
class Subject:
    """A plan, and what its updates are made of.

    Attributes:
        typed: Options of the command line.
        options: Keyword arguments of `tune`.
        widths: Of the backbone.
        work: Its products.
        batches: The windows of each update that is timed.
        learned: Parameters that learn.
        executed: Operations that PyTorch counted in one update, divided by what the formulas say
            of the same windows, padded.
    """

    typed: str
    options: dict[str, Any]
    widths: Widths
    work: Work
    batches: tuple[tuple[Window, ...], ...]
    learned: int
    executed: float

    @property
    def pieces(self) -> float:
        """Word pieces an update."""
        return statistics.mean(sum(n for n, _ in batch) for batch in self.batches)

    @property
    def scored(self) -> float:
        """Word pieces an update that the head reads."""
        return statistics.mean(sum(k for _, k in batch) for batch in self.batches)

    @property
    def padded(self) -> float:
        """Word pieces an update, padding included."""
        return statistics.mean(sum(n for n, _ in padded(batch)) for batch in self.batches)


class Clock(Silence):
    """Notes the time after every update."""

    def __init__(self) -> None:
        self._phase, self._times = "", list[tuple[float, float]]()

    def begin(self, phase: str, total: int | None = None) -> None:
        """Remember what is timed."""
        self._phase = phase

    def advance(self, units: int = 1, **measures: float) -> None:
        """Look at both clocks."""
        if self._phase == "training" and units:
            self._times.append((time.perf_counter(), time.process_time()))

    def taken(self) -> Times:
        """Seconds an update, without the first ones."""
        (wall, cpu), (wall_end, cpu_end) = self._times[_WARM_UP - 1], self._times[-1]
        updates = len(self._times) - _WARM_UP
        return {"wall": (wall_end - wall) / updates, "cpu": (cpu_end - cpu) / updates}


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/floors.json"))
    parser.add_argument("--rounds", type=int, default=5, help="times that everything is measured")
    parser.add_argument("--sentences", type=int, default=320, help="training sentences")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", help="what a reader must know of this measurement")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = new_record()
    if options.note:
        record["note"] = options.note
    with tempfile.TemporaryDirectory() as folder:
        # States of frozen prefixes are kept there, not with the user's own.
        os.environ["XDG_CACHE_HOME"] = folder
        task = write_part(Path(folder, "part"), options.sentences, dev=8, test=8)
        subjects = [_subject(typed, task) for typed in PLANS]
        record |= _measure(subjects, Path(folder), options.rounds)
    record |= {"hardware": hardware(), "versions": versions(), "sentences": options.sentences}
    write_record(options.output, record)
    write_text(options.output.with_suffix(".md"), page(record))


def _subject(typed: str, task: Path) -> Subject:
    options: dict[str, Any]
    options = {"task": str(task), "plan": PLANS[typed], "data": str(task.parent), "epochs": 1}
    prepared = prepare(Request(**options), Silence())
    steps = prepared.applied.plan.resolve(prepared.backbone.steps)
    mechanisms = [choice.mechanism for choice in steps]
    kept = prepared.applied.model.base_model.frozen_prefix > 0
    widths = widths_of(prepared.applied)
    work = work_of(widths, mechanisms, kept)
    windows = [
        (len(window.input_ids), len(window.positions))
        for window in prepared.splits["train"].encoded.windows
    ]
    lengths = [pieces for pieces, _ in windows]
    settings = prepared.settings
    batches = list(TokenBatches(lengths, settings.batch_tokens, prepared.request.seed, 1))
    first = padded([windows[i] for i in batches[0]])
    return Subject(
        typed=typed,
        options=options,
        widths=widths,
        work=work,
        batches=tuple(tuple(windows[i] for i in batch) for batch in batches[_WARM_UP:]),
        learned=sum(p.numel() for p in {id(p): p for p in prepared.applied.learning()}.values()),
        executed=_executed(prepared, batches[0]) / sum(flops(work, widths, first).values()),
    )


def _executed(prepared: Prepared, batch: Sequence[int]) -> int:
    """Operations that PyTorch counts in one update."""
    splits, _ = with_states(prepared.applied, prepared.splits, "auto", Silence())
    train, model = splits["train"], prepared.applied.model.train()
    collate = Collator(train.task, train.encoded, train.pad_token_id, train.states)
    steps = steps_run(model, train.states is not None)
    with fused_updates(steps), FlopCounterMode(display=False) as counter:
        model(**collate(batch)).loss.backward()
    return int(counter.get_total_flops())


def _measure(subjects: Sequence[Subject], folder: Path, rounds: int) -> dict[str, Any]:
    pieces = round(statistics.mean(subject.padded for subject in subjects))
    products: dict[str, list[Times]] = {name: [] for name in _PASSES}
    copies: list[Times] = []
    updates: dict[str, list[Times]] = {subject.typed: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects:
            print(f"round {number + 1}: {subject.typed}", file=sys.stderr, flush=True)
            for name, rate in _product_rates(subject.widths, pieces).items():
                products[name].append(rate)
            copies.append(_copy_rate())
            clock = Clock()
            output = folder / f"{number}{subject.typed.replace(' ', '')}"
            tune(**subject.options, output=output, progress=clock)
            updates[subject.typed].append(clock.taken())
    rates = {name: _medians(found) for name, found in products.items()}
    bandwidth = _medians(copies)
    return {
        "widths": asdict(subjects[0].widths),
        "product_pieces": pieces,
        "products": {name: {"median": rates[name], "all": products[name]} for name in _PASSES},
        "copy": {"median": bandwidth, "all": copies},
        "runs": [
            _run(subject, updates[subject.typed], rates["forward"], bandwidth, folder)
            for subject in subjects
        ],
    }


def _run(
    subject: Subject, updates: list[Times], rate: Times, bandwidth: Times, folder: Path
) -> dict[str, Any]:
    """What is recorded of a plan; floors in seconds of processor time."""
    parts = [flops(subject.work, subject.widths, batch) for batch in subject.batches]
    of_update = {name: statistics.mean(part[name] for part in parts) for name in _PASSES}
    with_padding = [
        sum(flops(subject.work, subject.widths, padded(batch)).values())
        for batch in subject.batches
    ]
    needed, executed = sum(of_update.values()), statistics.mean(with_padding) * subject.executed
    moved = traffic(subject.work, subject.widths, subject.pieces, subject.scored, subject.learned)
    taken = _medians(updates)
    return {
        "options": subject.typed,
        "plan": subject.options["plan"],
        "updates_timed": len(subject.batches),
        "pieces_per_update": subject.pieces,
        "padded_per_update": subject.padded,
        "scored_per_update": subject.scored,
        "learned": subject.learned,
        "flop_per_piece": {name: value / subject.pieces for name, value in of_update.items()},
        "flop_per_update": needed,
        "executed_flop_per_update": executed,
        "counted_to_formula": subject.executed,
        "bytes_per_update": moved,
        "arithmetic_floor": {clock: needed / rate[clock] for clock in rate},
        "bytes_floor": {clock: moved / bandwidth[clock] for clock in bandwidth},
        "seconds_per_update": {"median": taken, "all": updates},
        "share": {clock: needed / rate[clock] / taken[clock] for clock in taken},
        "executed_share": {clock: executed / rate[clock] / taken[clock] for clock in taken},
        "profile": _profile(subject, folder),
    }


def _profile(subject: Subject, folder: Path) -> dict[str, Any]:
    output = RunDirectory(folder / f"profile{subject.typed.replace(' ', '')}")
    tune(**subject.options, output=output.path, profile=True)
    found: dict[str, Any] = json.loads((output.profile_path / SUMMARY_FILE).read_text("utf-8"))
    return found


def _product_rates(widths: Widths, pieces: int) -> dict[str, Times]:
    """Operations a second of a step's six matrices, forward and for the two gradients."""
    sizes = [(widths.H, widths.H)] * 4 + [(widths.H, widths.F), (widths.F, widths.H)]
    work: dict[str, list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]
    work = {name: [] for name in _PASSES}
    for inputs, outputs in sizes:
        states, made = torch.randn(pieces, inputs), torch.randn(pieces, outputs)
        matrix = torch.randn(outputs, inputs)
        work["forward"].append((states, matrix.t(), torch.empty_like(made)))
        work["inputs"].append((made, matrix, torch.empty_like(states)))
        work["weights"].append((made.t(), states, torch.empty_like(matrix)))
    operations = sum(2.0 * pieces * inputs * outputs for inputs, outputs in sizes)

    def run(name: str) -> None:
        for left, right, out in work[name]:
            torch.mm(left, right, out=out)

    return {name: _rate(partial(run, name), operations) for name in _PASSES}


def _copy_rate() -> Times:
    """Bytes a second, read and written, of a copy that no cache can hold."""
    source = torch.ones(_COPIED // 4)
    target = torch.empty_like(source)
    return _rate(lambda: target.copy_(source), 2.0 * _COPIED)


def _rate(act: Callable[[], object], amount: float, repeats: int = 5) -> Times:
    act()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        act()
    return {
        "wall": amount * repeats / (time.perf_counter() - wall),
        "cpu": amount * repeats / (time.process_time() - cpu),
    }


def _medians(found: Sequence[Times]) -> Times:
    return {clock: statistics.median(times[clock] for times in found) for clock in found[0]}


if __name__ == "__main__":
    main()
