from __future__ import annotations

import csv
import io
import json

import pytest

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.manifest import load
from adapterkit.runs.sealing import broken_seal
from tests.comparing.made import edit, make_run


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    for plan, skill in (("full", 0.9), ("layerwise", 0.6)):
        for seed in (0, 1):
            make_run(folder / f"{plan}-{seed}", f"0-5:{plan}", seed, skill=skill)
    return folder


def test_a_run_of_tune_is_sealed_and_compared(cli, tiny_run):
    names = {*load(tiny_run).files}
    assert {"predictions/dev.jsonl", "predictions/test.jsonl"} < names
    assert any(name.startswith("adapter/") and name.endswith(".safetensors") for name in names)
    assert broken_seal(RunDirectory(tiny_run)) is None
    shown = cli("compare", tiny_run, "--format", "json")
    assert shown.status == 0
    (table,) = shown.json["tables"]
    (row,) = table["rows"]
    manifest = load(tiny_run)
    assert row["score_mean"] == manifest.metrics["test"]["score"]
    assert row["shipped_bytes"] == manifest.ledger.shipped_bytes
    assert table["left_out"] == []
    assert not any("not sealed" in note for note in table["notes"])


def test_the_table_is_printed(cli, runs):
    shown = cli("compare", runs, "--draws", 200)
    assert shown.status == 0
    assert shown.stderr == ""
    assert "0-5:layerwise" in shown.stdout
    assert "note: Difference: to 0-5:full" in shown.stdout
    assert all(line == line.rstrip() for line in shown.stdout.splitlines())


@pytest.mark.parametrize("format_", ["table", "markdown", "csv", "latex", "json"])
def test_a_file_holds_what_would_be_printed(cli, runs, tmp_path, format_):
    options = ("compare", runs, "--draws", 200, "--format", format_)
    printed = cli(*options).stdout
    file = tmp_path / "out" / "table"
    shown = cli(*options, "--output", file)
    assert (shown.status, shown.stdout) == (0, "")
    assert f"written: {file}" in shown.stderr
    assert file.read_text(encoding="utf-8") == printed


def test_what_is_left_out_is_named(cli, runs):
    edit(runs / "full-1", seed=7)
    shown = cli("compare", runs, "--draws", 200)
    assert shown.status == 0
    assert f"left out: {runs / 'full-1'}: edited or damaged: run.json" in shown.stdout
    rows = {
        row["plan"]: row
        for row in cli("compare", runs, "--format", "json").json["tables"][0]["rows"]
    }
    assert rows["0-5:full"]["seeds"] == [0]
    assert rows["0-5:layerwise"]["seeds"] == [0, 1]


def test_csv_has_no_place_for_it_and_says_it_aside(cli, runs):
    edit(runs / "full-1", seed=7)
    shown = cli("compare", runs, "--format", "csv", "--draws", 200)
    assert len(list(csv.DictReader(io.StringIO(shown.stdout)))) == 2
    assert "left out" in shown.stderr
    assert "full-1" in shown.stderr


def test_another_split_and_reference(cli, runs):
    options = ("--split", "dev", "--reference", "layerwise", "--format", "json", "--draws", 200)
    (table,) = cli("compare", runs, *options).json["tables"]
    assert (table["split"], table["reference"]) == ("dev", "0-5:layerwise")
    assert table["rows"][-1]["difference"] > 0


def test_notes_of_a_suite_are_printed(cli, runs):
    cells = [{"run": path.name} for path in sorted(runs.iterdir())]
    notes = ["nine trials for each plan"]
    (runs / "suite.json").write_text(json.dumps({"cells": cells, "notes": notes}))
    assert "note: nine trials for each plan" in cli("compare", runs, "--draws", 200).stdout


def test_mixing_is_refused_and_allowed(cli, runs):
    other = {"id": "other", "fingerprint": "sha256:bb", "steps": 6}
    make_run(runs / "other", "0-5:full", 0, backbone=other)
    refused = cli("compare", runs)
    assert refused.status == 2
    assert "they differ in backbone" in refused.stderr
    assert "--allow backbone" in refused.stderr
    shown = cli("compare", runs, "--allow", "backbone", "--format", "json", "--draws", 200)
    rows = shown.json["tables"][0]["rows"]
    assert {row["backbone"] for row in rows} == {"bundled", "other"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "pdf"], "no such format"),
        (["--split", "train"], "no such split"),
        (["--allow", "everything"], "may not be allowed to differ"),
        (["--reference", "ia3"], "No run has the plan"),
    ],
)
def test_mistakes(cli, runs, options, words):
    shown = cli("compare", runs, *options)
    assert (shown.status, shown.stdout) == (2, "")
    assert words in shown.stderr


def test_nothing_to_compare(cli, tmp_path, runs):
    (tmp_path / "empty").mkdir()
    assert "no run directory" in cli("compare", tmp_path / "empty").stderr
    (runs / "full-0" / "run.json").write_text("{")
    shown = cli("compare", runs / "full-0")
    assert shown.status == 2
    assert "not JSON" in shown.stderr
