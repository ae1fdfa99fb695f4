"""Reading per-step LoRA from PEFT's format, as a package."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import torch

from adapterkit.backbones.folder_layout import CARD_FILE
from adapterkit.backbones.loading import Backbone, load_backbone
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tensors import as_float32, read_safetensors
from adapterkit.backbones.tokenizer_fingerprint import tokenizer_fingerprint
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.ledger import ledger
from adapterkit.plans.saving import save_adapted
from adapterkit.plans.shipped import shipped_tensors
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.atomic import atomic_directory
from adapterkit.runs.environment import versions
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.sharing.layout import MAX_FILE_BYTES
from adapterkit.sharing.manifest import Ledger, Origin, PackageManifest, mechanisms_of
from adapterkit.sharing.names import check_name, default_name
from adapterkit.sharing.packing import DEFAULT_LICENCE, public_id, seal_folder, without_places
from adapterkit.sharing.peft.files import CONFIG_FILE, WEIGHTS_FILE
from adapterkit.sharing.peft.fitting import check_stock
from adapterkit.sharing.peft.layouts import LAYOUTS, WRAPPED, StockLayout, update_place
from adapterkit.sharing.peft.plan import Update, plan_of
from adapterkit.sharing.peft.settings import HEAD_MODULE, LoraSettings, read_settings
from adapterkit.sharing.tensor_files import check_tensor_file
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.registry import load_task
from adapterkit.tuning.heads import add_head
from adapterkit.tuning.prepare import adapter_name

_UPDATE = re.compile(r"(.+)\.lora_([AB])\.weight")
_HEAD: Final = tuple(f"{WRAPPED}{HEAD_MODULE}.{kind}" for kind in ("weight", "bias"))


def import_peft(
    source: str | Path,
    output: str | Path,
    *,
    task: str | Path,
    backbone: str | Path,
    name: str | None = None,
    licence: str = DEFAULT_LICENCE,
) -> PackageManifest:
    """Write a package of a LoRA that PEFT saved for a token classifier.

    Args:
        source: PEFT's folder: ``adapter_config.json`` and ``adapter_model.safetensors``.
        output: A folder that does not exist yet or is empty.
        task: The task, in the order of whose tags the head's outputs must be: PEFT's files do not
            say what they stand for.
        backbone: The backbone whose stock model it was trained on: PEFT's files do not tell that
            for certain either.
        name: ``task@plan``; by default made from both.
        licence: What the package may be used for.

    Raises:
        UserError: The files are damaged, or hold what adapterkit's LoRA does not compute at the
            backbone's steps; says what that is.
    """
    folder = Path(source)
    settings = read_settings(folder / CONFIG_FILE)
    weights = _read(folder / WEIGHTS_FILE)
    config = load_task(task)
    loaded = load_backbone(backbone)
    stock = _layout_of(weights, folder / WEIGHTS_FILE)
    check_stock(loaded, config, stock)
    _check_base(settings.base, loaded, folder / CONFIG_FILE)
    found = _sorted(weights, stock, settings, loaded, folder)
    plan = plan_of(found.updates.values(), settings, loaded.steps, folder / CONFIG_FILE)
    applied = apply_plan(loaded.model, plan, name=adapter_name(config))
    add_head(loaded.model, config, applied.name, seed=0)
    _fill(applied, found, folder / WEIGHTS_FILE)
    origin = Origin(kind="peft", parents=(sha256_file(folder / WEIGHTS_FILE),))
    described = _describe(config, applied, loaded, origin, name, licence)
    with atomic_directory(output) as target:
        save_adapted(applied, target / "adapted")
        for entry in (target / "adapted").iterdir():
            entry.rename(target / entry.name)
        (target / "adapted").rmdir()
        return seal_folder(target, described, loaded)


@dataclass(frozen=True)
class _Found:
    """PEFT's tensors.

    Attributes:
        updates: By their module's name.
        head: Weight and bias of the head, by these names.
    """

    updates: Mapping[str, Update]
    head: Mapping[str, torch.Tensor]


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        raise UserError("The tensor file is too large.", where=str(path))
    if not path.is_file():
        raise UserError(
            "There is no adapter of PEFT here.",
            where=str(path),
            found="no such file",
            allowed="a folder that PEFT's save_pretrained wrote, with safetensors",
        )
    check_tensor_file(path)
    return as_float32(path, read_safetensors(path))


def _layout_of(weights: Mapping[str, torch.Tensor], path: Path) -> StockLayout:
    for layout in LAYOUTS.values():
        if any(name.startswith(f"{WRAPPED}{layout.name}.") for name in weights):
            return layout
    raise UserError(
        "The adapter is for a model that no backbone is.",
        where=f"{path}: {next(iter(weights), '')[:150]}",
        allowed=[f"{layout.model}'s tensors" for layout in LAYOUTS.values()],
        hint="train it on what `adapterkit backbones export` writes",
    )


def _check_base(base: str | None, backbone: Backbone, path: Path) -> None:
    """Where the model that it was trained on still lies, its card says which backbone it was."""
    card = Path(base) / CARD_FILE if base else None
    if card is None or not card.is_file():
        return
    exported_from = read_json(card).get("exported_from")
    if exported_from not in (None, backbone.fingerprint):
        raise UserError(
            "The adapter was trained on another backbone.",
            where=f"{path}: base_model_name_or_path",
            found=str(exported_from)[:100],
            allowed=f"{backbone.fingerprint} ({backbone.id})",
            hint="name the backbone that was exported with --backbone",
        )


def _sorted(
    weights: Mapping[str, torch.Tensor],
    stock: StockLayout,
    settings: LoraSettings,
    backbone: Backbone,
    folder: Path,
) -> _Found:
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in weights.items():
        match = _UPDATE.fullmatch(name)
        module = match[1].removeprefix(WRAPPED) if match else ""
        place = stock.find(module)
        if name in _HEAD:
            continue
        if match is None or place is None or place[0] >= backbone.steps:
            raise UserError(
                "adapterkit's LoRA has no place for a tensor of PEFT's.",
                where=f"{folder / WEIGHTS_FILE}: {name[:150]}",
                allowed=f"lora_A and lora_B of {', '.join(stock.modules.values())} at the steps "
                f"0 to {backbone.steps - 1}; {HEAD_MODULE}",
                hint="use it with peft",
            )
        parts.setdefault(module, {})[match[2]] = tensor
    head = {name.rpartition(".")[2]: weights[name] for name in _HEAD if name in weights}
    if len(head) != len(_HEAD) or not settings.head:
        raise UserError(
            "The adapter brings no head for the task.",
            where=str(folder),
            allowed=f"modules_to_save with {HEAD_MODULE!r}, and its weight and bias",
            hint="train and save it with task_type TOKEN_CLS",
        )
    updates = {name: _update(name, pair, stock, folder) for name, pair in sorted(parts.items())}
    _check_targets(updates, stock, settings, backbone, folder)
    return _Found(updates, head)


def _update(
    module: str, pair: Mapping[str, torch.Tensor], stock: StockLayout, folder: Path
) -> Update:
    place = stock.find(module)
    assert place is not None
    down, up = pair.get("A"), pair.get("B")
    if down is None or up is None or down.ndim != 2 or up.ndim != 2 or len(down) != up.shape[1]:
        raise UserError(
            "An update is not whole.",
            where=f"{folder / WEIGHTS_FILE}: {module}",
            allowed="lora_A of shape (rank, in) and lora_B of shape (out, rank)",
        )
    return Update(module, *place, down, up)


def _check_targets(
    updates: Mapping[str, Update],
    stock: StockLayout,
    settings: LoraSettings,
    backbone: Backbone,
    folder: Path,
) -> None:
    """PEFT leaves out tensors of other modules, and computes something else then."""
    if settings.targets is None:
        return
    for step in range(backbone.steps):
        for matrix in stock.modules:
            module = stock.module(step, matrix)
            if settings.is_target(module, step, stock.groups) != (module in updates):
                raise UserError(
                    "The adapter's configuration and its tensors contradict each other.",
                    where=f"{folder / CONFIG_FILE}: target_modules",
                    found=f"{'tensors' if module in updates else 'no tensors'} of {module}",
                    hint="save it again with peft",
                )


def _fill(applied: AppliedPlan, found: _Found, path: Path) -> None:
    by_place = {(update.step, update.matrix): update for update in found.updates.values()}
    with torch.no_grad():
        for name, target in shipped_tensors(applied).items():
            place = update_place(name)
            if place is None:
                value = found.head[name.rpartition(".")[2]]
            else:
                update = by_place[place[:2]]
                value = update.down if place[2] == "A" else update.up
            if value.shape != target.shape:
                raise UserError(
                    "A tensor of PEFT's does not fit the backbone and the task.",
                    where=f"{path}: {name if place else HEAD_MODULE}",
                    found=str(list(value.shape)),
                    allowed=str(list(target.shape)),
                    hint="name the backbone and the task that it was trained for",
                )
            target.copy_(value)


def _describe(
    task: TaskConfig,
    applied: AppliedPlan,
    backbone: Backbone,
    origin: Origin,
    name: str | None,
    licence: str,
) -> PackageManifest:
    counts = ledger(applied).as_dict()
    plan = str(applied.plan)
    longest = backbone.model.config.max_position_embeddings
    values: dict[str, Any] = {
        "name": check_name(name or default_name(task.name, plan), source="--name"),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "task": task.name,
        "task_config": without_places(task.model_dump(mode="json")),
        "labels": list(task.output_names),
        "scheme": "iob2",
        "plan": plan,
        "mechanisms": mechanisms_of(StepPlan.parse(plan), backbone.steps),
        "backbone": {
            "id": public_id(backbone),
            "fingerprint": backbone.fingerprint,
            "tokenizer": tokenizer_fingerprint(backbone.tokenizer),
            "steps": backbone.steps,
        },
        "data": {"source": "unknown", "splits": {}},
        "protocol": "word",
        "max_length": min(task.max_length, longest),
        "hyperparameters": {},
        "metric": task.metric,
        "seeds": [],
        "scores": {},
        "metrics": {},
        "origin": origin.model_dump(),
        "ledger": {field: counts[field] for field in Ledger.model_fields},
        "versions": versions(),
        "licence": licence,
        "data_licence": task.licence,
        "files": {},
    }
    return PackageManifest.model_validate_json(json.dumps(values))
