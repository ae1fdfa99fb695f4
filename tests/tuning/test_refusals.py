"""Bad input: each a message that tells where, what and what to do, and nothing half-written."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel

from adapterkit.cli.main import main
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.tuning import tune as tuning
from adapterkit.tuning.prepare import prepare
from adapterkit.tuning.tune import resume_run

from .conftest import STEPS, RunTiny, assert_same, write_corpus, write_texts
from .killing import holder
from .test_resuming import StopAt
from .test_tune import SINGLE

FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "card.json",
    "layerwise/adapter.safetensors",
    "layerwise/adapter_config.json",
)

Refused = Callable[..., UserError]


@pytest.fixture
def refused(run_tiny: RunTiny, tmp_path: Path) -> Refused:
    """Tune, which must be refused and leave the output's parent as it was."""
    parent = tmp_path / "results"
    parent.mkdir()

    def check(**changes: Any) -> UserError:
        with pytest.raises(UserError) as error:
            run_tiny(**{"output": parent / "run", **changes})
        assert [*parent.iterdir()] == []
        return error.value

    return check


@pytest.mark.parametrize(
    ("changes", "where", "found", "allowed"),
    [
        ({"task": "bc5crd"}, "--task", "bc5crd", "bc5cdr"),
        ({"task": "no/such.yaml"}, "no/such.yaml", "", ""),
        ({"plan": "adaptor"}, "", "adaptor", "adapter"),
        ({"plan": "adapter(seq_bm)"}, "", "seq_bm", "seq_bn"),
        ({"plan": "adapter(lora,rank=x)"}, "", "x", ""),
        ({"plan": "rest:frozen 5:full"}, "", "5", f"0-{STEPS - 1}"),
        ({"plan": "0-9:adapter"}, "", "9", f"0-{STEPS - 1}"),
        ({"plan": "2-0:adapter"}, "", "2-0", ""),
        ({"plan": "0-1:adapter 1-2:full"}, "", "1", ""),
        ({"plan": "0:adapter 1-2:"}, "", "", ""),
        ({"epochs": 0}, "--epochs", "0", "1 to"),
        ({"epochs": -3}, "--epochs", "-3", "1 to"),
        ({"learning_rate": math.nan}, "--lr", "nan", "to 1.0"),
        ({"learning_rate": math.inf}, "--lr", "inf", "to 1.0"),
        ({"learning_rate": -1e-3}, "--lr", "-0.001", "to 1.0"),
        ({"learning_rate": 0.0}, "--lr", "0.0", "to 1.0"),
        ({"head_learning_rate": 2.0}, "--head-lr", "2.0", "to 1.0"),
        ({"seed": -1}, "--seed", "-1", "0 to"),
        ({"seed": 2**40}, "--seed", str(2**40), "0 to"),
        ({"limit_train": 0}, "--limit-train", "0", "1 or more"),
        ({"limit_dev": 0}, "--limit-dev", "0", "1 or more"),
        ({"batch_tokens": 0}, "--batch-tokens", "0", "8 to"),
        ({"patience": 0}, "--patience", "0", "1 to"),
        ({"protocol": "wrod"}, "--protocol", "wrod", "word, nlpie"),
        ({"task": "hoc", "data": "sample", "protocol": "nlpie"}, "--protocol", "hoc", "word"),
        ({"data": "no/such/folder"}, "--data", "no/such/folder", "sample"),
        ({"backbone": "no/such/folder/at/all"}, "", "no/such/folder/at/all", "bundled"),
        ({"backbone": "nlpie/bio-miniALBERT-128"}, "", "nlpie/bio-miniALBERT-128", ""),
    ],
)
def test_what_is_asked_for(
    changes: dict[str, Any], where: str, found: str, allowed: str, refused: Refused
) -> None:
    error = refused(**changes)
    assert where in str(error.where)
    assert found in str(error)
    assert allowed in f"{error.allowed} {error.hint} {error.problem}"
    assert error.hint or error.allowed


def test_the_layerwise_adapters_of_a_backbone_without(
    refused: Refused, plain_backbone: Path
) -> None:
    assert "layer-wise" in str(refused(backbone=plain_backbone, plan="layerwise"))


