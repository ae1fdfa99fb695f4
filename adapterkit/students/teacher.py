"""The teachers that backbones are distilled from: BERT-class encoders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import BertForMaskedLM, BertModel

from adapterkit.backbones.bert_tokenizer import check_bert_tokenizer
from adapterkit.backbones.hub import fetch
from adapterkit.backbones.packaged import MINILM, minilm_folder
from adapterkit.backbones.tokenizer import load_tokenizer
from adapterkit.runs.atomic import atomic_directory
from adapterkit.runs.errors import UserError, nearest
from adapterkit.students.teacher_files import read_teacher_config, read_teacher_tensors

_MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
_ALLOWED = f"{MINILM!r}, a folder, or a hub id (owner/name)"


@dataclass(frozen=True)
class Teacher:
    """A BERT-class encoder, its masked-LM head if it has one, and its tokenizer.

    Attributes:
        id: How to name it in a card.
        encoder: The encoder, in evaluation mode.
        head: From states (..., hidden) to scores over the vocabulary (..., vocabulary), or None.
        tokenizer: Its fast tokenizer.
    """

    id: str
    encoder: BertModel
    head: nn.Module | None
    tokenizer: Any

    @property
    def layers(self) -> int:
        """How many transformer layers it has."""
        return int(self.encoder.config.num_hidden_layers)

    @property
    def hidden_size(self) -> int:
        """Width of its states."""
        return int(self.encoder.config.hidden_size)

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return int(self.encoder.config.num_attention_heads)


def load_teacher(source: str | Path) -> Teacher:
    """Load a BERT-class encoder, with its masked-LM head where the checkpoint has one.

    Nothing of the checkpoint is run: its configuration is held to plain values, and a pickle is
    read by PyTorch's restricted unpickler.

    Args:
        source: ``"minilm-l6"``, a folder in the format of transformers, or a hub id.

    Raises:
        UserError: There is no such teacher, it is no BERT, its weights or its tokenizer are
            damaged, or the tokenizer does not belong to it.
    """
    name, folder = _locate(source)
    config = read_teacher_config(folder / "config.json")
    encoder, head = read_teacher_tensors(folder, config)
    tokenizer = load_tokenizer(folder, config.vocab_size)
    check_bert_tokenizer(tokenizer, config, folder, "teacher")
    for module in (encoder, head):
        if module is not None:
            module.eval().requires_grad_(False)
    return Teacher(name, encoder, head, tokenizer)


def save_teacher(teacher: Teacher, folder: Path) -> None:
    """Write a teacher in the format of transformers, all or nothing.

    Args:
        teacher: The teacher.
        folder: A folder that does not exist yet; `load_teacher` reads it.

    Raises:
        UserError: The path is taken, the disk is full or the path cannot be written.
    """
    model: Any = teacher.encoder
    if teacher.head is not None:
        model = BertForMaskedLM(teacher.encoder.config)
        model.bert, model.cls.predictions = teacher.encoder, teacher.head
    with atomic_directory(folder) as fresh:
        model.save_pretrained(fresh)
        teacher.tokenizer.save_pretrained(fresh)


def _locate(source: str | Path) -> tuple[str, Path]:
    if source == MINILM:
        return _MINILM_ID, minilm_folder()
    path = Path(source).expanduser()
    if path.is_dir():
        # A card names no machine, so the folder's own name stands for it.
        return path.resolve().name, path.resolve()
    if path.exists():
        raise UserError("A teacher is a folder, not a file.", where=str(path), allowed=_ALLOWED)
    if isinstance(source, str) and source.count("/") == 1 and not source.startswith((".", "/")):
        try:
            return source, fetch(source)
        except UserError as error:
            raise UserError(
                "The teacher is no folder, and cannot be fetched from the Hugging Face Hub.",
                where="teacher",
                found=error.found or source,
                allowed=_ALLOWED,
                hint=f"where there is no network, {MINILM!r} comes with 'adapterkit[teacher]'",
            ) from error
    beside = [str(child) for child in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = nearest(str(source), [MINILM, *beside])
    raise UserError(
        "There is no such teacher.",
        where="teacher",
        found=str(source),
        allowed=_ALLOWED,
        hint=f"did you mean {meant!r}?" if meant else None,
    )
