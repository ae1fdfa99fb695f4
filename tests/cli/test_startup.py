"""What trains nothing and loads no weights into a model imports no PyTorch."""

import json
import subprocess
import sys

import pytest

from adapterkit.backbones.loading import load_backbone
from adapterkit.plans.show import show_plan
from adapterkit.plans.step_plan import StepPlan

HEAVY = ("accelerate", "adapters", "datasets", "evaluate", "seqeval", "sklearn", "torch")
HEAVY += ("transformers",)

ANSWERED = [
    ["--help"],
    ["--version"],
    *([verb, "--help"] for verb in ("tune", "evaluate", "predict", "bench", "compare")),
    *([verb, "--help"] for verb in ("ablate", "distill", "doctor")),
    *([verb, "--help"] for verb in ("plan", "tasks", "backbones")),
    ["plan", "show", "0-2:frozen 3-5:adapter(lora,r=8)"],
    ["plan", "show", "--mode", "full", "--task", "bc5cdr", "--json"],
    ["plan", "check", "0:loreft 1:compacter 2:layerwise 3:untied rest:full"],
    ["tasks", "list"],
    ["tasks", "show", "hoc"],
    ["tasks", "check", "bc5cdr", "--data", "sample"],
    ["backbones", "list"],
    ["backbones", "show", "--json"],
    ["backbones", "fingerprint"],
]
REFUSED = [
    ["nonsense"],
    ["plan", "show", "0-9:adapter"],
    ["plan", "show", "lora(r=999)"],
    ["plan", "show", "full", "--task", "nonesuch"],
    ["plan", "check", "full", "--backbone", "nowhere"],
    ["backbones", "show", "nowhere"],
    ["tasks", "check", "nonesuch"],
    ["tune"],
    ["tune", "--task", "nonesuch"],
    ["tune", "--task", "bc5cdr", "--backbone", "nowhere"],
    ["tune", "--task", "bc5cdr", "--mode", "adaptor"],
    ["evaluate", "nowhere"],
    ["compare", "nowhere"],
    ["ablate", "nowhere"],
    ["predict", "--adapter", "nowhere", __file__],
    ["distill", "nowhere.yaml"],
    ["bench", "nowhere.yaml"],
    ["bench", "nowhere.yaml", "--engine", "lokal"],
]

_CODE = """
import json, sys
from adapterkit.cli.main import main
try:
    main(sys.argv[2:])
except SystemExit as left:
    heavy = [name for name in json.loads(sys.argv[1]) if name in sys.modules]
    print(json.dumps({"status": left.code or 0, "heavy": heavy}))
"""


def run(arguments):
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps(HEAVY), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("arguments", ANSWERED, ids=" ".join)
def test_answers_need_no_heavy_library(arguments):
    assert run(arguments) == {"status": 0, "heavy": []}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_mistakes_are_told_without_a_heavy_library(arguments):
    assert run(arguments) == {"status": 2, "heavy": []}


def test_heavy_libraries_would_be_noticed(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    found = run(["plan", "show", "full", "--backbone", str(tmp_path)])
    assert found["status"] == 2
    assert "torch" in found["heavy"]


@pytest.mark.parametrize("plan", ["full", "0-2:frozen 3-5:adapter(lora,r=8)", "layerwise"])
def test_show_prints_what_the_loaded_backbone_counts(cli, plan):
    shown = cli("plan", "show", plan, "--json").json
    rows, counted = show_plan(load_backbone().model, StepPlan.parse(plan))
    assert [row["trainable"] for row in shown["rows"]] == [row.trainable for row in rows]
    assert [row["mechanism"] for row in shown["rows"]] == [row.mechanism for row in rows]
    expected = counted.as_dict()
    assert shown["ledger"] == {key: expected[key] for key in shown["ledger"]}


def test_a_checkpoint_of_another_library_is_loaded_and_counted(cli, tmp_path):
    from tests.backbones.minialbert import Shape, base_tensors, config_of, write

    shape = Shape()
    folder = write(tmp_path / "mini", base_tensors(shape), config_of(shape))
    shown = cli("plan", "show", "seq_bn", "--task", "bc5cdr", "--backbone", folder, "--json").json
    assert len([row for row in shown["rows"] if row["mechanism"] == "adapter(seq_bn)"]) == (
        shape.steps
    )
    assert shown["ledger"]["head"] > 0
    checked = cli("plan", "check", "seq_bn", "--backbone", folder)
    assert (checked.status, f"{shape.steps} steps" in checked.stdout) == (0, True)
    facts = cli("backbones", "show", folder, "--json").json
    assert facts["parameters"] == shown["ledger"]["backbone"] + shown["ledger"]["layerwise"]
