from __future__ import annotations

import pytest

from adapterkit.serving.layers import Layer, layer_names, layer_texts, predict_layers
from adapterkit.serving.predictions import Prediction
from adapterkit.serving.together import load_adapters


def test_layers_hold_what_each_adapter_predicts(ner, hoc):
    texts = ["Lithium caused tremor.", ""]
    layers = predict_layers(load_adapters([ner.path, hoc.path]), texts)
    assert [layer.name for layer in layers] == ["bc5cdr", "hoc"]
    assert [layer.kind for layer in layers] == ["ner", "multilabel"]
    assert [layer.adapter for layer in layers] == [str(ner.path), str(hoc.path)]
    assert list(layers[0].predictions) == ner.predict(texts)
    assert list(layers[1].predictions) == hoc.predict(texts)
    assert layer_texts(layers) == texts


@pytest.mark.parametrize(
    ("adapters", "names"),
    [
        ([("a", "x")], ["a"]),
        ([("a", "x"), ("b", "x")], ["a", "b"]),
        ([("a", "x"), ("b", "y"), ("a", "z")], ["a (x)", "b", "a (z)"]),
        ([("a", "x"), ("a", "x")], ["a (x)", "a (x #2)"]),
    ],
)
def test_names_tell_adapters_apart(adapters, names):
    assert layer_names(adapters) == names


def test_layers_of_different_texts_do_not_mix():
    one = Layer("a", "x", "a", "ner", ("X",), (Prediction("one"),))
    two = Layer("b", "y", "b", "ner", ("X",), (Prediction("two"),))
    with pytest.raises(ValueError, match="different texts"):
        layer_texts([one, two])
    with pytest.raises(ValueError, match="no layer"):
        layer_texts([])
