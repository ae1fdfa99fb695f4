"""AdapterFusion of packages: what is frozen, what learns, and that it travels alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.loading import load_backbone
from adapterkit.comparing.ablating.ablate import ablate
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.serving.predictions import Prediction
from adapterkit.serving.predictor import load_adapter
from adapterkit.serving.together import load_adapters
from adapterkit.sharing.cache import PackageCache
from adapterkit.sharing.card import EXAMPLE
from adapterkit.sharing.composing import combine, splice
from adapterkit.sharing.loading import load_learned, load_package
from adapterkit.sharing.manifest import read_manifest
from adapterkit.sharing.names import Reference
from adapterkit.sharing.packing import pack
from adapterkit.sharing.store import Store
from adapterkit.sharing.verifying import verify_package
from adapterkit.tuning.reloading import load_run
from adapterkit.tuning.rescoring import evaluate_adapter
from adapterkit.tuning.run import Run
from adapterkit.tuning.starting import adapted_digest
from adapterkit.tuning.tune import tune
from tests.tuning.conftest import assert_same

from .conftest import TEXTS, RunTiny
from .test_card import WITHOUT_ADAPTERKIT, run_python, snippets
from .test_composing import logits

ADAPTER = "0:frozen 1-2:adapter(seq_bn,r=4)"
FUSED = "0:frozen 1-2:fuse(seq_bn,r=4,n=2)"

Packages = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def package_of(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Packages by plan and seed, each made once."""
    made: dict[tuple[str, int], Path] = {}

    def make(plan: str, seed: int) -> Path:
        if (plan, seed) not in made:
            folder = tmp_path_factory.mktemp("fused-of")
            run = run_tiny(plan=plan, seed=seed, output=folder / "run")
            pack([run.path], folder / "package", name=f"bc5cdr@seed{seed}")
            made[plan, seed] = folder / "package"
        return made[plan, seed]

    return make


