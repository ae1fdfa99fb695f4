"""``adapterkit distill``: make a backbone from a teacher, as a recipe says."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterkit.cli import options
from adapterkit.cli import output as words
from adapterkit.runs.errors import UserError

if TYPE_CHECKING:
    from adapterkit.students.distil import Distilled


def distill(
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE.yaml|NAME", help="A recipe of your own, or one of those shipped."
        ),
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            "--corpus",
            metavar="FILE",
            help="Text or gzip to learn on, instead of the recipe's; may be repeated.",
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", metavar="N", min=1, help="Word pieces to see."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a value of the recipe, such as training.seed=1; may be repeated.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="Processor threads to use.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="The folder of the backbone to make."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the stopped distillation in --output.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Distil a teacher into a backbone: a recursive student, as a recipe says.

    The folder it leaves can be given to --backbone. On several GPUs: accelerate launch -m
    adapterkit distill ...
    """
    from adapterkit.cli.progress import ProgressBars
    from adapterkit.runs.progress import Silence

    # Under `accelerate launch` one process speaks for all.
    speaks = os.environ.get("RANK", "0") == "0"
    with words.clear_stdout(json), ProgressBars() as bars:
        if threads is not None:
            _use_threads(threads)
        changes = _changes(tokens, settings or [])
        progress = bars if speaks else Silence()
        command = context.obj[options.COMMAND]
        if resume:
            distilled = _resume(recipe, changes, corpus or [], output, progress, command)
        else:
            distilled = _start(recipe, changes, corpus or [], output, progress, command)
    if not speaks:
        return
    if json:
        words.print_json({**distilled.card, "path": distilled.path})
    else:
        _print_summary(distilled)


def _changes(tokens: int | None, settings: list[str]) -> dict[str, Any]:
    from adapterkit.students.recipe_files import parse_setting

    changes = dict(map(parse_setting, settings))
    return changes if tokens is None else {**changes, "training.tokens": tokens}


def _start(
    recipe: str | None,
    changes: dict[str, Any],
    corpus: list[Path],
    output: Path | None,
    progress: Any,
    command: str,
) -> Distilled:
    from adapterkit.students.recipe_files import load_recipe, recipe_names

    if recipe is None:
        raise UserError(
            "It is not said what to distil.",
            where="RECIPE",
            allowed=[*recipe_names(), "or a recipe of your own (YAML)"],
            hint="for example: adapterkit distill bundled",
        )
    wanted = load_recipe(recipe, changes, corpus)
    from adapterkit.students.distil import distil

    return distil(wanted, output, progress=progress, command=command)


def _resume(
    recipe: str | None,
    changes: dict[str, Any],
    corpus: list[Path],
    output: Path | None,
    progress: Any,
    command: str,
) -> Distilled:
    from adapterkit.students.recipe_files import load_recipe

    if output is None:
        raise UserError(
            "It is not said which distillation to resume.",
            where="--resume",
            hint="give its directory with --output",
        )
    if recipe is None and (changes or corpus):
        raise UserError(
            "A stopped distillation goes on as it was started.",
            where="--resume",
            found="--tokens, --set or --corpus without a recipe",
            hint="leave them out, or name the recipe as well to have it compared",
        )
    wanted = None if recipe is None else load_recipe(recipe, changes, corpus)
    from adapterkit.students.distil import resume_distillation

    return resume_distillation(output, wanted, progress=progress, command=command)


def _print_summary(distilled: Distilled) -> None:
    card, scores = distilled.card, distilled.card["scores"]
    throughput = card.get("throughput") or {}
    facts: list[tuple[str, object]] = [
        ("backbone", card["name"]),
        ("teacher", card["teacher"]["id"]),
        ("parameters", card["parameters"]),
        ("stored", words.human_bytes(distilled.stored_bytes)),
        ("word pieces", f"{card['tokens_seen']:,} in {words.human_seconds(card['seconds'])}"),
        ("speed", _speed(card["tokens_per_second"], throughput)),
    ]
    if cosines := scores.get("cosines"):
        facts.append(("cosine to the teacher", "  ".join(f"{value:.3f}" for value in cosines)))
    if scores.get("perplexity") is not None:
        facts.append(("held-out perplexity", f"{scores['perplexity']:.2f}"))
    for name, score in scores.get("probes", {}).items():
        source = "dev of the sample" if scores["probe_data"][name] == "sample" else "dev"
        facts.append((f"probe {name} ({source})", f"{score:.4f}"))
    words.print_facts([*facts, ("folder", str(distilled.path))])
    folder = shlex.quote(str(distilled.path))
    typer.echo("\nWhat to type next:")
    typer.echo(f"  adapterkit tune --task bc5cdr --mode adapter --backbone {folder}")


def _speed(rate: float, throughput: dict[str, Any]) -> str:
    said = f"{rate:,.0f} word pieces a second"
    if throughput:
        said += f", {throughput['fraction']:.0%} of the machine's matrix products"
    return said


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
