from __future__ import annotations

import hashlib
import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tasks import hub
from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.locating import cache_folder
from adapterkit.tasks.registry import load_task, task_names
from adapterkit.tasks.sources import SAMPLE_NOTE, load_data

NER = "Aspirin\tB-Chemical\n\nAsthma\tB-Disease\n"


@pytest.fixture
def root(write: Any, tmp_path: Path) -> Path:
    """A folder with a small bc5cdr/ in it."""
    for split in ("train", "dev", "test"):
        write(f"data/bc5cdr/{split}.tsv", NER)
        write(f"data/bc5cdr/{split}.docids", "1\n2\n")
    return tmp_path / "data"


def test_reads_a_folder_or_the_folder_above_it(root: Path) -> None:
    task = load_task("bc5cdr")
    inner = load_data(task, root / "bc5cdr")
    assert inner.source.kind == "dir"
    assert list(inner.splits) == ["train", "dev", "test"]
    assert inner.splits["dev"][1].document == "2"
    assert inner.sha256["dev"] == hashlib.sha256(NER.encode()).hexdigest()
    assert inner.notes == ()
    assert load_data(task, str(root)) == inner


def test_only_the_splits_asked_for_are_needed(root: Path) -> None:
    (root / "bc5cdr" / "train.tsv").unlink()
    data = load_data(load_task("bc5cdr"), root, splits=["test"])
    assert list(data.splits) == ["test"]
    with pytest.raises(UserError, match="no such split"):
        load_data(load_task("bc5cdr"), root, splits=["valid"])


