"""Options that several verbs share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

COMMAND = "adapterkit.command"
"""Key under which the context holds the command line as it was typed."""

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task", metavar="NAME|FILE.yaml", help="A task's name, or a task file of your own."
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="auto|sample|hub|DIR",
        help="Where the data comes from: a folder, the hub, the built-in sample, or what is found.",
    ),
]
Backbone = Annotated[
    str,
    typer.Option("--backbone", metavar="B", help="'bundled', a folder, or a Hugging Face Hub id."),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="MECHANISM",
        help="What learns: head, layerwise, adapter, full, untied, side, or e.g. 'lora(r=8)'.",
    ),
]
Steps = Annotated[
    str | None,
    typer.Option(
        "--steps", metavar="3-5", help="The steps --mode applies to; the others stay frozen."
    ),
]
Plan = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="PLAN|FILE.yaml",
        help="A mechanism for every step, instead of --mode: '0-2:frozen 3-5:adapter'.",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", metavar="DIR", help="The run directory.")]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="word|nlpie",
        help="How NER is scored: whole words (ours), or nlpie's every piece.",
    ),
]
