"""``--profile`` leaves a trace and a table, and trains the same."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.interruption import Interrupted
from adapterkit.runs.progress import Silence
from adapterkit.tuning.profile_kinds import KINDS
from adapterkit.tuning.profiling import SUMMARY_FILE, TRACE_FILE, Window, plan_window
from adapterkit.tuning.run import Run
from adapterkit.tuning.tune import resume_run

from .conftest import RunTiny, assert_same, evaluate_run
from .test_resuming import PATIENT, StopAt

NOTE = "profiled: the time of training includes the profiler's"


class Ear(Silence):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    @property
    def of_profile(self) -> str:
        (message,) = [said for said in self.said if "profile" in said]
        return message


def summary_of(run: Path) -> dict[str, Any]:
    path = RunDirectory(run).profile_path / SUMMARY_FILE
    return json.loads(path.read_text(encoding="utf-8"))


def steps_traced(run: Path) -> int:
    with gzip.open(RunDirectory(run).profile_path / TRACE_FILE, "rt", encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    names = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    return sum(name.startswith("ProfilerStep") for name in names)


@pytest.mark.parametrize(
    ("done", "epoch", "total", "window"),
    [
        (0, 100, 500, Window(42, 46, 10)),
        (0, 14, 14, Window(1, 5, 10)),
        (0, 10, 20, Window(1, 5, 6)),
        (0, 5, 5, Window(1, 5, 1)),
        (0, 4, 400, None),
        (60, 100, 500, Window(12, 76, 10)),
        (95, 100, 500, Window(47, 146, 10)),
        (95, 100, 100, Window(1, 100, 1)),
        (96, 100, 100, None),
        (7, 8, 16, Window(2, 13, 4)),
        (100, 100, 100, None),
    ],
)
def test_the_updates_are_in_the_middle_of_an_epoch(
    done: int, epoch: int, total: int, window: Window | None
) -> None:
    assert plan_window(done, epoch, total) == window


def test_every_window_fits_an_epoch() -> None:
    for epoch in range(1, 40):
        for done in range(3 * epoch):
            if (window := plan_window(done, epoch, 3 * epoch)) is None:
                continue
            last = window.first + window.active - 1
            assert window.wait >= 1
            assert done + window.wait + 3 + 1 == window.first
            assert (window.first - 1) // epoch == (last - 1) // epoch
            assert last <= 3 * epoch


@pytest.fixture(scope="module")
def profiled(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Ear]:
    ear = Ear()
    output = tmp_path_factory.mktemp("profiled") / "run"
    return run_tiny(output=output, profile=True, progress=ear), ear


def test_what_is_trained_is_the_same(profiled: tuple[Run, Ear], finished: Run) -> None:
    assert_same(profiled[0], finished)


def test_the_run_is_whole(profiled: tuple[Run, Ear], finished: Run) -> None:
    run = profiled[0]
    assert Run.load(run.path) == run
    assert evaluate_run(run.path)["metrics"] == run.metrics["test"]
    assert [*run.manifest.notes] == [*finished.manifest.notes, NOTE]
    assert not [path for path in run.path.iterdir() if path.name.endswith("-tmp")]
    assert {path.name for path in RunDirectory(run.path).profile_path.iterdir()} == {
        SUMMARY_FILE,
        TRACE_FILE,
    }


def test_the_table(profiled: tuple[Run, Ear]) -> None:
    run, ear = profiled
    found = summary_of(run.path)
    assert [part["kind"] for part in found["kinds"]] == list(KINDS)
    assert sum(part["share"] for part in found["kinds"]) == pytest.approx(1, abs=1e-3)
    taken = {part["kind"]: part["seconds_per_update"] for part in found["kinds"]}
    assert sum(taken.values()) == pytest.approx(found["seconds_per_update"], rel=1e-3)
    assert all(seconds > 0 for seconds in taken.values())
    assert found["first_update"] > 4
    assert 0 < found["word_pieces_per_update"] <= found["padded_pieces_per_update"] <= 40
    assert steps_traced(run.path) == found["updates"] >= 2
    products = [o for o in found["operators"] if o["name"] == "aten::addmm"]
    assert products[0]["calls_per_update"] >= 6 * 3
    assert ear.of_profile.startswith(f"profile of updates {found['first_update']}-")
    assert str(RunDirectory(run.path).profile_path / TRACE_FILE) in ear.of_profile


def test_too_few_updates(run_tiny: RunTiny, tmp_path: Path) -> None:
    ear = Ear()
    run = run_tiny(
        epochs=1, batch_tokens=10_000, output=tmp_path / "run", profile=True, progress=ear
    )
    assert ear.of_profile == (
        "no profile: of 1 updates in epochs of 1, 1 are left, and a profile needs 5 of one epoch"
    )
    assert NOTE not in run.manifest.notes
    assert not RunDirectory(run.path).profile_path.exists()


@pytest.mark.parametrize("first", [True, False])
def test_stopped_while_recording_and_resumed(
    first: bool, run_tiny: RunTiny, finished: Run, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with pytest.raises(Interrupted):
        run_tiny(output=output, profile=first, progress=StopAt("training", 5))
    assert not RunDirectory(output).profile_path.exists()
    ear = Ear()
    resumed = resume_run(output, profile=True, progress=ear)
    assert_same(resumed, finished)
    assert "profile of updates" in ear.of_profile
    assert steps_traced(output) == summary_of(output)["updates"]


def test_a_later_profile_replaces_the_earlier(run_tiny: RunTiny, tmp_path: Path) -> None:
    output = tmp_path / "run"
    with pytest.raises(Interrupted):
        run_tiny(output=output, profile=True, progress=StopAt("training", 12))
    before = summary_of(output)["first_update"]
    resume_run(output, profile=True)
    assert summary_of(output)["first_update"] > before + 1
    events = [r["update"] for r in RunDirectory(output).read_log() if r.get("event") == "profile"]
    assert events == [before, summary_of(output)["first_update"]]


def test_a_run_that_was_over_but_for_its_scores(run_tiny: RunTiny, tmp_path: Path) -> None:
    output, ear = tmp_path / "run", Ear()
    with pytest.raises(Interrupted):
        run_tiny(**PATIENT, output=output, progress=StopAt("scoring dev"))
    resume_run(output, profile=True, progress=ear)
    assert "no profile: training ended before" in ear.of_profile


def test_a_finished_run_has_nothing_to_profile(finished: Run) -> None:
    ear = Ear()
    resume_run(finished.path, profile=True, progress=ear)
    assert ear.of_profile == "no profile: there is nothing left to train"
    assert not RunDirectory(finished.path).profile_path.exists()
