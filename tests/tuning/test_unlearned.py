from __future__ import annotations

from pathlib import Path

import pytest

from adapterkit.tasks.examples import NerExample, TextExample
from adapterkit.tuning.unlearned import same_for_all
from tests.tuning.conftest import RunTiny

SENTENCES = [
    NerExample("0", "0", ("no", "name"), ("O", "O")),
    NerExample("1", "1", ("aspirin",), ("B-Chemical",)),
]
TEXTS = [
    TextExample("0", "0", "one", ("A",)),
    TextExample("1", "1", "two", ("A", "B")),
    TextExample("2", "2", "three", ()),
]


def test_sentences_without_any_mention() -> None:
    assert same_for_all(SENTENCES, [("O", "O"), ("O",)]) == "no mention in any sentence"
    assert same_for_all(SENTENCES, [("O", "B-Chemical"), ("O",)]) is None
    assert same_for_all(SENTENCES[:1], [("O", "O")]) is None, "there is none to find"


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ((), "no class for any text"),
        (("A",), "A for every text"),
        (("A", "B"), "A and B for every text"),
    ],
)
def test_texts_of_one_kind(classes: tuple[str, ...], said: str) -> None:
    assert same_for_all(TEXTS, [classes] * 3) == said
    assert same_for_all(TEXTS, [classes, classes, ("C",)]) is None
    assert same_for_all([TEXTS[0]] * 3, [classes] * 3) is None, "they do not differ"


def test_a_split_without_examples() -> None:
    assert same_for_all([], []) is None


@pytest.mark.parametrize(("learning_rate", "learns"), [(1e-3, False), (1e-2, True)])
def test_the_run_says_so(
    learning_rate: float, learns: bool, run_tiny: RunTiny, tmp_path: Path
) -> None:
    run = run_tiny(plan="full", learning_rate=learning_rate, epochs=4, output=tmp_path / "run")
    assert (run.metrics["test"]["score"] > 0) is learns
    said = [note for note in run.manifest.notes if "nothing was learned" in note]
    assert len(said) == (not learns)
    assert all("no mention in any sentence of test" in note for note in said)
