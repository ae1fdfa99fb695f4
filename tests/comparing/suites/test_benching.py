"""Whole suites, trained for a moment on a tiny backbone."""

import json
import sys

import pytest

from adapterkit.comparing.suites.benching import How, bench
from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.local_engine import LocalEngine
from adapterkit.comparing.suites.reading import read_suite
from adapterkit.comparing.suites.worker import main as work
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.runs.lock import hold
from tests.comparing.suites.made import Remembering, fake_command

OPTIONS = "options: {epochs: 1, batch_tokens: 60}\n"


def benched(file, folder, worker=fake_command, **how):
    engine = LocalEngine(2, command=worker)
    how = {"measure": False, **how}
    return bench(read_suite(file), folder, How(engine, Remembering(), **how))


def listed(folder):
    return json.loads((folder / "suite.json").read_text())


def test_the_record_says_what_became_of_every_cell(suite, tmp_path):
    file = suite("[head, lora]", OPTIONS)
    out = tmp_path / "out"
    done = benched(file, out, command="adapterkit bench tiny.yaml")
    record = listed(out)
    assert (record["schema"], record["name"]) == ("adapterkit.suite.v1", "tiny")
    assert record["command"] == "adapterkit bench tiny.yaml"
    assert [(c["plan"], c["seed"], c["status"]) for c in record["cells"]] == [
        ("head", 0, "finished"),
        ("lora", 0, "finished"),
    ]
    assert [out / cell["run"] for cell in record["cells"]] == done.runs
    assert record["suite"]["options"]["epochs"] == 1


def test_a_suite_that_grows_runs_only_what_is_new(suite, tmp_path):
    out = tmp_path / "out"
    benched(suite("[head]", OPTIONS), out)
    done = benched(suite("[head, lora]", OPTIONS), out)
    assert [outcome.is_reused for outcome in done.outcomes] == [True, False]
    changed = benched(suite("[head, {plan: lora, options: {epochs: 2}}]", "options: {}"), out)
    assert [outcome.is_reused for outcome in changed.outcomes] == [False, False]
    assert len(listed(out)["cells"]) == 2
    assert len(list((out / "cells").iterdir())) == 4


def test_changed_data_are_run_again(suite, corpus, tmp_path):
    out = tmp_path / "out"
    benched(suite("[head]"), out)
    (corpus / "train.tsv").write_text((corpus / "dev.tsv").read_text())
    assert [o.is_reused for o in benched(suite("[head]"), out).outcomes] == [False]


def test_every_value_of_what_varies_is_run(suite, tmp_path):
    done = benched(suite("[head, lora]", "vary: {epochs: [1, 2], patience: [3]}\n"), tmp_path / "o")
    asked = [(o.cell.plan, o.cell.request.epochs, o.cell.request.patience) for o in done.outcomes]
    assert asked == [("head", 1, 3), ("head", 2, 3), ("lora", 1, 3), ("lora", 2, 3)]


def test_the_search_comes_first_and_is_recorded(suite, tmp_path):
    pytest.importorskip("optuna")
    search = "search: {trials: 2, space: {learning_rate: [0.001, 0.01]}}\n"
    out = tmp_path / "out"
    done = benched(suite("[head, lora]", search), out)
    record = listed(out)
    assert [len(study["trials"]) for study in record["search"]] == [2, 2]
    for study, outcome in zip(record["search"], done.outcomes, strict=True):
        assert outcome.cell.request.learning_rate == study["chosen"]["learning_rate"]
    assert "2 trials for every plan" in record["notes"][0]
    assert not any("search" in cell["run"] for cell in record["cells"])
    again = benched(suite("[head, lora]", search), out)
    assert all(outcome.is_reused for outcome in again.outcomes)
    assert listed(out)["search"] == record["search"]


