"""Several adapters at once predict what each predicts alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adapterkit
from adapterkit.serving.predictions import Prediction
from adapterkit.serving.together import Predictors, load_adapters
from adapterkit.tuning.tune import tune
from tests.serving.conftest import TRAINED_ON

PLANS = {
    "upper": "0:frozen 1-2:seq_bn",
    "last": "0-1:frozen 2:double_seq_bn",
    "lora": "0:frozen rest:lora",
    "kronecker": "0:frozen 1:krona 2:adakron",
    "side": "side(r=4)",
    "gated": "0:frozen rest:unipelt(prefix_length=3,bottleneck_size=8)",
    "full": "0-1:frozen 2:full",
}
TEXTS = [
    "Lithium-induced tremor (n = 3) improved.\nHaloperidol was stopped; fever cleared.",
    "",
    "Aspirin " * 400,
    "Severe hypotension followed propranolol and clonidine in one patient.",
]


@pytest.fixture(scope="module")
def runs(
    tiny_backbone: Path, start_of_the_sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Two runs of each plan, and one of a multi-label task."""
    folder = tmp_path_factory.mktemp("together")
    made = {}
    for name, plan in PLANS.items():
        for seed in (0, 1):
            made[f"{name}-{seed}"] = folder / f"{name}-{seed}"
            tune(
                "bc5cdr",
                plan,
                backbone=tiny_backbone,
                data=start_of_the_sample,
                output=made[f"{name}-{seed}"],
                epochs=1,
                learning_rate=2e-3,
                seed=seed,
                limit_train=TRAINED_ON,
            )
    return made


def assert_same(found: Prediction, expected: Prediction) -> None:
    assert found.text == expected.text
    assert found.is_truncated == expected.is_truncated
    for mine, theirs in ((found.entities, expected.entities), (found.labels, expected.labels)):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert (one.label, one.score) == (other.label, pytest.approx(other.score, abs=1e-5))
    spans = [(e.start, e.end, e.text) for e in found.entities]
    assert spans == [(e.start, e.end, e.text) for e in expected.entities]


def test_each_adapter_predicts_what_it_predicts_alone(runs, ner_run, hoc_run):
    paths = [*runs.values(), ner_run, hoc_run, hoc_run]
    together = load_adapters(paths)
    assert [task.name for task in together.tasks] == ["bc5cdr"] * 15 + ["hoc"] * 2
    found = together.predict(TEXTS)
    entities = 0
    for path, predictions in zip(paths, found, strict=True):
        expected = adapterkit.load_adapter(path).predict(TEXTS)
        for one, other in zip(predictions, expected, strict=True):
            assert_same(one, other)
            entities += len(one.entities)
    assert entities > 20
    different = {tuple(map(str, predictions)) for predictions in found[:15]}
    assert len(different) == 15


def test_each_text_is_read_by_its_own_adapter(runs, hoc_run):
    paths = [runs["upper-0"], hoc_run, runs["upper-1"], runs["full-0"], runs["gated-0"]]
    texts = [text for text in TEXTS for _ in paths]
    adapters = [number for _ in TEXTS for number in range(len(paths))]
    found = adapterkit.load_adapters(paths).predict_each(texts, adapters)
    alone = [adapterkit.load_adapter(path).predict(TEXTS) for path in paths]
    for row, prediction in enumerate(found):
        assert_same(prediction, alone[adapters[row]][row // len(paths)])


def test_adapters_of_one_plan_are_one_pass(runs, hoc_run):
    together = load_adapters([runs["upper-0"], hoc_run, runs["last-0"], runs["upper-1"]])
    passes = [[each.members for each in route.passes] for route in together._routes]
    assert passes == [[(0, 3), (2,)], [(1,)]]


def test_frozen_steps_run_once_however_many_adapters(runs):
    together = load_adapters([runs[name] for name in ("upper-0", "last-0", "full-0", "upper-1")])
    calls = [0, 0, 0]
    for one in together._routes[0].passes:
        for step, group in enumerate(one.model.albert.encoder.albert_layer_groups):

            def count(*_: object, step: int = step) -> None:
                calls[step] += 1

            group.register_forward_hook(count)
    together.predict(["Lithium caused tremor."])
    # Step 1 is frozen for two of the passes: once for both, and once for the pass that learned it.
    assert calls == [1, 2, 3]


def test_wrong_numbers_are_refused(runs):
    together = load_adapters([runs["upper-0"]])
    with pytest.raises(ValueError, match="2 texts need 2 adapters"):
        together.predict_each(["a", "b"], [0])
    with pytest.raises(ValueError, match="no adapter 1: 0 to 0"):
        together.predict_each(["a"], [1])
    with pytest.raises(ValueError, match="no adapter -1"):
        together.predict_each(["a"], [-1])
    with pytest.raises(ValueError, match="needs a run directory"):
        load_adapters([])
    with pytest.raises(TypeError, match="not one text"):
        together.predict("a text")


def test_no_text_is_no_prediction(runs):
    together: Predictors = load_adapters([runs["upper-0"], runs["upper-1"]])
    assert together.predict([]) == [[], []]
    assert together.predict_each([], []) == []
    assert together.predict(["", " "]) == [[Prediction(""), Prediction(" ")]] * 2
    assert torch.is_inference_mode_enabled() is False
