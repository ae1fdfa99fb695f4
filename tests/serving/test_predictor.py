from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapterkit
from adapterkit.runs.errors import UserError
from adapterkit.serving.predictor import Predictor, load_adapter
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tasks.segmentation import segment
from adapterkit.tasks.sources import load_data
from adapterkit.tuning.evaluation import evaluation_split, predict_split
from adapterkit.tuning.reloading import load_run

ABSTRACT = "Lithium-induced tremor (n = 3) improved.\nHaloperidol was stopped; fever cleared."
AWKWARD = {
    "crlf": "Aspirin may\r\ncause asthma.\r\n\r\nLithium caused tremor.\r\n",
    "emoji": "\U0001f48a aspirin \U0001f469\u200d\u2695\ufe0f for \U0001f926\U0001f3fd and fever",
    "combining": "Sjo\u0308gren's syndrome after \u03b1-interferon, nai\u0308vete\u0301",
    "tabs": "drug\tdisease\naspirin\tasthma\n\tlithium\ttremor",
    "no full stop": "lithium induced tremor and fever with haloperidol " * 400,
    "one long word": "lithium " + "x" * 5000 + " tremor",
    "controls": "lithium\x00 \x1b[31mtremor\x1b[0m \ufeff\u200b fever",
    "lone surrogate": "lithium \udcff tremor \ud83d fever",
    "right to left": "\u0623\u0633\u0628\u0631\u064a\u0646 aspirin \u05d0\u05e1\u05e4\u05d9\u05e8",
}


def check_entities(text: str, predictor: Predictor) -> int:
    """Assert that offsets reproduce slices, in order and apart, and return how many there are."""
    (prediction,) = predictor.predict([text])
    assert prediction.text == text
    words = [word for sentence in segment(text) for word in sentence.words]
    starts, ends = {word.start for word in words}, {word.end for word in words}
    for entity in prediction.entities:
        assert text[entity.start : entity.end] == entity.text
        assert entity.start in starts
        assert entity.end in ends
        assert entity.label in predictor.task.labels
        assert 0 < entity.score <= 1
    for before, after in itertools.pairwise(prediction.entities):
        assert before.end <= after.start
    return len(prediction.entities)


def test_entities_are_those_the_run_tags(ner_run, ner):
    run = load_run(ner_run)
    examples = load_data(load_task("bc5cdr"), "sample", ("test",)).splits["test"][:60]
    split = evaluation_split(run.task, examples, run.backbone.tokenizer, run.max_length)
    tags = predict_split(run.applied.model, split)
    compared = 0
    for example, expected in zip(examples, tags, strict=True):
        text = " ".join(example.words)
        cut = segment(text)
        if [tuple(word.text for word in sentence.words) for sentence in cut] != [example.words]:
            continue
        words = cut[0].words
        spans = [
            (words[span.start].start, words[span.end - 1].end, span.label)
            for span in spans_from_tags(expected)
        ]
        (prediction,) = ner.predict([text])
        assert [(e.start, e.end, e.label) for e in prediction.entities] == spans
        compared += bool(spans)
    assert compared >= 20


@pytest.mark.parametrize("name", AWKWARD)
def test_offsets_reproduce_the_slices_of_awkward_texts(name, ner):
    assert check_entities(AWKWARD[name], ner) > 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(
        st.one_of(
            st.sampled_from("aspirin lithium.\r\n\t-(\u0301\U0001f48a"),
            st.characters(exclude_categories=()),
        ),
        max_size=80,
    )
)
def test_offsets_reproduce_the_slices_of_any_text(text, ner):
    check_entities(text, ner)


@pytest.mark.parametrize("text", ["", " ", "\n\n\r\n", "\t", "\u200b"])
def test_blank_texts_have_nothing_in_them(text, ner, hoc):
    (entities,) = ner.predict([text])
    assert (entities.text, entities.entities) == (text, ())
    if not text.strip():
        (labels,) = hoc.predict([text])
        assert (labels.labels, labels.scores, labels.is_truncated) == ((), (), False)


def test_each_text_keeps_its_place(ner, hoc):
    texts = ["", ABSTRACT, "  ", "Fever.", ABSTRACT]
    for predictor in (ner, hoc):
        together = predictor.predict(texts)
        assert [prediction.text for prediction in together] == texts
        assert predictor.predict([]) == []
        for text, prediction in zip(texts, together, strict=True):
            (alone,) = predictor.predict([text])
            assert [(e.start, e.end, e.label) for e in prediction.entities] == [
                (e.start, e.end, e.label) for e in alone.entities
            ]
            assert [s.score for s in prediction.scores] == pytest.approx(
                [s.score for s in alone.scores], abs=1e-5
            )


def test_labels_are_those_above_one_half(hoc_run, hoc):
    (prediction,) = hoc.predict([ABSTRACT])
    run = load_run(hoc_run)
    inputs = run.backbone.tokenizer(ABSTRACT, return_tensors="pt")
    with torch.no_grad():
        output = run.applied.model(inputs["input_ids"], attention_mask=inputs["attention_mask"])
    expected = output.logits[0].sigmoid().tolist()
    assert [scored.label for scored in prediction.scores] == list(hoc.task.labels)
    assert [scored.score for scored in prediction.scores] == pytest.approx(expected, abs=1e-5)
    chosen = sorted(prediction.scores, key=lambda scored: -scored.score)
    assert list(prediction.labels) == [scored for scored in chosen if scored.score > 0.5]


def test_single_label_scores_add_up_to_one(hoc_run):
    run = load_run(hoc_run)
    config = run.task.model_copy(update={"kind": "classification", "metric": "accuracy"})
    predictor = Predictor(hoc_run, dataclasses.replace(run, task=config))
    (prediction,) = predictor.predict([ABSTRACT])
    assert math.fsum(scored.score for scored in prediction.scores) == pytest.approx(1)
    best = max(prediction.scores, key=lambda scored: scored.score)
    assert prediction.labels == (best,)


def test_a_text_too_long_to_classify_says_so(hoc):
    short, long = hoc.predict([ABSTRACT, ABSTRACT * 100])
    assert not short.is_truncated
    assert long.is_truncated
    assert len(long.labels) <= len(long.scores) == len(hoc.task.labels)


def test_progress_counts_all_windows(ner):
    class Counting:
        total, done = 0, 0

        def begin(self, phase, total=None):
            self.total = total

        def advance(self, units=1, **measures):
            self.done += units

        def say(self, message):
            raise AssertionError(message)

    progress = Counting()
    ner.predict([ABSTRACT, AWKWARD["no full stop"]], progress)
    assert progress.done == progress.total > 3


@pytest.mark.parametrize("texts", ["Aspirin.", [b"Aspirin."], ["Aspirin.", None]])
def test_what_is_no_list_of_texts_is_refused(texts, ner):
    with pytest.raises(TypeError, match="text"):
        ner.predict(texts)


def test_what_is_no_run_is_refused(tmp_path, tiny_backbone):
    for path in (tmp_path / "missing", tmp_path, tiny_backbone):
        with pytest.raises(UserError):
            load_adapter(path)


def test_the_package_offers_both_names(ner_run):
    assert adapterkit.load_adapter is load_adapter
    assert isinstance(adapterkit.load_adapter(str(ner_run)), adapterkit.Predictor)
