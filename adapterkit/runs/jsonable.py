"""Values that JSON can hold."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Set


def json_ready(obj: object) -> object:
    """Return ``obj`` in terms that strict JSON knows.

    NumPy arrays and scalars and PyTorch tensors become lists and numbers, paths become strings,
    tuples and sets become lists (sets sorted), NaN and infinities become None.
    """
    if isinstance(obj, Mapping):
        return {str(key): json_ready(value) for key, value in obj.items()}
    if isinstance(obj, Set):
        return sorted((json_ready(value) for value in obj), key=repr)
    if isinstance(obj, (list, tuple)):
        return [json_ready(value) for value in obj]
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else None
    if hasattr(obj, "tolist"):
        return json_ready(obj.tolist())
    return obj
