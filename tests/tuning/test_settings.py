"""Defaults and limits of a run's hyper-parameters."""

from __future__ import annotations

import math
from typing import Any

import pytest

from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.runs.errors import UserError
from adapterkit.tuning.settings import LEARNING_RATES, check_range, resolve_settings


def test_everything_that_learns_has_a_rate() -> None:
    kinds = {m.kind for m in MECHANISMS.values() if m.learns and not m.takes_config}
    families = {spec.family for spec in ADAPTER_SPECS.values()}
    assert kinds | families | {"head"} <= set(LEARNING_RATES)
    assert all(0 < rate < 0.1 for rate in LEARNING_RATES.values())


def test_the_whole_backbone_learns_slowest() -> None:
    others = {family: rate for family, rate in LEARNING_RATES.items() if family != "full"}
    assert min(others.values()) > LEARNING_RATES["full"]


@pytest.mark.parametrize(
    ("examples", "epochs"),
    [(1, 12), (1000, 12), (1999, 11), (2000, 10), (4560, 5), (100_000, 5)],
)
def test_small_corpora_are_passed_more_often(examples: int, epochs: int) -> None:
    settings = resolve_settings(examples, 256, {"bottleneck", "full"})
    assert (settings.epochs, settings.batch_tokens) == (epochs, 512)
    assert settings.max_length == 256
    assert settings.learning_rates == LEARNING_RATES
    assert settings.patience is None


@pytest.mark.parametrize("families", [set(), {"bottleneck"}, {"layerwise", "lora"}])
@pytest.mark.parametrize(("examples", "epochs"), [(1, 12), (1999, 11), (2000, 10), (9999, 10)])
def test_where_the_block_is_frozen_there_are_more_updates(
    families: set[str], examples: int, epochs: int
) -> None:
    assert resolve_settings(examples, 256, families).epochs == epochs


def test_choices_are_kept() -> None:
    settings = resolve_settings(
        10, 64, {"full"}, epochs=3, learning_rate=5e-4, batch_tokens=99, patience=2
    ).as_dict()
    assert settings["learning_rates"] == dict.fromkeys(LEARNING_RATES, 5e-4)
    assert (settings["epochs"], settings["batch_tokens"], settings["patience"]) == (3, 99, 2)


@pytest.mark.parametrize("text_pieces", [None, 200.0])
@pytest.mark.parametrize("others", [None, 5e-4])
def test_the_head_may_have_a_rate_of_its_own(
    text_pieces: float | None, others: float | None
) -> None:
    rates = resolve_settings(
        10,
        64,
        {"bottleneck"},
        text_pieces=text_pieces,
        learning_rate=others,
        head_learning_rate=0.03,
    ).learning_rates
    assert rates["head"] == 0.03
    assert rates["bottleneck"] == (others or LEARNING_RATES["bottleneck"])


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("epochs", "--epochs", 0),
        ("epochs", "--epochs", -1),
        ("learning_rate", "--lr", 0.0),
        ("learning_rate", "--lr", -1e-3),
        ("learning_rate", "--lr", math.nan),
        ("learning_rate", "--lr", math.inf),
        ("head_learning_rate", "--head-lr", 0.0),
        ("batch_tokens", "--batch-tokens", 0),
        ("patience", "--patience", 0),
    ],
)
def test_limits(name: str, option: str, value: Any) -> None:
    with pytest.raises(UserError, match="out of range") as error:
        resolve_settings(10, 64, {"full"}, **{name: value})
    assert error.value.where == option
    assert error.value.found == str(value)
    assert " to " in str(error.value.allowed)


def test_an_open_range_says_so() -> None:
    check_range("--limit-train", None, 1, math.inf)
    check_range("--limit-train", 1, 1, math.inf)
    with pytest.raises(UserError) as error:
        check_range("--limit-train", 0, 1, math.inf)
    assert error.value.allowed == "1 or more"


def test_heads_that_read_one_token_a_text_learn_faster() -> None:
    rates = resolve_settings(100, 64, {"bottleneck"}, text_pieces=20.0).learning_rates
    assert rates["head"] > LEARNING_RATES["head"]
    assert {**rates, "head": LEARNING_RATES["head"]} == LEARNING_RATES
    assert resolve_settings(100, 64, {"full"}, text_pieces=20.0).learning_rates == LEARNING_RATES
    asked = resolve_settings(100, 64, {"bottleneck"}, text_pieces=20.0, learning_rate=5e-4)
    assert asked.learning_rates == dict.fromkeys(LEARNING_RATES, 5e-4)


@pytest.mark.parametrize(
    ("batch_tokens", "text_pieces", "rate"),
    [(None, 32.0, 3e-4), (None, 128.0, 1.5e-4), (None, 2000.0, 7.5e-5), (2048, 128.0, 3e-4)],
)
def test_the_block_learns_slower_from_batches_of_few_texts(
    batch_tokens: int | None, text_pieces: float, rate: float
) -> None:
    settings = resolve_settings(
        100, 512, {"full"}, text_pieces=text_pieces, batch_tokens=batch_tokens
    )
    assert settings.learning_rates == {**LEARNING_RATES, "full": rate}
