from __future__ import annotations

import re

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.serving.layers import predict_layers
from adapterkit.serving.predictions import Entity, Prediction
from adapterkit.serving.rendering.brat import render_brat
from adapterkit.serving.together import load_adapters

from .made import TEXT, chemicals_and_diseases, crossing, entity, ner_layer, topics

LINE = re.compile(r"T([0-9]+)\t([A-Za-z0-9_-]+) ([0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*)\t([^\t]+)")


def parse(standoff: str, text: str) -> list[tuple[str, list[tuple[int, int]]]]:
    """Read standoff by brat's own rule: the reference text is the fragments joined by blanks."""
    found = []
    lines = standoff.split("\n")
    assert lines.pop() == ""
    for number, line in enumerate(lines, 1):
        matched = LINE.fullmatch(line)
        assert matched, line
        assert int(matched[1]) == number
        places = [tuple(map(int, place.split())) for place in matched[3].split(";")]
        assert " ".join(text[start:end] for start, end in places) == matched[4]
        assert not re.search(r"[\r\n\t]", matched[4])
        found.append((matched[2], places))
    return found


def test_a_span_over_a_line_break_becomes_fragments():
    assert render_brat([chemicals_and_diseases()]) == (
        "T1\tChemical 0 7\tLithium\nT2\tDisease 16 20;22 28\tlung cancer\n"
    )


def test_overlapping_spans_of_two_adapters_are_told_apart():
    found = parse(render_brat([chemicals_and_diseases(), crossing()]), TEXT)
    assert found == [
        ("cdr_Chemical", [(0, 7)]),
        ("ncbi_Disease", [(2, 20)]),
        ("cdr_Disease", [(16, 20), (22, 28)]),
    ]


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\t", " \n  ", "\u2028", "\n\n", "\v", "\x85"])
def test_every_break_inside_a_span_parts_it(gap):
    text = f"a lung{gap}cancer"
    layer = ner_layer(Prediction(text, entities=(entity(text, text[2:], "Disease"),)))
    ((_, places),) = parse(render_brat([layer]), text)
    assert [text[start:end] for start, end in places] == ["lung", "cancer"]


def test_types_hold_only_what_brat_allows():
    layer = ner_layer(
        Prediction("ab", entities=(Entity(0, 2, "Gene or gène/protein", "ab", 1.0),)),
        labels=("Gene or gène/protein",),
    )
    assert render_brat([layer]) == "T1\tGene_or_g_ne_protein 0 2\tab\n"


def test_several_texts_are_one_document():
    texts = ["one two", "", "\U0001f48a two"]
    layer = ner_layer(*(Prediction(t, entities=_two(t)) for t in texts))
    found = parse(render_brat([layer]), "\n".join(texts))
    assert [places for _, places in found] == [[(4, 7)], [(11, 14)]]


def _two(text: str) -> tuple[Entity, ...]:
    return (entity(text, "two", "Disease"),) if "two" in text else ()


def test_labels_of_whole_texts_are_refused():
    with pytest.raises(UserError, match="whole texts") as refused:
        render_brat([chemicals_and_diseases(), topics()])
    assert "hoc" in str(refused.value)


def test_nothing_found_is_nothing_written():
    assert render_brat([ner_layer(Prediction("a"))]) == ""


def test_what_a_run_finds_reads_back(ner):
    text = "Lithium caused\r\nlung\tcancer and \U0001f48a fever\n\nHaloperidol stopped tremor."
    found = parse(render_brat(predict_layers(load_adapters([ner.path]), [text])), text)
    (expected,) = ner.predict([text])
    assert [(places[0][0], places[-1][1]) for _, places in found] == [
        (e.start, e.end) for e in expected.entities
    ]
    assert found


def test_texts_that_keep_their_line_ends_add_no_other():
    texts = ["Lithium\r\n", "\n", "x\r", "Lithium"]
    layer = ner_layer(
        *(
            Prediction(text, entities=(entity(text, "Lithium", "Chemical"),))
            if "Lithium" in text
            else Prediction(text)
            for text in texts
        )
    )
    assert [places for _, places in parse(render_brat([layer]), "".join(texts))] == [
        [(0, 7)],
        [(12, 19)],
    ]
