"""MiniALBERT written a second time, in plain PyTorch, on tensors named as nlpie publishes them.

Nothing here uses adapterkit, transformers or adapters: it is what they are held to. The equations
are those of arXiv 2210.06425 as its published code computes them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Shape:
    vocab: int = 50
    embedding: int = 16
    hidden: int = 48
    steps: int = 6
    heads: int = 4
    intermediate: int = 64
    positions: int = 40
    reduction: int = 16
    adapters: bool = True

    @property
    def units(self) -> int:
        return self.hidden // self.reduction


def config_of(shape: Shape, **changes: Any) -> dict[str, Any]:
    """The keys of nlpie/clinical-miniALBERT-312's config.json."""
    config = {
        "architectures": ["MiniAlbertForMaskedLM"],
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": 2,
        "classifier_dropout": None,
        "classifier_dropout_prob": 0.1,
        "down_scale_factor": 1,
        "embedding_size": shape.embedding,
        "eos_token_id": 3,
        "gap_size": 0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "inner_group_num": 1,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": shape.positions,
        "model_type": "bert",
        "net_structure_type": 0,
        "num_attention_heads": shape.heads,
        "num_hidden_groups": 1,
        "num_hidden_layers": shape.steps,
        "num_memory_blocks": 0,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "reduction_factor": shape.reduction,
        "torch_dtype": "float32",
        "transformers_version": "4.27.0.dev0",
        "type_vocab_size": 2,
        "use_adapter": shape.adapters,
        "use_cache": True,
        "vocab_size": shape.vocab,
    }
    return config | changes


def base_tensors(shape: Shape, device: str = "cpu", seed: int = 0) -> Tensors:
    """Random tensors of the base model, under the names of the classes with a head."""
    make = _Maker(device, seed)
    table = {"word": shape.vocab, "position": shape.positions, "token_type": 2}
    for name, rows in table.items():
        make.matrix(
            f"albert.albert.embeddings.{name}_embeddings", rows, shape.embedding, bias=False
        )
    make.norm("albert.albert.embeddings.LayerNorm", shape.embedding)
    if shape.embedding != shape.hidden:
        make.matrix("albert.projector", shape.hidden, shape.embedding)
    block = "albert.albert.encoder.albert_layer_groups.0.albert_layers.0"
    for name in ("query", "key", "value", "dense"):
        make.matrix(f"{block}.attention.{name}", shape.hidden, shape.hidden)
    make.norm(f"{block}.attention.LayerNorm", shape.hidden)
    make.matrix(f"{block}.ffn", shape.intermediate, shape.hidden)
    make.matrix(f"{block}.ffn_output", shape.hidden, shape.intermediate)
    make.norm(f"{block}.full_layer_layer_norm", shape.hidden)
    make.matrix("albert.albert.pooler", shape.hidden, shape.hidden)
    for kind in ("att", "mlp") if shape.adapters else ():
        for step in range(shape.steps):
            place = f"albert.{kind}_adapters.{step}"
            make.matrix(f"{place}.block.0", shape.units, shape.hidden)
            make.matrix(f"{place}.block.2", shape.hidden, shape.units)
            make.norm(f"{place}.norm", shape.hidden)
    return make.tensors


def with_mlm_head(tensors: Tensors, shape: Shape) -> Tensors:
    make = _Maker("cpu", 1)
    make.matrix("vocab_transform", shape.hidden, shape.hidden)
    make.norm("vocab_layer_norm", shape.hidden)
    make.matrix("vocab_projector", shape.vocab, shape.hidden)
    return tensors | make.tensors


def with_classifier(tensors: Tensors, shape: Shape, labels: int) -> Tensors:
    make = _Maker("cpu", 2)
    make.matrix("classifier", labels, shape.hidden)
    return tensors | make.tensors


def with_buffers(tensors: Tensors, shape: Shape) -> Tensors:
    """The buffers that old checkpoints carry."""
    place = "albert.albert.embeddings"
    positions = torch.arange(shape.positions).unsqueeze(0)
    return tensors | {
        f"{place}.position_ids": positions,
        f"{place}.token_type_ids": torch.zeros_like(positions),
    }


