"""A backbone's fingerprint, computed from its files with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from adapterkit.backbones.digest import FUNCTION_KEYS, digest
from adapterkit.backbones.folder_layout import CARD_FILE
from adapterkit.backbones.headers import StoredTensor
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.stated import StatedBackbone
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def stated_fingerprint(backbone: StatedBackbone) -> str | None:
    """The fingerprint that loading the backbone would find.

    Returns:
        ``None`` where loading it would fail, or take a default from elsewhere: its weights are not
        finite, its configuration leaves something out, or its card names another fingerprint.
        Loading it says what is wrong.
    """
    if not all(key in backbone.config for key in FUNCTION_KEYS):
        return None
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for path, tensors in backbone.tensors.items():
        arrays |= _float32(path, tensors)
    if not all(_is_finite(values) for values in arrays.values()):
        return None
    found = digest(backbone.config, sorted(arrays.items()))
    return found if _stated(backbone.path / CARD_FILE) in (None, found) else None


def _float32(path: Path, tensors: Mapping[str, StoredTensor]) -> dict[str, npt.NDArray[np.float32]]:
    import numpy as np

    content = path.read_bytes()
    types = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}
    found = {}
    for name, tensor in tensors.items():
        stored = np.frombuffer(content[tensor.start : tensor.stop], types[tensor.dtype])
        if tensor.dtype == "BF16":
            # A bfloat16 is the upper half of a float32.
            values = (stored.astype(np.uint32) << 16).view(np.float32)
        else:
            with np.errstate(over="ignore"):
                values = stored.astype(np.float32)
        found[name] = values.reshape(tensor.shape)
    return found


def _is_finite(values: npt.NDArray[np.float32]) -> bool:
    import numpy as np

    return bool(np.isfinite(values).all())


def _stated(card: Path) -> object:
    if not card.is_file():
        return None
    try:
        return read_json(card).get("fingerprint")
    except UserError:
        return card
