"""The help of every verb, word for word.

``python -m tests.cli.test_help`` writes the files anew; read the difference before committing.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

import pytest

from adapterkit.cli.main import main

GOLDEN = Path(__file__).parent / "golden"
VERBS = (
    "",
    "tune",
    "evaluate",
    "predict",
    "bench",
    "compare",
    "ablate",
    "plan",
    "plan show",
    "plan check",
    "tasks",
    "tasks list",
    "tasks show",
    "tasks check",
    "backbones",
    "backbones list",
    "backbones show",
    "backbones import",
    "backbones export",
    "backbones compress",
    "backbones fingerprint",
    "share",
    "share pack",
    "share verify",
    "share sign",
    "share push",
    "share pull",
    "share list",
    "share splice",
    "share merge",
    "share export",
    "share import",
    "distill",
    "doctor",
)


def help_of(verb: str) -> str:
    printed = io.StringIO()
    terminal = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    with (
        mock.patch.dict(os.environ, terminal),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main([*verb.split(), "--help"])
    return printed.getvalue()


def golden_file(verb: str) -> Path:
    return GOLDEN / f"{'-'.join(['adapterkit', *verb.split()])}.txt"


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_as_recorded(verb):
    assert help_of(verb) == golden_file(verb).read_text(encoding="utf-8")


def test_every_verb_is_recorded():
    assert {golden_file(verb) for verb in VERBS} == set(GOLDEN.iterdir())
    for verb in VERBS:
        listed = help_of(verb).partition("\nCommands:\n")[2].splitlines()
        for name in (line.split()[0] for line in listed if line.startswith("  ")):
            assert f"{verb} {name}".strip() in VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_the_line_and_leaves_no_option_unexplained(verb):
    lines = help_of(verb).splitlines()
    assert max(map(len, lines)) <= 100
    for here, after in zip(lines, [*lines[1:], ""], strict=True):
        if here.startswith("  -"):
            assert "  " in here.strip() or after.startswith("        "), here


if __name__ == "__main__":
    for recorded in VERBS:
        golden_file(recorded).write_text(help_of(recorded), encoding="utf-8")
