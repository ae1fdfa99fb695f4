"""What PEFT computes with an exported package, and what a package of PEFT's computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.sharing.manifest import read_manifest
from adapterkit.sharing.peft.exporting import export_peft
from adapterkit.sharing.peft.importing import import_peft

from .conftest import LABELS, Packed, logits_of, package_logits

Stock = Callable[..., Any]

EVERY = "lora(r=2)"
UPPER = "0:frozen 1-2:lora(r=4,alpha=6,attn_matrices=qkv,intermediate=true,output=true)"
MIXED = "0:lora(r=2) 1:frozen 2:lora(r=4,alpha=3,attn_matrices=k)"
CASES = [
    (EVERY, "plain", "albert"),
    (UPPER, "plain", "albert"),
    (MIXED, "plain", "albert"),
    (MIXED, "relaxed", "albert"),
    (UPPER, "bert", "albert"),
    (MIXED, "bert", "bert"),
]


@pytest.mark.parametrize(("plan", "backbone", "kind"), CASES)
def test_peft_computes_the_same(
    plan: str,
    backbone: str,
    kind: str,
    packed: Packed,
    backbones: dict[str, Path],
    stock: Stock,
    tmp_path: Path,
) -> None:
    peft = pytest.importorskip("peft")
    package = packed(plan, backbone)
    export_peft(package, tmp_path / "peft", layout=kind, backbone=backbones[backbone])
    model = peft.PeftModel.from_pretrained(stock(backbone, kind), tmp_path / "peft").eval()
    found, expected = logits_of(model), package_logits(package, backbones[backbone])
    assert (found - expected).abs().max() <= 1e-5
    with model.disable_adapter():
        assert (logits_of(model) - expected).abs().max() > 1e-3


@pytest.mark.parametrize(("plan", "backbone", "kind"), CASES)
def test_there_and_back_no_bit_changes(
    plan: str,
    backbone: str,
    kind: str,
    packed: Packed,
    backbones: dict[str, Path],
    tmp_path: Path,
) -> None:
    package, folder = packed(plan, backbone), backbones[backbone]
    export_peft(package, tmp_path / "peft", layout=kind, backbone=folder)
    made = import_peft(tmp_path / "peft", tmp_path / "back", task="bc5cdr", backbone=folder)
    assert made.plan == str(StepPlan.parse(plan, 3))
    files = sorted(p.relative_to(package) for p in package.rglob("*.safetensors"))
    assert len(files) > 1
    for file in files:
        before, after = load_file(package / file), load_file(tmp_path / "back" / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.equal(package_logits(tmp_path / "back", folder), package_logits(package, folder))


def test_it_writes_peft_s_format(
    packed: Packed, backbones: dict[str, Path], tmp_path: Path
) -> None:
    made = export_peft(packed(MIXED), tmp_path / "peft", backbone=backbones["plain"])
    content = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert content["peft_type"] == "LORA"
    assert content["modules_to_save"] == ["classifier"]
    step = "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.{}"
    assert content["target_modules"] == [
        step.format(0, "query"),
        step.format(0, "value"),
        step.format(2, "key"),
    ]
    assert content["rank_pattern"] == {step.format(2, "key"): 4}
    assert content["alpha_pattern"] == {step.format(2, "key"): 3}
    assert list(made.modules) == content["target_modules"]
    names = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    assert names["base_model.model.classifier.weight"].shape == (len(LABELS), 32)
    card = (tmp_path / "peft" / "README.md").read_text()
    assert read_manifest(packed(MIXED)).backbone.fingerprint in card


def trained(model: Any, peft: Any, folder: Path, **options: Any) -> torch.Tensor:
    """Save a LoRA of PEFT's with random updates; its logits."""
    torch.manual_seed(0)
    config = peft.LoraConfig(**{"task_type": "TOKEN_CLS", "r": 4, "lora_alpha": 6, **options})
    adapted = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.normal_(std=0.1)
    adapted.save_pretrained(folder)
    return logits_of(adapted)


