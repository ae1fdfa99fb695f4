"""Packages made to do harm: each refused in under a second, in little memory."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file
from adapterkit.runs.sealing import digest
from adapterkit.sharing.archive import unpack_archive, write_archive
from adapterkit.sharing.verifying import verify_package


class Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch HARMED",))


def reseal(package: Path) -> None:
    """What an attacker does: list the files as they are now, and seal the description anew."""
    path = package / "adapterkit.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["files"] = {
        p.relative_to(package).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size}
        for p in sorted(package.rglob("*"))
        if p.is_file() and not p.is_symlink() and p.name != "adapterkit.json"
    }
    content["digest"] = digest(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def a_pickle_as_safetensors(package: Path) -> None:
    (package / "bc5cdr" / "adapter.safetensors").write_bytes(pickle.dumps(Exploit()))


def a_pickle_beside(package: Path) -> None:
    (package / "bc5cdr" / "pytorch_adapter.bin").write_bytes(pickle.dumps(Exploit()))


def code_beside(package: Path) -> None:
    (package / "modeling.py").write_text("import os\nos.system('touch HARMED')\n")


def a_link_to_a_file(package: Path) -> None:
    (package / "README.md").unlink()
    (package / "README.md").symlink_to("/etc/hostname")


def a_link_to_a_folder(package: Path) -> None:
    shutil.rmtree(package / "head")
    (package / "head").symlink_to("/etc")


def a_pipe(package: Path) -> None:
    (package / "README.md").unlink()
    os.mkfifo(package / "README.md")


def auto_map(package: Path) -> None:
    edit(package / "bc5cdr" / "adapter_config.json", lambda c: c.update(auto_map={"A": "a.B"}))


def attention_implementation(package: Path) -> None:
    edit(
        package / "head" / "head_config.json",
        lambda c: c["config"].update(_attn_implementation_internal="evil/kernel"),
    )


def trust_remote_code(package: Path) -> None:
    edit(
        package / "bc5cdr" / "adapter_config.json",
        lambda c: c["config"].update(trust_remote_code=True),
    )


def a_key_of_the_description(package: Path) -> None:
    edit(package / "adapterkit.json", lambda c: c.update(auto_map={"A": "a.B"}))


def a_key_of_the_task(package: Path) -> None:
    edit(package / "adapterkit.json", lambda c: c["task_config"].update(loader="evil.py"))


def peft(package: Path) -> None:
    edit(package / "bc5cdr" / "adapter_config.json", lambda c: c.update(peft_type="LORA"))


def a_header_of_two_gigabytes(package: Path) -> None:
    path = package / "bc5cdr" / "adapter.safetensors"
    path.write_bytes(struct.pack("<Q", 2 << 30) + path.read_bytes()[8:])


def a_header_that_claims_terabytes(package: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})
    path = package / "bc5cdr" / "adapter.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + b"\0" * 64)


def a_shape_of_negative_numbers(package: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}})
    path = package / "bc5cdr" / "adapter.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + b"\0" * 16)


def a_deep_json(package: Path) -> None:
    (package / "plan.json").write_text("[" * 100_000)


def a_name_that_looks_alike(package: Path) -> None:
    # A Cyrillic letter in place of a Latin one.
    os.rename(package / "bc5cdr", package / "b\u04415cdr")


def a_package_name_that_looks_alike(package: Path) -> None:
    edit(package / "adapterkit.json", lambda c: c.update(name="b\u04415cdr@tiny"))


def a_name_that_climbs(package: Path) -> None:
    edit(package / "adapterkit.json", lambda c: c.update(name="../../etc@passwd"))


def other_labels_in_the_head(package: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        labels = content["config"]["label2id"]
        labels["B-Chemical"], labels["B-Disease"] = labels["B-Disease"], labels["B-Chemical"]

    edit(package / "head" / "head_config.json", swap)


def another_plan(package: Path) -> None:
    edit(package / "adapterkit.json", lambda c: c.update(plan="full"))


def fewer_bytes_than_shipped(package: Path) -> None:
    edit(package / "adapterkit.json", lambda c: c["ledger"].update(shipped_bytes=4))


def a_sparse_giant(package: Path) -> None:
    os.truncate(package / "bc5cdr" / "adapter.safetensors", 10 << 30)


def ten_thousand_files(package: Path) -> None:
    for number in range(10_000):
        folder = package / f"a{number}"
        folder.mkdir()
        (folder / "adapter_config.json").touch()


FOLDERS: tuple[Callable[[Path], None], ...] = (
    a_pickle_as_safetensors, a_pickle_beside, code_beside, a_link_to_a_file, a_link_to_a_folder,
    a_pipe, auto_map, attention_implementation, trust_remote_code, a_key_of_the_description,
    a_key_of_the_task, peft, a_header_of_two_gigabytes, a_header_that_claims_terabytes,
    a_shape_of_negative_numbers, a_deep_json, a_name_that_looks_alike,
    a_package_name_that_looks_alike, a_name_that_climbs, other_labels_in_the_head, another_plan,
    fewer_bytes_than_shipped,
)  # fmt: skip
UNSEALED = (a_sparse_giant, ten_thousand_files)


def cheaply(act: Callable[[], object]) -> UserError:
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        act()
    taken = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.0
    assert peak < 32 << 20
    return caught.value


@pytest.mark.parametrize("attack", FOLDERS, ids=lambda attack: attack.__name__)
def test_a_hostile_folder_is_refused(
    attack: Callable[[Path], None], package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(package, tmp_path / "package")
    attack(tmp_path / "package")
    if attack is not a_link_to_a_folder:
        reseal(tmp_path / "package")
    assert str(cheaply(lambda: verify_package(tmp_path / "package")))
    assert not (tmp_path / "HARMED").exists()


@pytest.mark.parametrize("attack", UNSEALED, ids=lambda attack: attack.__name__)
def test_a_giant_is_refused_unread(
    attack: Callable[[Path], None], package: Path, tmp_path: Path
) -> None:
    shutil.copytree(package, tmp_path / "package")
    attack(tmp_path / "package")
    cheaply(lambda: verify_package(tmp_path / "package"))


def test_an_honest_package_sealed_anew_is_accepted(package: Path, tmp_path: Path) -> None:
    """So that the attacks above are refused for what they do."""
    shutil.copytree(package, tmp_path / "package")
    reseal(tmp_path / "package")
    verify_package(tmp_path / "package")


def archive_with(path: Path, package: Path, *entries: tuple[zipfile.ZipInfo, bytes]) -> Path:
    write_archive(package, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/tmp/evil.json", "head/../../evil.json", "..\\evil.json", "C:\\evil.json",
     "a\0b/adapter.safetensors", "head/../plan.json", "./plan.json", "a//adapter.safetensors",
     "README.md ", "\uff0e\uff0e/evil.json"],
)  # fmt: skip
def test_an_archive_cannot_write_outside(name: str, package: Path, tmp_path: Path) -> None:
    path = archive_with(tmp_path / "evil.zip", package, (zipfile.ZipInfo(name), b"{}"))
    before = set(tmp_path.rglob("*"))
    cheaply(lambda: unpack_archive(path, tmp_path / "in" / "package"))
    assert set(tmp_path.rglob("*")) - {tmp_path / "in"} == before
    assert not Path("/tmp/evil.json").exists()


def test_an_archive_holds_no_links(package: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("side.safetensors")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    path = archive_with(tmp_path / "evil.zip", package, (link, b"/etc/passwd"))
    assert "plain files" in str(cheaply(lambda: unpack_archive(path, tmp_path / "package")))
    assert not (tmp_path / "package").exists()


def test_an_archive_holds_no_name_twice(package: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archive_with(tmp_path / "evil.zip", package, (zipfile.ZipInfo("README.md"), b"x"))
    assert "twice" in str(cheaply(lambda: unpack_archive(path, tmp_path / "package")))


def bomb(path: Path, package: Path, claimed: int | None) -> Path:
    """Zeros that are a thousand times smaller packed, and may claim to be fewer."""
    write_archive(package, path)
    mebibyte = b"\0" * (1 << 20)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("side.safetensors")
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as file:
            for _ in range(300 if claimed is not None else 1100):
                file.write(mebibyte)
        if claimed is not None:
            archive.getinfo("side.safetensors").file_size = claimed
    return path


@pytest.mark.parametrize("claimed", [None, 1000], ids=["honest about its size", "lying"])
def test_a_bomb_fills_neither_disk_nor_memory(
    claimed: int | None, package: Path, tmp_path: Path
) -> None:
    path = bomb(tmp_path / "bomb.zip", package, claimed)
    code = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from adapterkit.runs.errors import UserError\n"
        "from adapterkit.sharing.archive import unpack_archive\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))\n"
        "started = time.process_time()\n"
        "try:\n"
        "    unpack_archive(sys.argv[1], sys.argv[2])\n"
        "except UserError as error:\n"
        "    print(error.problem)\n"
        "print(time.process_time() - started)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "package"],
        capture_output=True,
        text=True,
        check=True,
    )
    problem, seconds, kibibytes = done.stdout.splitlines()
    assert "larg" in problem or "damaged" in problem
    assert float(seconds) < 1.0
    assert int(kibibytes) < 32 << 10
    assert not (tmp_path / "package").exists()


def test_a_list_of_a_million_entries_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"a{number}/adapter_config.json", b"")
    assert "too many" in str(cheaply(lambda: unpack_archive(path, tmp_path / "package")))


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"no archive at all", b"PK\3\4" + b"\0" * 99])
def test_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(content)
    cheaply(lambda: unpack_archive(tmp_path / "no.zip", tmp_path / "package"))


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    cheaply(lambda: unpack_archive(tmp_path / "no.zip", tmp_path / "package"))
