"""The configuration of a recursive backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from transformers import AlbertConfig

from adapterkit.backbones.factorised.places import check_form, matrix_shape

Tied = Literal["all", "matrices", "central", "none"]


class RecursiveConfig(AlbertConfig):  # type: ignore[misc]
    """An ALBERT configuration with one layer group per recursion step, whose parameters are tied.

    MiniALBERT applies one transformer block ``num_hidden_layers`` times (arXiv 2210.06425). ALBERT
    calls that one layer group; here every recursion step is a group of its own and the groups share
    their `Parameter` objects, so that AdapterHub sees, and can adapt, each step.

    Args:
        vocab_size: Number of word pieces.
        embedding_size: Width of the embedding tables.
        hidden_size: Width of the block.
        num_hidden_layers: Number of recursion steps.
        num_attention_heads: Attention heads of the block.
        intermediate_size: Width of the feed-forward layer.
        block_of_step: For each step, the step whose block it uses. ``[0] * steps`` (the default) is
            MiniALBERT's full sharing, ``range(steps)`` shares nothing.
        tied: Which parameters steps with one block share: ``"all"``, the weight ``"matrices"``
            alone (relaxed recursion: biases and LayerNorms are each step's own), all but the
            auxiliary tensors of matrix product operators (``"central"``, as MPOBERT does), or
            ``"none"``.
        own_parameters: ``"STEP.NAME"`` of single parameters kept out of the ties, such as a weight
            that a LoRA was merged into.
        factorised: For each module whose matrix is stored as factors, its form as
            `factorised.forms.form_from` reads it. Modules are the linear layers of the block, such
            as ``"attention.query"``, whose form every step has, and
            ``"embeddings.word_embeddings"``.
        pruned: For each pruned factor, under the name it is stored by, how many of its numbers are
            kept; the others are zero and stay so.
        embedding_projection: Whether a linear map leads from embedding to hidden width. Without
            one both widths must be equal.
        embedding_adapter_size: Units of the bottleneck behind the embedding projection
            (``att_adapters.0`` of MiniALBERT); ``None`` where there is none.
        use_pooler: Whether the model owns a pooler. Without one the pooled output is the raw state
            of the first token, as MiniALBERT's heads take it.
        mlm_head: ``"albert"`` (down to embedding width, tied decoder) or ``"miniALBERT"`` (hidden
            width, decoder of its own).

    Raises:
        ValueError: If the widths or ``block_of_step`` contradict each other.
    """

    model_type = "recursive_albert"

    def __init__(
        self,
        vocab_size: int = 30522,
        embedding_size: int = 128,
        hidden_size: int = 384,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 12,
        intermediate_size: int = 1536,
        block_of_step: list[int] | None = None,
        tied: Tied = "all",
        own_parameters: list[str] | None = None,
        factorised: Mapping[str, Mapping[str, Any]] | None = None,
        pruned: Mapping[str, int] | None = None,
        embedding_projection: bool = True,
        embedding_adapter_size: int | None = None,
        use_pooler: bool = True,
        mlm_head: Literal["albert", "miniALBERT"] = "albert",
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        **kwargs: Any,
    ) -> None:
        # One group per step is what makes a step visible to AdapterHub; it is not negotiable.
        kwargs["num_hidden_groups"] = num_hidden_layers
        kwargs["inner_group_num"] = 1
        if mlm_head == "miniALBERT":
            kwargs["tie_word_embeddings"] = False
        super().__init__(
            vocab_size=vocab_size,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            num_hidden_layers=num_hidden_layers,
            num_attention_heads=num_attention_heads,
            intermediate_size=intermediate_size,
            hidden_act=hidden_act,
            hidden_dropout_prob=hidden_dropout_prob,
            attention_probs_dropout_prob=attention_probs_dropout_prob,
            **kwargs,
        )
        layout = [0] * num_hidden_layers if block_of_step is None else list(block_of_step)
        self.block_of_step = self.checked_layout(layout)
        self.tied = tied
        self.own_parameters = list(own_parameters or [])
        self.factorised = {name: dict(form) for name, form in (factorised or {}).items()}
        self.pruned = dict(pruned or {})
        self.embedding_projection = embedding_projection
        self.embedding_adapter_size = embedding_adapter_size
        self.use_pooler = use_pooler
        self.mlm_head = mlm_head
        self._check()

    def checked_layout(self, block_of_step: Sequence[int]) -> list[int]:
        """`block_of_step` as a list, if it is one for this number of steps.

        Raises:
            ValueError: It is not; the message says why.
        """
        steps, blocks = self.num_hidden_layers, list(block_of_step)
        if len(blocks) != steps:
            raise ValueError(f"block_of_step has {len(blocks)} entries for {steps} recursion steps")
        if any(not 0 <= b < steps or blocks[b] != b for b in blocks):
            raise ValueError(f"block_of_step {blocks} names a step that does not own its block")
        return blocks

    def _check(self) -> None:
        if self.tied not in get_args(Tied):
            raise ValueError(f"tied must be one of {get_args(Tied)}, not {self.tied!r}")
        for module, form in self.factorised.items():
            check_form(module, form, matrix_shape(module, self))
        if not self.embedding_projection and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"without an embedding projection embedding_size ({self.embedding_size}) must "
                f"equal hidden_size ({self.hidden_size})"
            )
