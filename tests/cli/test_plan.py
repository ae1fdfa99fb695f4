import subprocess
import sys

import pytest


def test_check_prints_the_plan_as_understood(cli, tiny_backbone):
    checked = cli("plan", "check", "1-2:adapter rest:frozen", "--backbone", tiny_backbone)
    assert checked.status == 0, checked.stderr
    assert checked.stdout.splitlines()[0] == "0:frozen 1-2:adapter(double_seq_bn,r=12) 3:frozen"
    assert "4 steps, 0 to 3" in checked.stdout


def test_the_three_ways_to_give_a_plan_agree(cli, tiny_backbone, tmp_path):
    (tmp_path / "plan.yaml").write_text("plan:\n  0-1: frozen\n  2-3: adapter\n")
    ways = (
        ["0-1:frozen 2-3:adapter"],
        ["--plan", "0-1:frozen 2-3:adapter"],
        ["--plan", tmp_path / "plan.yaml"],
        [tmp_path / "plan.yaml"],
        ["--mode", "adapter", "--steps", "2-3"],
    )
    found = [
        cli("plan", "check", *way, "--backbone", tiny_backbone, "--json").json["steps"]
        for way in ways
    ]
    assert found == [
        ["frozen", "frozen", "adapter(double_seq_bn,r=12)", "adapter(double_seq_bn,r=12)"]
    ] * len(ways)


@pytest.mark.parametrize("verb", ["show", "check"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0-9:adapter"], "0"),
        (["0-1:frozen 1-3:adapter"], "1"),
        (["--mode", "adaptor"], "adapter"),
        (["--mode", "adapter", "--steps", "4"], "4"),
        (["--mode", "layerwise"], "layer-wise"),
        (["--mode", "adapter", "--plan", "all:full"], "exclude"),
        (["all:full", "--plan", "all:full"], "twice"),
        (["all:full", "--mode", "full"], "PLAN and --mode exclude"),
        (["1-3:adaptor rest:frozen"], "PLAN, character 5"),
        (["--plan", "1-3:adaptor rest:frozen"], "--plan, character 5"),
        (["4:adapter rest:frozen"], "PLAN, character 1"),
        (["--mode", "adapter", "--steps", "4"], "--steps, character 1"),
        (["0\u20133:adapter"], "EN DASH"),
        (["lora(r=33)"], "1 to 32"),
        (["adapter(r=1e-300)"], "or more"),
        (["0-1:loreft 2-3:noreft"], "one ReFT"),
        (["compacter(phm_dim=5)"], "width 32"),
        (["missing.yaml"], "missing.yaml"),
        (["-1"], "-1"),
        ([], "--mode"),
    ],
)
def test_plans_that_do_not_fit_are_explained(cli, tiny_backbone, verb, arguments, words):
    outcome = cli("plan", verb, *arguments, "--backbone", tiny_backbone)
    assert outcome.status == 2, outcome.stdout
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def test_mistakes_in_a_plan_are_told_before_anything_heavy_is_imported():
    code = (
        "import sys; from typer.testing import CliRunner; from adapterkit.cli.main import app; "
        "outcome = CliRunner().invoke(app, ['plan', sys.argv[1], '0-5:adaptor']); "
        "assert 'adaptor' in str(outcome.exception); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'adapters')))"
    )
    for verb in ("show", "check"):
        assert subprocess.run([sys.executable, "-c", code, verb], check=False).returncode == 0


def test_full_and_untied_steps_in_one_plan(cli, tiny_backbone):
    plan = "0:full 1:untied 2-3:frozen"
    checked = cli("plan", "check", plan, "--backbone", tiny_backbone)
    assert (checked.status, checked.stdout.splitlines()[0]) == (0, plan)


def test_show_counts_what_learns(cli, tiny_backbone):
    arguments = ["plan", "show", "--mode", "adapter(seq_bn,r=4)", "--steps", "2-3"]
    shown = cli(*arguments, "--backbone", tiny_backbone, "--json").json
    hidden, reduction = 32, 4
    units = hidden // reduction
    one_step = 2 * hidden * units + units + hidden
    assert shown["ledger"]["task"] == shown["ledger"]["trainable"] == 2 * one_step
    assert [row["trainable"] for row in shown["rows"]] == [0, 0, one_step, one_step]
    printed = cli(*arguments, "--backbone", tiny_backbone)
    assert printed.status == 0
    assert f"{2 * one_step:,}" in printed.stdout


def test_show_counts_the_head_of_a_task(cli, tiny_backbone):
    arguments = ["plan", "show", "--mode", "head", "--backbone", tiny_backbone, "--json"]
    assert cli(*arguments).json["ledger"]["trainable"] == 0
    shown = cli(*arguments, "--task", "bc5cdr").json
    assert shown["ledger"]["head"] == shown["ledger"]["trainable"] == 32 * 5 + 5


@pytest.mark.parametrize("verb", ["show", "check"])
def test_a_step_that_does_not_exist_is_said_before_a_gap(cli, verb):
    done = cli("plan", verb, "0-1:frozen 7:full")
    assert done.status == 2
    assert "no recursion step 7" in done.stderr
    assert "0-5" in done.stderr
