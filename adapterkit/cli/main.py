"""The ``adapterkit`` command: collects the verbs and turns outcomes into exit statuses."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from adapterkit.cli import (
    ablate,
    backbones,
    bench,
    compare,
    distill,
    doctor,
    evaluate,
    options,
    plan,
    predict,
    share,
    tasks,
    tune,
)
from adapterkit.runs.errors import UserError

_HELP = """Adapt compact recursive language models, one recursion step at a time.

A first run, on the built-in model and sample:

  adapterkit tune --task bc5cdr --mode adapter
"""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE}

_ORDER = (
    "tune",
    "evaluate",
    "predict",
    "bench",
    "compare",
    "ablate",
    "plan",
    "tasks",
    "backbones",
    "share",
    "distill",
    "doctor",
)


class _Verbs(TyperGroup):
    """The verbs in the order they are used; typer would put groups behind commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            # typer turns it into exit status 130 and drops what it has to say.
            typer.echo(str(stop) or "Interrupted.", err=True)
            raise


# Plain help: formatting it with rich would double the time until it appears.
app = typer.Typer(
    name="adapterkit",
    cls=_Verbs,
    help=_HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("tune")(tune.tune)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("ablate")(ablate.ablate)
app.add_typer(plan.app, name="plan")
app.add_typer(tasks.app, name="tasks")
app.add_typer(backbones.app, name="backbones")
app.add_typer(share.app, name="share")
app.command("distill")(distill.distill)
app.command("doctor")(doctor.doctor)


def _print_version(asked: bool) -> None:
    if asked:
        from adapterkit import __version__

        typer.echo(f"adapterkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status.

    Args:
        arguments: Arguments without the program's name; those of the process by default.

    Raises:
        SystemExit: Always: 0 after success, 2 after the user's mistake, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = shlex.join(["adapterkit", *words])
    _stand_in_for_closed_streams()
    try:
        with _output_is_written():
            app(args=words, prog_name="adapterkit", obj={options.COMMAND: command})
    except UserError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _stand_in_for_closed_streams() -> None:
    """Python sets a stream that was closed before the start to None; nothing expects that."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115


@contextlib.contextmanager
def _output_is_written() -> Iterator[None]:
    """Say that standard output takes no more, and let nothing be lost in its buffer unsaid."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Errors of files name them; those of the streams do not.
        if error.filename is not None or error.errno not in _FULL:
            raise
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            sys.exit(1)
        raise UserError(
            "The output cannot be written.",
            where="standard output",
            found=os.strerror(error.errno),
            hint="make room, or send it elsewhere",
        ) from error
