"""Whether a tokenizer belongs to a BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapterkit.runs.errors import UserError

# Tables are padded to a multiple of 64 or 128 rows for speed; a wider gap is another vocabulary.
_SPARE_ROWS = 128


def check_bert_tokenizer(tokenizer: Any, config: Any, folder: Path, owner: str) -> None:
    """Hold a tokenizer to a BERT; `load_tokenizer` has refused ids beyond the table.

    Args:
        tokenizer: The tokenizer.
        config: States ``vocab_size`` and ``pad_token_id``.
        folder: Where the tokenizer lies, for messages.
        owner: What the BERT is here, in a word.

    Raises:
        UserError: The tokenizer is of another vocabulary, or lacks a special token.
    """
    rows = config.vocab_size
    if rows - len(tokenizer) > _SPARE_ROWS:
        raise UserError(
            f"The tokenizer does not belong to this {owner}.",
            where=str(folder),
            found=f"{len(tokenizer)} tokens for an embedding table of {rows} rows",
            allowed=f"{rows} tokens, or a few fewer where the table is padded",
            hint="copy the tokenizer files of the checkpoint itself",
        )
    special = ("cls_token", "sep_token", "pad_token", "mask_token")
    lacking = [name for name in special if getattr(tokenizer, name) is None]
    if lacking:
        raise UserError(
            "The tokenizer lacks tokens that a BERT needs.",
            where=str(folder),
            found=f"no {', '.join(lacking)}",
        )
    if config.pad_token_id is not None and config.pad_token_id != tokenizer.pad_token_id:
        raise UserError(
            f"The tokenizer does not belong to this {owner}.",
            where=str(folder),
            found=f"{tokenizer.pad_token} has id {tokenizer.pad_token_id}",
            allowed=f"pad_token_id of config.json, {config.pad_token_id}",
        )
