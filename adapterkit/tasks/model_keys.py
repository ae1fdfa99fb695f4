"""Which keys a pydantic model allows where, for telling a user the nearest right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel


def keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys allowed at a place in a file that `model` describes."""
    current = model
    for step in location:
        field = current.model_fields.get(str(step))
        current = (model_in(field.annotation) if field else None) or current
    return list(current.model_fields)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation such as ``dict[str, Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)