GROUPS = "albert_layer_groups"
QUERY_2 = f"{GROUPS}.2.albert_layers.0.attention.query"


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        ({"target_modules": ["query", "value"]}, "0-2:adapter(lora,r=4,alpha=6)"),
        (
            {
                "target_modules": ["query", "ffn"],
                "layers_to_transform": [1, 2],
                "layers_pattern": GROUPS,
                "lora_dropout": 0.1,
            },
            "0:frozen 1-2:adapter(lora,r=4,alpha=6,dropout=0.1,attn_matrices=q,intermediate=true)",
        ),
        (
            {"target_modules": rf".*{GROUPS}\.[02]\..*(query|value)"},
            "0:adapter(lora,r=4,alpha=6) 1:frozen 2:adapter(lora,r=4,alpha=6)",
        ),
        (
            {
                "target_modules": ["query"],
                "rank_pattern": {QUERY_2: 2},
                "alpha_pattern": {QUERY_2: 5},
            },
            "0-1:adapter(lora,r=4,alpha=6,attn_matrices=q) "
            "2:adapter(lora,r=2,alpha=5,attn_matrices=q)",
        ),
        (
            {"target_modules": ["query", "value"], "use_rslora": True},
            "0-2:adapter(lora,r=4,alpha=12)",
        ),
    ],
)
def test_what_peft_trained_computes_the_same_here(
    options: dict[str, Any], plan: str, stock: Stock, backbones: dict[str, Path], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    expected = trained(stock("relaxed"), peft, tmp_path / "peft", **options)
    folder = backbones["relaxed"]
    made = import_peft(tmp_path / "peft", tmp_path / "package", task="bc5cdr", backbone=folder)
    assert made.plan == plan
    assert made.origin.kind == "peft"
    assert (package_logits(tmp_path / "package", folder) - expected).abs().max() <= 1e-5


def test_the_backbone_that_it_was_trained_on(
    stock: Stock, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """The folder that was exported says what of."""
    peft = pytest.importorskip("peft")
    trained(stock("plain"), peft, tmp_path / "peft", target_modules=["query"])
    with pytest.raises(UserError, match="another backbone"):
        import_peft(tmp_path / "peft", tmp_path / "p", task="bc5cdr", backbone=backbones["relaxed"])
    import_peft(tmp_path / "peft", tmp_path / "p", task="bc5cdr", backbone=backbones["plain"])


@pytest.mark.filterwarnings("ignore:Adapter 'default'")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target_modules": ["query"], "use_dora": True}, "use_dora"),
        ({"target_modules": ["query"], "bias": "lora_only"}, "bias"),
        ({"target_modules": ["query"], "lora_bias": True}, "lora_bias"),
        ({"target_modules": ["query", "dense"]}, "attention.dense.lora_A"),
        ({"target_modules": ["ffn", "ffn_output"]}, "feed-forward alone"),
        ({"target_modules": ["query"], "task_type": None}, "no head"),
        ({"target_modules": ["query"], "init_lora_weights": "pissa"}, "init_lora_weights"),
        (
            {"target_modules": ["query", "value"], "rank_pattern": {"value": 2}},
            "several ranks or scales",
        ),
        (
            {"target_modules": ["query"], "modules_to_save": ["embedding_hidden_mapping_in"]},
            "modules_to_save",
        ),
    ],
)
def test_what_peft_trained_otherwise_is_refused(
    options: dict[str, Any], told: str, stock: Stock, backbones: dict[str, Path], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    trained(stock("plain"), peft, tmp_path / "peft", **options)
    with pytest.raises(UserError) as caught:
        import_peft(
            tmp_path / "peft", tmp_path / "package", task="bc5cdr", backbone=backbones["plain"]
        )
    assert told in str(caught.value)
    assert not (tmp_path / "package").exists()
