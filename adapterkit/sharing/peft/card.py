"""The card beside an adapter in PEFT's format: what it is for, and how it is loaded."""

from __future__ import annotations

import json

from adapterkit.sharing.manifest import PackageManifest
from adapterkit.sharing.peft.layouts import StockLayout

_CARD = """\
---
library_name: peft
pipeline_tag: token-classification
tags:
- peft
- lora
- adapterkit
---

# {name}

LoRA of single recursion steps for **{task}**, as PEFT reads it, from the adapterkit package
`{name}` (digest `{digest}`). The plan is `{plan}`.

It is for the backbone `{backbone}` as a stock {kind}, {how}. Its
fingerprint is `{fingerprint}`.

```python
from peft import PeftModel
from transformers import {model}

labels = {labels}
base = {model}.from_pretrained(
    "BACKBONE", num_labels=len(labels), id2label=dict(enumerate(labels))
)
model = PeftModel.from_pretrained(base, "ADAPTER").eval()
```

The head that transformers says is newly initialised is then read from this folder.

For research. **Not for clinical decisions.** Licence: {licence}
"""
_HOW = {
    "albert": "which\n`adapterkit backbones export {id} BACKBONE` writes",
    "bert": "which\nis the checkpoint that adapterkit read",
}


def write_peft_card(manifest: PackageManifest, stock: StockLayout) -> str:
    """The text of its ``README.md``.

    Args:
        manifest: The package that it was made of.
        stock: The stock model that it is for.
    """
    return _CARD.format(
        name=manifest.name,
        task=manifest.config().title or manifest.task,
        digest=manifest.digest,
        plan=manifest.plan,
        backbone=manifest.backbone.id,
        kind=stock.name.upper(),
        how=_HOW[stock.name].format(id=manifest.backbone.id),
        fingerprint=manifest.backbone.fingerprint,
        model=stock.model,
        labels=json.dumps(list(manifest.labels)),
        licence=manifest.licence,
    )
