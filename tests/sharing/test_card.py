"""The card: what it says, that the Hub reads it, and that its snippets run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from adapters import AlbertAdapterModel
from huggingface_hub import ModelCard

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.loading import load_backbone
from adapterkit.serving.predictor import load_adapter
from adapterkit.sharing.card import EXAMPLE, write_card
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.manifest import PackageManifest, read_manifest
from adapterkit.sharing.packing import pack
from adapterkit.tuning.run import Run

GOLDEN = Path(__file__).parent / "golden" / "card.md"
SHA = "0123456789abcdef" * 4

# Makes `import adapterkit` fail, as where it is not installed.
WITHOUT_ADAPTERKIT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "adapterkit":
            raise ModuleNotFoundError("adapterkit is not installed here")

sys.meta_path.insert(0, Missing())
"""


def made_up(manifest: PackageManifest) -> PackageManifest:
    """The description of a package with figures that are the same everywhere."""
    content = manifest.as_dict()
    content["backbone"] |= {"fingerprint": f"sha256:{SHA}", "id": "somebody/tiny"}
    content["created"] = "2026-01-02T03:04:05+00:00"
    content["seeds"] = [
        {"seed": seed, "run": SHA, "scores": {"dev": 0.8, "test": 0.79}} for seed in range(3)
    ]
    content["scores"] = {
        "dev": {"mean": 0.81234, "sd": 0.0123, "n": 3},
        "test": {"mean": 0.79876, "sd": 0.0234, "n": 3},
    }
    content["versions"] = {"adapterkit": "0.1.0", "adapters": "1.3.0", "python": "3.11"}
    return PackageManifest.model_validate_json(json.dumps(content))


def snippets(package: Path) -> list[str]:
    text = (package / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def run_python(code: str, folder: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_card_is_the_golden_one(package: Path, backbone: Path) -> None:
    card = write_card(made_up(read_manifest(package)), package, load_backbone(backbone))
    if "UPDATE_GOLDEN" in os.environ:
        GOLDEN.write_text(card, encoding="utf-8")
    assert card == GOLDEN.read_text(encoding="utf-8")


def test_the_hub_reads_its_front_matter(package: Path, backbone: Path) -> None:
    manifest = made_up(read_manifest(package))
    card = ModelCard(write_card(manifest, package, load_backbone(backbone)))
    assert card.data.library_name == "adapter-transformers"
    assert card.data.base_model == "somebody/tiny"
    assert card.data.base_model_relation == "adapter"
    assert card.data.pipeline_tag == "token-classification"
    assert card.data.license == "apache-2.0"
    results = [(r.dataset_split, r.metric_name, r.metric_value) for r in card.data.eval_results]
    assert results == [
        ("dev", "strict F1 over whole words (mean of 3 seeds, sd 0.0123)", 0.81234),
        ("test", "strict F1 over whole words (mean of 3 seeds, sd 0.0234)", 0.79876),
    ]


def test_it_tells_the_real_scores(package: Path, finished: Run) -> None:
    text = (package / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    values = [r["metrics"][0]["value"] for r in front["model-index"][0]["results"]]
    expected = [round(finished.metrics[split]["score"], 6) for split in ("dev", "test")]
    assert values == expected
    assert "Not for clinical decisions" in text


def test_its_adapterkit_snippet_runs(package: Path, backbone: Path, tmp_path: Path) -> None:
    (tmp_path / "PACKAGE").symlink_to(package)
    (tmp_path / "BACKBONE").symlink_to(backbone)
    printed = run_python(snippets(package)[0], tmp_path)
    found = load_adapter(package, backbone=backbone).predict([EXAMPLE])
    assert printed.strip() == str(found)


@pytest.mark.parametrize(
    "plan",
    [
        "0:adapter(seq_bn) 1:frozen 2:adapter(lora,r=4)",
        pytest.param("adapter", marks=pytest.mark.slow),
        pytest.param("0:frozen 1-2:adapter(compacter,r=4)", marks=pytest.mark.slow),
    ],
)
def test_its_stock_snippet_runs_where_adapterkit_is_not(
    plan: str, run_tiny: object, backbone: Path, tmp_path: Path
) -> None:
    run = run_tiny(plan=plan, epochs=1, output=tmp_path / "run")  # type: ignore[operator]
    pack([run.path], tmp_path / "PACKAGE")
    export_albert(load_backbone(backbone), tmp_path / "BACKBONE")
    _, code = snippets(tmp_path / "PACKAGE")
    code = f"{WITHOUT_ADAPTERKIT}\n{code}\ntorch.save(logits, 'logits.pt')\n"
    printed = run_python(code, tmp_path)
    loaded = load_package(tmp_path / "PACKAGE", backbone=backbone)
    encoded = loaded.backbone.tokenizer(EXAMPLE, return_tensors="pt")
    with torch.no_grad():
        ours = loaded.applied.model(encoded.input_ids, attention_mask=encoded.attention_mask)
    theirs = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert (theirs - ours.logits).abs().max() <= 1e-5
    labels = loaded.task.output_names
    assert str([labels[i] for i in ours.logits[0].argmax(-1)]) in printed


@pytest.mark.parametrize("name", ["krona", "adakron"])
def test_a_method_of_adapterkits_own_says_that_stock_cannot(
    name: str, run_tiny: object, backbone: Path, tmp_path: Path
) -> None:
    run = run_tiny(plan=f"0-1:frozen 2:{name}", epochs=1, output=tmp_path / "run")  # type: ignore[operator]
    pack([run.path], tmp_path / "package")
    text = (tmp_path / "package" / "README.md").read_text(encoding="utf-8")
    assert f"Not possible: AdapterHub has no method `{name}`" in text
    assert len(snippets(tmp_path / "package")) == 1
    export_albert(load_backbone(backbone), tmp_path / "plain")
    stock = AlbertAdapterModel.from_pretrained(tmp_path / "plain")
    adapter = next((tmp_path / "package").rglob("adapter_config.json")).parent
    with pytest.raises(KeyError, match=name):
        stock.load_adapter(str(adapter), use_safetensors=True)


def test_a_plan_that_changes_the_block_says_that_stock_cannot(
    run_tiny: object, tmp_path: Path
) -> None:
    run = run_tiny(plan="full", epochs=1, output=tmp_path / "run")  # type: ignore[operator]
    pack([run.path], tmp_path / "package")
    text = (tmp_path / "package" / "README.md").read_text(encoding="utf-8")
    assert "changes the backbone itself" in text
    assert len(snippets(tmp_path / "package")) == 1
