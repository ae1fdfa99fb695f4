from __future__ import annotations

import re

from adapterkit.serving.predictions import Entity, Prediction
from adapterkit.serving.rendering.text import render_text

from .made import TEXT, chemicals_and_diseases, crossing, ner_layer, topics

MARKED = "[Lithium|Chemical]-induced [lung\r\ncancer|Disease]" + TEXT.partition("cancer")[2] + "\n"


def test_entities_are_marked_where_they_stand():
    assert render_text([chemicals_and_diseases()]) == MARKED


def test_several_adapters_have_passages_of_their_own():
    assert render_text([chemicals_and_diseases(), crossing(), topics()]) == (
        f"== cdr ==\n{MARKED}\n"
        "== ncbi ==\nLi[thium-induced lung|Disease]\r\ncancer"
        f"{TEXT.partition('cancer')[2]}\n\n"
        "== hoc ==\ngood <news> (0.75)\n"
    )


def test_spans_that_touch_or_nest_close_in_order():
    spans = (
        Entity(0, 2, "Chemical", "ab", 1.0),
        Entity(0, 4, "Disease", "abcd", 1.0),
        Entity(2, 4, "Chemical", "cd", 1.0),
        Entity(4, 5, "Chemical", "e", 1.0),
    )
    layer = ner_layer(Prediction("abcdef", entities=spans))
    assert render_text([layer]) == ("[[ab|Chemical][cd|Chemical]|Disease][e|Chemical]f\n")


def test_texts_are_numbered_where_there_are_several():
    layer = ner_layer(Prediction("one\n"), Prediction(""), Prediction("three"))
    assert render_text([layer]) == ("== text 1 ==\none\n\n== text 2 ==\n\n== text 3 ==\nthree\n")


def test_an_empty_text_stays_empty():
    assert render_text([ner_layer(Prediction(""))]) == ""


def test_no_label_and_a_text_cut_short_are_said():
    assert "only the beginning was read" in render_text([topics(is_truncated=True)])
    layer = topics()
    bare = type(layer)("hoc", "x", "hoc", "multilabel", ("a",), (Prediction("a b"),))
    assert render_text([bare]) == "(no label)\n"


def test_colours_add_nothing_but_colours():
    layers = [chemicals_and_diseases(), crossing()]
    coloured = render_text(layers, colour=True)
    assert "\x1b[" in coloured
    assert "\x1b" not in render_text(layers)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert bare == render_text(layers).replace("\r\n", "\n")


def test_a_text_cannot_speak_to_the_terminal():
    evil = "a\x1b]0;title\x07b\rc\x9b2Jd\x7f"
    layer = ner_layer(Prediction(evil))
    assert render_text([layer], colour=True) == "a\u241b]0;title\u2407b\u240dc\ufffd2Jd\u2421\n"
    assert render_text([layer]) == f"{evil}\n"
