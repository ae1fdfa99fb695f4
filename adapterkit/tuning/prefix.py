"""The frozen prefix of a run: its states computed once a window, kept, and read from then on.

What the steps below the lowest learning one make of a window never changes, so `with_states` gives
every split those states and training, scoring and later runs start above them. A step above reads
the last of the states below it; a side path reads those of all the steps it was given, and they are
kept side by side. They are kept in float32. Kept states and those that a training batch would
compute differ only by how floating-point sums are ordered in batches of other shapes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import torch

from adapterkit.backbones.fusing import fused_updates
from adapterkit.backbones.prefix import prefix_states, states_above
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.mistakes import say_steps
from adapterkit.plans.prefix import reads_padding
from adapterkit.runs.environment import versions
from adapterkit.runs.hashing import sha256_text
from adapterkit.runs.progress import Progress
from adapterkit.tuning.batches import Collator
from adapterkit.tuning.evaluation import EvaluationSplit, evaluation_tokens
from adapterkit.tuning.prefix_cache import CacheUnavailableError, PrefixCache, user_prefix_cache
from adapterkit.tuning.request import PrefixCacheMode
from adapterkit.tuning.state_file import StateFile, StateLayout

# Raise when what is computed for the same key changes, so that old states are left alone.
_FORMAT = 4


@dataclass(frozen=True)
class PrefixRecord:
    """What became of a run's frozen prefix, for ``run.json``.

    Attributes:
        steps: Leading steps in which nothing learns; they have no dropout, kept or not.
        cache: Whether their states are to be kept.
        splits: ``computed`` or ``found`` for each split whose states are kept.
        bytes: What those states take on the disk.
        notes: Why states are not kept where they might be expected to.
    """

    steps: int
    cache: PrefixCacheMode
    splits: Mapping[str, str]
    bytes: int = 0
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, without the notes."""
        values = {**asdict(self), "splits": dict(self.splits)}
        del values["notes"]
        return values


def with_states(
    applied: AppliedPlan,
    splits: Mapping[str, EvaluationSplit],
    mode: PrefixCacheMode,
    progress: Progress,
    only: Collection[str] | None = None,
) -> tuple[dict[str, EvaluationSplit], PrefixRecord]:
    """Give splits the states of the frozen prefix, from the cache or computed into it.

    Where states cannot be kept, a split is left as it is and the prefix is run with every batch.

    Args:
        applied: The plan on its model.
        splits: The encoded splits, by name.
        mode: ``off`` leaves all of them as they are.
        progress: Told how it goes.
        only: The splits that may get states; by default all.

    Raises:
        UserError: The cache's limit is misstated.
    """
    steps: int = applied.model.base_model.frozen_prefix
    gated = reads_padding(applied)
    if mode == "off" or steps == 0 or gated:
        notes = (_not_exact(gated),) if gated and steps and mode != "off" else ()
        return dict(splits), PrefixRecord(steps, mode, {}, notes=notes)
    keeper = _Keeper(applied, user_prefix_cache(), progress)
    found = {
        name: keeper.keep(name, split) if only is None or name in only else split
        for name, split in splits.items()
    }
    if "found" in keeper.origins.values():
        names = [name for name, origin in keeper.origins.items() if origin == "found"]
        progress.say(f"states of the {_frozen(steps)} are in the cache: {', '.join(names)}")
    return found, PrefixRecord(steps, mode, keeper.origins, keeper.bytes, tuple(keeper.notes))


def with_found_states(applied: AppliedPlan, split: EvaluationSplit) -> EvaluationSplit:
    """Give a split the states of the frozen prefix if they are in the cache already."""
    if applied.model.base_model.frozen_prefix == 0 or reads_padding(applied):
        return split
    layout = _layout(applied, split)
    path = user_prefix_cache().find(_key(applied, split), layout.bytes)
    try:
        return split if path is None else replace(split, states=StateFile(path, layout))
    except OSError:
        return split


