"""Thousands of seeded accidents to a package, each refused before a weight is loaded."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterkit.runs.errors import UserError
from adapterkit.serving.predictor import load_adapter
from adapterkit.sharing.archive import unpack_archive, write_archive
from adapterkit.sharing.verifying import verify_package

Accident = Callable[[Path, random.Random], None]


def files(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*") if path.is_file())


def flip_a_bit(package: Path, rng: random.Random) -> None:
    path = rng.choice(files(package))
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut_a_file(package: Path, rng: random.Random) -> None:
    path = rng.choice(files(package))
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def add_bytes(package: Path, rng: random.Random) -> None:
    path = rng.choice(files(package))
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 64)))


def remove_a_file(package: Path, rng: random.Random) -> None:
    rng.choice(files(package)).unlink()


def add_a_file(package: Path, rng: random.Random) -> None:
    name = rng.choice(
        ["a/adapter.safetensors", "x.py", "pytorch_adapter.bin", "head/evil.json", "a/b/c.json",
         ".hidden", "side.safetensors", "weights.safetensors", "README.txt", "bc5cdr/README.md"]
    )  # fmt: skip
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_bytes(rng.randbytes(16))


def swap_two_tensors(package: Path, rng: random.Random) -> None:
    path = rng.choice([path for path in files(package) if path.suffix == ".safetensors"])
    tensors = load_file(path)
    names = sorted(tensors)
    one, other = rng.sample(names, 2)
    tensors[one], tensors[other] = tensors[other], tensors[one]
    save_file(tensors, path)


def poison_a_number(package: Path, rng: random.Random) -> None:
    path = rng.choice([path for path in files(package) if path.suffix == ".safetensors"])
    tensors = load_file(path)
    flat = tensors[rng.choice(sorted(tensors))].view(-1)
    flat[rng.randrange(len(flat))] = rng.choice([torch.inf, -torch.inf, torch.nan, 1e30])
    save_file(tensors, path)


def edit_the_json(package: Path, rng: random.Random) -> None:
    path = rng.choice([path for path in files(package) if path.suffix == ".json"])
    content = json.loads(path.read_text(encoding="utf-8"))
    place, key = content, rng.choice(sorted(content))
    while isinstance(place[key], dict) and place[key] and rng.random() < 0.9:
        place = place[key]
        key = rng.choice(sorted(place))
    value = place[key]
    if isinstance(value, bool) or value is None:
        place[key] = "yes"
    elif isinstance(value, int | float):
        place[key] = value + rng.choice([1, -1, 0.5, 1e6])
    elif isinstance(value, str):
        place[key] = value + rng.choice(["x", " ", "\u0430", "\0"])
    else:
        del place[key]
    path.write_text(json.dumps(content), encoding="utf-8")


def rename_a_label(package: Path, rng: random.Random) -> None:
    path = package / "head" / "head_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    labels = content["config"]["label2id"]
    label = rng.choice(sorted(labels))
    labels[label.swapcase()] = labels.pop(label)
    path.write_text(json.dumps(content), encoding="utf-8")


def name_another_backbone(package: Path, rng: random.Random) -> None:
    name = rng.choice(["adapterkit.json", "plan.json"])
    text = (package / name).read_text(encoding="utf-8")
    at = text.index("sha256:") + 7 + rng.randrange(64)
    digit = rng.choice([d for d in "0123456789abcdef" if d != text[at]])
    (package / name).write_text(text[:at] + digit + text[at + 1 :], encoding="utf-8")


ACCIDENTS: tuple[Accident, ...] = (
    flip_a_bit, cut_a_file, add_bytes, remove_a_file, add_a_file, swap_two_tensors,
    poison_a_number, edit_the_json, rename_a_label, name_another_backbone,
)  # fmt: skip


def changed(package: Path, original: Path) -> bool:
    before = {p.relative_to(original): p.read_bytes() for p in files(original)}
    return before != {p.relative_to(package): p.read_bytes() for p in files(package)}


def refused(original: Path, folder: Path, seeds: range) -> int:
    """How many accidents changed a package; each that did is refused."""
    count = 0
    for seed in seeds:
        rng = random.Random(seed)
        package = folder / str(seed)
        shutil.copytree(original, package)
        accident = ACCIDENTS[seed % len(ACCIDENTS)]
        accident(package, rng)
        if changed(package, original):
            count += 1
            with pytest.raises(UserError) as caught:
                verify_package(package)
            assert str(caught.value), (accident.__name__, seed)
        shutil.rmtree(package)
    return count


def test_the_package_itself_is_in_order(package: Path) -> None:
    assert verify_package(package).name == "bc5cdr@tiny"


def test_accidents_are_refused(package: Path, tmp_path: Path) -> None:
    assert refused(package, tmp_path, range(200)) > 195


@pytest.mark.slow
def test_two_thousand_accidents_are_refused(package: Path, tmp_path: Path) -> None:
    assert refused(package, tmp_path, range(1000, 3000)) > 1950


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.__name__)
def test_nothing_is_loaded(
    accident: Accident,
    package: Path,
    backbone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(package, tmp_path / "package")
    accident(tmp_path / "package", random.Random(5))

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was loaded")

    monkeypatch.setattr("adapterkit.sharing.loading.load_trained_on", never)
    monkeypatch.setattr("adapterkit.sharing.loading.load_adapted", never)
    with pytest.raises(UserError):
        load_adapter(tmp_path / "package", backbone=backbone)


def test_accidents_to_an_archive_are_refused(package: Path, tmp_path: Path) -> None:
    """Bytes of the archive's own bookkeeping may differ and still unpack to the same files."""
    write_archive(package, tmp_path / "whole.zip")
    whole = (tmp_path / "whole.zip").read_bytes()
    refusals = 0
    for seed in range(150):
        rng = random.Random(seed)
        content = bytearray(whole)
        if seed % 3 == 0:
            content = content[: rng.randrange(len(content))]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        broken, target = tmp_path / "broken.zip", tmp_path / "unpacked"
        broken.write_bytes(content)
        try:
            unpack_archive(broken, target)
        except UserError:
            refusals += 1
            assert not target.exists()
        else:
            assert not changed(target, package)
            shutil.rmtree(target)
    assert refusals > 130
