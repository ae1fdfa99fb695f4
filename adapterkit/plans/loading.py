"""Loading an adapted model, strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from adapters.utils import HEAD_CONFIG_NAME, SAFE_HEAD_WEIGHTS_NAME

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.fingerprint import fingerprint
from adapterkit.backbones.pretrained import FORMS
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tensors import compare_shapes, read_safetensors
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan, check_name
from adapterkit.plans.files import (
    FUSED_KEY,
    HEAD_FOLDER,
    WEIGHTS_FILE,
    config_files,
    tensor_files,
)
from adapterkit.plans.manifest import PLAN_FILE, PlanManifest, read_plan_manifest
from adapterkit.plans.parts import ADAPTER_CONTAINERS, adapter_names_of
from adapterkit.plans.saving import describe
from adapterkit.plans.step_plan import StepPlan
from adapterkit.plans.undoing import Undo
from adapterkit.runs.errors import UserError

_NOT_COMPARED = ("version", "model_class", "model_name", "name")


def load_adapted(
    model: RecursiveAdapterModel, directory: str | Path, *, name: str | None = None
) -> AppliedPlan:
    """Load into a backbone what `save_adapted` wrote, and activate it.

    Args:
        model: The backbone it was trained on. It is changed; after an error it is as before.
        directory: The folder.
        name: Another name for the task adapter and head, where the model has theirs already.

    Raises:
        UserError: A file or tensor is missing, unexpected or of another shape or type, or the
            backbone is another one.
    """
    directory = Path(directory)
    saved = read_plan_manifest(directory)
    _check_backbone(model, saved, directory)
    rename = _renaming(saved, name or saved.name)
    check_name(model, rename(saved.name))
    _check_alone(model, saved, directory, rename)
    undo = Undo(model)
    try:
        _add_head(model, saved, directory, rename)
        plan = StepPlan.parse(saved.plan, saved.steps, source=str(directory / PLAN_FILE))
        applied = apply_plan(model, plan, name=rename(saved.name))
        _check_description(applied, saved, directory, rename)
        _copy_tensors(applied, directory, rename)
    except UserError:
        undo()
        raise
    return applied


def _check_backbone(model: RecursiveAdapterModel, saved: PlanManifest, directory: Path) -> None:
    config = model.config
    for what, found, expected in (
        ("recursion steps", config.num_hidden_layers, saved.steps),
        ("units of width", config.hidden_size, saved.hidden_size),
    ):
        if found != expected:
            raise UserError(
                "The adapted model belongs to another backbone.",
                where=str(directory / PLAN_FILE),
                found=f"a backbone of {found} {what}",
                allowed=f"{expected} {what}",
                hint="load the backbone it was trained on",
            )
    found = fingerprint(model)
    if found != saved.backbone:
        raise UserError(
            "The adapted model belongs to another backbone.",
            where=str(directory / PLAN_FILE),
            found=f"a backbone with the fingerprint {found}",
            allowed=saved.backbone,
            hint="load the backbone it was trained on afresh; what was loaded before changed this "
            "one, or it is another",
        )


def _check_alone(
    model: RecursiveAdapterModel,
    saved: PlanManifest,
    directory: Path,
    rename: Callable[[str], str],
) -> None:
    """Refuse what would change the results of others that the model holds."""
    if saved.head is not None and rename(saved.head) in model.heads:
        raise UserError(
            f"The model has a head {rename(saved.head)!r} already.",
            where=str(directory),
            hint="load it under another name",
        )
    others = [*(set(adapter_names_of(model)) - set(FORMS)), *model.heads]
    changes = any((directory / name).exists() for name in (WEIGHTS_FILE, *FORMS))
    if others and changes:
        raise UserError(
            "The adapted model changes the backbone, which other adapters or heads need as it is.",
            where=str(directory),
            found=", ".join(sorted(set(others))),
            hint="load it into a backbone of its own",
        )


def _renaming(saved: PlanManifest, name: str) -> Callable[[str], str]:
    """From the saved names of adapters and head to those they get; other names stay."""
    names = {own: name + own.removeprefix(saved.name) for own in saved.own_names}
    return lambda old: names.get(old, old)


def _add_head(
    model: RecursiveAdapterModel,
    saved: PlanManifest,
    directory: Path,
    rename: Callable[[str], str],
) -> None:
    if saved.head is None:
        return
    path = directory / HEAD_FOLDER / HEAD_CONFIG_NAME
    config = read_json(path).get("config")
    _check_head_sizes(path, config)
    with torch.random.fork_rng(devices=[]):
        try:
            model.add_prediction_head_from_config(rename(saved.head), dict(config or {}))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                "The configuration of the task head is damaged.", where=str(path), found=repr(error)
            ) from error
    model.to(model.albert.device)


def _check_head_sizes(path: Path, config: Any) -> None:
    """Refuse sizes that the head's tensors do not have, before memory is taken for them."""
    tensors = read_safetensors(path.parent / SAFE_HEAD_WEIGHTS_NAME).values()
    rows = max((tensor.shape[0] for tensor in tensors if tensor.ndim), default=0)
    limits = {"num_labels": rows, "num_choices": rows, "layers": len(tensors)}
    sizes = config if isinstance(config, dict) else {}
    for key, most in limits.items():
        size = sizes.get(key, 1)
        if not isinstance(size, int) or not 1 <= size <= most:
            raise UserError(
                "The configuration of the task head is damaged.",
                where=f"{path}: {key}",
                found=str(size)[:80],
                allowed=f"1 to {most}",
            )


