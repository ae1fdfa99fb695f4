"""Reading runs to be compared; those that cannot be relied on are named, never averaged in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from adapterkit.comparing.records.folders import run_folders
from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.records.record import RunRecord, ScoredSplit
from adapterkit.comparing.records.settings import settings_of
from adapterkit.plans.step_plan import StepPlan
from adapterkit.runs import manifest as manifests
from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.progress import Progress, Silence
from adapterkit.runs.sealing import broken_seal

SCORED: tuple[ScoredSplit, ...] = ("dev", "test")

_ERROR_FILE = "error.json"

# The same predictions give the same score, to the last bits of a float.
_SAME_SCORE = 1e-9


def read_runs(
    paths: Iterable[str | Path], progress: Progress | None = None
) -> tuple[list[RunRecord], list[LeftOut]]:
    """Read finished runs, and say which cannot be used.

    Left out are runs that are unfinished, cut short, changed after they were made, written under
    another schema, of other labels than most runs of their task, or a seed for the second time.

    Args:
        paths: Run directories, or folders that hold some, such as that of a suite.
        progress: Told how it goes.

    Raises:
        UserError: A path does not exist.
    """
    records: list[RunRecord] = []
    left_out: list[LeftOut] = []
    progress = progress or Silence()
    folders = run_folders(map(Path, paths))
    progress.begin("reading runs", len(folders))
    for folder in folders:
        task = None
        try:
            record = RunRecord(folder, manifests.load(folder))
            task = record.manifest.task
            reason = _unreliable(record)
        except UserError as error:
            reason = _missing(folder) or _in_a_line(error)
        except OSError as error:
            reason = f"{error.filename} cannot be read: {error.strerror}"
        if reason is None:
            records.append(record)
        else:
            left_out.append(LeftOut(folder, reason, task))
        progress.advance()
    for sift in (_other_labels, _repeated):
        left_out += (dropped := sift(records))
        gone = {item.path for item in dropped}
        records = [record for record in records if record.path not in gone]
    return records, left_out


def _unreliable(record: RunRecord) -> str | None:
    """Why a run cannot be compared, if so."""
    manifest = record.manifest
    if manifest.status != "finished":
        return f"unfinished: its status is {manifest.status}"
    StepPlan.parse(manifest.plan, source="plan")
    directory = RunDirectory(record.path)
    for split in SCORED:
        if not (directory.predictions_path / f"{split}.jsonl").is_file():
            return f"cut short: predictions/{split}.jsonl is missing"
    if (broken := broken_seal(directory)) is not None:
        return f"edited or damaged: {broken}"
    return next((reason for split in SCORED if (reason := _contradicted(record, split))), None)


def _contradicted(record: RunRecord, split: ScoredSplit) -> str | None:
    """Why a split's predictions do not bear out what ``run.json`` says, if so."""
    from adapterkit.comparing.statistics.sufficient import document_statistics, score_of

    task, name = record.task, f"predictions/{split}.jsonl"
    predictions = record.predictions(split)
    data = record.manifest.data.splits.get(split)
    expected = None if data is None else data.examples
    if len(predictions) != expected:
        return f"cut short: {name} has {len(predictions):,} lines for {expected or 0:,} examples"
    if record.manifest.protocol == "nlpie":
        # That protocol reads spans from invalid tags too, which predictions do not keep.
        return None
    said = record.manifest.metrics[split]["score"]
    found = float(score_of(task.metric, document_statistics(task, predictions).sums))
    if abs(found - said) > _SAME_SCORE:
        return f"edited: {name} gives {task.metric} {found:.4f}, but run.json says {said:.4f}"
    return None


def _missing(folder: Path) -> str | None:
    """Why a directory has no manifest, if it has none."""
    if (folder / manifests.MANIFEST_NAME).exists():
        return None
    # A suite keeps the error beside the run directory, not in it.
    failure = next((f for f in (folder, folder.parent) if (f / _ERROR_FILE).exists()), None)
    if failure is not None:
        return f"failed: {_first_line(failure / _ERROR_FILE)}"
    if not folder.exists():
        return "not run yet"
    return "unfinished: it was stopped before its end, or its run.json is gone"


def _first_line(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said = str(content["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return "the reason cannot be read"
    return (said.strip().splitlines() or ["no reason was kept"])[0]


def _in_a_line(error: UserError) -> str:
    facts = [("found", error.found), ("allowed", error.allowed)]
    said = "; ".join(f"{name} {fact}" for name, fact in facts if fact)
    problem = error.problem.rstrip(".")
    return f"{problem[:1].lower()}{problem[1:]} ({said})" if said else problem


def _other_labels(records: Sequence[RunRecord]) -> list[LeftOut]:
    """Leave out runs whose labels are not those of most runs of their task."""
    counts: dict[str, Counter[frozenset[str]]] = {}
    for record in records:
        counts.setdefault(record.manifest.task, Counter())[_labels(record)] += 1
    dropped = []
    for record in records:
        (usual, _), *others = counts[record.manifest.task].most_common()
        if others and _labels(record) != usual:
            reason = f"another label set: {_say(_labels(record))} instead of {_say(usual)}"
            dropped.append(LeftOut(record.path, reason, record.manifest.task))
    return dropped


def _labels(record: RunRecord) -> frozenset[str]:
    return frozenset(record.manifest.labels)


def _say(labels: frozenset[str]) -> str:
    return ", ".join(sorted(labels))


def _repeated(records: Sequence[RunRecord]) -> list[LeftOut]:
    """Leave out all but the first of runs that differ in nothing that was asked."""
    first: dict[object, Path] = {}
    dropped = []
    for record in records:
        manifest = record.manifest
        asked = (
            manifest.task,
            manifest.plan,
            manifest.seed,
            manifest.protocol,
            manifest.backbone.fingerprint,
            tuple(sorted((k, v.sha256, v.examples) for k, v in manifest.data.splits.items())),
            tuple(sorted((k, repr(v)) for k, v in settings_of(record).items())),
        )
        if asked in first:
            reason = f"seed {manifest.seed} a second time: {first[asked]} asked for the same"
            dropped.append(LeftOut(record.path, reason, record.manifest.task))
        first.setdefault(asked, record.path)
    return dropped
