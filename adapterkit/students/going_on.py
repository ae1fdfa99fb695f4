"""Students that go on from a backbone, such as a compressed one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.factorised.forms import LowRank, form_from
from adapterkit.backbones.folder_layout import CARD_FILE
from adapterkit.backbones.loading import Backbone, load_backbone
from adapterkit.backbones.pretrained import activate_pretrained
from adapterkit.backbones.relaxed import RELAXED, relaxed_config
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.tokenizer_fingerprint import tokenizer_fingerprint
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.students.recipe import Pruning, Student
    from adapterkit.students.teacher import Teacher


def open_student(student: Student, teacher: Teacher) -> Backbone | None:
    """The backbone that a recipe's student goes on from; None where it starts from the teacher.

    Raises:
        UserError: There is no such backbone, it reads other word pieces than the teacher, or it is
            to be pruned and cannot be.
    """
    if student.backbone is None:
        return None
    backbone = load_backbone(student.backbone)
    ours = tokenizer_fingerprint(backbone.tokenizer)
    theirs = tokenizer_fingerprint(teacher.tokenizer)
    if ours != theirs:
        raise UserError(
            "Student and teacher read text as different word pieces.",
            where="student: backbone",
            found=f"tokenizer {ours}",
            allowed=f"the teacher's, {theirs}",
        )
    if student.relaxed is not None and backbone.has_relaxed:
        raise UserError(
            "The backbone's steps have low-rank updates already.",
            where="student: relaxed",
            hint="leave relaxed out: they go on learning",
        )
    if student.pruning is not None:
        _check_pruning(student.pruning, backbone)
    return backbone


def started_from(backbone: Backbone, student: Student, seed: int) -> RecursiveAdapterModel:
    """The model of `backbone`, with the updates that the recipe adds.

    Args:
        backbone: What `open_student` returned; its model is changed.
        student: The recipe's section.
        seed: Of what is random in the updates. They add nothing at first.
    """
    model = backbone.model
    if student.relaxed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model.add_adapter(RELAXED, config=relaxed_config(student.relaxed.rank))
        activate_pretrained(model)
    model.eval()
    return model


def origin_of(backbone: Backbone) -> dict[str, Any]:
    """What the card of a distilled backbone says of the one it went on from."""
    return {"fingerprint": backbone.fingerprint, "compression": _compression(backbone) or None}


def kept_at_the_end(pruning: Pruning, backbone: Backbone) -> float:
    """Share of the factors' numbers that pruning is to keep in the end.

    Raises:
        UserError: Neither the recipe nor the backbone's card says.
    """
    if pruning.keep is not None:
        return pruning.keep
    found = _compression(backbone).get("kept_by_pruning")
    if not isinstance(found, float) or not 0 < found < 1:
        raise UserError(
            "It is not said how much pruning is to keep.",
            where="student: pruning.keep",
            allowed="a share, above 0 and below 1",
            hint="compress the backbone with --method lada --prune later, whose card says it",
        )
    return found


def _check_pruning(pruning: Pruning, backbone: Backbone) -> None:
    config = backbone.model.config
    forms = [form_from(form) for form in config.factorised.values()]
    if not forms or not all(isinstance(form, LowRank) for form in forms):
        raise UserError(
            "This backbone cannot be pruned.",
            where="student: pruning",
            found="its matrices are not stored as low-rank factors",
            allowed="a backbone that 'backbones compress --method lada' wrote",
        )
    if config.pruned:
        raise UserError(
            "This backbone is pruned already.",
            where="student: pruning",
            hint="leave pruning out, and what is pruned stays so; or compress with --prune later",
        )
    kept_at_the_end(pruning, backbone)


def _compression(backbone: Backbone) -> dict[str, Any]:
    card = None if backbone.path is None else Path(backbone.path) / CARD_FILE
    found = read_json(card).get("compression") if card is not None and card.is_file() else None
    return found if isinstance(found, dict) else {}
