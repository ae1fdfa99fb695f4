"""nlpie's protocol, written from its description: what MiniALBERT's own scripts do.

Random batches padded to their longest sentence, attention written out, all attention maps and
hidden states returned by every forward pass, evaluation sentence by sentence padded to 512.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peer import begin, trainable
from safetensors.torch import load_file
from torch import nn
from transformers import AlbertModel, DataCollatorForTokenClassification, Trainer
from transformers.modeling_outputs import TokenClassifierOutput

_PADDED = 512
_PLACES = {"attention": "attention.attention_adapters", "output": "output_adapters"}


class LayerwiseAdapter(nn.Module):
    """``LayerNorm(up(gelu(down(x))) + x)``."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        units, hidden = tensors["adapter_down.0.weight"].shape
        self.down, self.up = nn.Linear(hidden, units), nn.Linear(units, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        with torch.no_grad():
            for module, name in (
                (self.down, "adapter_down.0"),
                (self.up, "adapter_up"),
                (self.norm, "adapter_norm_after"),
            ):
                module.weight.copy_(tensors[f"{name}.weight"])
                module.bias.copy_(tensors[f"{name}.bias"])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Adapt `states`, (batch, tokens, hidden)."""
        # Their code makes the chain anew in every forward pass.
        chain = nn.Sequential(self.down, nn.GELU(), self.up)
        adapted: torch.Tensor = self.norm(chain(states) + states)
        return adapted


class MiniAlbertForTokenClassification(nn.Module):
    """The block step by step with layer-wise adapters, and a linear head on word pieces."""

    def __init__(self, folder: Path, tags: int) -> None:
        super().__init__()
        self.albert = AlbertModel.from_pretrained(
            folder, attn_implementation="eager", add_pooling_layer=False
        )
        tensors = load_file(folder / "layerwise" / "adapter.safetensors")
        steps = self.albert.config.num_hidden_layers
        self.adapters = nn.ModuleDict(
            {
                f"{kind}{step}": LayerwiseAdapter(found)
                for kind, place in _PLACES.items()
                for step in range(steps)
                if (found := _under(tensors, step, place))
            }
        )
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(self.albert.config.hidden_size, tags)

    def states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """All hidden states (batch, tokens, hidden) and attention maps."""
        albert = self.albert
        shut = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        states = albert.encoder.embedding_hidden_mapping_in(albert.embeddings(input_ids))
        all_states, all_maps = [states], []
        for step, group in enumerate(albert.encoder.albert_layer_groups):
            layer = group.albert_layers[0]
            attended, maps = layer.attention(states, shut, output_attentions=True)
            attended = self._adapted("attention", step, attended)
            written = layer.ffn_output(layer.activation(layer.ffn(attended)))
            states = self._adapted("output", step, layer.full_layer_layer_norm(written + attended))
            all_states.append(states)
            all_maps.append(maps)
        return all_states, all_maps

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> TokenClassifierOutput:
        """Logits (batch, tokens, tags) with all states and maps, and the loss with labels."""
        all_states, all_maps = self.states(input_ids, attention_mask)
        logits = self.classifier(self.dropout(all_states[-1]))
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=tuple(all_states), attentions=tuple(all_maps)
        )

    def _adapted(self, kind: str, step: int, states: torch.Tensor) -> torch.Tensor:
        name = f"{kind}{step}"
        return self.adapters[name](states) if name in self.adapters else states


def _under(tensors: dict[str, torch.Tensor], step: int, place: str) -> dict[str, torch.Tensor]:
    start = f"albert.encoder.albert_layer_groups.{step}.albert_layers.0.{place}.adapters.layerwise."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def main() -> None:
    """Train layer-wise adapters and head, and evaluate."""
    trial = begin(__doc__.partition("\n")[0])
    with trial.phase("load"):
        model = MiniAlbertForTokenClassification(trial.options.work / "albert", len(trial.tags))
        model.albert.requires_grad_(False)
        for name, adapter in model.adapters.items():
            adapter.requires_grad_(int(name[-1]) in trial.steps)
    with trial.phase("encode"):
        train = trial.encode("train", every_piece=True)
    trainer = Trainer(
        model=model,
        args=trial.arguments(lr_scheduler_type="cosine", weight_decay=0.01),
        train_dataset=train,
        data_collator=DataCollatorForTokenClassification(trial.tokenizer),
    )
    with trial.phase("train"):
        trainer.train()
    scores = {}
    for split in ("dev", "test"):
        with trial.phase(f"evaluate_{split}"):
            rows = _predict(model, trial.encode(split), trial.tokenizer.pad_token_id)
            scores[split] = trial.score(split, rows)
    trial.report(scores, trainable(model))


@torch.no_grad()
def _predict(model: nn.Module, features: list[dict[str, Any]], pad: int) -> list[list[int]]:
    model.eval()
    rows = []
    for feature in features:
        length = len(feature["input_ids"])
        ids = torch.full((1, _PADDED), pad)
        mask = torch.zeros(1, _PADDED, dtype=torch.long)
        ids[0, :length] = torch.tensor(feature["input_ids"])
        mask[0, :length] = 1
        rows.append(model(ids, mask).logits[0].argmax(-1).tolist())
    return rows


if __name__ == "__main__":
    main()
