"""Scores in words, the same in every verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from adapterkit.cli import output

_SAMPLE_WARNING = (
    "These are scores on the small built-in sample, not on the real corpus {task}. They show "
    "that things work, and nothing else. For real numbers give --data DIR or set ADAPTERKIT_DATA."
)
_ALSO = ("precision", "recall", "lenient_f1", "micro_f1", "macro_f1", "example_f1", "accuracy")
_PER_TYPE = ("precision", "recall", "f1", "support")


def say_measures(measures: Mapping[str, Any]) -> str:
    """Return the score, its name, and the other overall figures of a split."""
    metric = measures["metric"]
    also = [name for name in _ALSO if name in measures and name != metric]
    others = [f"{name} {measures[name]:.4f}" for name in also]
    return f"{measures['score']:.4f} {metric}  ({', '.join(others)})"


def print_per_type(measures: Mapping[str, Any]) -> None:
    """Print a table of the figures of each type or class."""
    typer.echo()
    output.print_table(
        ("type", *_PER_TYPE),
        [
            (label, *(figures[name] for name in _PER_TYPE))
            for label, figures in measures["per_type"].items()
        ],
    )


def warn_of_sample(task: str) -> None:
    """Say loudly that the scores are those of the built-in sample."""
    output.warn(_SAMPLE_WARNING.format(task=task))
