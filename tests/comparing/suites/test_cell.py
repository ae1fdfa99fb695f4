import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from adapterkit.comparing.suites.cell import Cell
from adapterkit.comparing.suites.inputs import configured, source_digest
from adapterkit.tasks.registry import load_task
from tests.comparing.suites.made import cell


def test_equal_cells_have_equal_identities_in_every_process():
    code = "from tests.comparing.suites.made import cell; print(cell('full', 3).identity)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {cell("full", 3).identity}


@pytest.mark.parametrize(
    "other",
    [
        cell("lora"),
        cell(seed=1),
        cell(epochs=2),
        cell(learning_rate=1e-3),
        cell(head_learning_rate=1e-3),
        cell(batch_tokens=64),
        cell(patience=1),
        cell(limit_train=9),
        cell(limit_dev=9),
        cell(protocol="nlpie"),
        cell(prefix_cache="off"),
    ],
    ids=lambda other: other.command,
)
def test_whatever_is_asked_for_changes_the_identity(other):
    assert other.identity != cell().identity
    assert other.folder_name != cell().folder_name


def test_where_data_and_backbone_lie_does_not(tmp_path):
    here = cell()
    there = replace(here, request=replace(here.request, data=str(tmp_path), backbone=str(tmp_path)))
    assert there.identity == here.identity


def test_a_cell_is_read_back_as_it_was_written():
    made = replace(cell(epochs=3), variant=(("epochs", 3),))
    read = Cell.from_dict(json.loads(json.dumps(made.as_dict())))
    assert read == made
    assert read.identity == made.identity
    assert made.name == "toy quick epochs=3 seed 0"


def test_the_command_makes_the_same_run(tmp_path):
    rates = {"learning_rate": 2e-3, "head_learning_rate": 0.01}
    asked = {**rates, "limit_train": 5, "limit_dev": 6, "data": str(tmp_path)}
    made = cell("0-5:adapter(lora)", 7, **asked)
    assert shlex.split(made.command) == [
        *("adapterkit", "tune", "--task", "toy", "--plan", "0-5:adapter(lora)"),
        *("--data", str(tmp_path), "--lr", "0.002", "--head-lr", "0.01"),
        *("--limit-train", "5", "--limit-dev", "6", "--seed", "7"),
    ]


def test_what_only_describes_a_task_changes_no_run():
    task = load_task("bc5cdr")
    described = task.model_copy(update={"notes": ("new",), "citation": "x", "data": Path("/y")})
    assert configured(described) == configured(task)
    assert configured(task.model_copy(update={"max_length": 99})) != configured(task)


def test_the_digest_of_the_source_follows_what_runs_go_through(tmp_path):
    for room in ("tuning", "cli"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text("x = 1\n")
    before = source_digest(tmp_path)
    (tmp_path / "cli" / "a.py").write_text("x = 2\n")
    assert source_digest(tmp_path) == before
    (tmp_path / "tuning" / "a.py").write_text("x = 2\n")
    changed = source_digest(tmp_path)
    assert changed != before
    (tmp_path / "tuning" / "a.py").rename(tmp_path / "tuning" / "b.py")
    assert source_digest(tmp_path) not in (before, changed)