class _Keeper:
    """Keeps the states of one run's splits, and remembers what became of each."""

    def __init__(self, applied: AppliedPlan, cache: PrefixCache, progress: Progress) -> None:
        self._applied, self._cache, self._progress = applied, cache, progress
        self._keys: list[str] = []
        self.origins: dict[str, str] = {}
        self.notes: list[str] = []
        self.bytes = 0

    def keep(self, name: str, split: EvaluationSplit) -> EvaluationSplit:
        """The split with its states, or as it is where they cannot be kept."""
        layout, key = _layout(self._applied, split), _key(self._applied, split)
        self._keys.append(key)
        path, origin = self._cache.find(key, layout.bytes), "found"
        try:
            if path is None:
                path, written = self._cache.add(
                    key,
                    layout.bytes,
                    lambda file: self._compute(name, split, layout, file),
                    kept=self._keys,
                    waiting=lambda: self._progress.say(
                        f"another run is computing the states of {name}: waiting for it"
                    ),
                )
                origin = "computed" if written else "found"
            states = StateFile(path, layout)
        except (CacheUnavailableError, OSError) as error:
            self.notes.append(f"the prefix cache does not keep {name}: {error}")
            self._progress.say(self.notes[-1])
            return split
        self.origins[name] = origin
        self.bytes += layout.bytes
        return replace(split, states=states)

    def _compute(
        self, name: str, split: EvaluationSplit, layout: StateLayout, file: BinaryIO
    ) -> None:
        model = self._applied.model
        steps = model.base_model.frozen_prefix
        self._progress.begin(f"running the {_frozen(steps)}: {name}", len(layout.lengths))
        collate = Collator(split.task, split.encoded, split.pad_token_id)
        was_training = model.training
        model.eval()
        with torch.no_grad(), fused_updates(model):
            for batch in layout.batches:
                features = collate(batch)
                states = prefix_states(
                    model,
                    features["input_ids"].to(model.device),
                    features["attention_mask"].to(model.device),
                )
                layout.append(file, batch, states)
                self._progress.advance(len(batch))
        model.train(was_training)


def _layout(applied: AppliedPlan, split: EvaluationSplit) -> StateLayout:
    lengths = [len(window.input_ids) for window in split.encoded.windows]
    width = len(states_above(applied.model.base_model)) * applied.model.config.hidden_size
    return StateLayout(lengths, width, evaluation_tokens(applied.model))


def _key(applied: AppliedPlan, split: EvaluationSplit) -> str:
    """What the states are computed from and with, as the name of their entry.

    Word pieces say all that tokenizer, text and window length have to say.
    """
    model = applied.model
    identity = {
        "format": _FORMAT,
        "backbone": applied.backbone,
        "states": list(states_above(model.base_model)),
        "pieces": _digest(split),
        "batch_tokens": evaluation_tokens(model),
        "attention": model.base_model.attn_implementation,
        "dtype": str(model.dtype),
        "versions": {
            name: version
            for name, version in versions().items()
            if name in ("adapterkit", "adapters", "transformers", "torch")
        },
        "machine": _machine(model.device),
    }
    return sha256_text(json.dumps(identity, sort_keys=True))[:40]


def _machine(device: torch.device) -> list[str]:
    """What else decides the last bits of a sum, so that a run's own are found again."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return ["cuda", name, str(torch.backends.cuda.matmul.allow_tf32)]
    capability = torch.backends.cpu.get_cpu_capability()
    precision = torch.get_float32_matmul_precision()
    return [device.type, capability, precision, str(torch.get_num_threads())]


def _digest(split: EvaluationSplit) -> str:
    digest = hashlib.sha256()
    for window in split.encoded.windows:
        pieces = np.asarray([len(window.input_ids), *window.input_ids], dtype="<i8")
        digest.update(pieces.data)
    return digest.hexdigest()


def _frozen(steps: int) -> str:
    return f"frozen steps {say_steps(tuple(range(steps)))}" if steps > 1 else "frozen step 0"


def _not_exact(gated: Collection[str]) -> str:
    return f"no prefix cache: the gates of {', '.join(gated)} read the states of padding"
