"""The bundled samples are original and consistent."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapterkit.tasks.examples import NerExample, TextExample
from adapterkit.tasks.locating import has_sample
from adapterkit.tasks.registry import load_task, task_names
from adapterkit.tasks.schemes import spans_from_tags
from adapterkit.tasks.sources import load_data

RUN = 8
WORD = re.compile(r"[^\W_]+")


def sample_texts() -> dict[str, str]:
    texts = {}
    # A view of a corpus has the same sample.
    own = [name for name in task_names() if has_sample(task := load_task(name)) and not task.corpus]
    for name in own:
        for split, examples in load_data(load_task(name), "sample").splits.items():
            for example in examples:
                text = " ".join(example.words) if isinstance(example, NerExample) else example.text
                texts[f"{name}, {split}, {example.id}"] = text
    return texts


def runs(text: str) -> Iterator[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return (tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))


def passages(path: Path) -> Iterator[str]:
    if path.name.endswith(".txt.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from lines
        return
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        yield from (json.loads(line)["text"] for line in content.split("\n") if line.strip())
    else:
        yield " ".join(line.split("\t")[0] for line in content.split("\n"))


@pytest.mark.slow
def test_no_eight_words_in_a_row_stand_in_a_corpus(corpora: Path) -> None:
    own = {run: place for place, text in sample_texts().items() for run in runs(text)}
    kinds = ("*/*.jsonl", "*/train.tsv", "*/dev.tsv", "*/test.tsv", "corpus/*.txt.gz")
    files = [path for kind in kinds for path in corpora.glob(kind)]
    assert files
    copied = {
        (own[run], " ".join(run), path.name)
        for path in files
        for passage in passages(path)
        for run in runs(passage)
        if run in own
    }
    assert copied == set()


def test_no_sentence_is_a_variation_on_another() -> None:
    first: dict[tuple[str, ...], str] = {}
    for place, text in sample_texts().items():
        for run in set(runs(text)):
            assert first.setdefault(run, place) == place, " ".join(run)


@pytest.mark.parametrize("name", ["bc5cdr", "ncbi_disease"])
def test_samples_are_large_enough_and_a_mention_has_one_type(name: str) -> None:
    splits = load_data(load_task(name), "sample").splits
    examples = [e for split in splits.values() for e in split if isinstance(e, NerExample)]
    assert len(examples) >= 300
    assert len({example.document for example in examples}) >= 60
    types: dict[str, str] = {}
    for example in examples:
        for span in spans_from_tags(example.tags):
            mention = " ".join(example.words[span.start : span.end]).lower()
            assert types.setdefault(mention, span.label) == span.label, mention


def test_there_are_enough_abstracts() -> None:
    splits = load_data(load_task("hoc"), "sample").splits
    texts = [e for split in splits.values() for e in split if isinstance(e, TextExample)]
    assert len(texts) >= 120
    assert any(not text.labels for text in texts)
    assert {label for text in texts for label in text.labels} == set(load_task("hoc").labels)
