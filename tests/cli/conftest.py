from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass

import pytest

from adapterkit.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self):
        """The one object on standard output; fails if anything else stands there."""
        return json.loads(self.stdout)


@pytest.fixture
def cli(capfd, monkeypatch):
    """Run the command line in this process, as its entry point does."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    """A folder with a random backbone of four steps that knows single characters."""
    import torch
    from transformers import BertTokenizerFast

    from adapterkit.backbones.adapter_model import RecursiveAdapterModel
    from adapterkit.backbones.config import RecursiveConfig
    from adapterkit.backbones.registration import register
    from adapterkit.backbones.saving import save_backbone

    folder = tmp_path_factory.mktemp("backbones")
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*words, *("##" + c for c in characters)]) + "\n")
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary))
    register()
    torch.manual_seed(0)
    config = RecursiveConfig(
        vocab_size=len(tokenizer),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        use_pooler=False,
    )
    save_backbone(RecursiveAdapterModel(config), tokenizer, folder / "tiny", card={"name": "tiny"})
    return folder / "tiny"


@pytest.fixture(scope="session")
def tiny_run(tiny_backbone, tmp_path_factory):
    """A run directory of a short run on the sample."""
    from adapterkit.tuning.tune import tune

    path = tmp_path_factory.mktemp("runs") / "run"
    tune("bc5cdr", backbone=tiny_backbone, data="sample", epochs=1, limit_train=20, output=path)
    return path
