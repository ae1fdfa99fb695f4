import json

import pytest


def test_the_test_score_is_reproduced_to_the_last_digit(cli, tiny_run):
    outcome = cli("evaluate", tiny_run, "--task", "bc5cdr", "--json")
    assert outcome.status == 0, outcome.stderr
    recorded = json.loads((tiny_run / "run.json").read_text())
    assert outcome.json["metrics"] == recorded["metrics"]["test"]
    assert outcome.json["data"]["same_as_run"] is True
    assert "built-in sample" in outcome.stderr


def test_another_split_and_the_words_for_it(cli, tiny_run):
    outcome = cli("evaluate", tiny_run, "--split", "dev")
    assert outcome.status == 0, outcome.stderr
    recorded = json.loads((tiny_run / "run.json").read_text())
    for said in ("dev", "strict_f1", "Chemical", "Disease", "the data of the run"):
        assert said in outcome.stdout
    assert f"{recorded['metrics']['dev']['score']:.4f}" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split", "tset"], "test"),
        (["--task", "hoc"], "labels"),
        (["--task", "bc5crd"], "bc5cdr"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_explained(cli, tiny_run, arguments, words):
    outcome = cli("evaluate", tiny_run, *arguments)
    assert outcome.status == 2
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def test_no_run_there(cli, tmp_path):
    outcome = cli("evaluate", tmp_path / "nowhere")
    assert outcome.status == 2
    assert "no finished run" in outcome.stderr


def test_a_damaged_manifest(cli, tmp_path):
    (tmp_path / "run.json").write_text('{"schema": "adapterkit.run.v1", "task"')
    outcome = cli("evaluate", tmp_path)
    assert outcome.status == 2
    assert "damaged" in outcome.stderr
    assert str(tmp_path / "run.json") in outcome.stderr
