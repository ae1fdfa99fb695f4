from __future__ import annotations

import json
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.tasks.readers.hub import read_hub_file
from adapterkit.tasks.registry import load_task


def parquet(path: Any, rows: list[dict[str, Any]]) -> Any:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("as_lines", [True, False])
def test_reads_the_json_of_tner(write: Any, as_lines: bool) -> None:
    rows = [
        {"tokens": ["Naloxone", "reverses", "low", "pressure"], "tags": [1, 0, 2, 3]},
        {"tokens": ["sodium", "chloride"], "tags": [1, 4]},
    ]
    text = "\n".join(map(json.dumps, rows)) if as_lines else json.dumps(rows, indent=1)
    first, second = read_hub_file(write("train.json", text), load_task("bc5cdr"))
    assert first.tags == ("B-Chemical", "O", "B-Disease", "I-Disease")
    assert second.tags == ("B-Chemical", "I-Chemical")


def test_reads_the_parquet_of_ncbi_disease_and_skips_rows_without_words(tmp_path: Any) -> None:
    rows = [
        {"id": "0", "tokens": ["colon", "cancer", "gene"], "ner_tags": [1, 2, 0]},
        {"id": "1", "tokens": [], "ner_tags": []},
    ]
    (example,) = read_hub_file(parquet(tmp_path / "0.parquet", rows), load_task("ncbi_disease"))
    assert example.tags == ("B-Disease", "I-Disease", "O")


def test_joins_the_sentences_of_bigbio_to_abstracts(tmp_path: Any) -> None:
    rows = [
        {"id": "1", "document_id": "22_0", "text": "A .", "labels": ["none"]},
        {"id": "2", "document_id": "22_1", "text": "B .", "labels": ["resisting cell death"]},
        {"id": "3", "document_id": "31_0", "text": "C .", "labels": []},
        {
            "id": "4",
            "document_id": "22_2",
            "text": "D .",
            "labels": ["resisting cell death", "cellular energetics"],
        },
    ]
    first, second = read_hub_file(parquet(tmp_path / "0.parquet", rows), load_task("hoc"))
    assert (first.id, first.text) == ("22", "A . B . D .")
    assert first.labels == ("Resisting cell death", "Cellular energetics")
    assert (second.id, second.labels) == ("31", ())


def test_unknown_labels_and_numbers_are_refused(tmp_path: Any, write: Any) -> None:
    rows = [{"id": "1", "document_id": "22_0", "text": "A .", "labels": ["sports"]}]
    with pytest.raises(UserError, match="sports"):
        read_hub_file(parquet(tmp_path / "0.parquet", rows), load_task("hoc"))
    path = write("train.json", json.dumps({"tokens": ["a"], "tags": [9]}))
    with pytest.raises(UserError, match="unknown tag"):
        read_hub_file(path, load_task("bc5cdr"))
    with pytest.raises(UserError, match="not JSON"):
        read_hub_file(write("train.json", "[1, 2"), load_task("bc5cdr"))
    with pytest.raises(UserError, match="not a parquet table"):
        read_hub_file(write("0.parquet", "<html>"), load_task("ncbi_disease"))
