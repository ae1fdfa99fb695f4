from __future__ import annotations

import re
from html.parser import HTMLParser

from adapterkit.serving.layers import predict_layers
from adapterkit.serving.predictions import Entity, Prediction
from adapterkit.serving.rendering.html import render_html
from adapterkit.serving.together import load_adapters

from .made import TEXT, chemicals_and_diseases, crossing, ner_layer, topics

VOID = {"meta"}


class Reader(HTMLParser):
    """Checks that tags nest, and collects what a reader sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.chips: list[str] = []
        self.seen = ""

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes.get("class") or ""))
        if tag == "div" and attributes.get("class") == "text":
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if any(tag == "style" for tag, _ in self.open):
            return
        self.seen += data
        if ("div", "text") not in self.open:
            return
        if any(name.startswith("type") for tag, name in self.open if tag == "span"):
            self.chips.append(data)
        else:
            self.texts[-1] += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def as_parsed(text: str) -> str:
    """HTML parsers turn every line ending into a line feed; so does the check."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_the_text_stands_on_the_page_unchanged_with_types_beside():
    reader = read(render_html([chemicals_and_diseases()]))
    assert [as_parsed(text) for text in reader.texts] == [as_parsed(TEXT)]
    assert reader.chips == ["Chemical", "Disease"]
    titles = [attributes["title"] for tag, attributes in reader.tags if "title" in attributes]
    assert titles == ["Chemical, score 0.90", "Disease, score 0.50"]


def test_white_space_is_kept():
    text = "  a\n\n\tb  c \n"
    spans = (Entity(2, 3, "Chemical", "a", 1.0), Entity(6, 7, "Chemical", "b", 1.0))
    assert read(render_html([ner_layer(Prediction(text, entities=spans))])).texts == [text]


def test_overlapping_spans_of_two_adapters_name_both():
    reader = read(render_html([chemicals_and_diseases(), crossing()]))
    assert [as_parsed(text) for text in reader.texts] == [as_parsed(TEXT)]
    assert reader.chips == ["Chemical · cdr", "Disease · ncbi", "Disease · cdr"]


def test_the_legend_counts_every_type_of_every_adapter():
    page = render_html([chemicals_and_diseases(), crossing(), topics()])
    items = re.findall(r"<li><mark[^>]*>(.*?)</mark> <span class=\"count\">(\d+)</span>", page)
    assert items == [("Chemical · cdr", "1"), ("Disease · cdr", "1"), ("Disease · ncbi", "1")]


def test_labels_of_texts_are_shown():
    seen = read(render_html([topics(is_truncated=True)])).seen
    assert "good <news> 0.75" in seen
    assert "bad" not in seen
    assert "only the beginning was read" in seen
    assert "hoc: adapter runs/hoc, task hoc" in seen


def test_nothing_from_a_text_becomes_markup():
    evil = "</div><script>alert(1)</script><img src=x onerror=alert(1)>\x00\x1b\udcff"
    labels = ('"><script>alert(2)</script>',)
    spans = (Entity(0, 5, labels[0], evil[:5], 1.0),)
    page = render_html(
        [ner_layer(Prediction(evil, entities=spans), labels=labels)], title="<script>"
    )
    reader = read(page)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "img"})
    assert reader.texts == [evil[:-3] + "\ufffd" * 3]
    page.encode("utf-8")


def test_the_page_needs_nothing_from_outside():
    page = render_html([chemicals_and_diseases(), topics()])
    reader = read(page)
    assert {"link", "script", "img", "iframe"}.isdisjoint(tag for tag, _ in reader.tags)
    assert not re.search(r"https?:|url\(|@import", page)


def test_twenty_types_all_look_different():
    labels = tuple(f"type{number}" for number in range(20))
    page = render_html([ner_layer(Prediction("a"), labels=labels)])
    looks = [
        re.search(rf"\n\.t{number} {{ border-color: (#\w+)", page)[1]
        + re.search(rf"mark\.t{number} {{ border-bottom-style: (\w+)", page)[1]
        for number in range(20)
    ]
    assert len(set(looks)) == 20


def test_texts_are_numbered_and_what_a_run_finds_is_marked(ner):
    texts = ["Lithium caused\ntremor.", "", "Fever \U0001f48a cleared."]
    reader = read(render_html(predict_layers(load_adapters([ner.path]), texts)))
    assert reader.texts == texts
    assert "Text 3" in reader.seen
    found = [entity.label for each in ner.predict(texts) for entity in each.entities]
    assert reader.chips == found
    assert found
