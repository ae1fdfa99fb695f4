"""A fresh adapter on that of a package: what stays, what learns, and that it travels alone."""

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
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.serving.predictor import load_adapter
from adapterkit.serving.together import load_adapters
from adapterkit.sharing.cache import PackageCache
from adapterkit.sharing.card import EXAMPLE
from adapterkit.sharing.composing import combine, splice
from adapterkit.sharing.loading import load_learned, load_package
from adapterkit.sharing.manifest import read_manifest
from adapterkit.sharing.names import Reference
from adapterkit.sharing.packing import pack
from adapterkit.sharing.peft.exporting import export_peft
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
from .test_fusing import edit, spans

PLANS = {
    "bottleneck": "0:frozen 1-2:{}(double_seq_bn,r=4)",
    "lora": "0-1:{}(lora,r=2) 2:{}(seq_bn,r=4)",
}
kinds = pytest.mark.parametrize("kind", PLANS)

Made = Callable[[str], Path]
MadeRun = Callable[[str], Run]


def plan_of(kind: str, mechanism: str) -> str:
    plan = PLANS[kind].format(mechanism, mechanism)
    return str(StepPlan.parse(plan).for_steps(3))


@pytest.fixture(scope="module")
def below(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A package of each kind to stack on, made once."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp("below")
            plan = plan_of(kind, "adapter")
            run = run_tiny(plan=plan, learning_rate=1e-2, output=folder / "run")
            pack([run.path], folder / "package", name=f"bc5cdr@{kind}")
            made[kind] = folder / "package"
        return made[kind]

    return make


@pytest.fixture(scope="module")
def stacked(below: Made, run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """A run on each of them, made once."""
    made: dict[str, Run] = {}

    def make(kind: str) -> Run:
        if kind not in made:
            output = tmp_path_factory.mktemp("stacked") / "run"
            made[kind] = run_tiny(stack=below(kind), seed=3, learning_rate=1e-2, output=output)
        return made[kind]

    return make


@kinds
def test_the_plan_follows_from_its_own(stacked: MadeRun, below: Made, kind: str) -> None:
    assert stacked(kind).manifest.plan == plan_of(kind, "stack")
    (stated,) = (stacked(kind).manifest.model_extra or {})["stacked"]
    assert stated == {"task": "bc5cdr", "sha256": adapted_digest(below(kind))}


@kinds
def test_what_is_below_stays_to_the_bit(stacked: MadeRun, below: Made, kind: str) -> None:
    saved = stacked(kind).path / "adapter"
    names = [path.parent.name for path in saved.glob("*-part1/adapter.safetensors")]
    assert len(names) == len(read_manifest(below(kind)).adapters)
    for name in names:
        theirs = name.removesuffix("-part1")
        before = load_file(below(kind) / theirs / "adapter.safetensors")
        after = load_file(saved / name / "adapter.safetensors")
        renamed = {key.replace(f".{name}.", f".{theirs}."): t for key, t in after.items()}
        assert renamed.keys() == before.keys()
        assert all(torch.equal(tensor, renamed[key]) for key, tensor in before.items())


@kinds
def test_what_stands_on_it_learned(stacked: MadeRun, backbone: Path, kind: str) -> None:
    plan = StepPlan.parse(plan_of(kind, "stack"))
    fresh = apply_plan(load_backbone(backbone).model, plan, name="bc5cdr", seed=3)
    learned = load_run(stacked(kind).path).applied
    assert learned.trainable == (*fresh.trainable, "heads.bc5cdr.1.weight", "heads.bc5cdr.1.bias")
    assert fresh.trainable
    new, old = learned.model.state_dict(), fresh.model.state_dict()
    assert not any(torch.equal(new[name], old[name]) for name in fresh.trainable)


@kinds
def test_both_are_read_and_counted(
    stacked: MadeRun, below: Made, backbone: Path, kind: str
) -> None:
    run = stacked(kind)
    before = logits(load_run(run.path))
    for part in ("-part1.", "."):
        loaded = load_run(run.path)
        with torch.no_grad():
            for name, tensor in loaded.applied.model.named_parameters():
                if any(f".{owner}{part}" in name for owner in ("bc5cdr", "bc5cdr-2")):
                    if name.startswith("heads."):
                        continue
                    tensor.zero_()
        assert (logits(loaded) - before).abs().max() > 1e-4
    alone = read_manifest(below(kind)).ledger
    counts = run.ledger
    assert (counts.trainable, counts.head) == (alone.trainable, alone.head)
    assert counts.task == 2 * alone.task
    assert counts.shipped_bytes == 4 * (counts.task + counts.head)


@kinds
def test_it_travels_alone(
    stacked: MadeRun, below: Made, backbone: Path, corpus: Path, tmp_path: Path, kind: str
) -> None:
    run = stacked(kind)
    pack([run.path], tmp_path / "package")
    manifest = read_manifest(tmp_path / "package")
    assert manifest.origin.kind == "stack"
    assert list(manifest.origin.parents) == [adapted_digest(below(kind))]
    store = Store(tmp_path / "store")
    stored = store.push(tmp_path / "package")
    shutil.rmtree(tmp_path / "package")
    path, _ = PackageCache(tmp_path / "cache").pull(Reference(stored.name), store)
    verify_package(path)
    loaded = load_learned(path, name="other", backbone=backbone)
    assert np.array_equal(logits(loaded), logits(load_run(run.path)))
    assert evaluate_adapter(loaded, path, data=corpus)["metrics"] == run.metrics["test"]
    card = (path / "README.md").read_text(encoding="utf-8")
    assert "A task adapter on a frozen one" in card
    assert f"frozen and stacked on, what was learned as `{manifest.origin.parents[0]}`" in card


def test_it_goes_on_from_itself(stacked: MadeRun, run_tiny: RunTiny, tmp_path: Path) -> None:
    run = stacked("bottleneck")
    plan = run.manifest.plan
    again = run_tiny(plan=plan, start_from=run.path, epochs=1, output=tmp_path / "again")
    for name, kept in (("bc5cdr-part1", True), ("bc5cdr", False)):
        file = Path("adapter") / name / "adapter.safetensors"
        assert ((again.path / file).read_bytes() == (run.path / file).read_bytes()) == kept


def _interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_it_is_resumed_to_the_same_bits(
    stacked: MadeRun,
    below: Made,
    run_tiny: RunTiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = shutil.copytree(below("bottleneck"), tmp_path / "copy")
    options: dict[str, Any] = {"stack": copy, "seed": 3, "learning_rate": 1e-2}
    with monkeypatch.context() as patched:
        patched.setattr("adapterkit.tuning.tune.write_results", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(**options, output=tmp_path / "halves")
    weights = copy / "bc5cdr" / "adapter.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(UserError, match="adapters that stay frozen"):
        run_tiny(**options, output=tmp_path / "halves", resume=True)
    weights.write_bytes(kept)
    resumed = run_tiny(**options, output=tmp_path / "halves", resume=True)
    assert_same(resumed, stacked("bottleneck"))


def test_the_prefix_cache_changes_nothing(
    stacked: MadeRun, below: Made, run_tiny: RunTiny, tmp_path: Path
) -> None:
    run = stacked("bottleneck")
    assert (run.manifest.model_extra or {})["prefix"]["steps"] == 1
    options: dict[str, Any] = {"stack": below("bottleneck"), "seed": 3, "learning_rate": 1e-2}
    without = run_tiny(**options, prefix_cache="off", output=tmp_path / "run")
    kept, new = (
        load_file(path / "adapter" / "bc5cdr" / "adapter.safetensors")
        for path in (run.path, without.path)
    )
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, new[name], atol=1e-5, rtol=0)


def test_stacks_are_spliced_and_summed(
    stacked: MadeRun, below: Made, backbone: Path, tmp_path: Path
) -> None:
    one, kind = tmp_path / "one", "lora"
    pack([stacked(kind).path], one)
    expected = logits(load_package(one, backbone=backbone))
    combine([one, one], tmp_path / "sum", backbone=backbone)
    assert torch.equal(logits(load_package(tmp_path / "sum", backbone=backbone)), expected)
    splice([(one, [0]), (one, [1, 2])], tmp_path / "same", backbone=backbone)
    assert torch.equal(logits(load_package(tmp_path / "same", backbone=backbone)), expected)
    splice([(one, [0, 1]), (below(kind), [2])], tmp_path / "mix", head=0, backbone=backbone)
    plan = read_manifest(tmp_path / "mix").plan
    assert plan == "0-1:stack(lora,r=2) 2:adapter(seq_bn,r=4)"


@pytest.mark.parametrize(
    ("layerwise", "plan"),
    [
        (True, "double_seq_bn(r=4)"),
        pytest.param(True, "0:frozen 1-2:seq_bn(r=4)", marks=pytest.mark.slow),
        pytest.param(False, "double_seq_bn(r=4)", marks=pytest.mark.slow),
        pytest.param(False, "0:frozen 1-2:seq_bn(r=4)", marks=pytest.mark.slow),
    ],
)
def test_stock_adapters_compute_the_same(
    corpus: Path, backbone: Path, plain_backbone: Path, tmp_path: Path, plan: str, layerwise: bool
) -> None:
    """In a process without adapterkit."""
    folder = backbone if layerwise else plain_backbone
    few: dict[str, Any] = {"limit_train": 8, "batch_tokens": 40, "learning_rate": 3e-2}
    options: dict[str, Any] = {"backbone": folder, "data": corpus, "epochs": 1, **few}
    run = tune("bc5cdr", plan, output=tmp_path / "below", **options)
    run = tune("bc5cdr", stack=run.path, output=tmp_path / "run", **options)
    pack([run.path], tmp_path / "PACKAGE")
    export_albert(load_backbone(folder), tmp_path / "BACKBONE")
    _, code = snippets(tmp_path / "PACKAGE")
    assert ("layerwise" in code) == layerwise
    assert '"bc5cdr-part1", "bc5cdr")' in code
    run_python(f"{WITHOUT_ADAPTERKIT}\n{code}\ntorch.save(logits, 'logits.pt')\n", tmp_path)
    loaded = load_package(tmp_path / "PACKAGE", backbone=folder)
    encoded = loaded.backbone.tokenizer(EXAMPLE, return_tensors="pt")
    with torch.no_grad():
        ours = loaded.applied.model(encoded.input_ids, attention_mask=encoded.attention_mask)
    theirs = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert (theirs - ours.logits).abs().max() <= 1e-5


def test_lora_on_lora_is_adapterkits_own(
    corpus: Path, plain_backbone: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"backbone": plain_backbone, "data": corpus, "limit_train": 8}
    run = tune("bc5cdr", "lora(r=2)", output=tmp_path / "below", epochs=1, **options)
    run = tune("bc5cdr", stack=run.path, output=tmp_path / "run", epochs=1, **options)
    pack([run.path], tmp_path / "package")
    card = (tmp_path / "package" / "README.md").read_text(encoding="utf-8")
    assert "feeds what one LoRA computes to the next" in card
    with pytest.raises(UserError, match="something other than LoRA"):
        export_peft(tmp_path / "package", tmp_path / "peft", backbone=plain_backbone)


@pytest.mark.parametrize("plan", ["0-1:frozen 2:full", "lora(r=2,alpha=4) ", "ia3", "head"])
def test_what_cannot_be_stacked_on(run_tiny: RunTiny, tmp_path: Path, plan: str) -> None:
    run = run_tiny(plan=plan.strip(), epochs=1, output=tmp_path / "below")
    if plan.startswith("lora"):
        # A stack is no adapter itself.
        run = run_tiny(stack=run.path, epochs=1, output=tmp_path / "once")
    with pytest.raises(UserError, match="can be stacked on") as caught:
        run_tiny(stack=run.path, output=tmp_path / "run")
    assert "--stack" in str(caught.value)
    assert run.manifest.plan in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_wishes(below: Made, plain_backbone: Path, run_tiny: RunTiny, tmp_path: Path) -> None:
    package, output = below("bottleneck"), tmp_path / "run"
    for told, wishes in {
        "another backbone": {"stack": package, "backbone": plain_backbone},
        "another plan": {"stack": package, "plan": "1:stack(seq_bn) rest:frozen"},
        "which adapter the new one stands on": {"plan": plan_of("bottleneck", "stack")},
        "exclude each other": {"stack": package, "fuse": [package, package]},
        "--from and --stack exclude": {"stack": package, "start_from": package},
        "nothing to start from": {"stack": tmp_path / "nowhere"},
    }.items():
        with pytest.raises(UserError, match=told):
            run_tiny(**wishes, output=output)
        assert not output.exists()


def test_seeds_on_other_packages_are_not_packed_as_one(
    stacked: MadeRun, run_tiny: RunTiny, tmp_path: Path
) -> None:
    plan, rate = plan_of("bottleneck", "adapter"), 1e-2
    other = run_tiny(plan=plan, seed=1, learning_rate=rate, output=tmp_path / "other")
    run = run_tiny(stack=other.path, seed=4, learning_rate=rate, output=tmp_path / "run")
    with pytest.raises(UserError, match="frozen adapters"):
        pack([stacked("bottleneck").path, run.path], tmp_path / "package", average_seeds=True)


def test_a_changed_stack_is_refused(stacked: MadeRun, backbone: Path, tmp_path: Path) -> None:
    pack([stacked("bottleneck").path], tmp_path / "package")
    weights = tmp_path / "package" / "bc5cdr-part1" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match="changed after"):
        verify_package(tmp_path / "package")
    # What says how the new one stands on the other is held to the plan, sealed anew or in a run.
    shutil.copytree(stacked("bottleneck").path, tmp_path / "run")
    config = tmp_path / "run" / "adapter" / "bc5cdr" / "adapter_config.json"
    content = json.loads(config.read_text())["config"]
    member = content.get("configs", [content])[-1]
    member["original_ln_before"] = not member["original_ln_before"]
    edit(config, config=content)
    with pytest.raises(UserError, match="not the one that the plan stands for"):
        load_run(tmp_path / "run")


def test_it_predicts_beside_others(
    stacked: MadeRun, below: Made, run_tiny: RunTiny, backbone: Path, tmp_path: Path
) -> None:
    packages = []
    for kind in PLANS:
        # One with the same adapter below, and one with another.
        again = run_tiny(
            stack=below(kind), seed=5, learning_rate=2e-2, output=tmp_path / kind / "again"
        )
        plan = plan_of(kind, "adapter")
        other = run_tiny(plan=plan, seed=6, learning_rate=1e-2, output=tmp_path / kind / "other")
        new = run_tiny(stack=other.path, learning_rate=1e-2, output=tmp_path / kind / "new")
        for run in (stacked(kind), again, new):
            pack([run.path], tmp_path / f"package{len(packages)}")
            packages.append(tmp_path / f"package{len(packages)}")
        packages.append(below(kind))
    alone = [load_adapter(path, backbone=backbone).predict(TEXTS) for path in packages]
    together = load_adapters(packages, backbone=backbone).predict(TEXTS)
    found = 0
    for mine, wanted in zip(together, alone, strict=True):
        assert [spans(each) for each in mine] == [spans(each) for each in wanted]
        scores, expected = (
            [entity.score for each in of for entity in each.entities] for of in (mine, wanted)
        )
        assert scores == pytest.approx(expected, abs=1e-5)
        found += len(scores)
    assert found


def test_it_is_ablated(stacked: MadeRun, corpus: Path) -> None:
    found = ablate(stacked("bottleneck").path, data=corpus)
    assert [each.step for each in found.steps] == [0, 1, 2]
    assert found.steps[1].removed == "without its stacked adapters"
