"""Finding the run or package that somebody names."""

from __future__ import annotations

from pathlib import Path

from adapterkit.sharing.archive import SUFFIX
from adapterkit.sharing.cache import user_package_cache
from adapterkit.sharing.layout import MANIFEST_FILE
from adapterkit.sharing.names import Reference, looks_like_name


def is_package(path: str | Path) -> bool:
    """Whether a path claims to be a package: its folder or its archive."""
    path = Path(path)
    return (path / MANIFEST_FILE).exists() or (path.suffix == SUFFIX and path.is_file())


def located(source: str | Path) -> Path:
    """The path of a run or package; a name is looked up among what was pulled.

    Raises:
        UserError: It is a name, and was never pulled.
    """
    path = Path(source)
    if not path.exists() and isinstance(source, str) and looks_like_name(source):
        return user_package_cache().find(Reference.parse(source))
    return path
