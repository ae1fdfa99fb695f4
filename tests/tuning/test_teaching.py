"""What a teacher adds to the loss, against the same written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.tasks.encoding import IGNORED
from adapterkit.tuning.teaching import Teaching, teaching_loss

Rows = list[list[float]]


def softmax(logits: list[float]) -> list[float]:
    highest = max(logits)
    powers = [math.exp(x - highest) for x in logits]
    return [power / sum(powers) for power in powers]


def divergence(teacher: list[float], student: list[float], temperature: float) -> float:
    p = softmax([x / temperature for x in teacher])
    q = softmax([x / temperature for x in student])
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))


def random_logits(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=generator)


@given(st.integers(0, 1000), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_over_scored_positions(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    windows, scored, tags = 3, 4, 5
    student, teacher = (random_logits(generator, windows, scored, tags) for _ in "st")
    labels = torch.randint(tags, (windows, scored), generator=generator)
    labels[1, 2:] = IGNORED
    labels[2, 1] = IGNORED
    found = [
        divergence(teacher[i, j].tolist(), student[i, j].tolist(), temperature)
        for i in range(windows)
        for j in range(scored)
        if labels[i, j] != IGNORED
    ]
    assert len(found) == 9
    expected = temperature**2 * sum(found) / 9
    loss = teaching_loss(student, teacher, labels, temperature, multilabel=False)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.integers(0, 1000), st.sampled_from([0.5, 1.0, 3.0]))
def test_over_texts(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (random_logits(generator, 4, 3) for _ in "st")
    pairs = zip(teacher.tolist(), student.tolist(), strict=True)
    expected = temperature**2 * sum(divergence(t, s, temperature) for t, s in pairs) / 4
    loss = teaching_loss(student, teacher, torch.tensor([0, 2, 1, 0]), temperature, False)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.integers(0, 1000), st.sampled_from([0.5, 1.0, 3.0]))
def test_over_classes_of_their_own(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (random_logits(generator, 2, 3) for _ in "st")
    expected = 0.0
    for t, s in zip(teacher.flatten().tolist(), student.flatten().tolist(), strict=True):
        p, q = (1 / (1 + math.exp(-x / temperature)) for x in (t, s))
        expected += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    loss = teaching_loss(student, teacher, torch.ones(2, 3), temperature, multilabel=True)
    assert loss.item() == pytest.approx(temperature**2 * expected / 6, rel=1e-4, abs=1e-6)


def test_who_says_the_same_has_nothing_to_learn() -> None:
    logits = random_logits(torch.Generator().manual_seed(0), 2, 4, 5).requires_grad_()
    labels = torch.zeros(2, 4, dtype=torch.long)
    loss = teaching_loss(logits, logits.detach() + 7, labels, 2.0, multilabel=False)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_ignored_positions_have_no_gradient() -> None:
    logits = random_logits(torch.Generator().manual_seed(0), 2, 3, 4).requires_grad_()
    labels = torch.tensor([[1, IGNORED, 0], [2, 3, IGNORED]])
    teaching_loss(logits, torch.zeros(2, 3, 4), labels, 1.0, multilabel=False).backward()
    assert logits.grad is not None
    moved = logits.grad.abs().sum(-1) > 0
    assert torch.equal(moved, labels != IGNORED)


def test_logits_of_windows_are_padded_with_zeros() -> None:
    rows = [np.full((n, 2), n, dtype=np.float32) for n in (1, 3, 2)]
    padded = Teaching(rows).padded([2, 0], 3)
    assert padded.tolist() == [[[2, 2], [2, 2], [0, 0]], [[1, 1], [0, 0], [0, 0]]]


def test_logits_of_texts_stand_one_below_the_other() -> None:
    rows = [np.asarray(row, dtype=np.float32) for row in ([1, 2], [3, 4])]
    assert Teaching(rows).padded([1, 0, 1], 1).tolist() == [[3, 4], [1, 2], [3, 4]]
