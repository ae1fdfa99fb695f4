"""AdapterHub's configurations and adapterkit's own by name, with the options plans may set.

The table is written out here, so that plans are read and checked without importing torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from adapterkit.plans.methods.bottleneck import Bottleneck
from adapterkit.plans.methods.kronecker import Adakron, Krona
from adapterkit.plans.methods.low_rank import LowRank
from adapterkit.plans.methods.method import Method
from adapterkit.plans.methods.prefix import Prefix
from adapterkit.plans.methods.reft import Reft
from adapterkit.plans.options import NON_LINEARITIES, Option, OptionValue, find_option

DEFAULT_ADAPTER = "double_seq_bn"
DEFAULT_OPTIONS: dict[str, int | float] = {"r": 12}
"""What `adapter` without a name is: what came nearest to full fine-tuning with less than a
twentieth of the bundled backbone's parameters, see ``benchmarks/results/adapter-gap.md``."""


@dataclass(frozen=True)
class AdapterSpec:
    """A configuration of adapters that works step by step.

    Args:
        name: AdapterHub's name; adapterkit's where AdapterHub has no such method.
        family: What configurations that want like learning rates have in common.
        summary: What learns.
        options: What plans may set.
        methods: The members of the configuration, as they are where no option is set.
    """

    name: str
    family: str
    summary: str
    options: tuple[Option, ...]
    methods: tuple[Method, ...]

    def option(self, name: str) -> Option | None:
        """The option spelled `name`, if there is one."""
        return find_option(self.options, name)

    def configured(self, options: Iterable[tuple[str, OptionValue]]) -> tuple[Method, ...]:
        """The members of the configuration with these options, by name, set."""
        changes: list[dict[str, Any]] = [{} for _ in self.methods]
        for name, value in options:
            option = self.option(name)
            assert option is not None
            changes[option.member][option.attribute] = value
        pairs = zip(self.methods, changes, strict=True)
        return tuple(method.with_options(change) for method, change in pairs)


_REDUCTION = Option("r", "reduction_factor", "number", aliases=("reduction_factor",))
_NON_LINEARITY = Option("non_linearity", "non_linearity", "name", NON_LINEARITIES)
_DROPOUT = Option("dropout", "dropout", "fraction")
_SCALING = Option("scaling", "scaling", "scaling")
_BOTTLENECK = (_REDUCTION, _NON_LINEARITY, _DROPOUT, _SCALING)
_PHM = (Option("phm_dim", "phm_dim", "count"), Option("phm_rank", "phm_rank", "count"))

_RANK = Option("r", "r", "count", aliases=("rank",))
_ALPHA = Option("alpha", "alpha", "number")
_WHERE = (
    Option("attn_matrices", "attn_matrices", "letters", ("q", "k", "v"), ("attn",)),
    Option("intermediate", "intermediate_lora", "flag", aliases=("intermediate_lora",)),
    Option("output", "output_lora", "flag", aliases=("output_lora",)),
)
_LORA = (_RANK, _ALPHA, _DROPOUT, *_WHERE)
_FACTOR = Option("factor", "factor", "count")

_PREFIX_LENGTH = Option("prefix_length", "prefix_length", "count")
_PREFIX_BOTTLENECK = Option("bottleneck_size", "bottleneck_size", "count")
_PREFIX = (_PREFIX_LENGTH, _PREFIX_BOTTLENECK, _NON_LINEARITY, _DROPOUT)

_REFT = (
    _RANK,
    Option("prefix_positions", "prefix_positions", "offset"),
    Option("suffix_positions", "suffix_positions", "offset"),
    _NON_LINEARITY,
    _DROPOUT,
)
_MAM = (
    Option("prefix_length", "0.prefix_length", "count"),
    Option("bottleneck_size", "0.bottleneck_size", "count"),
    Option("r", "1.reduction_factor", "number", aliases=("reduction_factor",)),
    Option("non_linearity", "1.non_linearity", "name", NON_LINEARITIES),
    Option("scaling", "1.scaling", "scaling"),
)
_UNIPELT = (
    Option("prefix_length", "0.prefix_length", "count"),
    Option("bottleneck_size", "0.bottleneck_size", "count"),
    Option("r", "1.reduction_factor", "number", aliases=("reduction_factor",)),
    Option("non_linearity", "1.non_linearity", "name", NON_LINEARITIES),
    Option("rank", "2.r", "count"),
)

