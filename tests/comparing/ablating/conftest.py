from __future__ import annotations

from tests.plans.conftest import batch, make_model, templates
from tests.tuning.conftest import backbone, corpus, finished, options, run_tiny

__all__ = [
    "backbone",
    "batch",
    "corpus",
    "finished",
    "make_model",
    "options",
    "run_tiny",
    "templates",
]
