"""Reading suites, and the mistakes in them."""

from pathlib import Path

import pytest

from adapterkit.comparing.suites.reading import read_suite
from adapterkit.runs.errors import UserError
from adapterkit.tasks.registry import config_folder, task_names

SUITES = sorted((config_folder().parent / "benchmarks" / "suites").rglob("*.yaml"))
SHORT = "name: mine\ntasks: [bc5cdr]\nplans: [head]\nseeds: 1\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        read_suite(written(folder, text))
    return str(error.value)


def test_the_short_forms_mean_what_the_long_ones_do(tmp_path):
    short = read_suite(written(tmp_path, "tasks: hoc\nplans: full\nseeds: 3\n")).suite
    long = (
        "name: mine\ntasks: [hoc]\nplans: [{plan: full, options: {}}]\nseeds: [0, 1, 2]\n"
        "backbones: [bundled]\ndata: auto\n"
    )
    assert short == read_suite(written(tmp_path, long)).suite
    assert read_suite(written(tmp_path, long), seeds=5).suite.seeds == (0, 1, 2, 3, 4)


def test_files_and_folders_are_relative_to_the_suite(tmp_path, monkeypatch):
    (tmp_path / "corpora").mkdir()
    own = "kind: classification\nlabels: [a, b]\nfiles: {train: a.jsonl}\n"
    (tmp_path / "own.yaml").write_text(own)
    text = SHORT.replace("bc5cdr", "own.yaml") + "data: corpora\n"
    file = written(tmp_path, text)
    monkeypatch.chdir("/")
    read = read_suite(file)
    assert read.suite.tasks == (str(tmp_path / "own.yaml"),)
    assert read.tasks[str(tmp_path / "own.yaml")].name == "own"
    assert read.suite.data == str(tmp_path / "corpora")


def test_yaml_s_bare_off_is_a_word(tmp_path):
    suite = read_suite(written(tmp_path, SHORT + "options: {prefix_cache: off}\n")).suite
    assert suite.options.given() == {"prefix_cache": "off"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (SHORT + "sedes: 3\n", 5, "did you mean seeds?"),
        (SHORT + "options: {epoch: 3}\n", 5, "did you mean epochs?"),
        (SHORT + "options:\n  epochs: 0\n", 6, "options.epochs: 0"),
        (SHORT + "options: {learning_rate: 2}\n", 5, "learning_rate"),
        (SHORT + "plan: head\n", 5, "did you mean plans?"),
        (SHORT.replace("[head]", "\n  - plan: head\n    option: {}"), 5, "options"),
        (SHORT.replace("[head]", "\n  - head\n  - adaptor"), 5, "adapter"),
        (SHORT.replace("[head]", "\n  - head\n  - 0-9:full"), 5, "step"),
        (SHORT.replace("[head]", "\n  - lora\n  - 0-5:lora"), 5, "the same"),
        (SHORT.replace("[bc5cdr]", "\n  - hoc\n  - bc5crd"), 4, "did you mean bc5cdr?"),
        (SHORT.replace("[bc5cdr]", "[hoc, hoc]"), 2, "named twice: hoc"),
        (SHORT.replace("[bc5cdr]", "[]"), 2, "at least 1"),
        (SHORT.replace("seeds: 1", "seeds: 0"), 4, "0 seeds"),
        (SHORT.replace("seeds: 1", "seeds: [1, 1]"), 4, "named twice: 1"),
        (SHORT + "backbones: [nowhere]\n", 5, "bundled"),
        (SHORT + "search: {trials: 2}\n", 5, "search.space"),
        (SHORT + "search: {trials: 2, space: {rate: [1]}}\n", 5, "learning_rate"),
        (SHORT + "search:\n  trials: 2\n  space: {learning_rate: {low: 1}}\n", 7, "low and high"),
        (
            SHORT + "search:\n  trials: 1\n  space: {epochs: [1]}\n  families:\n    lora:\n"
            "      epoch: [2]\n",
            10,
            "did you mean epochs?",
        ),
        (
            SHORT + "search:\n  trials: 2\n  space: {epochs: [1]}\n  tasks: [hoc]\n",
            8,
            "does not have",
        ),
        ("- a\n", 1, "suite file"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, text, line, words):
    said = refusal(tmp_path, text)
    assert f"mine.yaml, line {line}" in said
    assert words in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("options: {epochs: 2}\nvary: {epochs: [1, 2]}\n", "epochs is fixed by options"),
        (
            "options: {epochs: 2}\nsearch: {trials: 1, space: {epochs: [1, 2]}}\n",
            "set by search as well",
        ),
        ("vary: {epochs: [1]}\nsearch: {trials: 1, space: {patience: [1]}}\n", "exclude each"),
        (
            "search: {trials: 1, space: {epochs: [1]}, families: {lora: {patience: [1]}}}\n",
            "must search what",
        ),
        ("search: {trials: 1, space: {epochs: [1]}, options: {epochs: 1}}\n", "search.options"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, more, words):
    assert words in refusal(tmp_path, SHORT + more)


def test_a_missing_file_is_told_with_the_nearest_one(tmp_path):
    written(tmp_path, SHORT)
    with pytest.raises(UserError, match="no such suite") as error:
        read_suite(tmp_path / "mien.yaml")
    assert f"did you mean {tmp_path / 'mine.yaml'}?" in str(error.value)


@pytest.mark.skipif(not SUITES, reason="needs the source tree")
def test_shipped_suites_can_be_run():
    named = {file.stem: read_suite(file) for file in SUITES}
    assert {"quick", "paper"} <= named.keys()
    quick, paper = named["quick"].suite, named["paper"].suite
    assert (len(quick.tasks), len(quick.plans), len(quick.seeds)) == (2, 4, 2)
    assert quick.options.limit_train is not None
    assert [entry.plan for entry in paper.plans] == [
        *("head", "layerwise", "adapter", "0-2:frozen 3-5:adapter", "0-2:adapter 3-5:frozen"),
        *("lora", "compacter", "ia3", "prefix_tuning", "loreft", "full"),
    ]
    assert len(paper.seeds) == 5
    assert paper.search is not None
    assert paper.search.options_searched == {"learning_rate", "head_learning_rate"}
    assert paper.tasks[:3] == ("bc5cdr", "ncbi_disease", "hoc")
    assert sorted(paper.tasks) == task_names()
