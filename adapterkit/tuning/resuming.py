"""Whether what a stopped run was started with still stands, so that it may go on."""

from __future__ import annotations

from typing import Any

from adapterkit.runs.errors import UserError
from adapterkit.tuning.prepare import TEACHER, Prepared
from adapterkit.tuning.settings import completed


def inputs_before(state: dict[str, Any]) -> dict[str, Any]:
    """What a stopped run depended on, in the terms of this version.

    Args:
        state: Its ``state.json``, perhaps of a version whose settings were fewer.

    Raises:
        UserError: If the state holds no inputs, or no settings among them.
    """
    inputs = state.get("inputs")
    settings = inputs.get("settings") if isinstance(inputs, dict) else None
    if not isinstance(inputs, dict) or not isinstance(settings, dict):
        raise UserError(
            "the state of the run is damaged",
            where="state.json: inputs.settings",
            found=str(settings),
            allowed="the settings that the run was started with",
            hint="start the run anew in another directory",
        )
    return {**inputs, "settings": completed(settings)}


def check_inputs(prepared: Prepared, inputs: dict[str, Any]) -> None:
    """Check that a run prepared anew depends on what it depended on before.

    Raises:
        UserError: If one of its inputs is another now.
    """
    places = {"data": prepared.request.data, TEACHER: prepared.request.teacher}
    for what, value in prepared.inputs.items():
        if inputs.get(what) != value:
            raise UserError(
                f"the {what} of the run changed since it was stopped",
                where=str(places.get(what, prepared.request.backbone)),
                hint="restore what changed, or start a new run in another directory",
            )
