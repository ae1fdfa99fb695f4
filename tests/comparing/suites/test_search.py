"""The search for hyper-parameters: equal budgets, dev alone, and no trial run twice."""

import json
from dataclasses import replace

import pytest

from adapterkit.comparing.suites.expanding import expand, find_axes
from adapterkit.comparing.suites.folder import CellFolder
from adapterkit.comparing.suites.reading import read_suite
from adapterkit.comparing.suites.runner import Outcome
from adapterkit.comparing.suites.search import Searching
from adapterkit.comparing.suites.worker import main as work
from adapterkit.runs.hashing import sha256_file
from tests.comparing.suites.fake_worker import manifest
from tests.comparing.suites.made import runner

SEARCH = """
search:
  trials: 4
  space:
    learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}
    batch_tokens: {low: 8, high: 64}
  families:
    full:
      learning_rate: [5.0e-5, 6.0e-5]
      batch_tokens: {low: 8, high: 64}
  options: {epochs: 1}
"""
PLANS = "[head, lora, '0-1:frozen 2:full']"


@pytest.fixture
def axes(suite):
    return find_axes(read_suite(suite(PLANS, SEARCH)))


def finish(folder, cell, score):
    """Leave a finished run with a dev score."""
    made = CellFolder(folder / cell.folder_name)
    made.open(cell)
    made.run.path.mkdir(exist_ok=True)
    made.run.manifest_path.write_text(json.dumps(manifest(cell.as_dict(), score)))
    return Outcome(cell, made, "finished", 1.0)


def searched(axes, folder, score, fails=lambda cell: False):
    """Run a search whose dev scores a function says; returns it, with the cells in order."""
    searching, cells = Searching(axes, folder / "tasks"), []
    queue = searching.first()
    while queue:
        cell = queue.pop(0)
        cells.append(cell)
        if fails(cell):
            outcome = Outcome(cell, CellFolder(folder / "none"), "failed", 1.0, error="no")
        else:
            outcome = finish(folder, cell, score(cell))
        queue.extend(searching.follow_up(outcome))
    return searching, cells


def rate(cell):
    return 1 - cell.request.learning_rate


def test_every_plan_gets_the_same_number_of_trials(axes, tmp_path):
    searching, cells = searched(axes, tmp_path, rate)
    assert len(cells) == searching.total == 12
    assert {study.entry.plan: len(study.trials) for study in searching.studies} == {
        "head": 4,
        "lora": 4,
        "0-1:frozen 2:full": 4,
    }
    assert "4 trials for every plan" in searching.notes()[0]
    assert "full: learning_rate one of 5e-05, 6e-05" in searching.notes()[0]


def test_a_failing_trial_is_not_replaced(axes, tmp_path):
    lora = "0-2:adapter(lora)"
    searching, cells = searched(axes, tmp_path, rate, lambda c: c.request.plan == lora)
    assert len(cells) == 12
    assert searching.chosen("bc5cdr", "lora", axes.file.suite.backbones[0]) == {}
    assert searching.chosen("bc5cdr", "head", axes.file.suite.backbones[0])
    assert "4 of 4 trials of lora on bc5cdr failed; its runs have the defaults" in searching.notes()


def test_the_best_on_dev_is_chosen_for_the_runs_of_the_table(axes, tmp_path):
    searching, cells = searched(axes, tmp_path, rate)
    for cell in expand(axes, searching.chosen):
        tried = [c.request for c in cells if c.request.plan == cell.request.plan]
        best = min(tried, key=lambda request: request.learning_rate)
        assert cell.request.learning_rate == best.learning_rate
        assert cell.request.batch_tokens == best.batch_tokens
        # What only the trials were asked for is not carried over.
        assert (best.epochs, cell.request.epochs) == (1, None)


def test_spaces_are_kept_to(axes, tmp_path):
    _, cells = searched(axes, tmp_path, rate)
    for cell in cells:
        full = "full" in cell.request.plan
        assert (cell.request.learning_rate in (5e-5, 6e-5)) is full
        assert full or 1e-4 <= cell.request.learning_rate <= 1e-1
        assert 8 <= cell.request.batch_tokens <= 64


def test_a_search_that_is_stopped_asks_the_same_again(axes, tmp_path):
    _, cells = searched(axes, tmp_path / "one", rate)
    _, again = searched(axes, tmp_path / "two", rate)
    assert [cell.identity for cell in again] == [cell.identity for cell in cells]


def test_finished_trials_are_not_run_again(axes, tmp_path):
    first = Searching(axes, tmp_path / "tasks")
    done = runner(tmp_path / "cells", 2).run(first.first(), first.total, first.follow_up)
    again = Searching(axes, tmp_path / "tasks")
    reused = runner(tmp_path / "cells").run(again.first(), again.total, again.follow_up)
    assert {outcome.is_reused for outcome in reused} == {True}
    assert {o.cell.identity for o in reused} == {o.cell.identity for o in done}
    assert [study.as_dict() for study in again.studies] == [s.as_dict() for s in first.studies]


def test_a_trial_never_reads_test(axes, corpus, tmp_path):
    (corpus / "test.tsv").write_text("this is no corpus at all, and must not be read\n")
    cell = Searching(axes, tmp_path / "tasks").first()[0]
    folder = CellFolder(tmp_path / "cells" / cell.folder_name)
    folder.open(cell)
    assert work([str(folder.path)]) == 0
    run = folder.manifest()
    dev = sha256_file(corpus / "dev.tsv")
    assert {name: run.data.splits[name].sha256 for name in ("dev", "test")} == {
        "dev": dev,
        "test": dev,
    }
    assert run.metrics["test"] == run.metrics["dev"]
    assert dict(cell.inputs.data)["test"] == dev


def test_one_setting_for_all_tasks_is_chosen_by_their_mean(suite, corpus, tmp_path):
    other = corpus.parent / "ncbi_disease"
    other.mkdir()
    for file in corpus.iterdir():
        text = file.read_text().replace("Chemical", "Disease")
        (other / file.name).write_text(text)
    more = SEARCH + "  tasks: [bc5cdr, ncbi_disease]\n"
    file = suite("[lora]", more)
    file.write_text(file.read_text().replace("[bc5cdr]\nplans", "[bc5cdr, ncbi_disease]\nplans"))
    axes = find_axes(read_suite(file))
    scores = iter([0.9, 0.1, 0.6, 0.6, 0.2, 0.2, 0.3, 0.3])
    searching, cells = searched(axes, tmp_path, lambda cell: next(scores))
    assert len(cells) == searching.total == 8
    (study,) = searching.studies
    assert [trial.score for trial in study.trials] == [0.5, 0.6, 0.2, 0.3]
    assert study.best == study.trials[1]
    backbone = axes.file.suite.backbones[0]
    chosen = [searching.chosen(task, "lora", backbone) for task in ("bc5cdr", "ncbi_disease")]
    assert chosen == [study.trials[1].values] * 2


def test_the_trials_differ_from_the_runs_of_the_table(axes, tmp_path):
    trials = Searching(axes, tmp_path).first()
    runs = expand(axes, lambda *_: {"learning_rate": 0.5, "batch_tokens": 9})
    same = replace(trials[0].request, epochs=None, learning_rate=0.5, batch_tokens=9)
    assert replace(trials[0], request=same).identity not in {cell.identity for cell in runs}
