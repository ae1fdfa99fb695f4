"""The hyper-parameters of a run and who taught it, and how those of several differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapterkit.comparing.records.record import RunRecord
from adapterkit.plans.step_plan import StepPlan

_RATES = "learning_rates."


def settings_of(record: RunRecord) -> dict[str, Any]:
    """Return a run's hyper-parameters; those in groups by dotted names: ``learning_rates.head``.

    Learning rates of mechanisms that the plan does not name are left out: nothing learned by them.
    Among them is the ``teacher``, ``none`` where labels alone were learned. The tasks of adapters
    that stayed frozen are told with them, as ``fused`` or ``stacked``. Runs older than the option
    were computed in float32.
    """
    settings = {**_flat(record.manifest.hyperparameters), **_frozen_tasks(record)}
    families = _families(record.manifest.plan)
    kept = {
        name: value
        for name, value in settings.items()
        if not name.startswith(_RATES) or name.removeprefix(_RATES) in families
    }
    return {"precision": "float32", **kept, "teacher": teacher_of(record) or "none"}


def teacher_of(record: RunRecord) -> str | None:
    """Return who taught a run, in words; ``None`` where labels alone were learned."""
    found = (record.manifest.model_extra or {}).get("teacher")
    if not isinstance(found, Mapping):
        return None
    name = f"{found.get('plan')} {str(found.get('sha256'))[:8]}"
    changed = [
        f"{word} {value:g}"
        for word, value in (("weight", found.get("weight")), ("T", found.get("temperature")))
        if isinstance(value, (int, float)) and value != 1
    ]
    return f"({', '.join([name, *changed])})"


def differing(records: Sequence[RunRecord]) -> list[str]:
    """Return the names of the hyper-parameters that some runs have with other values.

    One that a run does not have, as it is older than the option, differs from nothing.
    """
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in settings_of(record).items():
            known = values.setdefault(name, [])
            if value not in known:
                known.append(value)
    return [name for name, known in values.items() if len(known) > 1]


def say_settings(record: RunRecord, names: Sequence[str]) -> str:
    """Return some hyper-parameters of a run in words: ``epochs=3, learning_rate=0.001``."""
    settings = {name: value for name, value in settings_of(record).items() if name in names}
    rates = {name: value for name, value in settings.items() if name.startswith(_RATES)}
    if len(set(rates.values())) == 1:
        settings = {name: value for name, value in settings.items() if name not in rates}
        settings["learning_rate"] = next(iter(rates.values()))
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _frozen_tasks(record: RunRecord) -> dict[str, str]:
    told = record.manifest.model_extra or {}
    return {
        key: " and ".join(str(each["task"]) for each in told[key])
        for key in ("fused", "stacked")
        if key in told
    }


def _families(plan: str) -> set[str]:
    return {"head", *(choice.family for choice in StepPlan.parse(plan).choices)}


def _flat(group: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in group.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