def write(folder: Path, tensors: Tensors, config: dict[str, Any], pickled: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "patient", "received", "##d"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    if pickled:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def states(
    tensors: Tensors, shape: Shape, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor
) -> list[torch.Tensor]:
    """The states (batch, tokens, hidden) that enter step 0, then those behind every step."""
    place = "albert.albert.embeddings"
    x = tensors[f"{place}.word_embeddings.weight"][ids]
    x = x + tensors[f"{place}.token_type_embeddings.weight"][types]
    x = x + tensors[f"{place}.position_embeddings.weight"][: ids.shape[1]]
    x = _norm(tensors, f"{place}.LayerNorm", x)
    if shape.embedding != shape.hidden:
        x = _linear(tensors, "albert.projector", x)
    collected = []
    for step in range(shape.steps):
        if shape.adapters:
            x = _adapter(tensors, f"albert.att_adapters.{step}", x)
        collected.append(x)
        x = _block(tensors, shape, x, mask, step)
    return [*collected, x]


def _block(
    tensors: Tensors, shape: Shape, x: torch.Tensor, mask: torch.Tensor, step: int
) -> torch.Tensor:
    place = "albert.albert.encoder.albert_layer_groups.0.albert_layers.0"
    x = _norm(
        tensors, f"{place}.attention.LayerNorm", x + _attention(tensors, shape, x, mask, place)
    )
    if shape.adapters:
        x = _adapter(tensors, f"albert.mlp_adapters.{step}", x)
    inner = _gelu(_linear(tensors, f"{place}.ffn", x))
    return _norm(
        tensors,
        f"{place}.full_layer_layer_norm",
        _linear(tensors, f"{place}.ffn_output", inner) + x,
    )


def _attention(
    tensors: Tensors, shape: Shape, x: torch.Tensor, mask: torch.Tensor, place: str
) -> torch.Tensor:
    width = shape.hidden // shape.heads
    q, k, v = (_linear(tensors, f"{place}.attention.{n}", x) for n in ("query", "key", "value"))
    heads = []
    for head in range(shape.heads):
        part = slice(head * width, (head + 1) * width)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width)
        scores = scores.masked_fill(mask[:, None, :] == 0, float("-inf"))
        heads.append(torch.softmax(scores, dim=-1) @ v[..., part])
    return _linear(tensors, f"{place}.attention.dense", torch.cat(heads, dim=-1))


def mlm_scores(tensors: Tensors, x: torch.Tensor) -> torch.Tensor:
    x = _norm(tensors, "vocab_layer_norm", _gelu(_linear(tensors, "vocab_transform", x)))
    return _linear(tensors, "vocab_projector", x)


def _adapter(tensors: Tensors, place: str, x: torch.Tensor) -> torch.Tensor:
    update = _linear(tensors, f"{place}.block.2", _gelu(_linear(tensors, f"{place}.block.0", x)))
    return _norm(tensors, f"{place}.norm", update + x)


def _linear(tensors: Tensors, place: str, x: torch.Tensor) -> torch.Tensor:
    return x @ tensors[f"{place}.weight"].T + tensors[f"{place}.bias"]


def _norm(tensors: Tensors, place: str, x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + 1e-12)
    return scaled * tensors[f"{place}.weight"] + tensors[f"{place}.bias"]


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


class _Maker:
    def __init__(self, device: str, seed: int) -> None:
        self.device = device
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: Tensors = {}

    def _random(self, *shape: int) -> torch.Tensor:
        if self.device == "meta":
            return torch.empty(*shape, device="meta")
        return torch.randn(*shape, generator=self.generator)

    def matrix(self, name: str, rows: int, columns: int, bias: bool = True) -> None:
        self.tensors[f"{name}.weight"] = self._random(rows, columns) * 1.2 / math.sqrt(columns)
        if bias:
            self.tensors[f"{name}.bias"] = self._random(rows) * 0.2

    def norm(self, name: str, width: int) -> None:
        self.tensors[f"{name}.weight"] = 1 + 0.2 * self._random(width)
        self.tensors[f"{name}.bias"] = 0.2 * self._random(width)
