import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

from adapterkit.cli.summary import next_commands
from adapterkit.runs import manifest as manifests
from adapterkit.runs.lock import hold

QUICK = ("--data", "sample", "--epochs", "1", "--limit-train", "20")


@pytest.fixture
def tune(cli, tiny_backbone, tmp_path):
    """Tune the tiny backbone for a moment."""

    def run(*arguments, task="bc5cdr", output=tmp_path / "run"):
        return cli(
            "tune",
            "--task",
            task,
            "--backbone",
            tiny_backbone,
            "--output",
            output,
            *QUICK,
            *arguments,
        )

    return run


def test_json_is_the_manifest_and_nothing_else(tune, tmp_path):
    outcome = tune("--json", "--mode", "lora(r=2)", "--steps", "2-3", "--seed", "3")
    assert outcome.status == 0, outcome.stderr
    printed = outcome.json
    assert printed.pop("path") == str(tmp_path / "run")
    assert printed == json.loads((tmp_path / "run" / "run.json").read_text())
    assert printed["plan"] == "0-1:frozen 2-3:adapter(lora,r=2)"
    assert printed["seed"] == 3
    assert printed["sample"] is True
    assert printed["command"].startswith("adapterkit tune --task bc5cdr --backbone ")
    assert printed["command"].endswith("--seed 3")


def test_the_frozen_steps_are_run_once_a_text_unless_told_otherwise(tune):
    outcome = tune("--json", "--mode", "head")
    assert outcome.json["prefix"]["splits"].keys() == {"train", "dev", "test"}
    assert "running the frozen steps 0-3: train" in outcome.stderr
    outcome = tune("--json", "--mode", "head", "--prefix-cache", "off", output="off")
    assert outcome.json["prefix"] == {"steps": 4, "cache": "off", "splits": {}, "bytes": 0}
    assert "frozen" not in outcome.stderr
    outcome = tune("--prefix-cache", "on", output="on")
    assert outcome.status == 2
    assert "--prefix-cache" in outcome.stderr


def test_a_profile_is_left_in_the_run_and_printed(tune, tmp_path):
    outcome = tune("--json", "--profile", "--batch-tokens", "64")
    assert outcome.status == 0, outcome.stderr
    assert "profiled" in outcome.json["notes"][-1]
    table = json.loads((tmp_path / "run" / "profile" / "summary.json").read_text())
    assert f"profile of updates {table['first_update']}-" in outcome.stderr
    assert "matrix products" in outcome.stderr
    assert "USDT" not in outcome.stderr
    again = tune("--resume", "--profile", "--json")
    assert again.status == 0, again.stderr
    assert "no profile" in again.stderr


def test_the_sample_is_noticed_loudly(tune):
    for extra in ([], ["--json"]):
        outcome = tune(*extra, output=f"runs-{len(extra)}")
        assert "WARNING" in outcome.stderr
        assert "built-in sample" in outcome.stderr


@pytest.fixture(autouse=True)
def _own_working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_the_summary_says_what_matters(tune, tmp_path):
    outcome = tune()
    assert outcome.status == 0, outcome.stderr
    manifest = manifests.load(tmp_path / "run")
    for said in (
        f"{manifest.metrics['test']['score']:.4f}",
        f"{manifest.ledger.trainable:,} of ",
        "training",
        str(tmp_path / "run"),
        *next_commands(tmp_path / "run", manifest),
    ):
        assert said in outcome.stdout
    assert manifest.plan == "0-3:adapter(double_seq_bn,r=12)"
    assert "scoring test" in outcome.stderr


