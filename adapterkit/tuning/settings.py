"""How a run trains: defaults that depend on what learns and on how much data there is."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args

from adapterkit.runs.errors import UserError

Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

LEARNING_RATES: Mapping[str, float] = {
    "full": 3e-4,
    "layerwise": 1.5e-3,
    "bottleneck": 2e-3,
    "lora": 2e-3,
    "ia3": 1e-2,
    "prefix_tuning": 2e-3,
    "compacter": 3e-3,
    "reft": 2e-3,
    "mam": 2e-3,
    "unipelt": 2e-3,
    "side": 2e-3,
    "fusion": 5e-4,
    "head": 2e-3,
}
"""Peak learning rate of the parameters that a mechanism trains, where words are tagged."""

_TEXT_HEAD_RATE = 1e-2
"""The head's where texts are classified and the block is frozen. A batch has one label a text
there, not one a word, and first tokens differ little from each other: at the rate of tags nothing
is learned from a few hundred abstracts, see ``benchmarks/results/text-rates.md``."""

_FEW_TEXTS = 16
"""In smaller batches the block's rate falls with the square root of their size (Malladi et al.
2022, On the SDEs and Scaling Rules for Adaptive Gradient Algorithms)."""

_EXAMPLES_SEEN = 20_000
_FEWEST_EPOCHS = 5
_FEWEST_WITHOUT_BLOCK = 10
_MOST_EPOCHS = 12
_BATCH_TOKENS = 512


@dataclass(frozen=True)
class Settings:
    """Resolved hyper-parameters of a run.

    Attributes:
        epochs: Passes over the training split.
        learning_rates: Peak rate for each family of parameters; see `LEARNING_RATES`.
        batch_tokens: Word pieces a batch, padding included.
        max_length: Word pieces a window.
        weight_decay: AdamW's, on matrices only.
        warmup_ratio: Share of the updates in which the rate rises; it falls linearly after.
        max_grad_norm: Gradients are clipped to this norm.
        patience: Epochs without a better dev score after which training stops; ``None`` never.
        precision: Of the matrix products in the steps that learn, while they are trained. Weights,
            frozen steps and whatever is scored are float32.
    """

    epochs: int
    learning_rates: Mapping[str, float]
    batch_tokens: int
    max_length: int
    weight_decay: float = 0.01
    warmup_ratio: float = 0.06
    max_grad_norm: float = 1.0
    patience: int | None = None
    precision: Precision = "float32"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "learning_rates": dict(self.learning_rates)}


def completed(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What `Settings.as_dict` wrote, in this version or in one that had fewer settings."""
    defaults = {
        field.name: field.default for field in fields(Settings) if field.default is not MISSING
    }
    return {**defaults, **saved}


def resolve_settings(
    examples: int,
    max_length: int,
    families: Collection[str],
    *,
    text_pieces: float | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    head_learning_rate: float | None = None,
    batch_tokens: int | None = None,
    patience: int | None = None,
    precision: Precision = "float32",
) -> Settings:
    """Fill in what the user left open.

    Small training sets are passed more often: about 20,000 examples seen, in 5 to 12 epochs. Where
    the block's own weights stay as they are, at least 10: adapters need about twice the updates to
    come near full fine-tuning, see ``benchmarks/results/adapter-gap.md``. For the same reason
    batches are small.

    Args:
        examples: Training examples.
        max_length: Word pieces a window, from the task and the backbone.
        families: Of the mechanisms that the plan names; see `LEARNING_RATES`.
        text_pieces: Word pieces of an average text, where texts are classified.
        epochs: Chosen by the user.
        learning_rate: Chosen by the user, for everything that learns.
        head_learning_rate: Chosen by the user, for the head.
        batch_tokens: Chosen by the user; at least one window always fits.
        patience: Chosen by the user.
        precision: Chosen by the user.

    Raises:
        UserError: If a choice is out of range.
    """
    check_range("--epochs", epochs, 1, 10_000)
    check_range("--lr", learning_rate, 1e-8, 1.0)
    check_range("--head-lr", head_learning_rate, 1e-8, 1.0)
    check_range("--batch-tokens", batch_tokens, 8, 1_000_000)
    check_range("--patience", patience, 1, 10_000)
    if precision not in PRECISIONS:
        raise UserError(
            "the precision cannot be set so",
            where="--precision",
            found=precision,
            allowed=PRECISIONS,
        )
    fewest = _FEWEST_EPOCHS if "full" in families else _FEWEST_WITHOUT_BLOCK
    passes = math.ceil(_EXAMPLES_SEEN / examples)
    budget = batch_tokens or _BATCH_TOKENS
    rates = LEARNING_RATES
    if learning_rate is not None:
        rates = dict.fromkeys(LEARNING_RATES, learning_rate)
    elif text_pieces is not None:
        rates = _text_rates(max(1.0, budget / text_pieces), families)
    if head_learning_rate is not None:
        rates = {**rates, "head": head_learning_rate}
    return Settings(
        epochs=epochs or min(_MOST_EPOCHS, max(fewest, passes)),
        learning_rates=rates,
        batch_tokens=budget,
        max_length=max_length,
        patience=patience,
        precision=precision,
    )


def _text_rates(texts: float, families: Collection[str]) -> dict[str, float]:
    """The rates where a batch has so many texts to classify."""
    block = LEARNING_RATES["full"] * min(1.0, math.sqrt(texts / _FEW_TEXTS))
    head = LEARNING_RATES["head"] if "full" in families else _TEXT_HEAD_RATE
    return {**LEARNING_RATES, "full": float(f"{block:.3g}"), "head": head}


def check_range(option: str, value: float | None, low: float, high: float) -> None:
    """Check a number the user chose; ``None`` is the default and always right.

    Raises:
        UserError: If it is not between `low` and `high`.
    """
    # Written so that NaN is refused too.
    if value is not None and not low <= value <= high:
        raise UserError(
            f"{option} is out of range",
            where=option,
            found=str(value),
            allowed=f"{low} or more" if high == math.inf else f"{low} to {high}",
        )
