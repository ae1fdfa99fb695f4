"""Starting a run from what another one learned."""

from __future__ import annotations

from pathlib import Path

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.loading import load_adapted
from adapterkit.plans.manifest import PLAN_FILE, read_plan_manifest
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file, sha256_text
from adapterkit.tasks.config import TaskConfig
from adapterkit.tuning.heads import hasten_dropout


def adapted_folder(source: str | Path) -> Path:
    """The folder that holds the adapted model of a run directory or a package.

    Raises:
        UserError: There is none.
    """
    path = Path(source)
    for folder in (path, RunDirectory(path).adapter_path):
        if (folder / PLAN_FILE).is_file():
            return folder
    raise UserError(
        "There is nothing to start from.",
        where=str(path),
        found=f"no {PLAN_FILE}",
        allowed="a finished run directory, or a package",
    )


def adapted_digest(folder: Path) -> str:
    """A SHA-256 over the plan and tensors of an adapted model."""
    files = (path for path in sorted(folder.rglob("*.safetensors")) if path.is_file())
    sums = [f"{path.relative_to(folder).as_posix()} {sha256_file(path)}" for path in files]
    return sha256_text("\n".join([sha256_file(folder / PLAN_FILE), *sums]))


def start_from(
    folder: Path, model: RecursiveAdapterModel, plan: StepPlan, task: TaskConfig, name: str
) -> AppliedPlan:
    """Put an adapted model on a backbone, ready to be trained further.

    Args:
        folder: The adapted model.
        model: The backbone. It is changed.
        plan: What is to learn; must be the plan of the adapted model.
        task: The task to train for. A head for other labels is left behind.
        name: What adapters and head are called from now on.

    Raises:
        UserError: The adapted model is damaged, of another backbone, or of another plan.
    """
    saved = read_plan_manifest(folder)
    asked = str(plan.for_steps(model.config.num_hidden_layers))
    if asked != saved.plan:
        raise UserError(
            "A run starts from weights of its own plan.",
            where="--plan",
            found=asked,
            allowed=saved.plan,
            hint="leave the plan out, or start from another package",
        )
    applied = load_adapted(model, folder, name=name)
    head = applied.head
    if head is not None:
        numbers = model.heads[head].config.get("label2id") or {}
        if sorted(numbers, key=numbers.__getitem__) == list(task.output_names):
            hasten_dropout(model, head)
        else:
            model.delete_head(head)
    return applied
