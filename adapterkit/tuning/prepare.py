"""From a request to everything a run needs, before anything is written."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapterkit.backbones.loading import Backbone, load_backbone
from adapterkit.plans.applied import AppliedPlan
from adapterkit.plans.apply import apply_plan
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Progress
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import TaskData, load_data
from adapterkit.tuning.evaluation import EvaluationSplit, evaluation_split
from adapterkit.tuning.frozen_adapters import check_frozen, fill_frozen
from adapterkit.tuning.heads import add_head
from adapterkit.tuning.listening import TeacherRecord, asked_teacher, listen
from adapterkit.tuning.prefix import PrefixRecord
from adapterkit.tuning.request import Request
from adapterkit.tuning.settings import Settings, check_range, resolve_settings
from adapterkit.tuning.starting import adapted_digest, start_from

FROZEN = "adapters that stay frozen"
"""What a resumed run calls the adapted models whose adapters it fuses or stacks on."""
TEACHER = "teacher"
"""What a resumed run calls the weights of its teacher."""
_LARGEST_SEED = 2**32 - 1
"""NumPy's generator takes no larger one."""


@dataclass(frozen=True)
class Prepared:
    """All a run needs.

    Attributes:
        request: What was asked.
        task: The task.
        data: Its data, whole.
        backbone: The backbone; its model has the plan and the head on it.
        applied: The plan on the model.
        settings: Resolved hyper-parameters.
        splits: The encoded splits, as limited.
        teacher: Who taught it; what it said stands with the training split.
        prefix: What became of the frozen prefix, once `keep_prefix` has seen to it.
    """

    request: Request
    task: TaskConfig
    data: TaskData
    backbone: Backbone
    applied: AppliedPlan
    settings: Settings
    splits: dict[str, EvaluationSplit]
    teacher: TeacherRecord | None = None
    prefix: PrefixRecord | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """What a resumed run must find unchanged."""
        inputs = {
            "backbone": self.backbone.fingerprint,
            "data": dict(self.data.sha256),
            "settings": self.settings.as_dict(),
        }
        if self.request.start_from is not None:
            inputs["weights it started from"] = adapted_digest(Path(self.request.start_from))
        if self.request.frozen:
            inputs[FROZEN] = [adapted_digest(Path(folder)) for folder in self.request.frozen]
        if self.teacher is not None:
            inputs[TEACHER] = self.teacher.sha256
        return inputs


def prepare(request: Request, progress: Progress) -> Prepared:
    """Load task, data and backbone, apply the plan, encode, and ask the teacher if there is one.

    Raises:
        UserError: If any of them is missing, damaged, or does not fit the others.
    """
    task = load_task(request.task)
    plan = StepPlan.parse(request.plan)
    _check_protocol(task, request)
    _check_prefix_cache(request)
    check_range("--seed", request.seed, 0, _LARGEST_SEED)
    check_range("--limit-train", request.limit_train, 1, math.inf)
    check_range("--limit-dev", request.limit_dev, 1, math.inf)
    teacher = asked_teacher(request, task)
    progress.begin("reading data")
    data = load_data(task, request.data)
    progress.begin("loading the backbone")
    backbone = load_backbone(request.backbone)
    max_length = min(task.max_length, backbone.model.config.max_position_embeddings)
    examples = dict(data.splits)
    for split, limit in (("train", request.limit_train), ("dev", request.limit_dev)):
        examples[split] = examples[split][:limit]
    name = adapter_name(task)
    applied = _adapted(request, plan, backbone, task, name)
    if name not in backbone.model.heads:
        add_head(backbone.model, task, name, request.seed)
    splits = {
        split: evaluation_split(
            task, examples[split], backbone.tokenizer, max_length, request.protocol
        )
        for split in examples
    }
    settings = resolve_settings(
        len(examples["train"]),
        max_length,
        {site.choice.family for site in applied.sites},
        text_pieces=_text_pieces(splits["train"]),
        epochs=request.epochs,
        learning_rate=request.learning_rate,
        head_learning_rate=request.head_learning_rate,
        batch_tokens=request.batch_tokens,
        patience=request.patience,
        precision=request.precision,
    )
    record = None
    if teacher is not None:
        teaching, record = listen(teacher, request, backbone, splits["train"], progress)
        splits["train"] = replace(splits["train"], teaching=teaching)
    return Prepared(request, task, data, backbone, applied, settings, splits, record)


def _text_pieces(split: EvaluationSplit) -> float | None:
    """Word pieces of an average text, where texts are classified."""
    if split.task.kind == "ner":
        return None
    return statistics.fmean(len(window.input_ids) for window in split.encoded.windows)


def _adapted(
    request: Request, plan: StepPlan, backbone: Backbone, task: TaskConfig, name: str
) -> AppliedPlan:
    """The plan on the model, with the weights that are not new."""
    if request.start_from is not None:
        if request.frozen:
            option = "--fuse" if request.fuse else "--stack"
            raise UserError(
                f"--from and {option} exclude each other.",
                hint="what was fused or stacked goes on with --from alone",
            )
        return start_from(Path(request.start_from), backbone.model, plan, task, name)
    check_frozen(plan, request, backbone.fingerprint, backbone.steps)
    applied = apply_plan(backbone.model, plan, name=name, seed=request.seed)
    fill_frozen(applied, request.frozen)
    return applied


def adapter_name(task: TaskConfig) -> str:
    """The name of a task's adapter and head, in the characters AdapterHub can hold."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", task.name)


def _check_prefix_cache(request: Request) -> None:
    if request.prefix_cache not in ("auto", "off"):
        raise UserError(
            "the prefix cache cannot be set so",
            where="--prefix-cache",
            found=request.prefix_cache,
            allowed=("auto", "off"),
        )


def _check_protocol(task: TaskConfig, request: Request) -> None:
    if request.protocol not in ("word", "nlpie"):
        raise UserError(
            "unknown protocol",
            where="--protocol",
            found=request.protocol,
            allowed=("word", "nlpie"),
        )
    if request.protocol == "nlpie" and task.kind != "ner":
        raise UserError(
            "the protocol nlpie is one of scoring NER",
            where="--protocol",
            found=f"the {task.kind} task {task.name}",
            allowed="word",
        )
