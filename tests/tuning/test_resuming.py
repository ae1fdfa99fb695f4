"""A run stopped anywhere and resumed ends as one that was never stopped, to the bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.runs.progress import Silence
from adapterkit.tuning import tune as tuning
from adapterkit.tuning.checkpoints import SEAL_FILE
from adapterkit.tuning.run import Run
from adapterkit.tuning.tune import resume_run, tune

from .conftest import RunTiny, assert_same
from .killing import kill_after, kill_inside

PLANS = (
    "adapter",
    "layerwise",
    "0-1:frozen 2:full",
    "0:krona 1-2:adakron(dropout=0.1)",
    "side(dropout=0.1)",
)
PATIENT = {"plan": "lora", "epochs": 8, "patience": 1, "seed": 2}


class StopAt(Silence):
    """Presses Ctrl-C in a phase of a run, after some of its units."""

    def __init__(self, phase: str, units: int = 0) -> None:
        self.phase, self.left, self.current = phase, units, ""

    def begin(self, phase: str, total: int | None = None) -> None:
        self.current = phase
        if phase == self.phase and self.left == 0:
            self._press()

    def advance(self, units: int = 1, **measures: float) -> None:
        if self.current == self.phase and self.left > 0:
            self.left -= units
            if self.left <= 0:
                self._press()

    def _press(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def uninterrupted(
    run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """The run that was never stopped, made once for each set of options."""
    made: dict[str, Run] = {}

    def get(**changes: Any) -> Run:
        key = json.dumps(changes, sort_keys=True)
        if key not in made:
            made[key] = run_tiny(output=tmp_path_factory.mktemp("whole") / "run", **changes)
        return made[key]

    return get


def records(run: Path) -> list[dict[str, Any]]:
    return RunDirectory(run).read_log()


def last_update(run: Path) -> int:
    return max(record.get("update", 0) for record in records(run))


@pytest.mark.parametrize("plan", PLANS)
def test_ctrl_c_in_mid_epoch(
    plan: str, run_tiny: RunTiny, uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    whole = uninterrupted(plan=plan)
    output = tmp_path / "run"
    with pytest.raises(Interrupted, match="tune --resume --output") as stopped:
        run_tiny(plan=plan, output=output, progress=StopAt("training", 4))
    assert stopped.value.path == output
    assert not (output / "run.json").exists()
    with pytest.raises(Interrupted):
        resume_run(output, progress=StopAt("training", 17))
    assert [r["update"] for r in records(output) if r.get("event") == "resume"] == [4]
    resumed = resume_run(output)
    assert [r["update"] for r in records(output) if r.get("event") == "resume"] == [4, 17]
    assert_same(resumed, whole)


def test_ctrl_c_at_any_update_of_an_epoch(
    run_tiny: RunTiny, uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    whole = uninterrupted(epochs=1)
    updates = last_update(whole.path)
    assert updates >= 8
    for update in (updates - 1, updates):
        output = tmp_path / str(update)
        with pytest.raises(Interrupted):
            run_tiny(epochs=1, output=output, progress=StopAt("training", update))
        assert_same(resume_run(output), whole)


@pytest.mark.parametrize("phase", ["scoring dev", "scoring test"])
def test_ctrl_c_while_scoring(
    phase: str, run_tiny: RunTiny, uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        run_tiny(output=tmp_path / "run", progress=StopAt(phase))
    assert_same(resume_run(tmp_path / "run"), uninterrupted())


@pytest.mark.parametrize("stop", [("training", 3), ("training", 14), ("scoring dev", 0)])
def test_patience_counts_over_a_stop(
    stop: tuple[str, int], run_tiny: RunTiny, uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    whole = uninterrupted(**PATIENT)
    scores = [r["eval_score"] for r in records(whole.path) if "eval_score" in r]
    assert len(scores) < PATIENT["epochs"], "patience did not end this run"
    with pytest.raises(Interrupted):
        run_tiny(output=tmp_path / "run", progress=StopAt(*stop), **PATIENT)
    assert_same(resume_run(tmp_path / "run"), whole)
    assert last_update(tmp_path / "run") == last_update(whole.path)


def test_a_second_ctrl_c_stops_at_once(
    run_tiny: RunTiny,
    uninterrupted: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def impatient(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("adapterkit.tuning.trainer.save_trained", impatient)
        with pytest.raises(Interrupted):
            run_tiny(output=tmp_path / "run", progress=StopAt("training", 5))
    assert [r.get("event") for r in records(tmp_path / "run")] == ["start"]
    assert_same(resume_run(tmp_path / "run"), uninterrupted())
    assert [r["event"] for r in records(tmp_path / "run") if "event" in r] == ["start", "start"]


IN_TRAINING = {
    "writing the weights of a checkpoint": ("adapterkit.tuning.trainer:save_trained", 14),
    "writing the optimiser of a checkpoint": ("torch:save", 3 * 14 + 1),
    "writing the random state of a checkpoint": ("torch:save", 3 * 14 + 3),
    "sealing a checkpoint": ("adapterkit.tuning.trainer:seal", 14),
    "removing old checkpoints": ("shutil:rmtree", 8),
}
AT_THE_END = {
    "scoring dev after an epoch": ("adapterkit.tuning.trainer:predict_split", 2),
    "scoring test": ("adapterkit.tuning.tune:predict_split", 2),
    "writing the adapter": ("adapterkit.plans.saving:write_safetensors", 2),
    "writing predictions": ("adapterkit.tuning.results:spans_from_tags", 20),
    "before writing run.json": ("adapterkit.runs.manifest:write_json", 1),
    "in the midst of writing run.json": ("os:replace", "run.json"),
    "removing the checkpoints at the end": ("adapterkit.tuning.results:drop_work", 1),
}
MOMENTS = {**IN_TRAINING, **AT_THE_END}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while(
    moment: str, options: dict[str, Any], uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    seconds = 0.0 if moment in IN_TRAINING else 120.0
    kill_inside(*MOMENTS[moment], {**options, "output": output}, seconds)
    resumed = resume_run(output)
    assert_same(resumed, uninterrupted())
    # Whatever it was doing, checkpoints were there to go on from.
    assert all(r.get("event") != "start" for r in records(output)[1:])
    left = {path.name for path in output.iterdir() if not path.name.startswith(".lock")}
    assert left == {"adapter", "log.jsonl", "predictions", "run.json"}


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_killed_at_random_moments(
    plan: str, options: dict[str, Any], uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    rng = random.Random(plan)
    output = tmp_path / "run"
    arguments = {**options, "plan": plan, "output": output}
    assert kill_after(rng.randint(1, 18), rng.uniform(0, 0.02), arguments)
    resumed = resume_run(output)
    assert [r["event"] for r in records(output) if "event" in r] == ["start", "resume"]
    assert_same(resumed, uninterrupted(plan=plan))


def test_killed_before_the_first_checkpoint(
    options: dict[str, Any], uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    kill_inside("adapterkit.tuning.trainer:save_trained", 1, {**options, "output": output})
    assert_same(resume_run(output), uninterrupted())


@pytest.fixture(scope="module")
def stopped(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped in its second epoch that saved after every update."""
    output = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(Interrupted):
            run_tiny(output=output, progress=StopAt("training", 15))
    return output


