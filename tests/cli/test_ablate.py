from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree

import pytest


@pytest.fixture
def own_run(tiny_run, tmp_path):
    """A copy of the run that a test may write to."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_a_run_is_ablated_and_its_results_lie_beside_it(cli, own_run):
    recorded = json.loads((own_run / "run.json").read_text())
    outcome = cli("ablate", own_run, "--swap", own_run)
    assert outcome.status == 0, outcome.stderr
    score = recorded["metrics"]["dev"]["score"]
    for said in ("strict_f1", "without its task adapter", f"{score:.4f}", "steps of the other"):
        assert said in outcome.stdout
    assert "built-in sample" in outcome.stderr
    written = json.loads((own_run / "ablation.json").read_text())
    assert written["schema"] == "adapterkit.ablation.v1"
    assert [each["step"] for each in written["steps"]] == [0, 1, 2, 3]
    assert written["whole"]["score"] == score
    assert [result["score"] for result in written["swap"]["results"]] == [score] * 5
    for name in ("ablation.svg", "ablation-swap.svg"):
        root = ElementTree.parse(own_run / name).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_json_and_a_folder_for_the_results(cli, own_run, tmp_path):
    outcome = cli("ablate", own_run, "--split", "test", "--json", "--output", tmp_path / "found")
    assert outcome.status == 0, outcome.stderr
    recorded = json.loads((own_run / "run.json").read_text())
    assert outcome.json["whole"]["score"] == recorded["metrics"]["test"]["score"]
    assert outcome.json["swap"] is None
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names == {"ablation.json", "ablation.svg"}
    assert not (own_run / "ablation.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split", "tset"], "test"),
        (["--data", "nowhere"], "nowhere"),
        (["--swap", "nowhere"], "no finished run"),
    ],
)
def test_mistakes_are_explained(cli, tiny_run, arguments, words):
    outcome = cli("ablate", tiny_run, *arguments)
    assert outcome.status == 2
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
