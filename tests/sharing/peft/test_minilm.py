"""A pretrained BERT: its LoRA under PEFT, on itself and on the ALBERT that is exported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from adapterkit.backbones.exporting import export_albert
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.packaged import MINILM, MINILM_PACKAGE, minilm_folder
from adapterkit.sharing.loading import load_package
from adapterkit.sharing.packing import pack
from adapterkit.sharing.peft.exporting import export_peft
from adapterkit.sharing.peft.importing import import_peft
from adapterkit.tuning.tune import tune

from .conftest import LABELS, logits_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec(MINILM_PACKAGE) is None, reason="the teacher is not installed"
    ),
]


@pytest.mark.parametrize("kind", ["albert", "bert"])
def test_minilm(kind: str, corpus: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    # Thirty modules: PEFT rewrites lists of twenty and more.
    plan = "lora(r=4,attn_matrices=qkv,intermediate=true,output=true)"
    options = {"data": corpus, "epochs": 3, "learning_rate": 1e-2}
    run = tune("bc5cdr", plan, backbone=MINILM, output=tmp_path / "run", **options)
    pack([run.path], tmp_path / "package")
    export_peft(tmp_path / "package", tmp_path / "peft", layout=kind)
    base = minilm_folder()
    if kind == "albert":
        base = tmp_path / "exported"
        export_albert(load_backbone(MINILM), base)
    cls = getattr(transformers, f"{kind.capitalize()}ForTokenClassification")
    model = cls.from_pretrained(base, num_labels=len(LABELS))
    found = logits_of(peft.PeftModel.from_pretrained(model, tmp_path / "peft").eval())
    expected = logits_of(load_package(tmp_path / "package").applied.model)
    assert (found - expected).abs().max() <= 1e-5
    import_peft(tmp_path / "peft", tmp_path / "back", task="bc5cdr", backbone=MINILM)
    for file in ("bc5cdr/adapter.safetensors", "head/model_head.safetensors"):
        before, after = load_file(tmp_path / "package" / file), load_file(tmp_path / "back" / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
