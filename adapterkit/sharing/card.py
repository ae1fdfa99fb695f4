"""The model card of a package: what the Hub reads in front, and what people read below."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapterkit.backbones.layerwise import LAYERWISE
from adapterkit.backbones.loading import Backbone
from adapterkit.backbones.pretrained import FORMS
from adapterkit.backbones.safety import read_json
from adapterkit.plans.adapter_table import OWN_ADAPTERS
from adapterkit.plans.files import FUSED_KEY, FUSION_CONFIG_FILE, SIDE_FILE, WEIGHTS_FILE
from adapterkit.plans.manifest import PlanManifest, read_plan_manifest
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.quantities import human_bytes
from adapterkit.sharing.manifest import PackageManifest
from adapterkit.tasks.config import TaskConfig

EXAMPLE: Final = "Ibuprofen relieved his headache, but lithium caused tremor."
_PIPELINES: Final = {
    "ner": "token-classification",
    "classification": "text-classification",
    "multilabel": "text-classification",
}
_VERSIONS: Final = ("adapterkit", "adapters", "transformers", "torch")


@dataclass(frozen=True)
class IndexRow:
    """A line of the card's ``model-index``.

    Attributes:
        split: The split that was scored.
        type: What the Hub calls the metric.
        name: What it is, with spread and number of seeds.
        value: The figure.
    """

    split: str
    type: str
    name: str
    value: float


def write_card(manifest: PackageManifest, folder: Path, backbone: Backbone) -> str:
    """The text of a package's ``README.md``.

    Args:
        manifest: Its description.
        folder: The package, its tensors and plan in it.
        backbone: Its backbone.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # What is made is Markdown and YAML: nothing is escaped as in HTML.
    environment = Environment(
        loader=PackageLoader("adapterkit.sharing"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    facts = {**_facts(manifest), **_stock_facts(manifest, folder, backbone)}
    return environment.get_template("card.md.j2").render(facts)


def _facts(manifest: PackageManifest) -> dict[str, Any]:
    task, ledger = manifest.config(), manifest.ledger
    metric = _metric_words(manifest)
    return {
        "p": manifest,
        "task": task,
        "pipeline": _PIPELINES[task.kind],
        "hub_data": task.hub.repository if task.hub and manifest.data.source == "hub" else None,
        "hub_metric": "f1" if "f1" in manifest.metric else manifest.metric,
        "index": _index_rows(manifest, metric),
        "metric_words": metric[:1].upper() + metric[1:],
        "data_words": _data_words(manifest, task),
        "score_note": _score_note(manifest),
        "notes": [*task.notes],
        "shipped": human_bytes(ledger.shipped_bytes),
        "trainable": f"{ledger.trainable:,}",
        "head": f"{ledger.head:,}",
        "backbone": f"{ledger.backbone + ledger.layerwise:,}",
        "versions": [(n, manifest.versions[n]) for n in _VERSIONS if n in manifest.versions],
        "example": EXAMPLE,
        "labels": json.dumps(manifest.labels),
    }


def _stock_facts(manifest: PackageManifest, folder: Path, backbone: Backbone) -> dict[str, Any]:
    plan = read_plan_manifest(folder)
    why_not = _why_not_stock(plan, folder, backbone)
    fusions = _fusions(plan, folder)
    stacked = [name for name in plan.active if name in (*plan.adapters, *fusions, LAYERWISE)]
    is_hub = "/" in manifest.backbone.id
    is_known = is_hub or backbone.id == manifest.backbone.id
    return {
        "stock": why_not is None,
        "why_not_stock": why_not,
        "adapters": list(plan.adapters),
        "head_name": plan.head,
        "layerwise": backbone.has_layerwise,
        "fusions": fusions,
        "stack": ", ".join(_in_stack(name, fusions) for name in stacked),
        "epsilon": backbone.model.config.layer_norm_eps,
        "hub_backbone": manifest.backbone.id if is_hub else None,
        "backbone_argument": "" if is_known else ', backbone="BACKBONE"',
    }


def _why_not_stock(plan: PlanManifest, folder: Path, backbone: Backbone) -> str | None:
    changed = [name for name in (WEIGHTS_FILE, SIDE_FILE, *FORMS) if (folder / name).exists()]
    if changed:
        return f"this plan changes the backbone itself or adds a path beside it (`{changed[0]}`)"
    choices = StepPlan.parse(plan.plan, plan.steps).choices
    if own := [name for choice in choices if (name := choice.config) in OWN_ADAPTERS]:
        return f"AdapterHub has no method `{own[0]}`, and stops with `KeyError: '{own[0]}'`"
    if backbone.model.config.embedding_adapter_size is not None:
        return "the backbone has an adapter in front of step 0"
    if _fusions(plan, folder) and (
        backbone.has_layerwise or any(len(s) < backbone.steps for s in plan.adapters.values())
    ):
        return (
            "AdapterHub's fusion needs one plain adapter at every step: it overlooks single steps, "
            "and the adapters behind layer-wise ones"
        )
    if any(choice.definition.on_frozen and choice.config == "lora" for choice in choices):
        return (
            "AdapterHub's stack feeds what one LoRA computes to the next, and drops its own update"
        )
    return None if plan.head is not None else "the package has no head"


def _fusions(plan: PlanManifest, folder: Path) -> dict[str, list[str]]:
    """The adapters that each fusion of a package fuses."""
    files = {name: folder / name / FUSION_CONFIG_FILE for name in plan.active}
    return {n: read_json(path)[FUSED_KEY] for n, path in files.items() if path.is_file()}


def _in_stack(name: str, fusions: Mapping[str, Sequence[str]]) -> str:
    if name not in fusions:
        return f'"{name}"'
    fused = ", ".join(f'"{part}"' for part in fusions[name])
    return f'Fuse({fused}, name="{name}")'


def _index_rows(manifest: PackageManifest, metric: str) -> Sequence[IndexRow]:
    rows = []
    kind = "f1" if "f1" in manifest.metric else manifest.metric
    for split, score in manifest.scores.items():
        of = "one seed" if score.sd is None else f"mean of {score.n} seeds, sd {score.sd:.4f}"
        rows.append(IndexRow(split, kind, f"{metric} ({of})", round(score.mean, 6)))
    return rows


def _metric_words(manifest: PackageManifest) -> str:
    words = manifest.metric.replace("_", " ").replace("f1", "F1")
    if manifest.protocol == "nlpie":
        return f"{words} over word pieces (nlpie's protocol)"
    return f"{words} over whole words" if manifest.scheme else words


def _data_words(manifest: PackageManifest, task: TaskConfig) -> str:
    title = task.title or task.name
    if manifest.data.source == "sample":
        return "adapterkit's bundled sample, original sentences and not the corpus"
    if manifest.data.source == "hub":
        return f"{title}, as the Hub has it"
    if manifest.data.source == "unknown":
        return "it is not known which files"
    return f"{title}, from files whose SHA-256 stands in `adapterkit.json`"


def _score_note(manifest: PackageManifest) -> str:
    if not manifest.scores:
        return "It was not scored yet: `adapterkit evaluate PACKAGE` does it."
    if manifest.origin.kind not in ("run", "fusion", "stack"):
        return (
            "These are the scores of what the package was made of, each alone; "
            "`adapterkit evaluate PACKAGE` scores the package itself."
        )
    note = "The epoch was chosen on dev, and test scored once."
    if len(manifest.seeds) > 1:
        note += f" The seed that is best on dev is packed: {manifest.origin.seed}."
    return note