def _check_description(
    applied: AppliedPlan, saved: PlanManifest, directory: Path, rename: Callable[[str], str]
) -> None:
    """Hold what the plan made of the model to what the files say it is."""
    found = describe(applied)
    expected = saved.model_copy(
        update={
            "name": rename(saved.name),
            "active": [rename(adapter) for adapter in saved.active],
            "adapters": {rename(adapter): steps for adapter, steps in saved.adapters.items()},
            "head": saved.head and rename(saved.head),
        }
    )
    for field in PlanManifest.model_fields:
        if getattr(found, field) != getattr(expected, field):
            raise UserError(
                "The adapted model contradicts its own plan, or belongs to another backbone.",
                where=f"{directory / PLAN_FILE}: {field}",
                found=str(getattr(expected, field)),
                allowed=str(getattr(found, field)),
            )
    originals = {rename(own): own for own in saved.own_names}
    for file, config in config_files(applied).items():
        path = directory / _saved_file(file, originals)
        written = read_json(path)
        for key in sorted((config.keys() | written.keys()) - set(_NOT_COMPARED)):
            stated = written.get(key)
            if key == FUSED_KEY and isinstance(stated, list):
                stated = [rename(str(name)) for name in stated]
            if stated != json.loads(json.dumps(config.get(key))):
                raise UserError(
                    "The configuration is not the one that the plan stands for.",
                    where=f"{path}: {key}",
                    found=str(stated)[:500],
                    allowed=str(config.get(key))[:500],
                )


def _copy_tensors(applied: AppliedPlan, directory: Path, rename: Callable[[str], str]) -> None:
    files = tensor_files(applied)
    originals = {rename(old): old for old in _saved_names(applied, directory)}
    loaded = {}
    for file, targets in files.items():
        path = directory / _saved_file(file, originals)
        tensors = read_safetensors(path)
        names = {_saved_tensor(name, originals): name for name in targets}
        expected = {old: targets[new] for old, new in names.items()}
        compare_shapes(path, _shapes(tensors), _shapes(expected))
        _compare_types(path, tensors, expected)
        loaded.update({names[old]: tensor for old, tensor in tensors.items()})
    _refuse_others(directory, {_saved_file(file, originals) for file in files})
    targets = {name: target for tensors in files.values() for name, target in tensors.items()}
    with torch.no_grad():
        for name, tensor in loaded.items():
            targets[name].copy_(tensor)


def _saved_names(applied: AppliedPlan, directory: Path) -> list[str]:
    saved = read_plan_manifest(directory)
    # A side path has the task's name.
    return [*saved.own_names, *([saved.head] if saved.head else [])]


def _saved_file(file: str, originals: Mapping[str, str]) -> str:
    folder, slash, rest = file.partition("/")
    return f"{originals.get(folder, folder)}{slash}{rest}" if slash else file


def _saved_tensor(name: str, originals: Mapping[str, str]) -> str:
    parts = name.split(".")
    for index, container in enumerate(parts[:-1]):
        if container in (*ADAPTER_CONTAINERS, "heads", "sides"):
            parts[index + 1] = originals.get(parts[index + 1], parts[index + 1])
    return ".".join(parts)


def _refuse_others(directory: Path, expected: set[str]) -> None:
    found = {
        path.relative_to(directory).as_posix()
        for pattern in ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.pkl")
        for path in directory.rglob(pattern)
    }
    if found - expected:
        raise UserError(
            "The folder has a tensor file that does not belong to the adapted model.",
            where=str(directory),
            found=", ".join(sorted(found - expected)),
            allowed=", ".join(sorted(expected)),
        )


def _compare_types(
    path: Path, found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    for name, tensor in expected.items():
        if found[name].dtype != tensor.dtype:
            raise UserError(
                "A tensor is of another type.",
                where=f"{path}: {name}",
                found=str(found[name].dtype),
                allowed=str(tensor.dtype),
            )


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
