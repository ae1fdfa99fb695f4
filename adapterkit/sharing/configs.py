"""What the configurations inside a package may say: plain data under known keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adapterkit.backbones.safety import read_json
from adapterkit.runs.errors import UserError

TOP_KEYS: Final = frozenset(
    {"model_type", "hidden_size", "model_name", "name", "model_class", "config", "version"}
)
"""Keys of AdapterHub's ``adapter_config.json`` and ``head_config.json``."""

ADAPTER_KEYS: Final = frozenset(
    {
        "architecture",
        "configs",
        "mh_adapter",
        "output_adapter",
        "reduction_factor",
        "non_linearity",
        "original_ln_before",
        "original_ln_after",
        "ln_before",
        "ln_after",
        "init_weights",
        "init_weights_seed",
        "is_parallel",
        "scaling",
        "use_gating",
        "residual_before_ln",
        "adapter_residual_before_ln",
        "inv_adapter",
        "inv_adapter_reduction_factor",
        "cross_adapter",
        "leave_out",
        "dropout",
        "phm_layer",
        "phm_dim",
        "factorized_phm_W",
        "shared_W_phm",
        "shared_phm_rule",
        "factorized_phm_rule",
        "phm_c_init",
        "phm_init_range",
        "learn_phm",
        "hypercomplex_nonlinearity",
        "phm_rank",
        "phm_bias",
        "factor",
        "stochastic_depth",
        "selfattn_lora",
        "intermediate_lora",
        "output_lora",
        "r",
        "alpha",
        "attn_matrices",
        "composition_mode",
        "use_dora",
        "vera_d",
        "vera_b",
        "dtype",
        "encoder_prefix",
        "cross_prefix",
        "flat",
        "prefix_length",
        "bottleneck_size",
        "shared_gating",
        "layers",
        "prefix_positions",
        "suffix_positions",
        "orthogonality",
        "tied_weights",
        "output_reft",
    }
)
"""Fields of the configurations that adapterkit applies, AdapterHub's and its own."""

FUSION_KEYS: Final = frozenset(
    {
        "key",
        "query",
        "value",
        "query_before_ln",
        "regularization",
        "residual_before",
        "temperature",
        "value_before_softmax",
        "value_initialized",
        "dropout_prob",
    }
)
"""Fields of AdapterHub's configuration of a fusion."""

HEAD_KEYS: Final = frozenset(
    {
        "head_type",
        "num_labels",
        "layers",
        "activation_function",
        "label2id",
        "dropout_prob",
        "use_pooler",
        "bias",
    }
)
"""Keys of the heads that adapterkit adds."""

_DEEPEST = 4
_MOST_ITEMS = 10_000


def check_adapter_config(path: Path) -> None:
    """Hold an ``adapter_config.json`` to the allow-list.

    Raises:
        UserError: It cannot be read, is PEFT's, or has a key or value that is not allowed.
    """
    content = read_json(path)
    if "peft_type" in content:
        raise UserError(
            "This is an adapter of PEFT, not of AdapterHub.",
            where=f"{path}: peft_type",
            found=str(content["peft_type"])[:100],
            allowed="AdapterHub's adapter_config.json",
            hint="adapterkit share import makes a package of it",
        )
    _check_keys(path, content, TOP_KEYS)
    config = _object(path, content.get("config"))
    members = config.get("configs", [])
    if not isinstance(members, list) or len(members) > 64:
        raise _refused(path, "config.configs", "a list of at most 64 configurations")
    for member in [config, *(_object(path, each) for each in members)]:
        _check_keys(path, member, ADAPTER_KEYS)
        _check_values(path, {k: v for k, v in member.items() if k != "configs"})


def check_fusion_config(path: Path) -> None:
    """Hold an ``adapter_fusion_config.json`` to the allow-list.

    Raises:
        UserError: It cannot be read, or has a key or value that is not allowed.
    """
    content = read_json(path)
    _check_keys(path, content, TOP_KEYS | {"adapter_names"})
    _check_values(path, {"adapter_names": content.get("adapter_names")})
    config = _object(path, content.get("config"))
    _check_keys(path, config, FUSION_KEYS)
    _check_values(path, config)


def check_head_config(path: Path) -> None:
    """Hold a ``head_config.json`` to the allow-list.

    Raises:
        UserError: It cannot be read, or has a key or value that is not allowed.
    """
    content = read_json(path)
    _check_keys(path, content, TOP_KEYS)
    config = _object(path, content.get("config"))
    _check_keys(path, config, HEAD_KEYS)
    _check_values(path, config)


def head_labels(path: Path) -> list[str]:
    """The labels of a head, in the order of its outputs.

    Raises:
        UserError: The configuration has none, or they are not numbered from 0.
    """
    numbers = _object(path, _object(path, read_json(path).get("config")).get("label2id"))
    ordered = sorted(numbers, key=lambda label: (str(type(numbers[label])), numbers[label]))
    if [numbers[label] for label in ordered] != list(range(len(ordered))):
        raise _refused(path, "config.label2id", "a number for each label, from 0")
    return ordered


def _object(path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(path, "config", "a JSON object")
    return value


def _check_keys(path: Path, content: Mapping[str, Any], allowed: frozenset[str]) -> None:
    for key in content:
        if key not in allowed:
            raise UserError(
                "The configuration has a key that is refused because its meaning is unknown.",
                where=f"{path}: {ascii(key[:100])[1:-1]}",
                allowed=sorted(allowed),
                hint="the package is of another version, or was tampered with",
            )


def _check_values(path: Path, content: Mapping[str, Any]) -> None:
    for key, value in content.items():
        if not _is_plain(value, _DEEPEST):
            raise _refused(path, f"config.{key}", "plain numbers, texts, and short lists of them")


def _is_plain(value: object, deepest: int) -> bool:
    if isinstance(value, list | dict):
        if deepest == 0 or len(value) > _MOST_ITEMS:
            return False
        items = value.values() if isinstance(value, dict) else value
        return all(_is_plain(item, deepest - 1) for item in items)
    if isinstance(value, float):
        return abs(value) < 1e9
    if isinstance(value, int):
        return abs(value) < 1 << 53
    return value is None or (isinstance(value, str) and len(value) <= 10_000)


def _refused(path: Path, key: str, allowed: str) -> UserError:
    return UserError(
        "The configuration holds what is not allowed.", where=f"{path}: {key}", allowed=allowed
    )
