"""Training, scoring and resuming from kept states is the same as running the frozen prefix."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.relaxed import RELAXED, relaxed_config
from adapterkit.backbones.saving import save_backbone
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.runs.progress import Silence
from adapterkit.tuning import prefix, state_file
from adapterkit.tuning.evaluation import predict_logits
from adapterkit.tuning.prefix import with_states
from adapterkit.tuning.prefix_cache import LIMIT_VARIABLE, user_prefix_cache
from adapterkit.tuning.prepare import Prepared, prepare
from adapterkit.tuning.request import Request
from adapterkit.tuning.run import Run
from adapterkit.tuning.tune import resume_run

from .conftest import RunTiny, assert_same, evaluate_run, make_backbone, write_corpus, write_texts
from .killing import kill_inside
from .test_resuming import StopAt
from .test_tune import SEVERAL, SINGLE

UPPER = "0-1:frozen 2:"
FAMILIES = (
    "head",
    "0:frozen 1-2:adapter",
    *(
        UPPER + mechanism
        for mechanism in (
            "adapter",
            "double_seq_bn",
            "par_bn",
            "compacter(r=8)",
            "lora(dropout=0.1)",
            "dora",
            "krona(dropout=0.1)",
            "adakron",
            "ia3",
            "prefix_tuning(prefix_length=3,bottleneck_size=8)",
            "mam(prefix_length=3,bottleneck_size=8)",
            "loreft",
            "layerwise",
            "untied",
            "full",
        )
    ),
    "0:frozen 1:layerwise 2:untied",
    "0:frozen 1:lora 2:full",
    "side",
    "0,2:side(r=4,dropout=0.1) 1:frozen",
)
SPLITS = ["train", "dev", "test"]


@pytest.fixture(scope="module")
def relaxed_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a backbone with relaxed recursion and layer-wise adapters."""
    folder = tmp_path_factory.mktemp("relaxed")
    loaded = load_backbone(make_backbone(folder / "start", tied="matrices"))
    loaded.model.add_adapter(RELAXED, config=relaxed_config(2))
    generator = torch.Generator().manual_seed(3)
    for name, parameter in loaded.model.named_parameters():
        if f".{RELAXED}." in name:
            torch.nn.init.normal_(parameter, std=0.15, generator=generator)
    save_backbone(loaded.model, loaded.tokenizer, folder / "backbone", card={"name": "relaxed"})
    return folder / "backbone"


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{name}": tensor
        for path in sorted(run.path.glob("adapter/**/*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def say(run: Run) -> dict[str, Any]:
    record: dict[str, Any] = run.manifest.as_dict()["prefix"]
    return record


def entries() -> list[Path]:
    return sorted(user_prefix_cache().folder.glob("*/states.bin"))


def assert_close(run: Run, other: Run, tolerance: float) -> None:
    ours, others = tensors(run), tensors(other)
    assert ours.keys() == others.keys()
    for name, tensor in ours.items():
        # Attention does not depend on the bias of keys; what moves it is noise alone.
        if not name.endswith("attention.key.bias"):
            torch.testing.assert_close(tensor, others[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        *((plan, "layerwise") for plan in FAMILIES),
        *((plan, "relaxed") for plan in ("head", "side", "0:frozen 1-2:adapter", UPPER + "dora")),
        *((plan, "relaxed") for plan in (UPPER + "untied", "0:frozen 1:layerwise 2:untied")),
    ],
)
def test_the_weights_are_the_same(
    plan: str, kind: str, run_tiny: RunTiny, relaxed_backbone: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"plan": plan, "epochs": 1, "learning_rate": 1e-2}
    if kind == "relaxed":
        changes["backbone"] = relaxed_backbone
    kept = run_tiny(output=tmp_path / "kept", **changes)
    run = run_tiny(output=tmp_path / "run", prefix_cache="off", **changes)
    assert say(kept)["splits"] == dict.fromkeys(SPLITS, "computed")
    assert say(run)["splits"] == {}
    assert say(kept)["steps"] == say(run)["steps"] > 0
    assert_close(kept, run, 1e-5)
    assert kept.metrics == run.metrics


def same_length(folder: Path) -> Path:
    """A corpus whose sentences all have four pieces a window with the special tokens around."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    for split, count in (("train", 32), ("dev", 16), ("test", 16)):
        rows = [(f"the\tO\n{rng.choice(('aspirin', 'cocaine'))}\tB-Chemical") for _ in range(count)]
        (folder / f"{split}.tsv").write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("plan", [*FAMILIES[:3], UPPER + "lora", UPPER + "untied", "side"])
def test_in_batches_of_one_shape_to_the_last_bit(
    plan: str, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A side path reads four states of this backbone.
    pieces = 32 * (4 if plan == "side" else 1)
    monkeypatch.setattr("adapterkit.tuning.evaluation.EVALUATION_TOKENS", pieces)
    changes = {"plan": plan, "data": same_length(tmp_path / "data"), "batch_tokens": 32}
    kept = run_tiny(output=tmp_path / "kept", **changes)
    run = run_tiny(output=tmp_path / "run", prefix_cache="off", **changes)
    assert say(kept)["splits"].keys() == {*SPLITS}
    assert_same(kept, run)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_would_not_do(
    precision: torch.dtype, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason why states are kept in float32."""
    changes: dict[str, Any] = {"plan": UPPER + "lora", "epochs": 1, "learning_rate": 1e-2}
    run = run_tiny(output=tmp_path / "run", prefix_cache="off", **changes)
    exact = state_file.StateFile.padded
    monkeypatch.setattr(
        state_file.StateFile, "padded", lambda *a: exact(*a).to(precision).float(), raising=True
    )
    half = run_tiny(output=tmp_path / "half", **changes)
    with pytest.raises(AssertionError):
        assert_close(half, run, 1e-5)


def made(options: dict[str, Any], **changes: Any) -> Prepared:
    values = {**options, "plan": UPPER + "lora", **changes}
    sources = {name: str(values[name]) for name in ("backbone", "data")}
    return prepare(Request(**{**values, **sources}), Silence())


@pytest.mark.parametrize("plan", [UPPER + "lora", "side", "1:side rest:frozen"])
def test_scoring_is_the_same_to_the_last_bit(plan: str, options: dict[str, Any]) -> None:
    prepared = made(options, plan=plan)
    with torch.no_grad():
        # A fresh side path adds nothing yet.
        for parameter in prepared.applied.learning():
            parameter.add_(0.1)
    splits, _ = with_states(prepared.applied, prepared.splits, "auto", Silence())
    for name in SPLITS:
        assert splits[name].states is not None
        assert prepared.splits[name].states is None
        pairs = zip(
            predict_logits(prepared.applied.model, splits[name]),
            predict_logits(prepared.applied.model, prepared.splits[name]),
            strict=True,
        )
        assert all(np.array_equal(kept, run) for kept, run in pairs)


@pytest.mark.parametrize("plan", [UPPER + "adapter", "side"])
@pytest.mark.parametrize("task", [SINGLE, SEVERAL], ids=["single", "several"])
def test_texts_too(task: dict[str, Any], plan: str, run_tiny: RunTiny, tmp_path: Path) -> None:
    own = write_texts(tmp_path / "data", task, "jsonl")
    changes = {"task": own, "data": "auto", "plan": plan, "epochs": 1}
    kept = run_tiny(output=tmp_path / "kept", **changes)
    run = run_tiny(output=tmp_path / "run", prefix_cache="off", **changes)
    assert say(kept)["splits"].keys() == {*SPLITS}
    assert_close(kept, run, 1e-5)
    assert kept.metrics == run.metrics


class TestSharing:
    def test_other_plans_rates_and_seeds_find_the_states(
        self, run_tiny: RunTiny, tmp_path: Path
    ) -> None:
        def origins(number: int, **changes: Any) -> dict[str, str]:
            run = run_tiny(output=tmp_path / str(number), epochs=1, **changes)
            splits: dict[str, str] = say(run)["splits"]
            return splits

        assert origins(0, plan=UPPER + "adapter") == dict.fromkeys(SPLITS, "computed")
        found = dict.fromkeys(SPLITS, "found")
        assert origins(1, plan=UPPER + "lora", seed=3, learning_rate=1e-3) == found
        assert origins(2, plan=UPPER + "untied", batch_tokens=60) == found
        assert origins(3, plan=UPPER + "adapter", limit_train=20) == {**found, "train": "computed"}
        assert origins(4, plan="0:frozen 1-2:adapter") == dict.fromkeys(SPLITS, "computed")
        assert len(entries()) == 7

    def test_side_paths_share_what_they_read_alike(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        def origin(number: int, plan: str) -> str:
            run = run_tiny(output=tmp_path / str(number), epochs=1, plan=plan)
            (found,) = set(say(run)["splits"].values())
            assert say(run)["steps"] == 3
            return str(found)

        assert origin(0, "side") == "computed"
        assert origin(1, "side(r=4)") == "found"
        # A side path reads what the head does, but not it alone.
        assert origin(2, "head") == "computed"
        assert origin(3, "1-2:side rest:frozen") == "computed"
        assert origin(4, "1-2:side(dropout=0.1) rest:frozen") == "found"
        # Of each window one state, three states, and four.
        kept = sum(path.stat().st_size for path in entries())
        assert kept == (1 + 3 + 4) * say(Run.load(tmp_path / "2"))["bytes"]

    def test_states_found_give_the_same_bits(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        first, second = (run_tiny(plan=UPPER + "lora", output=tmp_path / n) for n in "ab")
        assert say(second)["splits"] == dict.fromkeys(SPLITS, "found")
        assert_same(first, second)

    @pytest.mark.parametrize("what", ["backbone", "data", "versions", "threads", "attention"])
    def test_what_changes_the_states_changes_the_key(
        self,
        what: str,
        options: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        prepared = made(options)
        with_states(prepared.applied, prepared.splits, "auto", Silence())
        changes: dict[str, Any] = {}
        if what == "backbone":
            changes["backbone"] = make_backbone(tmp_path / "other", seed=1)
        elif what == "data":
            changes["data"] = write_corpus(tmp_path / "data", seed=1)
        elif what == "versions":
            monkeypatch.setattr(prefix, "versions", lambda: {"torch": "9.9"})
        elif what == "threads":
            monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
        again = made(options, **changes)
        if what == "attention":
            again.applied.model.base_model.attn_implementation = "eager"
        _, record = with_states(again.applied, again.splits, "auto", Silence())
        assert record.splits == dict.fromkeys(SPLITS, "computed")

    @pytest.mark.parametrize("plan", [UPPER + "lora", "side"])
    def test_evaluate_uses_what_is_there_and_adds_nothing(
        self, plan: str, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = run_tiny(plan=plan, epochs=1, output=tmp_path / "run")
        before = entries()
        with monkeypatch.context() as patch:
            patch.setattr("adapterkit.backbones.encoder.RecursiveEncoder.embed", _refuse)
            assert evaluate_run(run.path)["metrics"] == run.metrics["test"]
        assert entries() == before
        for path in before:
            path.unlink()
        assert evaluate_run(run.path)["metrics"] == run.metrics["test"]
        assert entries() == []


def _refuse(*args: Any) -> None:
    raise AssertionError("the frozen prefix is run")


@pytest.mark.parametrize("plan", [UPPER + "lora", "side"])
def test_training_does_not_run_the_prefix(
    plan: str, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_tiny(plan=plan, epochs=1, output=tmp_path / "first")
    monkeypatch.setattr("adapterkit.backbones.encoder.RecursiveEncoder.embed", _refuse)
    assert_same(run_tiny(plan=plan, epochs=1, output=tmp_path / "second"), first)


class TestWhereItIsNotExact:
    def test_gates_read_padding(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        plan = UPPER + "unipelt(prefix_length=3,bottleneck_size=8)"
        run = run_tiny(plan=plan, epochs=1, output=tmp_path / "run")
        assert say(run) == {"steps": 2, "cache": "auto", "splits": {}, "bytes": 0}
        (note,) = (note for note in run.manifest.notes if "prefix cache" in note)
        assert "unipelt" in note
        assert entries() == []

    @pytest.mark.parametrize("plan", ["adapter", "full", "layerwise"])
    def test_step_0_learns(self, plan: str, run_tiny: RunTiny, tmp_path: Path) -> None:
        run = run_tiny(plan=plan, epochs=1, output=tmp_path / "run")
        assert say(run) == {"steps": 0, "cache": "auto", "splits": {}, "bytes": 0}
        assert entries() == []
        assert run.manifest.timings.cache_seconds == 0


def test_it_can_be_turned_off(run_tiny: RunTiny, tmp_path: Path) -> None:
    run = run_tiny(plan="head", epochs=1, prefix_cache="off", output=tmp_path / "run")
    assert say(run) == {"steps": 3, "cache": "off", "splits": {}, "bytes": 0}
    assert entries() == []
    with pytest.raises(UserError, match="prefix cache") as error:
        run_tiny(prefix_cache="on", output=tmp_path / "other")
    assert error.value.where == "--prefix-cache"


def test_it_is_told(run_tiny: RunTiny, tmp_path: Path) -> None:
    class Ear(Silence):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def begin(self, phase: str, total: int | None = None) -> None:
            self.heard.append(f"{phase} ({total})")

        def say(self, message: str) -> None:
            self.heard.append(message)

    for output, expected in (
        ("a", "running the frozen steps 0-1: train (32)"),
        ("b", "states of the frozen steps 0-1 are in the cache: train, dev, test"),
    ):
        ear = Ear()
        run = run_tiny(plan=UPPER + "lora", epochs=1, output=tmp_path / output, progress=ear)
        assert expected in ear.heard
    assert run.manifest.timings.cache_seconds > 0
    size = sum(path.stat().st_size for path in entries())
    assert say(run)["bytes"] == size > 0


class TestWhereItCannotBeKept:
    @pytest.fixture
    def uncached(self, run_tiny: RunTiny, tmp_path: Path) -> Run:
        changes = {"plan": UPPER + "lora", "epochs": 1, "prefix_cache": "off"}
        return run_tiny(output=tmp_path / "uncached", **changes)

    @pytest.mark.parametrize("why", ["folder", "disk", "limit", "all of the limit"])
    def test_the_run_goes_on_without(
        self,
        why: str,
        uncached: Run,
        run_tiny: RunTiny,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kept: set[str] = set()
        if why == "folder":
            (tmp_path / "file").touch()
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        elif why == "disk":
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            monkeypatch.setattr(state_file.StateLayout, "append", _raise(full))
        else:
            monkeypatch.setenv(LIMIT_VARIABLE, "100" if why == "limit" else "50000")
            kept = set() if why == "limit" else {"train"}
        changes: dict[str, Any] = {"plan": UPPER + "lora", "epochs": 1}
        run = run_tiny(output=tmp_path / "run", **changes)
        assert say(run)["splits"].keys() == kept
        notes = [note for note in run.manifest.notes if "the prefix cache does not keep" in note]
        assert len(notes) == 3 - len(kept)
        if not kept:
            assert_same(run, uncached)
        else:
            assert_close(run, uncached, 1e-5)


def _raise(error: Exception) -> Callable[..., None]:
    def raising(*args: Any) -> None:
        raise error

    return raising


class TestResuming:
    PLAN = UPPER + "lora"

    @pytest.fixture
    def whole(self, run_tiny: RunTiny, tmp_path: Path) -> Run:
        return run_tiny(plan=self.PLAN, output=tmp_path / "whole")

    def stop(self, run_tiny: RunTiny, output: Path, phase: str = "training") -> None:
        with pytest.raises(Interrupted):
            run_tiny(plan=self.PLAN, output=output, progress=StopAt(phase, 4))

    @pytest.mark.parametrize("phase", ["training", "running the frozen steps 0-1: dev"])
    def test_it_ends_with_the_same_bits(
        self, phase: str, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.stop(run_tiny, tmp_path / "run", phase)
        # The states are gone; the same are computed again.
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        run = resume_run(tmp_path / "run")
        whole = run_tiny(plan=self.PLAN, output=tmp_path / "whole")
        assert_same(run, whole)

    def test_started_without_it_goes_on_without(
        self, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setenv(LIMIT_VARIABLE, "0")
            whole = run_tiny(plan=self.PLAN, output=tmp_path / "whole")
            self.stop(run_tiny, tmp_path / "run")
        run = resume_run(tmp_path / "run")
        assert say(run)["splits"] == {}
        assert_same(run, whole)

    def test_states_that_cannot_be_kept_any_more_are_told(
        self, whole: Run, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.stop(run_tiny, tmp_path / "run")
        for path in entries():
            path.unlink()
        monkeypatch.setenv(LIMIT_VARIABLE, "0")
        run = resume_run(tmp_path / "run")
        assert "resumed without kept states of dev, test, train: last digits may differ" in (
            run.manifest.notes
        )
        assert_close(run, whole, 1e-4)

    def test_killed_while_states_are_written(
        self, whole: Run, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        arguments = {**options, "plan": self.PLAN, "output": tmp_path / "run"}
        kill_inside("adapterkit.tuning.prefix:prefix_states", 2, arguments)
        run = resume_run(tmp_path / "run")
        assert_same(run, whole)
        assert json.loads((run.path / "run.json").read_text())["status"] == "finished"

    def test_the_seconds_of_all_sessions_count(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        self.stop(run_tiny, tmp_path / "run")
        log = RunDirectory(tmp_path / "run")
        log.append_log({"cache_seconds": 1000.0})
        assert resume_run(tmp_path / "run").manifest.timings.cache_seconds > 1000
