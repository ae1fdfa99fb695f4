import json
import shlex
import signal
import subprocess
import sys
import time

import pytest

from adapterkit.comparing.suites.local_engine import LocalEngine


@pytest.fixture
def suite(tiny_backbone, tmp_path, monkeypatch):
    """Write a suite of short runs on the sample; returns its file."""
    monkeypatch.chdir(tmp_path)

    def write(plans="[head]", more="options: {epochs: 1, limit_train: 10}\n"):
        file = tmp_path / "tiny.yaml"
        file.write_text(
            f"tasks: [bc5cdr]\nplans: {plans}\nseeds: 1\ndata: sample\n"
            f"backbones: ['{tiny_backbone}']\n{more}"
        )
        return file

    return write


def test_a_suite_is_run_once_and_its_table_printed(cli, suite, tmp_path):
    first = cli("bench", suite(), "--no-measure")
    assert first.status == 0, first.stderr
    assert "finished bc5cdr head seed 0" in first.stderr
    assert "1 of 1 done" in first.stderr
    again = cli("bench", suite(), "--no-measure", "--json")
    assert again.status == 0, again.stderr
    assert "finished" not in again.stderr
    printed = again.json
    assert printed["path"] == str(tmp_path / "runs" / "suites" / "tiny")
    (cell,) = printed["cells"]
    assert (cell["plan"], cell["status"]) == ("head", "finished")
    (table,) = printed["tables"]
    assert [row["runs"] for row in table["rows"]] == [[cell["run"]]]
    compared = cli("compare", printed["path"])
    assert compared.status == 0, compared.stderr
    assert compared.stdout.strip() in first.stdout
    assert "bc5cdr" in first.stdout


def test_failing_runs_are_told_with_what_to_type_next(cli, suite, tmp_path, monkeypatch):
    def fails(folder, threads):
        return ["sh", "-c", "echo 'Error: The backbone is too small.'; exit 2"]

    monkeypatch.setattr("adapterkit.cli.bench._engine", lambda *_: LocalEngine(1, command=fails))
    outcome = cli("bench", suite(), "--no-measure", "--output", "out")
    assert outcome.status == 1
    assert "failed bc5cdr head seed 0" in outcome.stderr
    assert "The backbone is too small." in outcome.stderr
    assert "Traceback" not in outcome.stderr
    command = outcome.stderr.splitlines()[-1].partition("again: ")[2]
    again = cli(*shlex.split(command)[1:], "--no-measure", "--json")
    assert again.status == 1
    assert again.json["cells"][0]["error"] == "The backbone is too small."
    assert again.json["tables"] == []
    error = json.loads((next((tmp_path / "out" / "cells").iterdir()) / "error.json").read_text())
    assert error["attempts"] == 2


@pytest.mark.slow
def test_ctrl_c_stops_the_runs_softly(suite, tmp_path):
    file = suite("[lora]", "options: {epochs: 2000, batch_tokens: 64}\n")
    command = [sys.executable, "-m", "adapterkit", "bench", str(file), "--output", "out"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out" / "cells").glob("*/run/log.jsonl")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopped bc5cdr lora seed 0" in said
    assert f"go on with: adapterkit bench {file} --output out" in said
    assert "Traceback" not in said
    (run,) = (tmp_path / "out" / "cells").glob("*/run")
    assert list((run / "checkpoints").iterdir())
    assert (run / "state.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.yaml",), "no such suite"),
        (("tiny.yaml", "--engine", "lokal"), "did you mean local?"),
        (("tiny.yaml", "--seeds", "0"), "--seeds"),
        (("tiny.yaml", "--output", "tiny.yaml/x"), "tiny.yaml"),
    ],
)
def test_mistakes_are_explained(cli, suite, arguments, words):
    suite()
    outcome = cli("bench", *arguments)
    assert outcome.status == 2
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
