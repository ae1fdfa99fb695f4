import json

import pytest

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError


def test_layout(tmp_path):
    run = RunDirectory(tmp_path)
    assert [
        path.name
        for path in (
            run.manifest_path,
            run.adapter_path,
            run.predictions_path,
            run.log_path,
            run.checkpoints_path,
            run.state_path,
        )
    ] == ["run.json", "adapter", "predictions", "log.jsonl", "checkpoints", "state.json"]
    assert not run.is_finished


def test_a_damaged_manifest_is_not_taken_for_an_unfinished_run(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        _ = RunDirectory(tmp_path).is_finished


def test_log_lines_are_appended(tmp_path):
    run = RunDirectory(tmp_path / "run")
    assert run.read_log() == []
    run.append_log({"step": 1, "loss": float("nan")})
    run.append_log({"step": 2, "note": "β\nδ"})
    assert run.read_log() == [{"step": 1, "loss": None}, {"step": 2, "note": "β\nδ"}]
    assert len(run.log_path.read_text().splitlines()) == 2


def test_a_torn_line_spoils_no_other(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_log({"step": 1})
    with open(run.log_path, "a") as file:
        file.write('{"step": 2, "lo')
    run.append_log({"step": 3})
    assert run.read_log() == [{"step": 1}, {"step": 3}]


def test_log_on_a_full_disk(small_disk):
    (small_disk / "filler").write_bytes(b"x" * (64 * 1024))
    with pytest.raises(UserError, match="no space left"):
        RunDirectory(small_disk).append_log({"step": 1})


def test_state_survives_the_disk(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.save_state({"task": "bc5cdr", "output": tmp_path})
    assert run.load_state() == {"task": "bc5cdr", "output": str(tmp_path)}


@pytest.mark.parametrize("content", [None, "", "{", json.dumps([1])])
def test_nothing_to_resume(tmp_path, content):
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    with pytest.raises(UserError, match="no unfinished run") as caught:
        RunDirectory(tmp_path).load_state()
    assert str(tmp_path) in str(caught.value)
    assert "--resume" in caught.value.hint