ADAPTER_SPECS: dict[str, AdapterSpec] = {
    spec.name: spec
    for spec in (
        AdapterSpec(
            "seq_bn",
            "bottleneck",
            "a bottleneck behind the feed-forward",
            _BOTTLENECK,
            (Bottleneck(16),),
        ),
        AdapterSpec(
            "double_seq_bn",
            "bottleneck",
            "bottlenecks behind attention and feed-forward",
            _BOTTLENECK,
            (Bottleneck(16, mh_adapter=True),),
        ),
        AdapterSpec(
            "par_bn",
            "bottleneck",
            "a bottleneck beside the feed-forward",
            _BOTTLENECK,
            (Bottleneck(2, scaling=4.0),),
        ),
        AdapterSpec(
            "scaled_par_bn",
            "bottleneck",
            "a bottleneck beside the feed-forward, its scale learned",
            (_REDUCTION, _NON_LINEARITY, _DROPOUT),
            (Bottleneck(2, scaling="learned"),),
        ),
        AdapterSpec(
            "compacter",
            "compacter",
            "Kronecker-factored bottlenecks behind attention and feed-forward",
            (*_BOTTLENECK, *_PHM),
            (Bottleneck(32, mh_adapter=True, phm_layer=True),),
        ),
        AdapterSpec(
            "compacter++",
            "compacter",
            "a Kronecker-factored bottleneck behind the feed-forward",
            (*_BOTTLENECK, *_PHM),
            (Bottleneck(32, phm_layer=True),),
        ),
        AdapterSpec(
            "lora", "lora", "low-rank updates of the attention's matrices", _LORA, (LowRank(),)
        ),
        AdapterSpec(
            "dora",
            "lora",
            "low-rank updates and magnitudes of the attention's matrices",
            _LORA,
            (LowRank(use_dora=True),),
        ),
        AdapterSpec(
            "ia3",
            "ia3",
            "scales of keys, values and the feed-forward's units",
            _WHERE,
            (LowRank(1, "kv", intermediate_lora=True, composition_mode="scale"),),
        ),
        AdapterSpec(
            "krona",
            "lora",
            "Kronecker products as updates of the attention's matrices",
            (_FACTOR, _ALPHA, _DROPOUT, *_WHERE),
            (Krona(),),
        ),
        AdapterSpec(
            "adakron",
            "bottleneck",
            "a bottleneck behind the feed-forward, its output a Kronecker product",
            (*_BOTTLENECK, _FACTOR),
            (Adakron(16),),
        ),
        AdapterSpec(
            "prefix_tuning",
            "prefix_tuning",
            "attention prefixes made by a small net",
            _PREFIX,
            (Prefix(),),
        ),
        AdapterSpec(
            "prefix_tuning_flat",
            "prefix_tuning",
            "attention prefixes",
            (_PREFIX_LENGTH, _DROPOUT),
            (Prefix(flat=True),),
        ),
        AdapterSpec(
            "mam",
            "mam",
            "attention prefixes and a parallel bottleneck",
            _MAM,
            (Prefix(bottleneck_size=800), Bottleneck(2, scaling=4.0)),
        ),
        AdapterSpec(
            "unipelt",
            "unipelt",
            "gated prefixes, bottleneck and low-rank updates",
            _UNIPELT,
            (
                Prefix(10, use_gating=True),
                Bottleneck(16, use_gating=True),
                LowRank(use_gating=True),
            ),
        ),
        AdapterSpec(
            "loreft",
            "reft",
            "low-rank orthogonal interventions at a few tokens",
            _REFT,
            (Reft(orthogonality=True),),
        ),
        AdapterSpec("noreft", "reft", "low-rank interventions at a few tokens", _REFT, (Reft(),)),
        AdapterSpec("direft", "reft", "low-rank additions at a few tokens", _REFT, (Reft(),)),
    )
}
"""The configurations a plan may name."""

OWN_ADAPTERS: frozenset[str] = frozenset({"krona", "adakron"})
"""Those that AdapterHub does not have, and cannot load."""

ADAPTER_ALIASES: dict[str, str] = {
    "pfeiffer": "seq_bn",
    "houlsby": "double_seq_bn",
    "parallel": "par_bn",
    "scaled_parallel": "scaled_par_bn",
}
"""AdapterHub's former names."""

_INVERTIBLE = "its invertible part stands at the embeddings, which no recursion step owns"
_VERA = (
    "AdapterHub trains VeRA's vectors as full matrices, one of them as large as the matrix it "
    "adapts, so that it learns and ships more than lora"
)

REFUSED_ADAPTERS: dict[str, str] = {
    "prompt_tuning": "its prompt stands before the embeddings, which no recursion step owns",
    "seq_bn_inv": _INVERTIBLE,
    "double_seq_bn_inv": _INVERTIBLE,
    "pfeiffer+inv": _INVERTIBLE,
    "houlsby+inv": _INVERTIBLE,
    "vera": _VERA,
    "dvora": _VERA,
    "mtl_lora": "it is trained on several tasks at once and needs a task id with every example",
}
"""The configurations of AdapterHub that a plan may not name, each with the reason."""
