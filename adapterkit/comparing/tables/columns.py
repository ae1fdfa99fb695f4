"""The columns of the table, the same in every format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from adapterkit.comparing.statistics.spread import Spread
from adapterkit.comparing.tables.row import Inference, Row
from adapterkit.comparing.tables.table import Table

Value = str | int | float | bool | None

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"

_SMALLEST_P = 0.001


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: What it holds.
        unit: In what; empty for plain numbers and words.
        names: What its values are called where a program reads them.
        values: Those of a row, as many as there are names.
        text: The cell of a row as people read it; empty where there is nothing to say.
        topic: ``plan`` names the row; the others are parts of the table for where it is too wide.
    """

    heading: str
    unit: str
    names: tuple[str, ...]
    values: Callable[[Row], tuple[Value, ...]]
    text: Callable[[Row], str]
    topic: Literal["plan", "size", "score", "cost"] = "score"

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers, which stand right."""
        return self.topic != "plan"

    @property
    def title(self) -> str:
        """Heading and unit in one line."""
        return f"{self.heading} [{self.unit}]" if self.unit else self.heading


def shown_columns(tables: Sequence[Table]) -> list[Column]:
    """Return the columns for people that say something in any of some tables.

    The backbone is one only where there are several.
    """
    rows = [row for table in tables for row in table.rows]
    shown = [column for column in COLUMNS if any(column.text(row) for row in rows)]
    if len({row.backbone for row in rows}) < 2:
        shown = [column for column in shown if column.names != ("backbone",)]
    return shown


def named_values(row: Row) -> dict[str, Value]:
    """Return all values of a row by name, for programs."""
    return {
        name: value
        for column in COLUMNS
        for name, value in zip(column.names, column.values(row), strict=True)
    }


def _score(row: Row) -> str:
    return _spread(row.score, lambda value: f"{value:.4f}")


def _difference(row: Row) -> str:
    found = row.difference
    if found is None:
        return ""
    return f"{_signed(found.mean)} [{_signed(found.low)}, {_signed(found.high)}]"


def _difference_values(row: Row) -> tuple[Value, ...]:
    found = row.difference
    return (None,) * 4 if found is None else (found.mean, found.low, found.high, found.p)


def _signed(value: float) -> str:
    text = f"{value:+.4f}"
    return "0.0000" if float(text) == 0 else text.replace("-", MINUS)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"<{_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"


def _spread(found: Spread, say: Callable[[float], str]) -> str:
    sd = "" if found.sd is None else f" {PLUS_MINUS} {say(found.sd)}"
    return say(found.mean) + sd


def _seconds(row: Row) -> str:
    return _spread(row.train_seconds, lambda value: f"{value:,.0f}")


def _memory(row: Row) -> str:
    return f"{row.peak_bytes.mean / 1e9:.2f}"


def _spread_values(found: Spread) -> tuple[Value, ...]:
    return found.mean, found.sd


def _inference(
    value: Callable[[Inference], float], say: Callable[[float], str]
) -> tuple[Callable[[Row], tuple[Value, ...]], Callable[[Row], str]]:
    """Values and text of a column that only rows with measured inference have."""

    def values(row: Row) -> tuple[Value, ...]:
        return (None if row.inference is None else value(row.inference),)

    def text(row: Row) -> str:
        return "" if row.inference is None else say(value(row.inference))

    return values, text


_MILLISECONDS = "{:.1f}".format

COLUMNS: tuple[Column, ...] = (
    Column("plan", "", ("plan",), lambda r: (r.plan,), lambda r: r.plan, "plan"),
    Column("settings", "", ("settings",), lambda r: (r.settings,), lambda r: r.settings, "plan"),
    Column("backbone", "", ("backbone",), lambda r: (r.backbone,), lambda r: r.backbone, "plan"),
    Column(
        "seeds",
        "",
        ("seeds",),
        lambda r: (" ".join(map(str, r.seeds)),),
        lambda r: str(len(r.seeds)),
    ),
    Column(
        "task",
        "parameters",
        ("task_parameters",),
        lambda r: (r.task_parameters,),
        lambda r: f"{r.task_parameters:,}",
        "size",
    ),
    Column(
        "head",
        "parameters",
        ("head_parameters",),
        lambda r: (r.head_parameters,),
        lambda r: f"{r.head_parameters:,}",
        "size",
    ),
    Column(
        "share",
        "% of backbone",
        ("trainable", "share"),
        lambda r: (r.trainable, r.share),
        lambda r: f"{r.share:.2%}".removesuffix("%"),
        "size",
    ),
    Column(
        "shipped",
        "kB",
        ("shipped_bytes",),
        lambda r: (r.shipped_bytes,),
        lambda r: f"{r.shipped_bytes / 1e3:,.1f}",
        "size",
    ),
    Column(
        "score",
        "",
        ("score_mean", "score_sd", "score_n", "best"),
        lambda r: (r.score.mean, r.score.sd, r.score.n, r.best),
        _score,
    ),
    Column(
        "difference",
        "95 % interval",
        ("difference", "difference_low", "difference_high", "p"),
        _difference_values,
        _difference,
    ),
    Column("p", "Holm", ("p_holm",), lambda r: (r.p_holm,), lambda r: _p(r.p_holm)),
    Column(
        "ASO",
        "",
        ("aso_epsilon",),
        lambda r: (r.aso_epsilon,),
        lambda r: "" if r.aso_epsilon is None else f"{r.aso_epsilon:.2f}",
    ),
    Column(
        "training",
        "s",
        ("train_seconds_mean", "train_seconds_sd"),
        lambda r: _spread_values(r.train_seconds),
        _seconds,
        "cost",
    ),
    Column(
        "peak memory",
        "GB",
        ("peak_bytes_mean", "peak_bytes_sd"),
        lambda r: _spread_values(r.peak_bytes),
        _memory,
        "cost",
    ),
    Column(
        "latency p50",
        "ms",
        ("p50_ms",),
        *_inference(lambda found: found.p50_ms, _MILLISECONDS),
        "cost",
    ),
    Column(
        "latency p95",
        "ms",
        ("p95_ms",),
        *_inference(lambda found: found.p95_ms, _MILLISECONDS),
        "cost",
    ),
    Column(
        "throughput",
        "tokens/s",
        ("tokens_per_second",),
        *_inference(lambda found: found.tokens_per_second, "{:,.0f}".format),
        "cost",
    ),
    Column(
        "measured with",
        "",
        ("batch_tokens", "threads"),
        lambda r: (
            (None, None) if r.inference is None else (r.inference.batch_tokens, r.inference.threads)
        ),
        lambda r: "",
        "cost",
    ),
)
"""All columns. Those without text are for programs alone."""


def titles(columns: Iterable[Column]) -> list[str]:
    """Return the headings of columns with their units."""
    return [column.title for column in columns]
