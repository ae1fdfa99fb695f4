"""What is built from the source: the wheel, the source archive, and what an install of it does."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import entry_points, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree"
)


@dataclass(frozen=True)
class Distributions:
    wheel: Path
    sdist: Path

    def wheel_files(self) -> dict[str, int]:
        """Return the size in bytes of every file of the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {item.filename: item.file_size for item in archive.infolist()}

    def wheel_text(self, suffix: str) -> str:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(suffix))
            return archive.read(name).decode("utf-8")

    def metadata(self) -> Message:
        return Parser().parsestr(self.wheel_text(".dist-info/METADATA"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The source archive, and the wheel built from that archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@pytest.fixture(scope="module")
def installed(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(folder), str(built.wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


def run_installed(installed: Path, code: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "ADAPTERKIT_DATA"}
    environment |= {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", f"import adapterkit; print(adapterkit.__file__)\n{code}"],
        cwd=installed.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    origin, _, output = result.stdout.partition("\n")
    assert Path(origin).is_relative_to(installed)
    return output.strip()


def source_files(folder: str) -> set[str]:
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_wheel_holds_the_package_and_the_task_configurations(built: Distributions):
    configs = source_files("task_configs")
    assert configs
    expected = source_files("adapterkit") | {f"adapterkit/{name}" for name in configs}
    assert {name for name in built.wheel_files() if ".dist-info/" not in name} == expected


@pytest.mark.parametrize("task", ["bc5cdr", "hoc", "ncbi_disease"])
def test_the_wheel_holds_the_samples(built: Distributions, task: str):
    names = set(built.wheel_files())
    suffix = "jsonl" if task == "hoc" else "tsv"
    splits = {f"adapterkit/tasks/samples/{task}/{s}.{suffix}" for s in ("train", "dev", "test")}
    assert splits <= names
    assert f"adapterkit/task_configs/{task}.yaml" in names


def test_the_wheel_holds_the_backbone_and_the_type_marker(built: Distributions):
    files = built.wheel_files()
    assert "adapterkit/py.typed" in files
    weights = [size for name, size in files.items() if name.endswith(".safetensors")]
    assert weights
    assert sum(weights) <= 16 * MEGABYTE
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]


def test_the_wheel_names_its_command(built: Distributions):
    lines = built.wheel_text(".dist-info/entry_points.txt").split("\n")
    assert "adapterkit = adapterkit.cli.main:main" in lines
    (command,) = entry_points(group="console_scripts", name="adapterkit")
    assert callable(command.load())


def test_the_metadata_names_version_and_licence(built: Distributions):
    metadata = built.metadata()
    assert metadata["Name"] == "adapterkit"
    assert metadata["Version"] == version("adapterkit")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.10"
    licence = built.wheel_text(".dist-info/licenses/LICENSE")
    assert licence.split() == (ROOT / "LICENSE").read_text(encoding="utf-8").split()
    assert licence.lstrip().startswith("Apache License")


def test_the_source_archive_is_complete(built: Distributions):
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "pyproject.toml"}
    assert top <= names
    assert source_files("adapterkit") | source_files("task_configs") <= names
    assert source_files("tests") <= names


def test_every_requirement_is_constrained():
    constrained = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    wanted = {canonicalize_name(Requirement(line).name) for line in requires("adapterkit") or []}
    assert wanted
    assert wanted - constrained == set()


def test_an_install_elsewhere_knows_the_tasks(installed: Path):
    output = run_installed(
        installed,
        "from adapterkit.tasks.registry import task_names; print(*task_names())",
    )
    assert output.split() == sorted(path.stem for path in (ROOT / "task_configs").glob("*.yaml"))


def test_an_install_elsewhere_reads_the_sample(installed: Path):
    code = """
from adapterkit.tasks.registry import load_task
from adapterkit.tasks.sources import load_data
data = load_data(load_task("bc5cdr"), "sample")
print(data.source.kind, sum(map(len, data.splits.values())))
"""
    kind, sentences = run_installed(installed, code).split()
    assert kind == "sample"
    assert int(sentences) >= 300


def test_an_install_elsewhere_loads_the_bundled_backbone(installed: Path):
    code = "print(adapterkit.load_backbone('bundled').fingerprint)"
    assert run_installed(installed, code).startswith("sha256:")
