"""Which adapters are predicted together, and the passes through the backbone this takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fusing import fuse_updates
from adapterkit.backbones.prefix import shared_prefix_states, steps_run
from adapterkit.plans.grouping import GroupedPlans, group_plans
from adapterkit.plans.prefix import reads_padding
from adapterkit.runs.progress import Progress
from adapterkit.serving.reading import Logits, Reading
from adapterkit.tuning.batches import Collator, Features, WindowDataset, cut_by_tokens
from adapterkit.tuning.evaluation import EvaluationSplit, evaluation_tokens, scored_rows
from adapterkit.tuning.reloading import LoadedAdapter

_FEWEST_TOKENS = 512
"""Word pieces of a batch, however many adapters read it: fewer would not keep a processor busy."""


@dataclass(frozen=True)
class Pass:
    """One or more runs that one model computes at once.

    Attributes:
        members: Their numbers.
        model: The model.
        group: How it computes several.
    """

    members: tuple[int, ...]
    model: RecursiveAdapterModel
    group: GroupedPlans | None = None

    def logits(
        self,
        features: Features,
        states: torch.Tensor | None = None,
        readers: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """The logits of each member; see `GroupedPlans.logits`."""
        if self.group is not None:
            return self.group.logits(**features, states=states, readers=readers)
        return [self.model(**features, states=states).logits]


@dataclass(frozen=True)
class Route:
    """Passes that read the same windows, and share the steps in which none of them learned.

    Attributes:
        passes: The passes.
    """

    passes: tuple[Pass, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """The numbers of the runs, in the order of the passes."""
        return tuple(number for each in self.passes for number in each.members)

    @torch.inference_mode()
    def predict(self, split: EvaluationSplit, progress: Progress) -> list[list[Logits]]:
        """Let every member read every window.

        Returns:
            For each member the logits of each window, as `predict_logits` returns them.
        """
        lengths = WindowDataset(split.encoded).lengths
        found: list[list[Logits]] = [[np.empty(0)] * len(lengths) for _ in self.members]
        models = [each.model for each in self.passes]
        for batch, features in self._batches(split, lengths):
            states = shared_prefix_states(models, features["input_ids"], features["attention_mask"])
            logits = [
                member
                for each, below in zip(self.passes, states, strict=True)
                for member in each.logits(features, below)
            ]
            for rows, kept in zip(logits, found, strict=True):
                _keep(rows, batch, split, kept)
            progress.advance(len(batch))
        return found

    @torch.inference_mode()
    def predict_each(self, readings: Sequence[Reading], progress: Progress) -> list[list[Logits]]:
        """Let every member read windows of its own.

        Args:
            readings: For each member what it reads.
            progress: Told how many windows are done.

        Returns:
            For each member the logits of its windows.
        """
        found: list[list[Logits]] = []
        remaining = iter(readings)
        for each in self.passes:
            mine = [next(remaining) for _ in each.members]
            found += self._predict_rows(each, mine, progress)
        return found

    def _predict_rows(
        self, each: Pass, readings: Sequence[Reading], progress: Progress
    ) -> list[list[Logits]]:
        windows = [window for reading in readings for window in reading.split.encoded.windows]
        counts = [len(reading.split.encoded.windows) for reading in readings]
        targets = tuple(target for r in readings for target in r.split.encoded.targets)
        reader_of = np.repeat(np.arange(len(readings)), counts)
        first = readings[0].split
        encoded = replace(first.encoded, windows=tuple(windows), targets=targets)
        split = replace(first, encoded=encoded)
        lengths = WindowDataset(encoded).lengths
        kept: list[Logits] = [np.empty(0)] * len(windows)
        for batch, features in self._batches(split, lengths):
            readers = torch.from_numpy(reader_of[batch]).to(each.model.device)
            grouped = each.logits(features, readers=readers if each.group else None)
            for member, rows in enumerate(grouped):
                mine = [index for index in batch if reader_of[index] == member]
                _keep(rows, mine, split, kept)
            progress.advance(len(batch))
        bounds = np.cumsum([0, *counts])
        return [kept[start:end] for start, end in pairwise(bounds)]

    def _batches(
        self, split: EvaluationSplit, lengths: Sequence[int]
    ) -> Iterator[tuple[list[int], Features]]:
        collate = Collator(split.task, split.encoded, split.pad_token_id)
        device = self.passes[0].model.device
        for batch in cut_by_tokens(range(len(lengths)), lengths, self._batch_tokens()):
            features = collate(batch)
            del features["labels"]
            yield batch, {name: tensor.to(device) for name, tensor in features.items()}

    def _batch_tokens(self) -> int:
        largest = min(evaluation_tokens(each.model) for each in self.passes)
        widest = max(len(each.members) for each in self.passes)
        return max(largest // widest, _FEWEST_TOKENS)


def plan_routes(runs: Sequence[LoadedAdapter]) -> list[Route]:
    """Decide how runs are predicted together; models that others compute are no longer needed.

    Args:
        runs: Loaded with adapters and heads of the same names, each on a backbone of its own.
    """
    routes: dict[tuple[object, ...], list[int]] = {}
    for number, run in enumerate(runs):
        # What a gate makes of a text depends on the batch: such a run is predicted as if alone.
        alone = number if reads_padding(run.applied) else None
        backbone = run.backbone
        key = (backbone.id, backbone.fingerprint, run.task.kind, run.max_length, alone)
        routes.setdefault(key, []).append(number)
    return [_route(numbers, runs) for numbers in routes.values()]


def _route(numbers: Sequence[int], runs: Sequence[LoadedAdapter]) -> Route:
    by_plan: dict[str, list[int]] = {}
    for number in numbers:
        by_plan.setdefault(str(runs[number].applied.plan), []).append(number)
    passes = []
    for members in by_plan.values():
        group = group_plans([runs[n].applied for n in members]) if members[1:] else None
        if group is not None:
            passes.append(Pass(tuple(members), group.model, group))
        else:
            passes += [Pass((number,), runs[number].applied.model) for number in members]
    deepest = max(passes, key=lambda each: int(each.model.base_model.frozen_prefix))
    with torch.no_grad():
        for each in passes:
            # Weights change no more. The steps below are run by the model that has most of them.
            fuse_updates(each.model if each is deepest else steps_run(each.model, kept=True))
    return Route(tuple(passes))


def _keep(
    rows: torch.Tensor, batch: Sequence[int], split: EvaluationSplit, kept: list[Logits]
) -> None:
    for index, row in zip(batch, rows.float().cpu().numpy(), strict=True):
        kept[index] = scored_rows(split, index, row)