def test_what_to_type_next_works(cli, tiny_run):
    evaluate, predict = next_commands(tiny_run, manifests.load(tiny_run))
    scored = cli(*shlex.split(evaluate)[1:])
    assert scored.status == 0, scored.stderr
    assert f"{manifests.load(tiny_run).metrics['test']['score']:.4f}" in scored.stdout
    echo, command = predict.split(" | ")
    text = " ".join(shlex.split(echo)[1:])
    predicted = cli(*shlex.split(command)[1:], stdin=text.encode())
    assert predicted.status == 0, predicted.stderr
    assert predicted.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mode", "adaptor"), "adapter"),
        (("--steps", "7"), "0-3"),
        (("--steps", "3-"), "3-"),
        (("--plan", "0-3:adapter(seq_bm)"), "seq_bn"),
        (("--mode", "adapter", "--plan", "all:full"), "exclude"),
        (("--backbone", "nowhere/at-all"), "nowhere/at-all"),
        (("--data", "nowhere"), "nowhere"),
        (("--protocol", "wrod"), "nlpie"),
        (("--lr", "100"), "--lr"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(tune, tmp_path, arguments, words):
    outcome = tune(*arguments)
    assert outcome.status == 2, outcome.stdout
    assert outcome.stderr.splitlines()[-1]
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert not (tmp_path / "run").exists()


def test_an_unknown_task_is_explained(tune, tmp_path):
    outcome = tune(task="bc5crd")
    assert outcome.status == 2
    assert "did you mean bc5cdr" in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_no_task_is_explained(cli):
    outcome = cli("tune", "--mode", "adapter")
    assert outcome.status == 2
    assert "bc5cdr" in outcome.stderr


def test_a_data_folder_with_a_split_missing(tune, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.tsv").write_text("Aspirin\tB-Chemical\n\n")
    outcome = tune("--data", folder)
    assert outcome.status == 2
    assert "dev.tsv" in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_a_directory_in_use_is_left_alone(tune, tmp_path):
    with hold(tmp_path / "run"):
        outcome = tune()
        assert outcome.status == 2
        assert "in use by another run" in outcome.stderr
        assert f"process {os.getpid()}" in outcome.stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_unwritable_path_is_noticed_before_work(tune, tmp_path):
    (tmp_path / "file").write_text("mine")
    outcome = tune(output=tmp_path / "file" / "run")
    assert outcome.status == 2
    assert str(tmp_path / "file") in outcome.stderr
    assert "training" not in outcome.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_noticed_before_work(tune, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    outcome = tune()
    assert outcome.status == 2
    assert "not enough free disk space" in outcome.stderr
    assert "training" not in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_overwritten(tune, tiny_run):
    before = (tiny_run / "run.json").read_bytes()
    outcome = tune(output=tiny_run)
    assert outcome.status == 2
    assert str(tiny_run) in outcome.stderr
    assert (tiny_run / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--resume",), "--output"), (("--resume", "--output", "nowhere"), "nowhere")],
)
def test_nothing_to_resume_is_explained(cli, arguments, words):
    outcome = cli("tune", *arguments)
    assert outcome.status == 2
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_ctrl_c_leaves_a_run_that_can_be_resumed(cli, tiny_backbone, tmp_path):
    arguments = [
        "tune", "--task", "bc5cdr", "--backbone", str(tiny_backbone), "--data", "sample",
        "--epochs", "400", "--limit-train", "10", "--output", str(tmp_path / "run"),
    ]  # fmt: skip
    code = "from adapterkit.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("epoch 1:"):
            process.send_signal(signal.SIGINT)
    process.stderr.close()
    assert process.stdout.read() == ""
    process.stdout.close()
    assert process.wait() == 130
    assert f"adapterkit tune --resume --output {tmp_path / 'run'}" in "".join(said)
    assert not any("Traceback" in line for line in said)
    assert not (tmp_path / "run" / "run.json").exists()

    other = cli("tune", "--resume", "--output", tmp_path / "run", "--seed", "1")
    assert other.status == 2
    assert "--seed" in other.stderr
    anew = cli(*arguments)
    assert anew.status == 2
    assert "--resume" in anew.stderr


def test_the_folder_is_named_after_what_was_typed(cli, tiny_backbone, tmp_path):
    # The first is the default, and what README shows.
    for arguments, name in (
        (["--mode", "adapter"], "bc5cdr-adapter-double-seq-bn-r-12-s0"),
        (
            ["--mode", "lora", "--steps", "2-3", "--seed", "1"],
            "bc5cdr-2-3-adapter-lora-rest-frozen-s1",
        ),
    ):
        done = cli("tune", "--task", "bc5cdr", "--backbone", tiny_backbone, *arguments, *QUICK)
        assert done.status == 0, done.stderr
        assert (tmp_path / "runs" / name / "run.json").exists()
