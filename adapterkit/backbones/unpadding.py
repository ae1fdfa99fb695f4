"""Computing without padding: the word pieces of all texts of a batch in one row.

Everything in a recursion step but attention looks at one word piece at a time, so that one row of
all pieces serves it as well as padded texts do. Only the queries, keys and values are padded for
attention. One set of indices serves all steps.

The row may end with zeros that nothing reads, so that its length is a multiple of something:
kernels that are made for each shape, as oneDNN's for bfloat16 are, are then made for few.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Unpadding:
    """Where the word pieces of padded texts stand in one row.

    Attributes:
        texts: Number of texts.
        tokens: Their length, padding included.
        kept: Places of the pieces among all of ``texts * tokens``, ascending, shape (pieces,).
        place: Where in the row each of ``texts * tokens`` stands, shape (texts, tokens); what it
            says of padding means nothing.
        multiple: The length of the row is a multiple of it: the pieces, and zeros after them.
    """

    texts: int
    tokens: int
    kept: torch.Tensor
    place: torch.Tensor
    multiple: int = 1

    @classmethod
    def of(cls, attention_mask: torch.Tensor, multiple: int = 1) -> Unpadding:
        """Find the pieces of a batch by its mask, 0 at padding, shape (batch, tokens)."""
        texts, tokens = attention_mask.shape
        flat = attention_mask.flatten() != 0
        place = (flat.cumsum(0) - 1).clamp_min(0).view_as(attention_mask)
        return cls(texts, tokens, flat.nonzero().squeeze(1), place, multiple)

    def row(self, states: torch.Tensor) -> torch.Tensor:
        """Leave out padding: (batch, tokens, features) to (1, row, features)."""
        pieces = states.flatten(0, 1).index_select(0, self.kept)
        return nn.functional.pad(pieces, (0, 0, 0, -len(self.kept) % self.multiple))[None]

    def padded(self, row: torch.Tensor) -> torch.Tensor:
        """Put padding back, as zeros: (1, row, features) to (batch, tokens, features)."""
        flat = row.new_zeros(self.texts * self.tokens, row.shape[-1])
        pieces = row[0, : len(self.kept)]
        return flat.index_copy(0, self.kept, pieces).view(self.texts, self.tokens, -1)

    def chosen(self, positions: torch.Tensor) -> Unpadding:
        """Where some pieces of each text, of shape (batch, some), stand in a row of their own."""
        texts, some = positions.shape
        places = torch.arange(texts * some, device=positions.device)
        return Unpadding(texts, some, places, places.view(texts, some), self.multiple)

    def take(self, row: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The states at some pieces of each text.

        Args:
            row: Shape (1, row, features).
            positions: Shape (batch, some); none at padding.

        Returns:
            Shape (batch, some, features).
        """
        return row[0][self.place.gather(1, positions)]
