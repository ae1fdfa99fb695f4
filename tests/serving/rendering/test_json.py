from __future__ import annotations

import json

import pytest

from adapterkit.serving.layers import predict_layers
from adapterkit.serving.predictions import Entity, Prediction
from adapterkit.serving.rendering.json import render_json
from adapterkit.serving.together import load_adapters

from .made import TEXT, chemicals_and_diseases, crossing, ner_layer, topics


def test_one_object_holds_texts_with_entities():
    written = render_json([chemicals_and_diseases(), crossing(), topics(is_truncated=True)])
    assert written.count("\n") == 1
    document = json.loads(written)
    assert document["schema"] == "adapterkit.predictions.v1"
    assert [adapter["name"] for adapter in document["adapters"]] == ["cdr", "ncbi", "hoc"]
    assert document["adapters"][1] == {
        "name": "ncbi",
        "path": "runs/ncbi",
        "task": "ncbi",
        "kind": "ner",
        "labels": ["Disease"],
    }
    (text,) = document["texts"]
    assert text["text"] == TEXT
    assert [(e["adapter"], e["label"], e["score"]) for e in text["entities"]] == [
        ("cdr", "Chemical", 0.9),
        ("ncbi", "Disease", 0.25),
        ("cdr", "Disease", 0.5),
    ]
    for entity in text["entities"]:
        assert TEXT[entity["start"] : entity["end"]] == entity["text"]
    assert text["labels"] == [{"label": "good <news>", "score": 0.75, "adapter": "hoc"}]
    assert text["scores"] == {"hoc": {"good <news>": 0.75, "bad": 0.125}}
    assert text["truncated"] == ["hoc"]


def test_texts_without_anything_are_there():
    document = json.loads(render_json([ner_layer(Prediction(""), Prediction("a"))]))
    assert [(text["text"], text["entities"]) for text in document["texts"]] == [("", []), ("a", [])]


def test_offsets_count_code_points_not_utf16():
    text = "\U0001f48a lithium"
    layer = ner_layer(Prediction(text, entities=(Entity(2, 9, "Chemical", "lithium", 1.0),)))
    (entity,) = json.loads(render_json([layer]))["texts"][0]["entities"]
    assert (entity["start"], entity["end"]) == (2, 9)
    assert text[2:9] == entity["text"]


def test_scores_that_are_no_numbers_are_refused():
    bad = Prediction("a", entities=(Entity(0, 1, "Chemical", "a", float("nan")),))
    with pytest.raises(ValueError, match="JSON"):
        render_json([ner_layer(bad)])


def test_what_a_run_predicts_survives_the_round_trip(ner, hoc):
    text = "Lithium caused tremor \U0001f48a.\r\n\r\nFever cleared."
    document = json.loads(render_json(predict_layers(load_adapters([ner.path, hoc.path]), [text])))
    (expected,) = ner.predict([text])
    assert [(e["start"], e["end"], e["label"]) for e in document["texts"][0]["entities"]] == [
        (e.start, e.end, e.label) for e in expected.entities
    ]
    assert expected.entities
    assert set(document["texts"][0]["scores"]["hoc"]) == set(hoc.task.labels)
