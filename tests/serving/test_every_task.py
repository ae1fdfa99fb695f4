"""Every shipped task trains, scores and predicts, on a few examples of its corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterkit.serving.predictor import load_adapter
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.registry import load_task, task_names
from adapterkit.tuning.tune import tune
from tests.tuning.conftest import evaluate_run

EXAMPLES = 10
ONE_OF_EACH_KIND = ("bc5cdr_disease", "chemprot", "ade", "hoc_sentence")
TASKS = [
    pytest.param(name, marks=() if name in ONE_OF_EACH_KIND else pytest.mark.slow)
    for name in task_names()
]


def cut(task: TaskConfig, corpora: Path, folder: Path) -> Path:
    """Copy some examples of each split; those with a label first, so that there is one to learn."""
    folder.mkdir()
    for files in task.files.values():
        text = (corpora / task.folder / files.data).read_text(encoding="utf-8")
        parts = text.split("\n\n" if task.kind == "ner" else "\n")
        parts = [part for part in parts if part.strip()]
        # Every split of every corpus has more examples than are passed over here.
        some = parts[:: len(parts) // 50][:50]
        some.sort(key=lambda part: "\tB-" not in part and '"label": []' in part)
        kept = some[:EXAMPLES]
        joined = "\n\n" if task.kind == "ner" else "\n"
        (folder / files.data).write_text(joined.join(kept) + "\n", encoding="utf-8")
        if files.documents:
            ids = "".join(f"{number // 2}\n" for number in range(len(kept)))
            (folder / files.documents).write_text(ids, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", TASKS)
def test_it_trains_scores_and_predicts(
    name: str, corpora: Path, tiny_backbone: Path, tmp_path: Path
) -> None:
    task = load_task(name)
    data = cut(task, corpora, tmp_path / "data")
    run = tune(name, "seq_bn", backbone=tiny_backbone, data=data, epochs=1, output=tmp_path / "run")
    metrics = run.metrics["test"]
    assert metrics["metric"] == task.metric
    assert 0 <= metrics["score"] == metrics["f1" if task.kind == "ner" else task.metric] <= 1
    assert set(metrics["per_type"]) == set(task.labels)
    assert evaluate_run(run.path, task=name)["metrics"] == metrics
    lines = (run.path / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == EXAMPLES
    first = json.loads(lines[0])
    text = " ".join(first["words"]) if task.kind == "ner" else "<< aspirin >> and [[ COX-1 ]]"
    (prediction,) = load_adapter(run.path).predict([text])
    found = prediction.entities if task.kind == "ner" else prediction.labels
    assert {one.label for one in found} <= set(task.labels)


def test_a_view_of_a_corpus_has_its_own_labels_alone(
    corpora: Path, tiny_backbone: Path, tmp_path: Path
) -> None:
    data = cut(load_task("bc5cdr"), corpora, tmp_path / "data")
    run = tune(
        "bc5cdr_disease", "head", backbone=tiny_backbone, data=data, epochs=1, output=tmp_path / "r"
    )
    gold = [
        span[2]
        for line in (run.path / "predictions" / "dev.jsonl").read_text("utf-8").splitlines()
        for span in json.loads(line)["gold"]
    ]
    assert gold
    assert set(gold) == {"Disease"}
