"""Runs that a fine-tuned teacher teaches."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.runs.progress import Silence
from adapterkit.sharing import layout
from adapterkit.sharing.composing import splice
from adapterkit.sharing.packing import pack
from adapterkit.tuning.batches import TEACHER, Collator
from adapterkit.tuning.evaluation import predict_split
from adapterkit.tuning.prepare import Prepared, prepare
from adapterkit.tuning.reloading import load_run
from adapterkit.tuning.request import Request
from adapterkit.tuning.rescoring import read_split
from adapterkit.tuning.run import Run
from adapterkit.tuning.starting import adapted_digest
from adapterkit.tuning.teacher import PACKAGE_FILE
from adapterkit.tuning.tune import resume_run

from .conftest import RunTiny, assert_same, make_backbone, sentences, write_corpus, write_texts
from .test_resuming import StopAt


@pytest.fixture(scope="module")
def large_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another shape than the one that is tuned, with its tokenizer."""
    folder = tmp_path_factory.mktemp("backbones") / "large"
    return make_backbone(
        folder, layerwise=False, seed=7, hidden_size=48, num_attention_heads=3, num_hidden_layers=2
    )


@pytest.fixture(scope="module")
def teacher(
    run_tiny: RunTiny, large_backbone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    return run_tiny(
        backbone=large_backbone, plan="full", epochs=6, learning_rate=1e-2, output=folder
    )


def prepared_with(teacher: Run, task: str, backbone: Path, data: Path, **more: Any) -> Prepared:
    request = Request(task, "adapter", str(backbone), str(data), teacher=str(teacher.path), **more)
    return prepare(request, Silence())


def test_batches_have_what_the_teacher_says_of_them(
    teacher: Run, backbone: Path, tmp_path: Path
) -> None:
    data = write_corpus(tmp_path / "long")
    long = [pair for made in sentences(30, 5) for pair in made]
    rows = "\n".join("\t".join(pair) for pair in long)
    train = data / "train.tsv"
    train.write_text(f"{rows}\n\n{train.read_text()}")
    with open(data / "train.docids", "a") as file:
        file.write("train-long\n")
    split = prepared_with(teacher, "bc5cdr", backbone, data).splits["train"]
    assert sum(window.example == 0 for window in split.encoded.windows) > 2
    batch = [0, 9, 1, 20]
    collate = Collator(split.task, split.encoded, split.pad_token_id, teaching=split.teaching)
    features = collate(batch)
    joined = features.pop(TEACHER)
    labels = features.pop("labels")
    model = load_run(teacher.path).backbone.model
    with torch.no_grad():
        said = model(**features).logits
    scored = labels != -100
    assert not scored.all()
    assert scored.sum() == sum(len(split.encoded.windows[i].positions) for i in batch)
    torch.testing.assert_close(joined[scored], said[scored], atol=1e-5, rtol=1e-5)
    assert (joined[~scored] == 0).all()


def test_it_follows_its_teacher_against_the_labels(
    teacher: Run, run_tiny: RunTiny, plain_backbone: Path, corpus: Path, tmp_path: Path
) -> None:
    data = tmp_path / "swapped"
    shutil.copytree(corpus, data)
    swap = {"Chemical": "Disease", "Disease": "Chemical"}
    train = data / "train.tsv"
    train.write_text(re.sub("Chemical|Disease", lambda m: swap[m[0]], train.read_text()))
    options = {"backbone": plain_backbone, "data": data, "plan": "full", "epochs": 6}
    options["learning_rate"] = 1e-2
    alone = run_tiny(**options, output=tmp_path / "alone")
    taught = run_tiny(
        **options, teacher=teacher.path, teacher_weight=1000.0, output=tmp_path / "taught"
    )
    theirs, ours, others = (run.metrics["test"]["score"] for run in (teacher, taught, alone))
    assert theirs > 0.6
    assert ours > theirs - 0.1
    assert others < 0.3


def test_a_teacher_without_weight_changes_nothing(
    teacher: Run, finished: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    same = run_tiny(teacher=teacher.path, teacher_weight=0.0, output=tmp_path / "same")
    assert_same(same, finished)
    other = run_tiny(teacher=teacher.path, output=tmp_path / "other")
    weights = "adapter/head/model_head.safetensors"
    assert (other.path / weights).read_bytes() != (finished.path / weights).read_bytes()


def test_what_taught_it_is_recorded(
    teacher: Run, run_tiny: RunTiny, large_backbone: Path, tmp_path: Path
) -> None:
    run = run_tiny(
        teacher=teacher.path, teacher_weight=0.5, temperature=2.0, epochs=1, output=tmp_path / "run"
    )
    record = (run.manifest.model_extra or {})["teacher"]
    assert record.pop("seconds") > 0
    assert record == {
        "source": str(teacher.path),
        "sha256": adapted_digest(teacher.path / "adapter"),
        "plan": "0-1:full",
        "backbone": {
            "id": str(large_backbone),
            "fingerprint": teacher.manifest.backbone.fingerprint,
        },
        "score": {split: teacher.metrics[split]["score"] for split in ("dev", "test")},
        "weight": 0.5,
        "temperature": 2.0,
    }
    assert "teacher" not in (teacher.manifest.model_extra or {})


@pytest.mark.parametrize("plan", ["0-1:frozen 2:adapter", "side"])
def test_the_prefix_cache_makes_no_difference(
    plan: str, teacher: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    options = {"plan": plan, "teacher": teacher.path, "temperature": 2.0, "learning_rate": 3e-3}
    kept = run_tiny(**options, output=tmp_path / "kept")
    run = run_tiny(**options, prefix_cache="off", output=tmp_path / "run")
    assert (kept.manifest.model_extra or {})["prefix"]["splits"]
    heads = [load_run(each.path).backbone.model.heads["bc5cdr"] for each in (kept, run)]
    for one, other in zip(*(head.parameters() for head in heads), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("plan", ["adapter", "0-1:frozen 2:full", "side(dropout=0.1)"])
def test_it_is_resumed_to_the_same_bits(
    plan: str, teacher: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    options = {"plan": plan, "teacher": teacher.path, "temperature": 2.0, "limit_train": 24}
    whole = run_tiny(**options, output=tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_tiny(**options, output=tmp_path / "halves", progress=StopAt("training", 5))
    assert_same(resume_run(tmp_path / "halves"), whole)


def test_stopped_while_the_teacher_reads_nothing_is_left(
    teacher: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(
            teacher=teacher.path, output=tmp_path / "run", progress=StopAt("asking the teacher")
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_texts_are_taught(
    kind: str, run_tiny: RunTiny, large_backbone: Path, tmp_path: Path
) -> None:
    own = {"name": "own", "kind": kind, "labels": ["growth", "death", "invasion"]}
    task = write_texts(tmp_path / "own", own, "jsonl")
    first = {"task": task, "data": task.parent, "backbone": large_backbone, "plan": "full"}
    first |= {"epochs": 12, "learning_rate": 3e-3}
    teacher = run_tiny(**first, output=tmp_path / "teacher")
    rows = [json.loads(line) for line in (task.parent / "train.jsonl").read_text().splitlines()]
    rest = {"growth": "death", "death": "invasion", "invasion": "growth"}
    for row in rows:
        found = row["label"]
        row["label"] = rest[found] if isinstance(found, str) else [rest[label] for label in found]
    wrong = tmp_path / "wrong"
    shutil.copytree(task.parent, wrong)
    (wrong / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {**first, "data": wrong}
    alone = run_tiny(**options, output=tmp_path / "alone")
    taught = run_tiny(
        **options, teacher=teacher.path, teacher_weight=1000.0, output=tmp_path / "taught"
    )
    theirs, ours, others = (run.metrics["test"]["score"] for run in (teacher, taught, alone))
    assert ours > theirs - 0.2
    assert ours > others + 0.3


def test_the_nlpie_protocol_has_a_teacher_of_its_own(
    teacher: Run,
    run_tiny: RunTiny,
    large_backbone: Path,
    backbone: Path,
    corpus: Path,
    tmp_path: Path,
) -> None:
    every = run_tiny(
        backbone=large_backbone, protocol="nlpie", epochs=1, output=tmp_path / "teacher"
    )
    split = prepared_with(every, "bc5cdr", backbone, corpus, protocol="nlpie").splits["train"]
    assert split.teaching is not None
    for window, logits in zip(split.encoded.windows, split.teaching.logits, strict=True):
        assert logits.shape == (len(window.input_ids) - 2, 5)
    with pytest.raises(UserError, match="another protocol"):
        run_tiny(teacher=teacher.path, protocol="nlpie", output=tmp_path / "run")


def test_a_package_teaches_as_its_run_does(
    teacher: Run, backbone: Path, corpus: Path, large_backbone: Path, tmp_path: Path
) -> None:
    assert PACKAGE_FILE == layout.MANIFEST_FILE
    pack([teacher.path], tmp_path / "package")
    by_run = prepared_with(teacher, "bc5cdr", backbone, corpus)
    request = Request("bc5cdr", "adapter", str(backbone), str(corpus))
    packed = {"teacher": str(tmp_path / "package"), "teacher_backbone": str(large_backbone)}
    by_package = prepare(Request(**{**request.as_dict(), **packed}), Silence())
    ours, theirs = by_package.splits["train"].teaching, by_run.splits["train"].teaching
    assert ours is not None
    assert theirs is not None
    assert all(np.array_equal(a, b) for a, b in zip(ours.logits, theirs.logits, strict=True))
    assert by_package.teacher is not None
    assert by_run.teacher is not None
    assert by_package.teacher.score == by_run.teacher.score
    with pytest.raises(UserError, match="trained on was not found") as caught:
        prepare(Request(**{**request.as_dict(), "teacher": packed["teacher"]}), Silence())
    assert "--teacher-backbone" in str(caught.value)


def test_a_package_says_what_taught_it(
    teacher: Run, run_tiny: RunTiny, backbone: Path, tmp_path: Path
) -> None:
    options = {"teacher": teacher.path, "epochs": 1}
    runs = [run_tiny(**options, seed=s, output=tmp_path / str(s)) for s in (0, 1)]
    package = pack([run.path for run in runs], tmp_path / "package")
    assert package.teacher is not None
    assert package.teacher.sha256 == adapted_digest(teacher.path / "adapter")
    text = (tmp_path / "package" / "adapterkit.json").read_text()
    assert str(teacher.path) not in text
    card = (tmp_path / "package" / "README.md").read_text()
    assert f"plan `0-1:full`, test score {teacher.metrics['test']['score']:.4f}" in card
    alone = run_tiny(epochs=1, seed=2, output=tmp_path / "alone")
    with pytest.raises(UserError, match="in their teacher"):
        pack([runs[0].path, alone.path], tmp_path / "both")
    assert "teacher" not in pack([alone.path], tmp_path / "plain").as_dict()
    parts = [(tmp_path / "package", (0, 1)), (tmp_path / "plain", (2,))]
    assert splice(parts, tmp_path / "spliced", backbone=backbone).teacher is None


def test_what_it_learned_is_predicted_without_the_teacher(
    teacher: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    shutil.copytree(teacher.path, tmp_path / "teacher")
    run = run_tiny(teacher=tmp_path / "teacher", epochs=1, output=tmp_path / "run")
    shutil.rmtree(tmp_path / "teacher")
    loaded = load_run(run.path)
    split = read_split(loaded, "dev").split
    assert split.teaching is None
    assert len(predict_split(loaded.backbone.model, split)) == 12


def refused(run_tiny: RunTiny, tmp_path: Path, **changes: Any) -> str:
    parent = tmp_path / "results"
    parent.mkdir()
    with pytest.raises(UserError) as error:
        run_tiny(output=parent / "run", **changes)
    assert [*parent.iterdir()] == []
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher_weight": 2.0}, "--teacher-weight"),
        ({"temperature": 2.0}, "--temperature"),
        ({"teacher_backbone": "bundled"}, "--teacher-backbone"),
    ],
)
def test_options_of_no_teacher(
    changes: dict[str, Any], said: str, run_tiny: RunTiny, tmp_path: Path
) -> None:
    assert f"where: {said}" in refused(run_tiny, tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher_weight": -1.0}, "--teacher-weight is out of range"),
        ({"teacher_weight": float("nan")}, "--teacher-weight is out of range"),
        ({"temperature": 0.0}, "--temperature is out of range"),
    ],
)
def test_numbers_out_of_range(
    changes: dict[str, Any], said: str, teacher: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    assert said in refused(run_tiny, tmp_path, teacher=teacher.path, **changes)


def test_no_teacher_there(run_tiny: RunTiny, tmp_path: Path) -> None:
    assert "no teacher here" in refused(run_tiny, tmp_path, teacher=tmp_path)


def test_a_teacher_of_another_task(teacher: Run, run_tiny: RunTiny, tmp_path: Path) -> None:
    said = refused(run_tiny, tmp_path, teacher=teacher.path, task="bc5cdr_chemical")
    assert "another task" in said


def test_a_teacher_of_other_labels(run_tiny: RunTiny, tmp_path: Path) -> None:
    own = {"name": "own", "kind": "classification", "labels": ["growth", "death", "invasion"]}
    first, second = (
        write_texts(tmp_path / name, {**own, "labels": labels}, "jsonl")
        for name, labels in (("a", own["labels"]), ("b", ["growth", "death", "spread"]))
    )
    teacher = run_tiny(task=first, data=first.parent, epochs=1, output=tmp_path / "teacher")
    said = refused(run_tiny, tmp_path, task=second, data=second.parent, teacher=teacher.path)
    assert "learned other labels" in said
    assert "growth, death, invasion" in said


def test_a_teacher_that_cuts_other_pieces(
    run_tiny: RunTiny, large_backbone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(large_backbone, folder)
    path = folder / "tokenizer.json"
    described = json.loads(path.read_text())
    described["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(described))
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "do_lower_case": False}))
    teacher = run_tiny(backbone=folder, epochs=1, output=tmp_path / "teacher")
    assert "other word pieces" in refused(run_tiny, tmp_path, teacher=teacher.path)


def test_a_teacher_that_reads_shorter_texts(run_tiny: RunTiny, tmp_path: Path) -> None:
    short = make_backbone(tmp_path / "short", max_position_embeddings=12)
    teacher = run_tiny(backbone=short, epochs=1, output=tmp_path / "teacher")
    assert "cannot read texts as long" in refused(run_tiny, tmp_path, teacher=teacher.path)


def test_a_teacher_whose_backbone_is_another_one(
    teacher: Run, run_tiny: RunTiny, backbone: Path, tmp_path: Path
) -> None:
    said = refused(run_tiny, tmp_path, teacher=teacher.path, teacher_backbone=backbone)
    assert "not the one that the teacher was trained on" in said


@pytest.mark.parametrize("name", ["weights.safetensors", "plan.json"])
def test_a_teacher_that_was_changed(
    name: str, teacher: Run, run_tiny: RunTiny, tmp_path: Path
) -> None:
    shutil.copytree(teacher.path, tmp_path / "changed")
    path = tmp_path / "changed" / "adapter" / name
    path.write_bytes(path.read_bytes() + b" ")
    said = refused(run_tiny, tmp_path, teacher=tmp_path / "changed")
    assert "not as it was written" in said


def test_another_teacher_on_the_way_is_told(
    teacher: Run, run_tiny: RunTiny, large_backbone: Path, tmp_path: Path
) -> None:
    place = tmp_path / "teacher"
    shutil.copytree(teacher.path, place)
    with pytest.raises(Interrupted):
        run_tiny(teacher=place, output=tmp_path / "run", progress=StopAt("training", 5))
    shutil.rmtree(place)
    run_tiny(backbone=large_backbone, plan="full", epochs=1, output=place)
    with pytest.raises(UserError, match="the teacher of the run changed") as caught:
        resume_run(tmp_path / "run")
    assert str(place) in str(caught.value)
