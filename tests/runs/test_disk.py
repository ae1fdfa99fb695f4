import errno
import os

import pytest

from adapterkit.runs.disk import disk_errors
from adapterkit.runs.errors import UserError


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "may not be written"),
        (errno.EPERM, "may not be written"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "A file stands"),
        (errno.EEXIST, "already taken"),
        (errno.ENAMETOOLONG, "too long"),
    ],
)
def test_refusals_are_explained(number, words):
    with pytest.raises(UserError, match=words) as caught, disk_errors("out/run"):
        raise OSError(number, os.strerror(number), "out/run/file")
    assert caught.value.where == "out/run"
    assert "out/run/file" in caught.value.found
    assert caught.value.hint


def test_a_user_error_passes_through_unchanged():
    error = UserError("mine")
    with pytest.raises(UserError) as caught, disk_errors("out"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ECHILD, "x"), RuntimeError("x")])
def test_other_errors_pass_through(error):
    with pytest.raises(type(error)) as caught, disk_errors("out"):
        raise error
    assert caught.value is error


def test_too_long_a_name_is_explained(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(UserError, match="too long"), disk_errors(path):
        path.write_text("x")


def test_safetensors_on_a_full_disk(small_disk):
    numpy = pytest.importorskip("numpy")
    save_file = pytest.importorskip("safetensors.numpy").save_file
    path = small_disk / "adapter.safetensors"
    with pytest.raises(UserError, match="no space left") as caught, disk_errors(path):
        save_file({"weight": numpy.zeros(100_000)}, path)
    assert str(path) in str(caught.value)


def test_pytorch_on_a_full_disk(small_disk):
    torch = pytest.importorskip("torch")
    path = small_disk / "optimizer.pt"
    with pytest.raises(UserError, match="no space left"), disk_errors(path):
        torch.save({"weight": torch.zeros(100_000)}, path)