def test_automatic_order(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("bc5cdr")
    shutil.copytree(root / "bc5cdr", cache_folder() / "bc5cdr")
    assert load_data(task).source.kind == "cache"
    monkeypatch.setenv("ADAPTERKIT_DATA", str(root))
    assert load_data(task).source.kind == "env"
    monkeypatch.setenv("ADAPTERKIT_DATA", str(root / "bc5cdr"))
    assert load_data(task).source.kind == "cache"
    monkeypatch.setenv("ADAPTERKIT_DATA", str(root / "nowhere"))
    with pytest.raises(UserError, match="does not exist") as caught:
        load_data(task)
    assert "ADAPTERKIT_DATA" in str(caught.value)


def test_without_data_and_network_the_sample_is_used_at_once() -> None:
    start = time.perf_counter()
    data = load_data(load_task("bc5cdr"))
    assert time.perf_counter() - start < 2
    assert data.source.is_sample
    assert data.notes[0] == SAMPLE_NOTE
    assert data == load_data(load_task("bc5cdr"), "sample")


def test_a_missing_split_names_folder_contents_and_needs(root: Path) -> None:
    (root / "bc5cdr" / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"lacks dev\.tsv") as caught:
        load_data(load_task("bc5cdr"), root)
    message = str(caught.value)
    assert str(root / "bc5cdr") in message
    assert "test.tsv, train.docids" in message
    assert "train.tsv, dev.tsv, test.tsv" in message


def test_missing_folder_and_missing_document_ids(root: Path) -> None:
    with pytest.raises(UserError, match="no such data folder") as caught:
        load_data(load_task("bc5cdr"), root / "nowhere")
    assert "train.tsv" in str(caught.value)
    (root / "bc5cdr" / "dev.docids").unlink()
    data = load_data(load_task("bc5cdr"), root)
    assert "dev: no dev.docids" in data.notes[0]


def test_own_task_files_lie_beside_its_yaml(write: Any) -> None:
    write("mine/left.csv", "text,label\na,x\nb,y\n")
    yaml = "kind: classification\nlabels: [x, y]\nfiles: {train: left.csv}\n"
    task = load_task(write("mine/mine.yaml", yaml))
    data = load_data(task, splits=["train"])
    assert data.source.kind == "dir"
    assert [example.labels for example in data.splits["train"]] == [("x",), ("y",)]
    with pytest.raises(UserError, match="no file for split 'dev'"):
        load_data(task)
    with pytest.raises(UserError, match="no sample"):
        load_data(task, "sample")
    with pytest.raises(UserError, match="names no dataset"):
        load_data(task, "hub", splits=["train"])


def test_own_ner_task_from_json_lines(write: Any) -> None:
    write("train.jsonl", json.dumps({"tokens": ["a"], "tags": ["U-x"]}))
    task = load_task(
        write("mine.yaml", "kind: ner\nlabels: [x]\nscheme: bilou\nfiles: {train: train.jsonl}\n")
    )
    assert load_data(task, splits=["train"]).splits["train"][0].tags == ("B-x",)


def test_tasks_may_read_one_corpus(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERKIT_DATA", str(root))
    both, disease = (load_data(load_task(name)) for name in ("bc5cdr", "bc5cdr_disease"))
    assert disease.source == both.source
    assert disease.sha256 == both.sha256
    assert [example.tags for example in disease.splits["dev"]] == [("O",), ("B-Disease",)]
    assert [example.tags for example in both.splits["dev"]] == [("B-Chemical",), ("B-Disease",)]
    assert load_data(load_task("bc5cdr_disease"), root).splits == disease.splits
    assert load_data(load_task("bc5cdr_disease"), "sample").source.is_sample


def test_hub_is_refused_offline_and_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot be fetched") as caught:
        load_data(load_task("bc5cdr"), "hub")
    assert "HF_HUB_OFFLINE" in str(caught.value)
    assert "--data DIR" in str(caught.value)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    start = time.perf_counter()
    with pytest.raises(UserError, match="cannot be fetched") as caught:
        load_data(load_task("bc5cdr"), "hub")
    assert "tner/bc5cdr" in str(caught.value)
    assert time.perf_counter() - start < 3


def test_a_network_that_swallows_everything_costs_no_more_than_the_time_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(30) or [])
    start = time.perf_counter()
    assert not hub.is_reachable(timeout=0.2)
    assert time.perf_counter() - start < 1


def test_reachable_means_that_something_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        assert hub.is_reachable()
    assert not hub.is_reachable()


def test_cached_hub_files_are_read_without_network(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("train.json", json.dumps({"tokens": ["Aspirin"], "tags": [1]}))
    monkeypatch.setattr(hub, "_cached", lambda source, file: path)
    data = load_data(load_task("bc5cdr"))
    assert data.source.kind == "hub"
    assert data.source.location == "tner/bc5cdr@main"
    assert data.splits["dev"][0].tags == ("B-Chemical",)
    assert "other sentences" in data.notes[0]


@pytest.mark.hub
@pytest.mark.parametrize("name", [name for name in task_names() if load_task(name).hub])
def test_hub_files_are_as_the_configuration_says(name: str) -> None:
    task = load_task(name)
    data = load_data(task, "hub")
    assert task.hub is not None
    for split, count in task.hub.examples.items():
        assert len(data.splits[split]) == count


@pytest.mark.parametrize("name", ["bc5cdr", "ncbi_disease", "hoc"])
def test_real_corpora_load_and_are_what_the_configuration_says(corpora: Path, name: str) -> None:
    task: TaskConfig = load_task(name)
    start = time.process_time()
    data = load_data(task)
    seconds = time.process_time() - start
    assert data.source.kind == "env"
    assert data.source.location == str(corpora / name)
    assert {split: len(examples) for split, examples in data.splits.items()} == {
        split: expected.examples for split, expected in task.expected.items()
    }
    # One second of the processor on an idle machine; the rest is for busy ones.
    assert seconds < 4


def test_a_hub_that_answers_but_gives_nothing_leaves_the_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("ADAPTERKIT_DATA", raising=False)
    monkeypatch.setattr(hub, "is_cached", lambda task, splits: False)
    monkeypatch.setattr(hub, "is_reachable", lambda: True)

    def refuse(source: Any, file: str) -> Path:
        raise UserError("the data cannot be fetched", found="403 Forbidden")

    monkeypatch.setattr(hub, "_cached", lambda source, file: None)
    monkeypatch.setattr(hub, "_download", refuse)
    data = load_data(load_task("bc5cdr"), "auto", ("dev",))
    assert data.source.is_sample
    assert data.notes[0] == SAMPLE_NOTE
    assert "403 Forbidden" in data.notes[1]
    with pytest.raises(UserError, match="cannot be fetched"):
        load_data(load_task("bc5cdr"), "hub", ("dev",))


def test_a_misspelt_place_is_guessed() -> None:
    with pytest.raises(UserError, match="no such data folder") as caught:
        load_data(load_task("bc5cdr"), "smaple")
    assert "did you mean sample?" in str(caught.value)


def test_a_split_the_task_does_not_name_is_refused_with_what_it_is_for(write: Any) -> None:
    task = load_task(
        write("mine.yaml", "kind: ner\nlabels: [A]\nfiles: {train: a.tsv, test: b.tsv}\n")
    )
    with pytest.raises(UserError, match="no file for split 'dev'") as caught:
        load_data(task)
    assert "dev to choose the best epoch by" in str(caught.value)
