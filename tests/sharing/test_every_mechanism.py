"""Every mechanism at every placement: packed, pushed, pulled and loaded, it predicts the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.sharing.cache import PackageCache
from adapterkit.sharing.loading import load_learned
from adapterkit.sharing.names import Reference
from adapterkit.sharing.packing import pack
from adapterkit.sharing.store import Store
from adapterkit.tasks.sources import load_data
from adapterkit.tuning.evaluation import evaluation_split, predict_logits
from adapterkit.tuning.reloading import LoadedAdapter, load_run
from tests.plans.conftest import bytes_on_disk

from .conftest import RunTiny

# One of each kind; what else there is, the slow test has.
PLANS = (
    "head",
    "adapter",
    "0:frozen 1:layerwise 2:adapter(lora,r=2)",
    "0:frozen 1:adapter(krona,factor=8) 2:adapter(adakron)",
    "0-1:frozen 2:full",
    "0:frozen 1-2:untied",
    "1-2:side 0:frozen",
    "full",
)
MORE = (
    *(f"{name}(r=4)" if "compacter" in name else name for name in sorted(ADAPTER_SPECS)),
    "layerwise",
    "untied",
    "side(r=4)",
    "0,2:frozen 1:adapter",
    "0:full 1:frozen 2:adapter",
    "0:adapter(seq_bn) 1:adapter(lora) 2:full",
    "0:frozen 1-2:adapter(prefix_tuning)",
    "0-1:adapter(loreft) 2:frozen",
    "0:layerwise 1:untied 2:full",
)


def logits(loaded: LoadedAdapter, data: Path) -> list[np.ndarray]:
    examples = load_data(loaded.task, data, ("test",)).splits["test"]
    split = evaluation_split(loaded.task, examples, loaded.backbone.tokenizer, loaded.max_length)
    return predict_logits(loaded.applied.model, split)


def check(plan: str, run_tiny: RunTiny, backbone: Path, corpus: Path, folder: Path) -> None:
    run = run_tiny(plan=plan, epochs=1, limit_train=8, output=folder / "run")
    pack([run.path], folder / "package")
    store = Store(folder / "store")
    stored = store.push(folder / "package")
    path, _ = PackageCache(folder / "cache").pull(Reference(stored.name), store)
    assert bytes_on_disk(path) == run.ledger.shipped_bytes
    expected = logits(load_run(run.path), corpus)
    found = logits(load_learned(path, backbone=backbone), corpus)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len({row.tobytes() for row in expected}) > 1


@pytest.mark.parametrize("plan", PLANS)
def test_it_predicts_the_same_bits(
    plan: str, run_tiny: RunTiny, backbone: Path, corpus: Path, tmp_path: Path
) -> None:
    check(plan, run_tiny, backbone, corpus, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("plan", MORE)
def test_so_does_every_other(
    plan: str, run_tiny: RunTiny, backbone: Path, corpus: Path, tmp_path: Path
) -> None:
    check(plan, run_tiny, backbone, corpus, tmp_path)
