"""What a package is made of, and that it predicts what its run predicts."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.sealing import digest
from adapterkit.serving.predictor import load_adapter
from adapterkit.sharing.archive import unpack_archive, write_archive
from adapterkit.sharing.packing import pack
from adapterkit.sharing.verifying import verify_package
from adapterkit.tuning.rescoring import evaluate_adapter
from adapterkit.tuning.run import Run

from .conftest import TEXTS


def content(package: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((package / "adapterkit.json").read_text(encoding="utf-8"))
    return read


def test_it_predicts_to_the_bit_what_the_run_predicts(
    finished: Run, package: Path, backbone: Path
) -> None:
    expected = load_adapter(finished.path).predict(TEXTS)
    assert load_adapter(package, backbone=backbone).predict(TEXTS) == expected
    assert any(prediction.entities for prediction in expected)


def test_it_scores_what_the_run_scores(finished: Run, package: Path, backbone: Path) -> None:
    from adapterkit.sharing.loading import load_package

    data = Path(finished.manifest.data.location)
    found = evaluate_adapter(load_package(package, backbone=backbone), package, data=data)
    assert found["metrics"] == finished.metrics["test"]
    assert found["data"]["same_as_run"]


def test_it_tells_what_the_run_tells(finished: Run, package: Path, backbone: Path) -> None:
    found, run = content(package), finished.manifest
    assert found["plan"] == run.plan
    assert found["mechanisms"] == ["adapter(double_seq_bn,r=12)"] * 3
    assert found["labels"] == list(run.labels)
    assert found["backbone"]["fingerprint"] == load_backbone(backbone).fingerprint
    assert found["metrics"] == run.metrics
    assert found["ledger"]["trainable"] == run.ledger.trainable
    assert found["seeds"] == [
        {"seed": 0, "run": run.digest, "scores": {s: m["score"] for s, m in run.metrics.items()}}
    ]
    assert found["scores"]["test"] == {"mean": run.metrics["test"]["score"], "sd": None, "n": 1}
    assert found["data"]["splits"]["test"]["sha256"] == run.data.splits["test"].sha256
    assert found["digest"] == digest(found)


def test_it_lists_every_file_but_itself(package: Path) -> None:
    listed = content(package)["files"]
    there = {p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file()}
    assert set(listed) == there - {"adapterkit.json"}
    for name, record in listed.items():
        assert record["sha256"] == sha256_file(package / name)
        assert record["bytes"] == (package / name).stat().st_size


def test_it_ships_the_bytes_that_the_ledger_counts(package: Path) -> None:
    tensors = [t for path in package.rglob("*.safetensors") for t in load_file(path).values()]
    bytes_ = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert bytes_ == content(package)["ledger"]["shipped_bytes"]


def test_it_does_not_say_where_anything_lay(
    finished: Run, package: Path, backbone: Path, corpus: Path
) -> None:
    for path in package.rglob("*"):
        if path.is_file():
            read = path.read_bytes()
            for place in (finished.path, backbone, corpus, Path.home()):
                assert str(place.parent).encode() not in read, path
    assert content(package)["backbone"]["id"] == "backbone"


class TestArchive:
    def test_the_same_content_gives_the_same_bytes(self, package: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(package, copy)
        for number, path in enumerate(sorted(copy.rglob("*"))):
            os.utime(path, (number * 1e6, number * 1e6))
            path.chmod(0o700)
        write_archive(package, tmp_path / "one.zip")
        write_archive(copy, tmp_path / "two.zip")
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

    def test_it_unpacks_to_the_same_files(self, package: Path, tmp_path: Path) -> None:
        write_archive(package, tmp_path / "one.zip")
        unpack_archive(tmp_path / "one.zip", tmp_path / "again")
        names = [p.relative_to(package) for p in package.rglob("*") if p.is_file()]
        assert names
        for name in names:
            assert (tmp_path / "again" / name).read_bytes() == (package / name).read_bytes()

    def test_it_is_loaded_like_a_folder(
        self, package: Path, tmp_path: Path, backbone: Path
    ) -> None:
        write_archive(package, tmp_path / "one.zip")
        found = load_adapter(tmp_path / "one.zip", backbone=backbone).predict(TEXTS)
        assert found == load_adapter(package, backbone=backbone).predict(TEXTS)


class TestSeveralSeeds:
    def test_the_best_on_dev_is_packed(self, seeds: list[Run], tmp_path: Path) -> None:
        manifest = pack([run.path for run in seeds], tmp_path / "package")
        best = max(seeds, key=lambda run: run.metrics["dev"]["score"])
        assert manifest.origin.seed == best.manifest.seed
        weights = tmp_path / "package" / "bc5cdr" / "adapter.safetensors"
        original = best.path / "adapter" / "bc5cdr" / "adapter.safetensors"
        assert weights.read_bytes() == original.read_bytes()

    def test_scores_have_their_spread(self, seeds: list[Run], tmp_path: Path) -> None:
        manifest = pack([run.path for run in seeds], tmp_path / "package")
        scores = [run.metrics["test"]["score"] for run in seeds]
        assert manifest.scores["test"].mean == pytest.approx(statistics.fmean(scores))
        assert manifest.scores["test"].sd == pytest.approx(statistics.stdev(scores))
        assert manifest.scores["test"].n == 3

    def test_the_mean_is_the_mean(self, seeds: list[Run], tmp_path: Path) -> None:
        manifest = pack([run.path for run in seeds], tmp_path / "package", average_seeds=True)
        assert manifest.origin.kind == "average"
        assert manifest.origin.parents == tuple(run.manifest.digest for run in seeds)
        for name in ("bc5cdr/adapter.safetensors", "head/model_head.safetensors"):
            found = load_file(tmp_path / "package" / name)
            each = [load_file(run.path / "adapter" / name) for run in seeds]
            for tensor, value in found.items():
                expected = torch.stack([one[tensor].double() for one in each]).mean(0)
                assert torch.allclose(value.double(), expected, atol=1e-7)
                assert not torch.equal(value, each[0][tensor])

    def test_one_has_no_mean(self, finished: Run, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="has no mean"):
            pack([finished.path], tmp_path / "package", average_seeds=True)

    def test_runs_that_differ_otherwise(
        self, seeds: list[Run], run_tiny: Any, tmp_path: Path
    ) -> None:
        other = run_tiny(plan="0:frozen 1-2:adapter", seed=7, output=tmp_path / "other")
        with pytest.raises(UserError, match="more than their seeds: in their plan"):
            pack([seeds[0].path, other.path], tmp_path / "package")
        assert not (tmp_path / "package").exists()

    def test_the_same_run_twice(self, finished: Run, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="same seed"):
            pack([finished.path, finished.path], tmp_path / "package")


def test_an_edited_run_is_not_packed(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    text = (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    edited = text.replace('"seed": 0', '"seed": 1', 1)
    assert edited != text
    (tmp_path / "run" / "run.json").write_text(edited, encoding="utf-8")
    with pytest.raises(UserError, match="not as it was written"):
        pack([tmp_path / "run"], tmp_path / "package")


def test_a_taken_output_is_left_alone(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine").write_text("mine")
    with pytest.raises(UserError, match="taken"):
        pack([finished.path], tmp_path / "package")
    assert (tmp_path / "package" / "mine").read_text() == "mine"


def test_another_backbone_is_refused(package: Path, plain_backbone: Path) -> None:
    with pytest.raises(UserError, match="not the one that the package was trained") as caught:
        load_adapter(package, backbone=plain_backbone)
    assert content(package)["backbone"]["fingerprint"] in str(caught.value)
    with pytest.raises(UserError, match="another backbone"):
        verify_package(package, backbone=load_backbone(plain_backbone).fingerprint)


def test_a_backbone_that_is_not_here_is_asked_for(package: Path) -> None:
    with pytest.raises(UserError, match="was not found") as caught:
        load_adapter(package)
    assert "--backbone" in str(caught.value)
