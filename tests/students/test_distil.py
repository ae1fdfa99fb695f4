from __future__ import annotations

import itertools

import pytest
import torch
from transformers import BertModel

from adapterkit.students.averaged import averaged_student
from adapterkit.students.distil import Progress, Schedule, cosine_distances, distil


def _batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    ids = torch.randint(0, 40, (3, 7))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def test_distances_equal_the_written_out_loss(teacher: BertModel) -> None:
    student, batch = averaged_student(teacher, 8, 8).eval(), _batch()
    found = cosine_distances(student, teacher, batch)
    ours = student(**batch, output_hidden_states=True).hidden_states
    theirs = teacher(**batch, output_hidden_states=True).hidden_states
    ours, theirs = ([s.detach() for s in states] for states in (ours, theirs))
    for depth in range(4):
        total, count = 0.0, 0
        for row, column in itertools.product(range(3), range(7)):
            if batch["attention_mask"][row, column]:
                a, b = ours[depth][row, column], theirs[depth][row, column]
                total += 1 - (a @ b / (a.norm() * b.norm())).item()
                count += 1
        assert found[depth].item() == pytest.approx(total / count, abs=1e-5)


def test_distilling_brings_the_student_nearer_and_keeps_it_recursive(teacher: BertModel) -> None:
    student, batch = averaged_student(teacher, 8, 8), _batch()
    before = cosine_distances(student.eval(), teacher, batch).sum()
    reports: list[int] = []

    def report(progress: Progress) -> None:
        reports.append(progress.tokens)

    progress = distil(
        student, teacher, itertools.repeat(batch), Schedule(tokens=18 * 30), report, report_every=10
    )
    after = cosine_distances(student.eval(), teacher, batch).sum()
    assert after < 0.8 * before
    assert progress.tokens == 18 * 30
    assert reports == [180, 360, 540]
    blocks = student.albert.encoder.blocks()
    assert all(b.attention.query.weight is blocks[0].attention.query.weight for b in blocks)


def test_the_rate_warms_up_and_falls_to_a_tenth() -> None:
    schedule = Schedule(tokens=1000, learning_rate=1.0, warmup=0.1)
    assert schedule.rate(50) == pytest.approx(0.5)
    assert schedule.rate(100) == pytest.approx(1.0)
    assert schedule.rate(1000) == pytest.approx(0.1)
    assert schedule.rate(2000) == pytest.approx(0.1)
