from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from adapterkit.runs.errors import UserError
from adapterkit.students.corpus import Corpus
from adapterkit.students.objective import Weights, check_weights
from adapterkit.students.teacher import Teacher
from adapterkit.students.teacher_training import (
    MaskedLmSettings,
    TeacherState,
    held_out_loss,
    train_teacher,
    with_head,
)
from tests.students.conftest import WORDS

SETTINGS = MaskedLmSettings(tokens=30_000, learning_rate=1e-2, batch_tokens=512, seed=5)


def _weights(teacher: Teacher) -> dict[str, torch.Tensor]:
    assert teacher.head is not None
    return {
        **{f"encoder.{k}": v.clone() for k, v in teacher.encoder.state_dict().items()},
        **{f"head.{k}": v.clone() for k, v in teacher.head.state_dict().items()},
    }


def test_a_bare_encoder_gets_a_head_and_learns_the_corpus(bare: Teacher, corpus: Corpus) -> None:
    weights = Weights(attention=0)
    with pytest.raises(UserError):
        check_weights(weights, bare, attention_heads=2)
    before = held_out_loss(with_head(bare, SETTINGS.seed), corpus, SETTINGS)
    seen: list[TeacherState] = []
    trained = train_teacher(bare, corpus, SETTINGS, Accelerator(cpu=True), after_update=seen.append)
    after = held_out_loss(trained, corpus, SETTINGS)
    assert before == pytest.approx(math.log(len(bare.tokenizer)), abs=0.5)
    assert after < 0.8 * math.log(len(WORDS)), "better than the words' frequencies tell"
    assert after == held_out_loss(trained, corpus, SETTINGS)
    assert [state.update for state in seen] == list(range(1, len(seen) + 1))
    assert seen[-2].tokens < SETTINGS.tokens <= seen[-1].tokens
    assert not any(p.requires_grad for p in trained.encoder.parameters())
    check_weights(weights, trained, attention_heads=2)


def test_a_fresh_head_depends_on_the_seed_alone(bare: Teacher) -> None:
    first = _weights(with_head(bare, 1))
    torch.rand(3)
    again, other = _weights(with_head(bare, 1)), _weights(with_head(bare, 2))
    name = "head.transform.dense.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert with_head(with_head(bare, 1), 2).head is not None


def test_resumed_it_ends_with_the_same_weights(bare: Teacher, corpus: Corpus) -> None:
    accelerator = Accelerator(cpu=True)
    settings = replace(SETTINGS, tokens=4_000)
    taken: dict[str, Any] = {}

    def stop(state: TeacherState) -> None:
        if state.update == 4:
            taken.update(copy.deepcopy(state.snapshot()))
            raise KeyboardInterrupt

    whole = replace(bare, encoder=copy.deepcopy(bare.encoder))
    fresh = replace(bare, encoder=copy.deepcopy(bare.encoder))
    with pytest.raises(KeyboardInterrupt):
        train_teacher(bare, corpus, settings, accelerator, after_update=stop)
    resumed = _weights(train_teacher(fresh, corpus, settings, accelerator, resume=taken))
    expected = _weights(train_teacher(whole, corpus, settings, accelerator))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in expected.items())
    assert not torch.equal(
        taken["model"]["encoder.embeddings.word_embeddings.weight"],
        expected["encoder.embeddings.word_embeddings.weight"],
    )


def test_a_training_that_diverges_is_refused(bare: Teacher, corpus: Corpus) -> None:
    with torch.no_grad():
        bare.encoder.embeddings.word_embeddings.weight[8] = float("nan")
    with pytest.raises(UserError, match="diverged") as error:
        train_teacher(bare, corpus, replace(SETTINGS, tokens=500), Accelerator(cpu=True))
    assert error.value.where == "teacher_training.learning_rate"


def test_too_little_memory_names_the_setting_to_lower(
    bare: Teacher, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator = Accelerator(cpu=True)

    def full(loss: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(accelerator, "backward", full)
    with pytest.raises(UserError, match="memory") as error:
        train_teacher(bare, corpus, SETTINGS, accelerator)
    assert error.value.where == "teacher_training.batch_tokens"
    assert "256" in (error.value.hint or "")
