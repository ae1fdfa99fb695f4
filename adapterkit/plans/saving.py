"""Saving an adapted model."""

from __future__ import annotations

from pathlib import Path

from adapterkit.backbones.tensors import write_safetensors
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.files import config_files, tensor_files
from adapterkit.plans.manifest import PLAN_FILE, PlanManifest
from adapterkit.runs.atomic import atomic_directory, write_json


def save_adapted(applied: AppliedPlan, directory: str | Path) -> None:
    """Save what, together with the backbone, makes up the adapted model.

    Each adapter or fusion is a folder in AdapterHub's format under its own name, the task head one
    called ``head``. ``weights.safetensors`` holds changed weights of the backbone,
    ``side.safetensors`` the side path, ``plan.json`` the plan. The tensors in these files are
    those of `shipped_tensors`, each once.

    Args:
        applied: The adapted model.
        directory: A folder that does not exist yet or is empty.

    Raises:
        UserError: The folder is taken or cannot be written.
    """
    with atomic_directory(directory) as folder:
        for file, tensors in tensor_files(applied).items():
            (folder / file).parent.mkdir(exist_ok=True)
            write_safetensors(folder / file, tensors)
        for file, config in config_files(applied).items():
            write_json(folder / file, config)
        write_json(folder / PLAN_FILE, describe(applied).model_dump(by_alias=True))


def describe(applied: AppliedPlan) -> PlanManifest:
    """What ``plan.json`` says of an adapted model."""
    return PlanManifest(
        name=applied.name,
        plan=str(applied.plan),
        backbone=applied.backbone,
        hidden_size=applied.model.config.hidden_size,
        block_of_step=applied.block_of_step,
        active=list(applied.active),
        adapters={
            name: list(site.steps) for site in applied.sites for name in site.fused or site.stack
        },
        head=applied.head,
    )
