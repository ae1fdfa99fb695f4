"""The hyper-parameters of a run, and how those of several differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapterkit.comparing.records.record import RunRecord


def settings_of(record: RunRecord) -> dict[str, Any]:
    """Return a run's hyper-parameters; those in groups by dotted names: ``learning_rates.head``."""
    return _flat(record.manifest.hyperparameters)


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
    """Return some hyper-parameters of a run in words: ``learning_rates.full=0.0003``."""
    settings = settings_of(record)
    return ", ".join(f"{name}={settings[name]}" for name in names if name in settings)


def _flat(group: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in group.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