@pytest.fixture
def copy(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it elsewhere."""
    return Path(shutil.copytree(stopped, tmp_path / "moved"))


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def numbered(run: Path) -> dict[int, Path]:
    folders = (run / "checkpoints").glob("checkpoint-*")
    return {int(folder.name.rpartition("-")[2]): folder for folder in folders}


def test_a_moved_run_goes_on(copy: Path, uninterrupted: Callable[..., Run]) -> None:
    assert_same(resume_run(copy), uninterrupted())


def test_a_run_of_a_version_with_fewer_options_goes_on(
    copy: Path, uninterrupted: Callable[..., Run]
) -> None:
    state = json.loads((copy / "state.json").read_text())
    del state["request"]["limit_dev"], state["request"]["precision"]
    del state["inputs"]["settings"]["precision"]
    (copy / "state.json").write_text(json.dumps(state))
    assert_same(resume_run(copy), uninterrupted())


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (cut, "trained.safetensors"),
        (cut, "optimizer.pt"),
        (change, "scheduler.pt"),
        (Path.unlink, "trainer_state.json"),
        (Path.unlink, SEAL_FILE),
    ],
)
def test_of_a_damaged_checkpoint_the_one_before_is_used(
    damage: Callable[[Path], None], name: str, copy: Path, uninterrupted: Callable[..., Run]
) -> None:
    checkpoints = numbered(copy)
    assert max(checkpoints) == 15
    assert 14 in checkpoints
    damage(checkpoints[15] / name)
    resumed = resume_run(copy)
    assert [r["update"] for r in records(copy) if r.get("event") == "resume"] == [14]
    assert_same(resumed, uninterrupted())


def test_without_the_best_checkpoint_it_starts_from_scratch(
    copy: Path, uninterrupted: Callable[..., Run]
) -> None:
    best = json.loads((numbered(copy)[15] / SEAL_FILE).read_text())["best"]
    assert best not in (14, 15)
    cut(numbered(copy)[best] / "trained.safetensors")
    resumed = resume_run(copy)
    assert [r["event"] for r in records(copy) if "event" in r] == ["start", "start"]
    assert_same(resumed, uninterrupted())


def test_without_any_checkpoint_it_starts_from_scratch(
    copy: Path, uninterrupted: Callable[..., Run]
) -> None:
    shutil.rmtree(copy / "checkpoints")
    assert_same(resume_run(copy), uninterrupted())


def test_the_clock_goes_on(copy: Path) -> None:
    before = max(r.get("train_seconds", 0.0) for r in records(copy))
    log = RunDirectory(copy)
    log.append_log({"update": 15, "train_seconds": before + 1000})
    assert 1000 + before < resume_run(copy).manifest.timings.train_seconds < 1000 + before + 120


def test_a_finished_run_is_not_trained_again(finished: Run) -> None:
    log = (finished.path / "log.jsonl").read_bytes()
    assert resume_run(finished.path).manifest == finished.manifest
    assert (finished.path / "log.jsonl").read_bytes() == log


def test_from_another_folder_with_relative_paths(
    run_tiny: RunTiny,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: Callable[..., Run],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("backbone", "data"):
        (tmp_path / name).symlink_to(options[name])
    (tmp_path / "bc5cdr").mkdir()
    with pytest.raises(Interrupted):
        run_tiny(backbone="backbone", data="data", output="run", progress=StopAt("training", 5))
    monkeypatch.chdir(tmp_path.parent)
    assert_same(resume_run(tmp_path / "run"), uninterrupted())


class TestRefusals:
    def test_nothing_to_resume(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no unfinished run"):
            resume_run(tmp_path / "none")
        assert list(tmp_path.iterdir()) == []

    def test_no_directory(self) -> None:
        with pytest.raises(UserError, match="which run to resume"):
            tune("bc5cdr", resume=True)

    def test_other_options(self, copy: Path, options: dict[str, Any]) -> None:
        with pytest.raises(UserError) as error:
            tune(**{**options, "seed": 1}, output=copy, resume=True)
        assert error.value.where == "--seed"
        assert (error.value.found, error.value.allowed) == ("1", "0")

    def test_the_same_options_go_on(self, copy: Path, options: dict[str, Any]) -> None:
        assert tune(**options, output=copy, resume=True).manifest.status == "finished"

    @pytest.mark.parametrize("state", ["", "[1]", "{}", '{"request": []}', '{"request": {"a": 1}}'])
    def test_a_damaged_state(self, state: str, copy: Path) -> None:
        (copy / "state.json").write_text(state)
        with pytest.raises(UserError, match=r"resume|damaged"):
            resume_run(copy)

    @pytest.mark.parametrize("inputs", [None, [], {}, {"settings": [1]}])
    def test_damaged_inputs(self, inputs: object, copy: Path) -> None:
        state = json.loads((copy / "state.json").read_text())
        (copy / "state.json").write_text(json.dumps({**state, "inputs": inputs}))
        with pytest.raises(UserError, match="damaged") as error:
            resume_run(copy)
        assert error.value.where == "state.json: inputs.settings"

    @pytest.mark.parametrize("what", ["data", "backbone"])
    def test_changed_inputs(self, what: str, run_tiny: RunTiny, tmp_path: Path) -> None:
        from .conftest import make_backbone, write_corpus

        data = write_corpus(tmp_path / "data")
        backbone = make_backbone(tmp_path / "one")
        with pytest.raises(Interrupted):
            run_tiny(
                data=data,
                backbone=backbone,
                output=tmp_path / "run",
                progress=StopAt("training", 2),
            )
        if what == "data":
            write_corpus(data, seed=1)
        else:
            shutil.rmtree(backbone)
            make_backbone(tmp_path / "other", seed=1).rename(backbone)
        with pytest.raises(UserError, match=f"the {what} of the run changed"):
            resume_run(tmp_path / "run")
