"""Packages made of others: each step computes what it computed where it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapterkit.comparing.ablating.mixing import MixedSteps, Mixture, Texts
from adapterkit.runs.errors import UserError
from adapterkit.sharing.composing import combine, splice
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.manifest import read_manifest
from adapterkit.sharing.packing import pack
from adapterkit.tuning.reloading import LoadedAdapter
from adapterkit.tuning.run import Run

from .conftest import RunTiny

Make = dict[str, Path]


PLANS = {
    "adapter": "adapter",
    "adapter2": "adapter",
    "lora": "lora(r=2)",
    "mixed": "0:layerwise 1:adapter(seq_bn) 2:adapter(lora,r=2)",
    "untied": "untied",
    "untied2": "untied",
    "full": "full",
    "full2": "full",
    "upper": "0-1:frozen 2:full",
    "prefix": "prefix_tuning",
    "prefix2": "prefix_tuning",
    "side": "side",
    "compacter": "compacter(r=4)",
    "kronecker": "0-1:adapter(krona) 2:adapter(adakron)",
}


class Packages(dict[str, Path]):
    """Packages of `PLANS`, made when they are asked for."""

    def __init__(self, folder: Path, run_tiny: RunTiny) -> None:
        self.folder, self.run_tiny = folder, run_tiny

    def __missing__(self, name: str) -> Path:
        seed = list(PLANS).index(name)
        run = self.run_tiny(
            plan=PLANS[name], seed=seed, epochs=1, output=self.folder / f"{name}-run"
        )
        pack([run.path], self.folder / name, name=f"bc5cdr@{name}")
        self[name] = self.folder / name
        return self[name]


@pytest.fixture(scope="session")
def packages(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Make:
    return Packages(tmp_path_factory.mktemp("composed"), run_tiny)


def some_texts() -> Texts:
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return Texts(ids, mask, torch.arange(6)[None].expand(3, -1))


@torch.no_grad()
def logits(loaded: LoadedAdapter) -> torch.Tensor:
    texts, model = some_texts(), loaded.applied.model
    return model(
        input_ids=texts.input_ids, attention_mask=texts.attention_mask, positions=texts.positions
    ).logits


PAIRS = (
    ("adapter", "lora"),
    ("kronecker", "adapter"),
    ("mixed", "adapter"),
    ("untied", "untied2"),
    ("adapter", "upper"),
)
MORE = (("adapter", "adapter2"), ("adapter2", "mixed"), ("lora", "untied"))


def check_splice(
    lower: str, upper: str, k: int, packages: Make, backbone: Path, folder: Path
) -> None:
    parts = [(packages[lower], range(k)), (packages[upper], range(k, 3))]
    splice(parts, folder / "spliced", backbone=backbone)
    found = logits(load_package(folder / "spliced", backbone=backbone))
    loaded = [load_package(packages[name], backbone=backbone) for name in (lower, upper)]
    steps = (0,) * k + (1,) * (3 - k)
    mixed = MixedSteps([each.applied.model for each in loaded], [Mixture(steps, head=1)])
    with torch.no_grad():
        (expected,) = mixed.logits(some_texts())
    assert (found - expected).abs().max() <= 1e-5
    for each in loaded:
        assert (found - logits(each)).abs().max() > 1e-4


@pytest.mark.parametrize(("lower", "upper"), PAIRS)
def test_a_splice_computes_what_its_parts_compute(
    lower: str, upper: str, packages: Make, backbone: Path, tmp_path: Path
) -> None:
    check_splice(lower, upper, 1, packages, backbone, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize(("lower", "upper"), PAIRS + MORE)
def test_so_does_every_other_splice(
    lower: str, upper: str, k: int, packages: Make, backbone: Path, tmp_path: Path
) -> None:
    check_splice(lower, upper, k, packages, backbone, tmp_path)


def test_it_tells_where_its_steps_come_from(packages: Make, backbone: Path, tmp_path: Path) -> None:
    parts = [(packages["adapter"], [0, 2]), (packages["lora"], [1])]
    made = splice(parts, tmp_path / "spliced", backbone=backbone, name="bc5cdr@odd", head=1)
    assert made.origin.kind == "splice"
    assert made.origin.steps == ("0,2", "1")
    digests = [read_manifest(packages[name]).digest for name in ("adapter", "lora")]
    assert list(made.origin.parents) == digests
    assert made.scores == {}
    card = (tmp_path / "spliced" / "README.md").read_text(encoding="utf-8")
    assert "not scored yet" in card
    assert f"steps 0,2 of `{digests[0]}`" in card


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([("full", [0]), ("full2", [1, 2])], "share parameters"),
        ([("prefix", [0]), ("prefix2", [1, 2])], "share parameters"),
        ([("side", [0]), ("adapter", [1, 2])], "side path"),
        ([("adapter", [0]), ("adapter2", [2])], "step 1"),
        ([("adapter", [0, 1]), ("adapter2", [1, 2])], "named twice"),
        ([("adapter", [0, 1]), ("adapter2", [2, 3])], "none of the backbone's"),
        ([("adapter", [0, 1, 2])], "nothing to compose"),
    ],
)
def test_what_cannot_be_spliced(
    parts: list[tuple[str, list[int]]],
    problem: str,
    packages: Make,
    backbone: Path,
    tmp_path: Path,
) -> None:
    named = [(packages[name], steps) for name, steps in parts]
    with pytest.raises(UserError, match=problem):
        splice(named, tmp_path / "spliced", backbone=backbone)
    assert not (tmp_path / "spliced").exists()


@pytest.mark.parametrize("name", ["adapter", "full", "compacter"])
def test_a_whole_weight_gives_the_package_itself(
    name: str, packages: Make, backbone: Path, tmp_path: Path
) -> None:
    other = {"adapter": "adapter2", "untied": "untied2", "full": "full2"}.get(name, name)
    sources = [packages[name], packages[other]]
    combine(sources, tmp_path / "sum", weights=[1.0, 0.0], backbone=backbone)
    found = logits(load_package(tmp_path / "sum", backbone=backbone))
    assert torch.equal(found, logits(load_package(packages[name], backbone=backbone)))


def test_a_sum_is_the_sum(packages: Make, backbone: Path, tmp_path: Path) -> None:
    sources = [packages["adapter"], packages["adapter2"]]
    made = combine(sources, tmp_path / "sum", weights=[0.7, -0.2], backbone=backbone)
    assert made.origin.kind == "arithmetic"
    models = [
        load_package(path, backbone=backbone).applied for path in (*sources, tmp_path / "sum")
    ]
    one, other, total = (applied.model.state_dict() for applied in models)
    assert models[2].trainable
    for name in models[2].trainable:
        expected = 0.7 * one[name].double() - 0.2 * other[name].double()
        assert np.allclose(total[name].double(), expected, atol=1e-7)


def test_the_mean_of_packages_is_that_of_their_runs(
    seeds: list[Run], backbone: Path, tmp_path: Path
) -> None:
    """Two ways to the same mean."""
    for run in seeds:
        pack([run.path], tmp_path / f"p{run.manifest.seed}")
    combine([tmp_path / f"p{n}" for n in range(3)], tmp_path / "one", backbone=backbone)
    pack([run.path for run in seeds], tmp_path / "two", average_seeds=True, backbone=backbone)
    one, two = (logits(load_package(tmp_path / n, backbone=backbone)) for n in ("one", "two"))
    assert (one - two).abs().max() <= 1e-5


@pytest.mark.parametrize("weights", [[1.0], [0.5, float("nan")], [1, 2, 3]])
def test_bad_weights(weights: list[float], packages: Make, backbone: Path, tmp_path: Path) -> None:
    sources = [packages["adapter"], packages["adapter2"]]
    with pytest.raises(UserError, match="needs a weight"):
        combine(sources, tmp_path / "sum", weights=weights, backbone=backbone)


def test_other_plans_are_not_summed(packages: Make, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one plan"):
        combine([packages["adapter"], packages["lora"]], tmp_path / "sum", backbone=backbone)