@pytest.fixture(scope="module")
def parents(package_of: Packages) -> list[Path]:
    return [package_of(ADAPTER, seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def fused(parents: list[Path], run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("fused")
    return run_tiny(fuse=parents, learning_rate=1e-2, output=folder / "run")


def test_the_plan_follows_from_theirs(fused: Run, parents: list[Path]) -> None:
    assert fused.manifest.plan == FUSED
    stated = (fused.manifest.model_extra or {})["fused"]
    assert [each["sha256"] for each in stated] == [adapted_digest(path) for path in parents]


def test_what_is_fused_stays_to_the_bit(fused: Run, parents: list[Path], backbone: Path) -> None:
    for number, parent in enumerate(parents, start=1):
        before = load_file(parent / "bc5cdr" / "adapter.safetensors")
        after = load_file(fused.path / "adapter" / f"bc5cdr-part{number}" / "adapter.safetensors")
        renamed = {n.replace(f"bc5cdr-part{number}", "bc5cdr"): t for n, t in after.items()}
        assert renamed.keys() == before.keys()
        assert all(torch.equal(tensor, renamed[name]) for name, tensor in before.items())


def test_the_fusion_learned(fused: Run, backbone: Path) -> None:
    fresh = apply_plan(load_backbone(backbone).model, StepPlan.parse(FUSED), name="bc5cdr")
    learned = load_run(fused.path).applied
    assert learned.trainable == (*fresh.trainable, "heads.bc5cdr.1.weight", "heads.bc5cdr.1.bias")
    new, old = learned.model.state_dict(), fresh.model.state_dict()
    moved = [name for name in fresh.trainable if not torch.equal(new[name], old[name])]
    # Softmax does not see the keys' biases.
    assert {n for n in fresh.trainable if not n.endswith(".key.bias")} <= set(moved)
    for name in fresh.trainable:
        if name.endswith("value.weight"):
            assert (new[name] - torch.eye(32)).abs().max() < 0.2


def test_it_is_counted(fused: Run) -> None:
    counts = fused.ledger
    hidden, units, steps = 32, 8, 2
    layer = 2 * (hidden * hidden + hidden) + hidden * hidden
    adapter = 2 * hidden * units + units + hidden
    head = counts.head
    assert counts.trainable == steps * layer + head
    assert counts.task == steps * (layer + 2 * adapter)
    assert counts.shipped_bytes == 4 * (counts.task + head)


def test_every_part_is_read(fused: Run) -> None:
    loaded = load_run(fused.path)
    before = logits(loaded)
    for part in ("bc5cdr-part1", "bc5cdr-part2"):
        loaded = load_run(fused.path)
        with torch.no_grad():
            for name, tensor in loaded.applied.model.named_parameters():
                if f".adapters.{part}." in name:
                    tensor.zero_()
        assert (logits(loaded) - before).abs().max() > 1e-4


def test_it_travels_alone(
    fused: Run, backbone: Path, corpus: Path, tmp_path: Path, parents: list[Path]
) -> None:
    pack([fused.path], tmp_path / "package")
    manifest = read_manifest(tmp_path / "package")
    assert manifest.origin.kind == "fusion"
    assert list(manifest.origin.parents) == [adapted_digest(path) for path in parents]
    store = Store(tmp_path / "store")
    stored = store.push(tmp_path / "package")
    shutil.rmtree(tmp_path / "package")
    path, _ = PackageCache(tmp_path / "cache").pull(Reference(stored.name), store)
    loaded = load_learned(path, name="other", backbone=backbone)
    assert np.array_equal(logits(loaded), logits(load_run(fused.path)))
    assert evaluate_adapter(loaded, path, data=corpus)["metrics"] == fused.metrics["test"]
    card = (path / "README.md").read_text(encoding="utf-8")
    assert "A fusion of 2 frozen adapters" in card
    assert manifest.origin.parents[0] in card
    assert "overlooks single steps" in card


def test_it_goes_on_from_itself(fused: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    again = run_tiny(
        plan=FUSED, start_from=fused.path, epochs=1, learning_rate=1e-3, output=tmp_path / "again"
    )
    name = Path("adapter") / "bc5cdr-part1" / "adapter.safetensors"
    assert (again.path / name).read_bytes() == (fused.path / name).read_bytes()


def _interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_it_is_resumed_to_the_same_bits(
    fused: Run,
    parents: list[Path],
    run_tiny: RunTiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = [shutil.copytree(path, tmp_path / f"parent{n}") for n, path in enumerate(parents)]
    options = {"fuse": copies, "learning_rate": 1e-2, "output": tmp_path / "halves"}
    with monkeypatch.context() as patched:
        patched.setattr("adapterkit.tuning.tune.write_results", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(**options)
    weights = copies[1] / "bc5cdr" / "adapter.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(UserError, match="adapters that stay frozen"):
        run_tiny(**options, resume=True)
    weights.write_bytes(kept)
    assert_same(run_tiny(**options, resume=True), fused)


def test_fusions_are_spliced_and_summed(
    fused: Run, parents: list[Path], backbone: Path, tmp_path: Path
) -> None:
    one = tmp_path / "one"
    pack([fused.path], one)
    expected = logits(load_package(one, backbone=backbone))
    combine([one, one], tmp_path / "sum", backbone=backbone)
    assert torch.equal(logits(load_package(tmp_path / "sum", backbone=backbone)), expected)
    splice([(one, [0, 1]), (parents[0], [2])], tmp_path / "mixed", head=0, backbone=backbone)
    plan = read_manifest(tmp_path / "mixed").plan
    assert plan == "0:frozen 1:fuse(seq_bn,r=4,n=2) 2:adapter(seq_bn,r=4)"
    splice([(one, [0]), (one, [1, 2])], tmp_path / "same", backbone=backbone)
    assert torch.equal(logits(load_package(tmp_path / "same", backbone=backbone)), expected)


def test_stock_adapters_compute_the_same(
    corpus: Path, plain_backbone: Path, tmp_path: Path
) -> None:
    """In a process without adapterkit, which is also what the arithmetic is held to."""
    options: dict[str, Any] = {"backbone": plain_backbone, "data": corpus, "epochs": 1}
    few = {"limit_train": 8, "batch_tokens": 40, "learning_rate": 3e-2}
    for seed in (0, 1):
        plan = "double_seq_bn(r=4)"
        tune("bc5cdr", plan, seed=seed, output=tmp_path / f"run{seed}", **options, **few)
    runs = [tmp_path / "run0", tmp_path / "run1"]
    run = tune("bc5cdr", fuse=runs, output=tmp_path / "run", **options, **few)
    pack([run.path], tmp_path / "PACKAGE")
    export_albert(load_backbone(plain_backbone), tmp_path / "BACKBONE")
    _, code = snippets(tmp_path / "PACKAGE")
    run_python(f"{WITHOUT_ADAPTERKIT}\n{code}\ntorch.save(logits, 'logits.pt')\n", tmp_path)
    loaded = load_package(tmp_path / "PACKAGE", backbone=plain_backbone)
    encoded = loaded.backbone.tokenizer(EXAMPLE, return_tensors="pt")
    with torch.no_grad():
        ours = loaded.applied.model(encoded.input_ids, attention_mask=encoded.attention_mask)
    theirs = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert (theirs - ours.logits).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("plans", "told"),
    [
        ((ADAPTER,), "single adapter"),
        ((ADAPTER, "0:frozen 1-2:adapter(seq_bn,r=8)"), "several plans"),
        ((ADAPTER, "0-2:adapter(seq_bn,r=4)"), "several plans"),
        (("lora(r=2)", "lora(r=2)"), "sequential bottleneck"),
        (("0-1:frozen 2:full", "0-1:frozen 2:full"), "sequential bottleneck"),
    ],
)
def test_what_cannot_be_fused(
    plans: tuple[str, ...], told: str, package_of: Packages, run_tiny: RunTiny, tmp_path: Path
) -> None:
    sources = [package_of(plan, seed) for seed, plan in enumerate(plans)]
    with pytest.raises(UserError, match=told) as caught:
        run_tiny(fuse=sources, output=tmp_path / "run")
    assert "--fuse" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_wishes(
    parents: list[Path], plain_backbone: Path, run_tiny: RunTiny, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with pytest.raises(UserError, match="another backbone"):
        run_tiny(fuse=parents, backbone=plain_backbone, output=output)
    with pytest.raises(UserError, match="another plan"):
        run_tiny(fuse=parents, plan="fuse(seq_bn,r=4)", output=output)
    with pytest.raises(UserError, match="which adapters are fused"):
        run_tiny(plan=FUSED, output=output)
    assert not output.exists()


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_changed_fusion_is_refused(fused: Run, backbone: Path, tmp_path: Path) -> None:
    pack([fused.path], tmp_path / "package")
    config = tmp_path / "package" / "bc5cdr" / "adapter_fusion_config.json"
    edit(config, adapter_names=["bc5cdr-part2", "bc5cdr-part1"])
    with pytest.raises(UserError, match="changed after"):
        verify_package(tmp_path / "package")
    # Sealed anew, or in a run, it still contradicts the plan.
    shutil.copytree(fused.path, tmp_path / "run")
    config = tmp_path / "run" / "adapter" / "bc5cdr" / "adapter_fusion_config.json"
    edit(config, adapter_names=["bc5cdr-part2", "bc5cdr-part1"])
    with pytest.raises(UserError, match="not the one that the plan stands for"):
        load_run(tmp_path / "run")


def test_loading_it_in_vain_leaves_no_trace(fused: Run, backbone: Path, tmp_path: Path) -> None:
    from adapterkit.plans.loading import load_adapted

    folder = tmp_path / "adapter"
    shutil.copytree(fused.path / "adapter", folder)
    (folder / "bc5cdr" / "model_adapter_fusion.safetensors").unlink()
    model = load_backbone(backbone).model
    before = list(model.state_dict())
    with pytest.raises(UserError):
        load_adapted(model, folder)
    assert list(model.state_dict()) == before
    load_adapted(model, fused.path / "adapter")
    assert ledger(load_run(fused.path).applied).task == fused.ledger.task


def test_it_predicts_beside_others(
    fused: Run, parents: list[Path], backbone: Path, tmp_path: Path
) -> None:
    pack([fused.path], tmp_path / "package")
    packages = [tmp_path / "package", *parents, tmp_path / "package"]
    alone = [load_adapter(path, backbone=backbone).predict(TEXTS) for path in packages]
    together = load_adapters(packages, backbone=backbone).predict(TEXTS)
    for mine, wanted in zip(together, alone, strict=True):
        assert [spans(each) for each in mine] == [spans(each) for each in wanted]
        found = [entity.score for each in mine for entity in each.entities]
        assert found
        expected = [entity.score for each in wanted for entity in each.entities]
        assert found == pytest.approx(expected, abs=1e-5)
    assert list(alone[0]) != list(alone[1])


def spans(prediction: Prediction) -> list[tuple[int, int, str]]:
    return [(entity.start, entity.end, entity.label) for entity in prediction.entities]


def test_it_is_ablated(fused: Run, corpus: Path) -> None:
    found = ablate(fused.path, data=corpus)
    assert [each.step for each in found.steps] == [0, 1, 2]
