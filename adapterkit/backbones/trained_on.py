"""The backbone on which something was trained, loaded again and held to its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapterkit.backbones.loading import Backbone, load_backbone
from adapterkit.runs.errors import UserError


@dataclass(frozen=True)
class TrainedOn:
    """What a run, a package or a teacher says of its backbone.

    Attributes:
        what: What was trained, as errors name it: ``"run"``.
        where: The file or option that says so.
        id: What `load_backbone` takes to load the backbone, where it still lies there.
        fingerprint: The backbone's.
        option: With which a user can say where it lies instead; None where there is none.
    """

    what: str
    where: str
    id: str
    fingerprint: str
    option: str | None = None


def load_trained_on(stated: TrainedOn, elsewhere: str | Path | None = None) -> Backbone:
    """Load the backbone on which something was trained.

    Args:
        stated: What is said of it.
        elsewhere: What the user names in its place.

    Raises:
        UserError: It is gone, damaged, or another one.
    """
    loaded = _found(stated) if elsewhere is None else load_backbone(elsewhere)
    if loaded.fingerprint != stated.fingerprint:
        raise UserError(
            f"The backbone is not the one that the {stated.what} was trained on.",
            where=stated.where,
            found=f"{loaded.fingerprint} ({loaded.id})",
            allowed=f"{stated.fingerprint} ({stated.id})",
            hint=_hint(stated),
        )
    return loaded


def _found(stated: TrainedOn) -> Backbone:
    try:
        return load_backbone(stated.id)
    except UserError as error:
        raise UserError(
            f"The backbone that the {stated.what} was trained on was not found.",
            where=stated.where,
            found=f"{stated.id} ({error.problem})",
            allowed=f"a backbone with the fingerprint {stated.fingerprint}",
            hint=_hint(stated),
        ) from error


def _hint(stated: TrainedOn) -> str:
    otherwise = f"name where it lies with {stated.option}" if stated.option else "train again"
    return f"restore that backbone, or {otherwise}"
