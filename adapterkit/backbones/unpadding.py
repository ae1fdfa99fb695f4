"""Computing without padding: the word pieces of all texts of a batch in one row.

Everything in a recursion step but attention looks at one word piece at a time, so that one row of
all pieces serves it as well as padded texts do. Only the queries, keys and values are padded for
attention. One set of indices serves all steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Unpadding:
    """Where the word pieces of padded texts stand in one row.

    Attributes:
        texts: Number of texts.
        tokens: Their length, padding included.
        kept: Places of the pieces among all of ``texts * tokens``, ascending, shape (pieces,).
        place: Where in the row each of ``texts * tokens`` stands, shape (texts, tokens); what it
            says of padding means nothing.
    """

    texts: int
    tokens: int
    kept: torch.Tensor
    place: torch.Tensor

    @classmethod
    def of(cls, attention_mask: torch.Tensor) -> Unpadding:
        """Find the pieces of a batch by its mask, 0 at padding, shape (batch, tokens)."""
        texts, tokens = attention_mask.shape
        flat = attention_mask.flatten() != 0
        place = (flat.cumsum(0) - 1).clamp_min(0).view_as(attention_mask)
        return cls(texts, tokens, flat.nonzero().squeeze(1), place)

    def row(self, states: torch.Tensor) -> torch.Tensor:
        """Leave out padding: (batch, tokens, features) to (1, pieces, features)."""
        return states.flatten(0, 1).index_select(0, self.kept)[None]

    def padded(self, row: torch.Tensor) -> torch.Tensor:
        """Put padding back, as zeros: (1, pieces, features) to (batch, tokens, features)."""
        flat = row.new_zeros(self.texts * self.tokens, row.shape[-1])
        return flat.index_copy(0, self.kept, row[0]).view(self.texts, self.tokens, -1)

    def take(self, row: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The states at some pieces of each text.

        Args:
            row: Shape (1, pieces, features).
            positions: Shape (batch, some); none at padding.

        Returns:
            Shape (batch, some, features).
        """
        return row[0][self.place.gather(1, positions)]
