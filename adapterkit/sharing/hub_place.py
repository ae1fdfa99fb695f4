"""A repository on the Hugging Face Hub that keeps one package, a tag for each of its versions."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterkit.backbones.hub import reachable
from adapterkit.backbones.safety import MAX_JSON_BYTES
from adapterkit.runs.atomic import atomic_directory
from adapterkit.runs.errors import UserError
from adapterkit.sharing.archive import archive_digest
from adapterkit.sharing.layout import (
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_PACKAGE_BYTES,
    is_allowed,
    is_tensor_file,
)
from adapterkit.sharing.manifest import PackageManifest, read_manifest
from adapterkit.sharing.names import LATEST, Reference, check_alias
from adapterkit.sharing.place import Entry, Stored

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX: Final = "hub:"
_MAIN: Final = "main"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class HubRepository:
    """A model repository at the Hub; its card is the package's.

    Attributes:
        repository: ``owner/name``.
    """

    repository: str

    @classmethod
    def parse(cls, text: str) -> HubRepository:
        """Read ``hub:owner/name``.

        Raises:
            UserError: It names no repository.
        """
        repository = text.removeprefix(PREFIX)
        if not _REPOSITORY.fullmatch(repository):
            raise UserError(
                "This is no repository at the Hub.",
                where="PLACE",
                found=ascii(text[:120])[1:-1],
                allowed=f"{PREFIX}OWNER/NAME",
            )
        return cls(repository)

    @property
    def id(self) -> str:
        """``hub:owner/name``."""
        return f"{PREFIX}{self.repository}"

    def push(self, folder: Path, aliases: tuple[str, ...] = ()) -> Stored:
        """Commit a package and tag it with its version; see `Place.push`.

        What the repository held before goes, but for what the Hub itself keeps there.
        """
        for alias in aliases:
            check_alias(alias)
        manifest, digest = archive_digest(folder)
        with self._speaking():
            api = self._api()
            api.create_repo(self.repository, exist_ok=True)
            self._check_same_package(api, manifest)
            commit = api.upload_folder(
                repo_id=self.repository,
                folder_path=folder,
                delete_patterns=["*.json", "*.md", "*.safetensors", "*.sig"],
                commit_message=f"{manifest.name}, packed {manifest.created}",
            ).oid
            tags = self._tags(api)
            known = [tag for tag, at in tags.items() if at == commit and _VERSION.fullmatch(tag)]
            version = known[0] if known else f"v{_last(tags) + 1}"
            for tag in (version, *aliases) if not known else aliases:
                if tag in tags:
                    api.delete_tag(self.repository, tag=tag)
                api.create_tag(self.repository, tag=tag, revision=commit)
        return Stored(manifest.name, version, digest, manifest)

    def fetch(self, reference: Reference, target: Path) -> Stored:
        """Download a package as it was at one commit; see `Place.fetch`."""
        with self._speaking():
            api = self._api()
            tags = self._tags(api)
            revision = self._revision(reference, tags)
            info = api.model_info(self.repository, revision=revision, files_metadata=True)
            names = _wanted(info.siblings or (), self.id)
            with tempfile.TemporaryDirectory() as scratch:
                self._download(api, names, str(info.sha), Path(scratch))
                with atomic_directory(target) as folder:
                    for name in names:
                        (folder / name).parent.mkdir(exist_ok=True)
                        shutil.copyfile(Path(scratch) / name, folder / name)
                    manifest, digest = archive_digest(folder)
                    self._check_reference(reference, manifest, digest)
        known = [tag for tag, at in tags.items() if at == info.sha and _VERSION.fullmatch(tag)]
        return Stored(manifest.name, known[0] if known else str(info.sha), digest, manifest)

    def entries(self) -> list[Entry]:
        """The repository's versions; see `Place.entries`."""
        with self._speaking():
            api = self._api()
            tags = self._tags(api)
            versions = sorted(filter(_VERSION.fullmatch, tags), key=lambda tag: int(tag[1:]))
            return [self._entry(api, tag, tags) for tag in versions]

    def _entry(self, api: HfApi, version: str, tags: dict[str, str]) -> Entry:
        with tempfile.TemporaryDirectory() as scratch:
            self._download(api, [MANIFEST_FILE], tags[version], Path(scratch))
            manifest = read_manifest(Path(scratch))
        score = manifest.main_score
        others = (t for t, at in tags.items() if at == tags[version] and not _VERSION.fullmatch(t))
        return Entry(
            name=manifest.name,
            version=version,
            aliases=tuple(sorted(others)),
            task=manifest.task,
            plan=manifest.plan,
            data=manifest.data.source,
            score=score.mean if score else None,
            n=score.n if score else 0,
            bytes=sum(record.bytes for record in manifest.files.values()),
            digest=None,
        )

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi()

    def _download(self, api: HfApi, names: list[str], commit: str, folder: Path) -> None:
        for name in names:
            api.hf_hub_download(self.repository, name, revision=commit, local_dir=folder)

    def _tags(self, api: HfApi) -> dict[str, str]:
        """The commit of every tag."""
        refs = api.list_repo_refs(self.repository)
        return {tag.name: str(tag.target_commit) for tag in refs.tags}

    def _revision(self, reference: Reference, tags: dict[str, str]) -> str:
        if reference.tag == LATEST or reference.is_digest:
            return _MAIN
        if reference.tag not in tags:
            raise UserError(
                f"{reference.name} has no such version.",
                where=self.id,
                found=reference.tag,
                allowed=[LATEST, *sorted(tags)],
            )
        return tags[reference.tag]

    def _check_same_package(self, api: HfApi, manifest: PackageManifest) -> None:
        """A repository keeps versions of one package."""
        there = api.model_info(self.repository).siblings or ()
        if MANIFEST_FILE not in {sibling.rfilename for sibling in there}:
            return
        with tempfile.TemporaryDirectory() as scratch:
            self._download(api, [MANIFEST_FILE], _MAIN, Path(scratch))
            found = read_manifest(Path(scratch)).name
        if found != manifest.name:
            raise UserError(
                "The repository keeps another package.",
                where=self.id,
                found=found,
                allowed=manifest.name,
                hint="push it to a repository of its own",
            )

    def _check_reference(
        self, reference: Reference, manifest: PackageManifest, digest: str
    ) -> None:
        if manifest.name != reference.name:
            raise UserError(
                "The repository keeps another package.",
                where=self.id,
                found=manifest.name,
                allowed=reference.name,
            )
        if reference.is_digest and reference.tag != f"sha256:{digest}":
            raise UserError(
                "The newest version is not the one with this digest.",
                where=self.id,
                found=f"sha256:{digest}",
                allowed=reference.tag,
                hint="name its version; what is pulled is held to its digest afterwards",
            )

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what the Hub refuses into words for the user."""
        import requests
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )

        if not reachable():
            raise self._refused("the Hub cannot be reached", "check the network, or use --offline")
        try:
            yield
        except RepositoryNotFoundError as error:
            hint = "check the name; a private one needs a token: `hf auth login`"
            raise self._refused("no such repository, or it is private", hint) from error
        except HfHubHTTPError as error:
            raise self._refused(_first_line(error), "see whether your token may do that") from error
        except (HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            raise self._refused(_first_line(error), "check name and network") from error
        except requests.RequestException as error:
            raise self._refused(_first_line(error), "try again") from error

    def _refused(self, found: str, hint: str) -> UserError:
        return UserError(
            "The Hub did not do what it was asked for.", where=self.id, found=found, hint=hint
        )


def _wanted(siblings: Any, place: str) -> list[str]:
    """The files of a repository that a package may have, none too large to be fetched."""
    sizes = {s.rfilename: int(s.size or 0) for s in siblings if is_allowed(s.rfilename)}
    for name, size in sizes.items():
        if size > (MAX_FILE_BYTES if is_tensor_file(name) else MAX_JSON_BYTES):
            raise UserError(
                "A file is too large for a package.",
                where=f"{place}: {name}",
                found=f"{size:,} bytes",
            )
    if len(sizes) > MAX_FILES or sum(sizes.values()) > MAX_PACKAGE_BYTES:
        raise UserError("The repository is too large for a package.", where=place)
    if MANIFEST_FILE not in sizes:
        raise UserError(
            "The repository keeps no adapter package.",
            where=place,
            found=f"no {MANIFEST_FILE}",
            allowed="a repository that `adapterkit share push` wrote to",
        )
    return sorted(sizes)


def _last(tags: dict[str, str]) -> int:
    return max((int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag))), default=0)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
