"""The index of a store: which packages it has, in which versions, under which aliases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterkit.runs.atomic import write_json
from adapterkit.runs.errors import UserError, nearest
from adapterkit.sharing.manifest import PackageManifest
from adapterkit.sharing.names import LATEST, Reference

SCHEMA: Final = "adapterkit.store.v1"
INDEX_FILE: Final = "index.json"
_LARGEST = 64 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Version(_Part):
    """One version of a package.

    Attributes:
        version: ``v1``, ``v2``, ...
        digest: SHA-256 of its archive.
        bytes: Size of its archive.
        created: When it was packed.
        task: Its task.
        plan: Its plan.
        backbone: Fingerprint of its backbone.
        data: Where the data of its score came from; ``sample`` is no corpus.
        score: Mean of its test score, or of dev where there is none; none where it was not scored.
        n: Seeds of that score.
    """

    version: str = Field(pattern=r"^v[1-9][0-9]{0,8}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    created: str
    task: str
    plan: str
    backbone: str
    data: str
    score: float | None
    n: int = Field(ge=0)


class Listed(_Part):
    """The versions of one package, oldest first, and what else they are called."""

    versions: tuple[Version, ...]
    aliases: dict[str, str] = {}


class Index(_Part):
    """What a store holds."""

    schema_: Literal["adapterkit.store.v1"] = Field(default=SCHEMA, alias="schema")
    packages: dict[str, Listed] = {}

    def find(self, reference: Reference, where: str) -> Version:
        """The version that a reference stands for.

        Args:
            reference: A package, or a version of it.
            where: The store, for errors.

        Raises:
            UserError: There is no such package or version.
        """
        listed = self.packages.get(reference.name)
        if listed is None:
            meant = nearest(reference.name, self.packages)
            raise UserError(
                "There is no such package.",
                where=where,
                found=reference.name,
                allowed=sorted(self.packages)[:20] or "nothing: no package was pushed there yet",
                hint=f"did you mean {meant!r}?" if meant else None,
            )
        tag = listed.aliases.get(reference.tag, reference.tag)
        if tag == LATEST:
            return listed.versions[-1]
        for version in listed.versions:
            if tag in (version.version, f"sha256:{version.digest}"):
                return version
        known = [*(version.version for version in listed.versions), LATEST, *listed.aliases]
        raise UserError(
            f"{reference.name} has no such version.",
            where=where,
            found=reference.tag,
            allowed=known,
        )

    def with_version(
        self, manifest: PackageManifest, digest: str, size: int, aliases: tuple[str, ...]
    ) -> tuple[Index, Version]:
        """This index with one more version, or with the aliases alone where it has it already.

        Args:
            manifest: Of the package.
            digest: SHA-256 of its archive.
            size: Bytes of its archive.
            aliases: What the version is called besides; other versions lose these names.
        """
        listed = self.packages.get(manifest.name, Listed(versions=()))
        version = next((v for v in listed.versions if v.digest == digest), None)
        versions = listed.versions
        if version is None:
            score = manifest.main_score
            version = Version(
                version=f"v{len(versions) + 1}",
                digest=digest,
                bytes=size,
                created=manifest.created,
                task=manifest.task,
                plan=manifest.plan,
                backbone=manifest.backbone.fingerprint,
                data=manifest.data.source,
                score=score.mean if score else None,
                n=score.n if score else 0,
            )
            versions = (*versions, version)
        named = {**listed.aliases, **dict.fromkeys(aliases, version.version)}
        packages = {**self.packages, manifest.name: Listed(versions=versions, aliases=named)}
        return self.model_copy(update={"packages": packages}), version


def read_index(folder: Path) -> Index:
    """Read the index of a store; a store without one is empty.

    Raises:
        UserError: It cannot be read, or is no index.
    """
    path = folder / INDEX_FILE
    try:
        if path.stat().st_size > _LARGEST:
            raise _damaged(path, "a file of more than 64 MiB")
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return Index.model_validate(content)
    except FileNotFoundError:
        return Index()
    except ValidationError as error:
        raise _damaged(path, error.errors()[0]["msg"]) from error
    except OSError as error:
        raise UserError(
            "The store cannot be read.", where=str(path), found=error.strerror or str(error)
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"no JSON ({error})") from error


def write_index(index: Index, folder: Path) -> None:
    """Write the index of a store in one step.

    Raises:
        UserError: The disk is full or the path cannot be written.
    """
    write_json(folder / INDEX_FILE, index.model_dump(mode="json", by_alias=True))


def _damaged(path: Path, found: str) -> UserError:
    return UserError(
        "The index of the store is damaged.",
        where=str(path),
        found=found[:300],
        allowed=f"an index of schema {SCHEMA}",
        hint="restore it; the packages beside it are whole",
    )