class TestBackbone:
    @pytest.fixture
    def copy(self, backbone: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(backbone, tmp_path / "copy"))

    @pytest.mark.parametrize("name", FILES)
    def test_cut_short(self, name: str, copy: Path, refused: Refused) -> None:
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[: len(data) // 2])
        error = refused(backbone=copy)
        assert str(copy) in str(error.where)
        assert name in str(error)

    def test_without_weights(self, copy: Path, refused: Refused) -> None:
        (copy / "model.safetensors").unlink()
        assert str(copy) in str(refused(backbone=copy))

    def test_with_a_changed_weight(self, copy: Path, refused: Refused) -> None:
        data = bytearray((copy / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (copy / "model.safetensors").write_bytes(bytes(data))
        assert "fingerprint" in str(refused(backbone=copy).where)

    def test_of_another_kind(self, backbone: Path, tmp_path: Path, refused: Refused) -> None:
        """A stock BERT has a block for each layer, not one."""
        folder = tmp_path / "bert"
        config = BertConfig(
            vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64,
        )  # fmt: skip
        BertModel(config).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
            if (backbone / name).exists():
                shutil.copy(backbone / name, folder / name)
        error = refused(backbone=folder)
        assert str(folder) in str(error)
        assert error.hint or error.allowed


class TestData:
    @pytest.mark.parametrize("split", ["train", "dev", "test"])
    def test_a_split_is_missing(self, split: str, tmp_path: Path, refused: Refused) -> None:
        data = write_corpus(tmp_path / "data")
        (data / f"{split}.tsv").unlink()
        error = refused(data=data)
        assert f"lacks {split}.tsv" in error.problem
        assert error.where == str(data)
        assert "train.tsv, dev.tsv, test.tsv" in str(error.allowed)

    def test_a_label_is_unknown(self, tmp_path: Path, refused: Refused) -> None:
        data = write_corpus(tmp_path / "data")
        text = (data / "dev.tsv").read_text()
        (data / "dev.tsv").write_text(text.replace("B-Chemical", "B-Species", 1))
        error = refused(data=data)
        assert f"{data / 'dev.tsv'}, line " in str(error.where)
        assert "Species" in str(error)
        assert "Chemical, Disease" in str(error.allowed)

    def test_a_text_has_an_unknown_label(self, tmp_path: Path, refused: Refused) -> None:
        own = write_texts(tmp_path / "data", SINGLE, "tsv")
        with open(own.parent / "train.tsv", "a") as file:
            file.write("the patients\tdurg\n")
        error = refused(task=own, data="auto")
        assert error.where == f"{own.parent / 'train.tsv'}, line 34"
        assert "did you mean drug" in str(error.hint)


class TestOutput:
    def test_in_use(self, options: dict[str, Any], run_tiny: RunTiny, tmp_path: Path) -> None:
        process, done = holder(tmp_path / "run")
        try:
            with pytest.raises(UserError, match="in use") as error:
                run_tiny(output=tmp_path / "run")
        finally:
            done.set()
            process.join()
        assert str(tmp_path / "run") in str(error.value.where)
        assert str(process.pid) in str(error.value.found)
        assert RunDirectory(tmp_path / "run").read_log() == []
        assert not (tmp_path / "run" / "state.json").exists()

    def test_a_stopped_run_that_goes_on_is_in_use(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        output = tmp_path / "run"
        with pytest.raises(Interrupted):
            run_tiny(output=output, progress=StopAt("training", 2))
        with pytest.raises(UserError, match="holds an unfinished run") as error:
            run_tiny(output=output)
        assert f"tune --resume --output {output}" in str(error.value.hint)
        process, done = holder(output)
        try:
            for again in (lambda: run_tiny(output=output), lambda: resume_run(output)):
                with pytest.raises(UserError, match="in use"):
                    again()
        finally:
            done.set()
            process.join()
        assert resume_run(output).manifest.status == "finished"

    def test_finished(self, finished: Any, run_tiny: RunTiny) -> None:
        before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
        with pytest.raises(UserError, match="holds a finished run") as error:
            run_tiny(output=finished.path)
        assert error.value.where == str(finished.path)
        assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before

    def test_somebodys_folder(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(UserError, match="not empty") as error:
            run_tiny(output=tmp_path)
        assert error.value.where == str(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_file(self, run_tiny: RunTiny, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for output in (tmp_path / "file", tmp_path / "file" / "run"):
            with pytest.raises(UserError) as error:
                run_tiny(output=output)
            assert str(tmp_path / "file") in str(error.value)
        assert (tmp_path / "file").read_text() == "mine"

    def test_not_writable(
        self, run_tiny: RunTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        locked = tmp_path / "locked"
        locked.mkdir()
        locked.chmod(0o500)
        if os.access(locked, os.W_OK):
            # The superuser may write anywhere on a disk, though not in the kernel's own folder.
            locked = Path("/proc")
        with pytest.raises(UserError) as error:
            run_tiny(output=locked / "run")
        assert str(locked) in str(error.value.where)
        assert error.value.hint
        assert not (locked / "run").exists()


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Let the kernel refuse files larger than so many bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestFullDisk:
    def test_before_the_work(
        self, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000))
        error = refused()
        assert "not enough free disk space" in error.problem
        assert "1,000 bytes" in str(error.found)

    @pytest.mark.parametrize("writes", [0, 2])
    def test_at_the_start(
        self, writes: int, refused: Refused, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def then_full(*arguments: Any) -> Any:
            prepared = prepare(*arguments)
            monkeypatch.setattr(os, "fsync", _full_after(writes, os.fsync))
            return prepared

        monkeypatch.setattr(tuning, "prepare", then_full)
        error = refused()
        assert "no space left" in error.problem
        assert "make room" in str(error.hint)

    @pytest.mark.parametrize("size", [2_000, 5_000])
    def test_in_training(
        self,
        size: int,
        run_tiny: RunTiny,
        finished: Any,
        small_files: Callable[[int], None],
        tmp_path: Path,
    ) -> None:
        """The weights of a checkpoint (4,708 bytes) do not fit, or its optimiser (17,733)."""
        output = tmp_path / "run"
        progress = _AtTraining(lambda: small_files(size))
        with pytest.raises(UserError) as error:
            run_tiny(output=output, progress=progress)
        assert str(output) in str(error.value.where)
        assert "make room" in str(error.value.hint)
        assert not (output / "run.json").exists()
        assert not (output / "adapter").exists()
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        assert_same(resume_run(output), finished)

    @pytest.mark.parametrize("name", ["adapter", "predictions", "run.json"])
    def test_at_the_end(
        self,
        name: str,
        run_tiny: RunTiny,
        finished: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        output = tmp_path / "run"
        rename, replace = os.rename, os.replace

        def full(original: Callable[..., None]) -> Callable[..., None]:
            def move(source: Any, target: Any, **options: Any) -> None:
                if Path(target).name == name and Path(target).parent == output:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
                original(source, target, **options)

            return move

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", full(rename))
            patch.setattr(os, "replace", full(replace))
            with pytest.raises(UserError, match="no space left") as error:
                run_tiny(output=output)
        assert str(output / name) in str(error.value)
        assert not (output / name).exists()
        assert not (output / "run.json").exists()
        assert not [path for path in output.iterdir() if path.name.endswith("-tmp")]
        assert_same(resume_run(output), finished)


class _AtTraining(StopAt):
    """Does something when training begins."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__("training")
        self._press = act  # type: ignore[method-assign]


def _full_after(writes: int, fsync: Callable[[int], None]) -> Callable[[int], None]:
    left = [writes]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    return full


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--task", "bc5crd"), "did you mean bc5cdr"),
        (("--mode", "adapter", "--steps", "5-3"), "5-3"),
        (("--mode", "adapter", "--steps", "0-7"), f"0-{STEPS - 1}"),
        (("--lr", "nan"), "--lr"),
        (("--seed", "-1"), "--seed"),
        (("--epochs", "0"), "--epochs"),
        (("--limit-train", "0"), "--limit-train"),
        (("--batch-tokens", "0"), "--batch-tokens"),
        (("--backbone", "nlpie/bio-miniALBERT-128"), "nlpie/bio-miniALBERT-128"),
    ],
)
def test_at_the_command_line(
    arguments: tuple[str, ...],
    words: str,
    backbone: Path,
    corpus: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = ["--task", "bc5cdr", "--backbone", str(backbone), "--data", str(corpus)]
    output = ["--output", str(tmp_path / "run"), "--json"]
    with pytest.raises(SystemExit) as left:
        main(["tune", *given, *output, *arguments])
    out, err = capfd.readouterr()
    assert left.value.code == 2
    assert words in err
    assert "Traceback" not in err
    assert out == ""
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_run_is_explained_at_the_command_line(
    finished: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "metrics": {}}))
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(run), "--json"])
    out, err = capfd.readouterr()
    assert left.value.code == 2
    assert str(run / "run.json") in err
    assert "Traceback" not in err + out
