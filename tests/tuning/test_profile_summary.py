"""Sums over what the profiler recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from adapterkit.tuning.profile_kinds import BETWEEN, KINDS, MATRIX_PRODUCTS, OTHER
from adapterkit.tuning.profile_summary import ProfileSummary, summarise


@dataclass
class Event:
    """What the summary reads of a `FunctionEvent`; times in microseconds."""

    name: str
    self_cpu_time_total: float
    cpu_time_total: float = 0.0
    self_device_time_total: float = 0.0
    cpu_parent: Any = None
    sequence_nr: int = -1
    scope: int = 0
    is_async: bool = False
    device_type: Any = field(default_factory=lambda: SimpleNamespace(name="CPU"))


def update() -> list[Event]:
    """One update of 100 microseconds: 60 of products, 20 of a sum, 20 of Python."""
    whole = Event("ProfilerStep*", 20.0, 100.0)
    products = [Event("aten::mm", 30.0, 30.0, 10.0, cpu_parent=whole) for _ in range(2)]
    kernel = Event("gemm", 0.0, device_type=SimpleNamespace(name="CUDA"))
    return [whole, *products, Event("aten::sum", 20.0, 20.0, 5.0, cpu_parent=whole), kernel]


@pytest.fixture
def summary() -> ProfileSummary:
    return summarise(update() + update(), "cpu", 7, [(90, 100), (80, 80)])


def shares(summary: ProfileSummary) -> dict[str, float]:
    return {part.kind: part.share for part in summary.kinds}


def test_shares_are_of_the_time_of_an_update(summary: ProfileSummary) -> None:
    assert [part.kind for part in summary.kinds] == list(KINDS)
    found = shares(summary)
    assert (found[MATRIX_PRODUCTS], found[OTHER], found[BETWEEN]) == (0.6, 0.2, 0.2)
    assert sum(found.values()) == pytest.approx(1)
    assert summary.seconds_per_update == pytest.approx(100e-6)


def test_operators_come_by_what_they_took(summary: ProfileSummary) -> None:
    assert [operator.name for operator in summary.operators] == ["aten::mm", "aten::sum"]
    assert summary.operators[0].calls_per_update == 2
    assert summary.operators[0].seconds_per_update == pytest.approx(60e-6)


def test_word_pieces_are_means(summary: ProfileSummary) -> None:
    assert (summary.first_update, summary.updates) == (7, 2)
    assert summary.word_pieces_per_update == 85
    assert summary.padded_pieces_per_update == 90


def test_on_a_gpu_kernels_count_and_the_rest_is_waiting() -> None:
    found = shares(summarise(update(), "cuda", 1, [(1, 1)]))
    assert (found[MATRIX_PRODUCTS], found[OTHER], found[BETWEEN]) == (0.2, 0.05, 0.75)


def test_in_words_and_as_json(summary: ProfileSummary) -> None:
    lines = summary.lines()
    assert lines[0] == "profile of updates 7-8: 0.0001 s and 85 word pieces an update"
    assert lines[1].split() == ["matrix", "products", "60.0%"]
    assert len(lines) == 4
    written = json.loads(json.dumps(summary.as_dict()))
    assert written["schema"] == "adapterkit.profile.v1"
    assert written["kinds"][0] == {
        "kind": MATRIX_PRODUCTS,
        "seconds_per_update": 60e-6,
        "share": 0.6,
    }