def test_another_suite_or_other_files_in_the_folder_are_refused(suite, tmp_path):
    out = tmp_path / "out"
    benched(suite("[head]"), out)
    with pytest.raises(UserError, match="something else"):
        benched(suite("[head]", "name: other\n"), out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UserError, match="something else"):
        benched(suite("[head]"), tmp_path / "full")
    with hold(out), pytest.raises(UserError, match="in use"):
        benched(suite("[head]"), out)


def test_a_cell_that_was_stopped_from_outside_stops_the_suite(suite, tmp_path):
    def stopped(folder, threads):
        return ["sh", "-c", f"echo x 0 > {folder}/attempts; exit 130"]

    with pytest.raises(Interrupted) as stop:
        benched(suite("[head]"), tmp_path / "out", stopped, command="adapterkit bench tiny.yaml")
    assert "adapterkit bench tiny.yaml" in str(stop.value)
    assert [cell["status"] for cell in listed(tmp_path / "out")["cells"]] == ["stopped"]


@pytest.mark.slow
def test_cells_are_trained_measured_and_kept_with_their_errors(suite, tmp_path):
    """With the real processes: one trains, the other cannot."""
    from adapterkit.comparing.suites.worker import worker_command

    out = tmp_path / "out"
    done = benched(suite("[lora, layerwise]", OPTIONS), out, worker_command, measure=True)
    trained, failed = done.outcomes
    assert (trained.status, failed.status) == ("finished", "failed")
    manifest = trained.folder.manifest()
    assert manifest.command == trained.cell.command
    assert dict(trained.cell.inputs.data) == {n: s.sha256 for n, s in manifest.data.splits.items()}
    assert manifest.backbone.fingerprint == trained.cell.inputs.backbone
    assert manifest.plan == trained.cell.request.plan
    assert manifest.hyperparameters["epochs"] == 1
    assert "no layer-wise adapters" in failed.error
    measured = json.loads((trained.folder.run.path / "inference.json").read_text())
    assert 0 < measured["p50_ms"] <= measured["p95_ms"]
    assert "layerwise" in done.notes[0]
    assert "1 of 2 runs failed" in done.notes[0]


def test_a_worker_goes_on_with_a_stopped_run(suite, tmp_path, monkeypatch):
    from adapterkit.comparing.suites.expanding import expand, find_axes
    from adapterkit.tuning import tune

    (cell,) = expand(find_axes(read_suite(suite("[lora]", "options: {epochs: 2}\n"))))
    folder = CellFolder(tmp_path / cell.folder_name)
    folder.open(cell)
    original = tune.predict_split

    def press(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "predict_split", press)
    assert work([str(folder.path)]) == 130
    assert folder.state() == "stopped"
    monkeypatch.setattr(tune, "predict_split", original)
    assert work([str(folder.path)]) == 0
    assert folder.state() == "finished"
    events = [line.get("event") for line in folder.run.read_log()]
    assert events.count("start") == 1
    assert events.count("resume") == 1


def test_a_worker_waits_for_one_whose_suite_was_killed(tmp_path, monkeypatch, capsys):
    from adapterkit.comparing.suites import worker

    monkeypatch.setattr(worker, "_WAIT_SECONDS", 0.2)
    with hold(tmp_path / "cell"):
        assert work([str(tmp_path / "cell")]) == 2
    assert "in use" in capsys.readouterr().err


def test_a_worker_can_be_stopped_where_ctrl_c_is_blocked_and_ignored(suite, tmp_path):
    """As a job in the background has it, and a Ray worker."""
    from adapterkit.comparing.suites.worker import worker_command

    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )

    def blocked(folder, threads):
        # It has no standard input left when it starts, as after its suite was killed.
        inner = [sys.executable, "-c", code, *worker_command(folder, threads)]
        return ["sh", "-c", 'exec "$@" < /dev/null', "sh", *inner]

    with pytest.raises(Interrupted):
        benched(suite("[lora]", "options: {epochs: 5000}\n"), tmp_path / "out", blocked)
    assert [cell["status"] for cell in listed(tmp_path / "out")["cells"]] == ["stopped"]
