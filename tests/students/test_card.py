from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from adapterkit.students.card import commit, make_card, portable
from adapterkit.students.recipe import Recipe
from adapterkit.students.state import LoopState


def test_a_card_names_everything_but_the_machine(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "mine",
            "licence": "MIT",
            "teacher": str(tmp_path / "teacher"),
            "corpus": {"files": [str(tmp_path / "text.txt.gz")], "licences": "CC0"},
            "training": {"tokens": 100},
            "evaluation": {"probe": [str(tmp_path / "mine.yaml"), "hoc"]},
        }
    )
    state = LoopState(4, 120, 2.0, [{"tokens": 120, "cosines": [0.9]}])
    tied = nn.Linear(3, 3)
    card = make_card(
        recipe,
        state,
        nn.Sequential(tied, tied),
        teacher={"id": "teacher", "layers": 2},
        corpus=[{"file": "text.txt.gz", "sha256": "00"}],
        measures={"throughput": {"fraction": 0.5}},
        command=f"adapterkit distill {tmp_path}/mine.yaml --corpus '{tmp_path}/text.txt.gz'",
    )
    assert str(tmp_path) not in json.dumps(card)
    assert card["command"] == "adapterkit distill mine.yaml --corpus text.txt.gz"
    assert (card["name"], card["licence"], card["corpus_licences"]) == ("mine", "MIT", ["CC0"])
    assert (card["tokens_seen"], card["tokens_per_second"], card["parameters"]) == (120, 60.0, 12)
    assert card["scores"] == {"tokens": 120, "cosines": [0.9]}
    assert card["recipe"]["corpus"]["files"] == ["text.txt.gz"]
    assert card["recipe"]["evaluation"]["probe"] == ["mine.yaml", "hoc"]
    assert {"versions", "hardware", "throughput", "curve"} <= set(card)


def test_paths_inside_settings_are_cut_too() -> None:
    assert portable("adapterkit distill a --set corpus.files=[/x/y.txt,z/w.gz]") == (
        "adapterkit distill a --set 'corpus.files=[y.txt,w.gz]'"
    )


def test_the_commit_is_read_where_there_is_one(tmp_path: Path) -> None:
    sha = "0123456789" * 4
    assert commit(tmp_path) is None
    heads = tmp_path / ".git" / "refs" / "heads"
    heads.mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "packed-refs").write_text(f"# pack-refs\n{sha} refs/heads/main\n")
    assert commit(tmp_path) == sha
    (heads / "main").write_text("a" * 40 + "\n")
    assert commit(tmp_path) == "a" * 40
    (tmp_path / ".git" / "HEAD").write_text(sha + "\n")
    assert commit(tmp_path) == sha
