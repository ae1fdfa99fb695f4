from __future__ import annotations

from pathlib import Path

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.students.recipe import Recipe
from adapterkit.students.recipe_files import load_recipe, parse_setting, recipe_names

_SHORT = """corpus:
  files: [text.txt]
training:
  tokens: 1000
"""


def _write(folder: Path, text: str) -> Path:
    (folder / "text.txt").write_text("some text\n", encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        load_recipe(_write(folder, text))
    return str(error.value)


def test_a_short_recipe_gets_the_defaults_of_the_paper(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, _SHORT))
    weights = recipe.objective
    assert recipe.name == "mine"
    assert (weights.masked_lm, weights.attention, weights.hidden, weights.output) == (1, 3, 3, 5)
    assert (weights.embedding, weights.temperature) == (0, 1)
    assert recipe.student.layerwise is not None
    assert recipe.student.layerwise.reduction_factor == 16
    assert recipe.corpus.files == (str(tmp_path / "text.txt"),)


def test_a_recipe_reads_back_as_it_was_written(tmp_path: Path) -> None:
    text = _SHORT + "layers: [2, 4]\nstudent: {start: 'layer:3', relaxed: {rank: 4, own: []}}\n"
    recipe = load_recipe(_write(tmp_path, text))
    assert Recipe.model_validate(recipe.as_dict()) == recipe
    assert recipe.layers == (2, 4)
    assert recipe.student.relaxed is not None
    assert recipe.student.relaxed.own == ()


@pytest.mark.parametrize(
    ("written", "expected"),
    [("bc5cdr", ("bc5cdr",)), ("[bc5cdr, hoc]", ("bc5cdr", "hoc")), ("null", ()), ("[]", ())],
)
def test_one_task_or_several_are_probed_on(
    tmp_path: Path, written: str, expected: tuple[str, ...]
) -> None:
    recipe = load_recipe(_write(tmp_path, f"{_SHORT}evaluation: {{probe: {written}}}\n"))
    assert recipe.evaluation.probe == expected
    assert Recipe.model_validate(recipe.as_dict()) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "biomed_ccby.txt.gz").touch()
    monkeypatch.setenv("ADAPTERKIT_DATA", str(tmp_path))
    assert load_recipe(name).teacher == "minilm-l6"


def test_an_unknown_key_is_told_by_line_with_the_nearest_name(tmp_path: Path) -> None:
    said = _refusal(tmp_path, _SHORT + "  learning_rat: 0.1\n")
    assert "mine.yaml, line 5" in said
    assert "unknown key training.learning_rat" in said
    assert "did you mean learning_rate?" in said


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("student: {relaxed: {rnk: 3}}\n", "unknown key student.relaxed.rnk"),
        ("student: {relaxed: {own: [layernorm]}}\n", "line 5"),
        ("student: {start: averge}\n", "did you mean average?"),
        ("student: {start: 'layer:0'}\n", "K from 1"),
        ("objective: {hidden: -1}\n", "objective.hidden: -1"),
        ("objective: {masked_lm: 0, attention: 0, hidden: 0, output: 0}\n", "nothing would be"),
        ("layers: 3\n", "a list, such as"),
        ("evaluation: {probe: 0}\n", "evaluation.probe: 0"),
        ("evaluation: {probe: [hoc, hoc]}\n", "evaluation.probe: named twice: hoc"),
        ("teacher: 7\n", "teacher: 7"),
        ("training: {tokens: 5}\n", "given twice"),
        ("name: a/b\n", "letters, digits"),
    ],
)
def test_wrong_values_are_told_with_their_key(tmp_path: Path, more: str, expected: str) -> None:
    said = _refusal(tmp_path, _SHORT + more)
    assert expected in said
    assert "mine.yaml, line 5" in said


def test_a_missing_section_is_told(tmp_path: Path) -> None:
    said = _refusal(tmp_path, "training: {tokens: 5}\n")
    assert "the key corpus is missing" in said


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [\n", ""])
def test_what_is_no_recipe_is_refused_as_a_recipe(tmp_path: Path, text: str) -> None:
    said = _refusal(tmp_path, text)
    assert "recipe file" in said
    assert "task" not in said


def test_a_recipe_that_is_not_there_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean bundled"):
        load_recipe("bundeld")
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(tmp_path / "none.yaml")


def test_a_corpus_file_that_is_not_there_is_refused_by_line(tmp_path: Path) -> None:
    said = _refusal(tmp_path, _SHORT.replace("text.txt", "other.txt"))
    assert "no such corpus file" in said
    assert "mine.yaml, line 2" in said


def test_a_variable_that_is_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADAPTERKIT_DATA", raising=False)
    said = _refusal(tmp_path, _SHORT.replace("text.txt", "$ADAPTERKIT_DATA/text.txt"))
    assert "set ADAPTERKIT_DATA" in said
    monkeypatch.setenv("ADAPTERKIT_DATA", str(tmp_path))
    path = _write(tmp_path, _SHORT.replace("text.txt", "'${ADAPTERKIT_DATA}/text.txt'"))
    assert load_recipe(path).corpus.files == (str(tmp_path / "text.txt"),)


def test_settings_replace_what_the_file_says(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("more\n", encoding="utf-8")
    settings = dict(map(parse_setting, ["training.tokens=77", "student.relaxed={rank: 2}"]))
    recipe = load_recipe(_write(tmp_path, _SHORT), settings, corpus=[other])
    assert recipe.training.tokens == 77
    assert recipe.student.relaxed is not None
    assert recipe.student.relaxed.rank == 2
    assert recipe.corpus.files == (str(other),)


def test_a_wrong_setting_is_told_as_a_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--set training\.tokens"):
        load_recipe(_write(tmp_path, _SHORT), {"training.tokens": "many"})
    with pytest.raises(UserError, match=r"did you mean seed"):
        load_recipe(_write(tmp_path, _SHORT), {"training.seeds": 3})
    for text in ("training.tokens", "=3", "a={"):
        with pytest.raises(UserError, match="KEY=VALUE"):
            parse_setting(text)
