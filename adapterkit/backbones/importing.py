"""Importing published checkpoints as backbone folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapterkit.backbones.bert_tokenizer import check_bert_tokenizer
from adapterkit.backbones.building import build_model
from adapterkit.backbones.converted import Converted
from adapterkit.backbones.converting import convert
from adapterkit.backbones.folder_layout import CONFIG_FILE
from adapterkit.backbones.foreign_heads import Head
from adapterkit.backbones.safety import read_json
from adapterkit.backbones.saving import write_files
from adapterkit.backbones.sharing import sharing
from adapterkit.backbones.sources import Located, locate
from adapterkit.backbones.static import HEAD_FILE
from adapterkit.backbones.tensors import write_safetensors
from adapterkit.backbones.tokenizer import load_tokenizer
from adapterkit.runs.atomic import atomic_directory, ensure_writable, write_json
from adapterkit.runs.errors import UserError
from adapterkit.runs.hashing import sha256_file


def import_checkpoint(
    source: str | Path, destination: str | Path, *, tokenizer: str | Path | None = None
) -> tuple[str, ...]:
    """Write a published MiniALBERT, ALBERT or BERT checkpoint as a backbone folder.

    Base, masked-LM, token and sequence classification checkpoints are read, as safetensors or as a
    pickle (without running code of the checkpoint's). A head is kept beside the backbone; see
    `static.load_static`.

    Args:
        source: ``"minilm-l6"``, a folder or a hub id.
        destination: A folder that does not exist yet, or is empty. It appears whole or not at all.
        tokenizer: A folder with tokenizer files, where `source` has none.

    Returns:
        Notes on what was left out or decided.

    Raises:
        UserError: The checkpoint is damaged, foreign or unsafe, or the destination is taken.
    """
    ensure_writable(destination)
    located = locate(source)
    if read_json(located.path / CONFIG_FILE).get("model_type") == "recursive_albert":
        raise UserError(
            "This is a backbone folder already.",
            where=str(located.path),
            hint="name it as it is; there is nothing to import",
        )
    converted = convert(located.path, drop_auto_map=True)
    notes = (*_auto_map_note(located.path), *converted.notes)
    folder = located.path if tokenizer is None else Path(tokenizer)
    words = load_tokenizer(folder, converted.config.vocab_size)
    if converted.bert:
        check_bert_tokenizer(words, converted.config, folder, "backbone")
    notes += _size_note(words, converted)
    model = build_model(converted.config, converted.tensors, converted.pretrained)
    with atomic_directory(destination) as directory:
        write_files(model, words, directory, card=_card(located, converted, notes))
        if converted.head is not None:
            _write_head(directory, converted.head)
    return notes


def _card(located: Located, converted: Converted, notes: tuple[str, ...]) -> dict[str, Any]:
    # A hub id is of use elsewhere, a path on this machine is not.
    shown = located.path.name if Path(located.id).is_absolute() else located.id
    return {
        "name": shown,
        "imported_from": {
            "source": shown,
            "file": converted.weights.name,
            "sha256": sha256_file(converted.weights),
        },
        "shared": sharing(converted.config),
        "notes": list(notes),
    }


def _size_note(words: Any, converted: Converted) -> tuple[str, ...]:
    tokens, rows = len(words), converted.config.vocab_size
    if tokens == rows:
        return ()
    return (
        f"The tokenizer has {tokens:,} tokens and the embedding table {rows:,} rows: make sure "
        "that they belong together.",
    )


def _auto_map_note(directory: Path) -> tuple[str, ...]:
    if "auto_map" in read_json(directory / CONFIG_FILE):
        return ("The checkpoint's auto_map was left out: none of its code is run or kept.",)
    return ()


def _write_head(directory: Path, head: Head) -> None:
    write_safetensors(directory / HEAD_FILE, head.tensors)
    config = read_json(directory / CONFIG_FILE)
    config["architectures"] = [head.class_name]
    if head.labels:
        config["id2label"] = {str(i): label for i, label in enumerate(head.labels)}
        config["label2id"] = {label: i for i, label in enumerate(head.labels)}
    write_json(directory / CONFIG_FILE, config)
