"""What the operating system says about a disk, in words a user can act on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapterkit.runs.errors import UserError

_MAKE_ROOM = "make room, or choose a path on another disk"
_ELSEWHERE = "choose a path you may write to"

_EXPLANATIONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("There is no space left on the disk.", _MAKE_ROOM),
    errno.EDQUOT: ("The disk quota is used up.", _MAKE_ROOM),
    errno.EFBIG: ("The file is larger than this disk or this user may write.", _MAKE_ROOM),
    errno.EACCES: ("The path may not be written.", _ELSEWHERE),
    errno.EPERM: ("The path may not be written.", _ELSEWHERE),
    errno.EROFS: ("The disk is read-only.", _ELSEWHERE),
    errno.ENOENT: ("A folder on the way to this path does not exist.", _ELSEWHERE),
    errno.ENOTDIR: ("A file stands where a folder is needed.", "choose another path"),
    errno.EISDIR: ("A folder stands where a file is needed.", "choose another path"),
    errno.EEXIST: ("The path is already taken.", "choose another path, or move the old one away"),
    errno.ENOTEMPTY: ("The path is already taken.", "choose another path"),
    errno.ENAMETOOLONG: ("The name is too long for this disk.", "choose a shorter path"),
    errno.ELOOP: ("The path is a circle of symbolic links.", "choose another path"),
    errno.EIO: ("The disk reports an input/output error.", "check the disk; write elsewhere"),
}


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Turn the disk's refusals inside the block into a `UserError` that names ``path``.

    Besides `OSError` it knows how safetensors and PyTorch report a full disk, which are no
    `OSError`. Everything else passes through unchanged.

    Args:
        path: What was being written.

    Raises:
        UserError: The disk is full, read-only, or the path cannot be written.
    """
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        number = _disk_errno(error)
        if number not in _EXPLANATIONS:
            raise
        problem, hint = _EXPLANATIONS[number]
        raise UserError(problem, where=str(path), found=_found(error), hint=hint) from error


def _disk_errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    text = str(error)
    if type(error).__name__ == "SafetensorError":
        code = re.search(r"(?:code: |os error )(\d+)", text)
        return int(code.group(1)) if code else None
    # PyTorch's zip writer drops the errno: a failed or short write there means a full disk.
    short_write = "PytorchStreamWriter failed" in text or "unexpected pos" in text
    return errno.ENOSPC if isinstance(error, RuntimeError) and short_write else None


def _found(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        named = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        return f"{os.strerror(error.errno)}{named}"
    return str(error).splitlines()[0]
