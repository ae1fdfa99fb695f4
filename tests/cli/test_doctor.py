import importlib.util

import pytest


@pytest.fixture
def findings(cli, monkeypatch, tmp_path):
    """Run the doctor as if nothing but the package were there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ADAPTERKIT_DATA", raising=False)

    def examine():
        outcome = cli("doctor", "--json")
        return {found["topic"]: found for found in outcome.json["findings"]}

    return examine


def test_versions_samples_and_places_are_found(findings):
    found = findings()
    assert found["torch"]["status"] == "ok"
    for task in ("bc5cdr", "ncbi_disease", "hoc"):
        assert found[f"sample of {task}"]["status"] == "ok"
        assert found[f"corpus {task}"]["status"] == "note"
    assert found["adapterkit cache"]["status"] == "ok"
    assert found["kernels package"]["status"] == "ok"
    assert "threads" in found


def test_data_are_found_where_the_environment_says(findings, monkeypatch, tmp_path):
    (tmp_path / "data" / "hoc").mkdir(parents=True)
    monkeypatch.setenv("ADAPTERKIT_DATA", str(tmp_path / "data"))
    found = findings()
    assert found["corpus hoc"] == {
        "topic": "corpus hoc",
        "status": "ok",
        "detail": str(tmp_path / "data" / "hoc"),
    }
    assert found["corpus bc5cdr"]["status"] == "note"


def test_the_kernels_package_is_warned_of(findings, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: object() if name == "kernels" else find_spec(name, *rest),
    )
    warned = findings()["kernels package"]
    assert warned["status"] == "warning"
    assert "CVE-2026-4372" in warned["detail"]


def test_an_unwritable_cache_is_warned_of(findings, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert findings()["adapterkit cache"]["status"] == "warning"


def test_a_missing_backbone_is_a_problem_and_status_1(cli, monkeypatch):
    from adapterkit.runs.errors import UserError

    def missing(source):
        raise UserError("Not there.")

    monkeypatch.setattr("adapterkit.backbones.loading.load_backbone", missing)
    outcome = cli("doctor")
    assert outcome.status == 1
    assert "Not there." in outcome.stdout
