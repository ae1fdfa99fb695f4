from __future__ import annotations

import pytest

from adapterkit.comparing.records.mixing import ALLOWED, check_comparable
from adapterkit.comparing.records.reading import read_runs
from adapterkit.runs.errors import UserError
from tests.comparing.made import edit, make_run

SPLITS = {name: {"sha256": f"other-{name}", "examples": 36} for name in ("train", "dev", "test")}
OTHERS = {
    "data": {"data": "hub"},
    "protocol": {"protocol": "nlpie"},
    "split": {"data": "cache", "splits": SPLITS},
    "backbone": {"backbone": {"id": "other", "fingerprint": "sha256:bb", "steps": 6}},
}


def records_with(tmp_path, **other):
    splits = other.pop("splits", None)
    make_run(tmp_path / "one", seed=0)
    make_run(tmp_path / "other", seed=1, **other)
    if splits is not None:
        edit(
            tmp_path / "other",
            seal=True,
            data={"source": "cache", "location": "data/made", "splits": splits},
        )
    records, left_out = read_runs([tmp_path])
    assert left_out == []
    return records


@pytest.mark.parametrize("what", OTHERS)
def test_what_differs_is_refused_unless_it_may(tmp_path, what):
    records = records_with(tmp_path, **OTHERS[what])
    with pytest.raises(UserError, match="cannot share a table") as error:
        check_comparable(records, [word for word in ALLOWED if word != what])
    said = str(error.value)
    assert f"--allow {what}" in said
    assert str(tmp_path / "one") in said
    assert str(tmp_path / "other") in said
    check_comparable(records, [what])


def test_all_that_differs_is_said_at_once(tmp_path):
    records = records_with(tmp_path, **OTHERS["protocol"], **OTHERS["backbone"])
    with pytest.raises(UserError) as error:
        check_comparable(records)
    assert "they differ in protocol and backbone" in str(error.value)
    assert "sha256:aa" in str(error.value)
    assert "--allow protocol --allow backbone" in str(error.value)


def test_fewer_training_examples_are_another_split(tmp_path):
    splits = {
        name: {"sha256": f"{name:0<64}", "examples": 36 if name != "train" else 20}
        for name in ("train", "dev", "test")
    }
    records = records_with(tmp_path, splits=splits)
    with pytest.raises(UserError, match="differ in splits"):
        check_comparable(records)


def test_the_sample_is_never_mixed_with_the_corpus(tmp_path):
    records = records_with(tmp_path, data="sample")
    with pytest.raises(UserError, match="sample or corpus") as error:
        check_comparable(records, ALLOWED)
    assert "--allow" not in str(error.value)


def test_the_same_files_from_another_place_are_the_same_data(tmp_path):
    check_comparable(records_with(tmp_path, data="env"))


def test_other_tasks_are_no_mixture(tmp_path):
    records = records_with(tmp_path, task="another", **OTHERS["backbone"])
    check_comparable(records)


def test_another_metric_is_never_allowed(tmp_path):
    records = records_with(tmp_path)
    first, second = records
    metrics = {
        split: {**measures, "metric": "accuracy"}
        for split, measures in second.manifest.metrics.items()
    }
    other = type(second)(second.path, second.manifest.model_copy(update={"metrics": metrics}))
    with pytest.raises(UserError, match="differ in metric"):
        check_comparable([first, other], ["data", "split", "backbone"])


def test_what_cannot_be_allowed(tmp_path):
    with pytest.raises(UserError, match="may not be allowed") as error:
        check_comparable([], ["backbon"])
    assert "did you mean backbone?" in str(error.value)
