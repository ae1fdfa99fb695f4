"""Several adapted models of one backbone as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from adapters.context import ForwardContext

from adapterkit.backbones.adapter_model import RecursiveAdapterModel
from adapterkit.backbones.grouped import Rows, group_differing
from adapterkit.plans.applied import AppliedPlan


@dataclass(frozen=True)
class GroupedPlans:
    """Models with the same plan, each with its adapters and head, computed together.

    Attributes:
        model: The model that computes them.
        heads: Its head for each of them.
        rows: Says which of them reads which text.
    """

    model: RecursiveAdapterModel
    heads: tuple[str, ...]
    rows: Rows

    def logits(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        positions: torch.Tensor,
        states: torch.Tensor | None = None,
        readers: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """The logits of each head.

        Args:
            input_ids: Word pieces, shape (texts, tokens).
            attention_mask: 0 at padding, shape (texts, tokens).
            positions: The tokens of each text that the heads read, shape (texts, some).
            states: What the model's frozen prefix makes of the texts, as
                `adapterkit.backbones.prefix.prefix_states` returns it, where it is at hand.
            readers: Which of the grouped models reads each text, shape (texts,); by default each
                of them reads each text.

        Returns:
            For each model the logits of the texts it reads, in their order, shape (texts, some,
            tags) or (texts, classes).
        """
        self.rows.texts, self.rows.readers = len(input_ids), readers
        with ForwardContext(self.model, input_ids, attention_mask=attention_mask):
            outputs = self.model.albert(
                input_ids, attention_mask=attention_mask, states=states, positions=positions
            )
            return [
                self.model.forward_head(
                    type(outputs)(
                        last_hidden_state=outputs.last_hidden_state[mine],
                        pooler_output=outputs.pooler_output[mine],
                    ),
                    head_name=head,
                    return_dict=True,
                    pooled_output=outputs.pooler_output[mine],
                ).logits
                for head, mine in self._rows_of_heads(len(outputs.last_hidden_state))
            ]

    def _rows_of_heads(self, total: int) -> list[tuple[str, slice | torch.Tensor]]:
        texts, readers = self.rows.texts, self.rows.readers
        if readers is not None:
            return [(head, readers == index) for index, head in enumerate(self.heads)]
        # Where nothing differs but heads, all of them read the same rows.
        starts = [index * texts % total for index in range(len(self.heads))]
        return [
            (head, slice(start, start + texts))
            for head, start in zip(self.heads, starts, strict=True)
        ]


def group_plans(members: Sequence[AppliedPlan]) -> GroupedPlans | None:
    """Compute several adapted models as one.

    Args:
        members: Plans on models of their own, in evaluation mode and with a head each; the first
            model becomes that of the group. Adapters and heads must have the same names in all.

    Returns:
        The group, or None where it is of no use: plans or backbones that are not the same, or
        learned tensors other than sequential or parallel bottlenecks, LoRA, IA3 and heads. Nothing
        was changed then.
    """
    first = members[0]
    if any(each.plan != first.plan or each.backbone != first.backbone for each in members):
        return None
    # A fusion reads what its adapters compute before anything is added, which a group does not say.
    if first.fusing:
        return None
    rows = Rows(len(members))
    if first.head is None or not group_differing([each.model.albert for each in members], rows):
        return None
    heads = []
    for index, each in enumerate(members):
        heads.append(f"{each.head}-{index}")
        first.model.heads[heads[-1]] = each.model.heads[each.head]
    return GroupedPlans(first.model, tuple(heads), rows)
