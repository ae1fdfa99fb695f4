"""What a ``config.json`` from outside may say, checked before transformers sees any of it.

transformers 4.57 acts on keys such as ``_attn_implementation_internal`` and ``auto_map`` before a
model exists (CVE-2026-4372). Here a configuration is plain data: its keys are held to an
allow-list, its values to ranges, and a `RecursiveConfig` is then made from the few keys that
describe a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adapterkit.backbones.factorised.places import check_form, matrix_shape
from adapterkit.runs.errors import UserError, nearest

MAX_JSON_BYTES = 4 << 20
_MOST_KEPT = 1 << 34

_INTEGERS: dict[str, tuple[int, int]] = {
    "vocab_size": (1, 1_000_000),
    "embedding_size": (1, 16_384),
    "hidden_size": (1, 16_384),
    "num_hidden_layers": (1, 128),
    "num_hidden_groups": (1, 128),
    "num_groups": (1, 1),
    "inner_group_num": (1, 1),
    "num_attention_heads": (1, 256),
    "intermediate_size": (1, 65_536),
    "max_position_embeddings": (1, 131_072),
    "type_vocab_size": (1, 1_024),
    "embedding_adapter_size": (1, 16_384),
}
_NUMBERS: dict[str, tuple[float, float]] = {
    "layer_norm_eps": (1e-20, 1e-1),
    "initializer_range": (0.0, 10.0),
    "hidden_dropout_prob": (0.0, 0.99),
    "attention_probs_dropout_prob": (0.0, 0.99),
    "classifier_dropout_prob": (0.0, 0.99),
    "reduction_factor": (0.001, 16_384.0),
}
_CHOICES: dict[str, tuple[object, ...]] = {
    "hidden_act": ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"),
    "position_embedding_type": ("absolute",),
    "tied": ("all", "matrices", "central", "none"),
    "mlm_head": ("albert", "miniALBERT"),
    "embedding_projection": (True, False),
    "use_pooler": (True, False),
    "use_adapter": (True, False),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
_OPTIONAL = ("embedding_adapter_size", "classifier_dropout_prob", "reduction_factor")
_TOKEN_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")
_LABELS = ("architectures", "id2label", "label2id", "problem_type")
# Known keys that say nothing about what the model computes; they are dropped.
_IGNORED = (
    "model_type",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "_name_or_path",
    "use_cache",
    "return_dict",
    "tie_word_embeddings",
    "finetuning_task",
    "gradient_checkpointing",
    "output_past",
    "classifier_dropout",
    "net_structure_type",
    "num_memory_blocks",
    "down_scale_factor",
    "gap_size",
    "layers_to_keep",
    "num_labels",
    "_num_labels",
    "chunk_size_feed_forward",
    "directionality",
    "output_attentions",
    "output_hidden_states",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
)
_ALBERT = (
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_hidden_groups",
    "inner_group_num",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "initializer_range",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout_prob",
    "hidden_act",
    "position_embedding_type",
    *_TOKEN_IDS,
    *_LABELS,
)
_RECURSIVE = (
    *_ALBERT,
    "block_of_step",
    "tied",
    "own_parameters",
    "factorised",
    "pruned",
    "embedding_projection",
    "embedding_adapter_size",
    "use_pooler",
    "mlm_head",
)
_MINIALBERT = (*_ALBERT, "use_adapter", "reduction_factor")

ALLOWED_KEYS: dict[str, tuple[str, ...]] = {
    "recursive_albert": _RECURSIVE,
    "albert": _MINIALBERT,
    # nlpie's configurations say bert, too.
    "bert": (*_MINIALBERT, "is_decoder", "add_cross_attention"),
    "MiniAlbert": (*_MINIALBERT, "num_groups"),
}
"""For each ``model_type`` that can be read: the keys that describe the model."""

REQUIRED_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
"""Keys without which no model can be built."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`.

    Raises:
        UserError: The file is missing, too large, or holds no JSON object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise UserError("The file is too large.", where=str(path), allowed="at most 4 MiB")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            "The file cannot be read.", where=str(path), found=error.strerror or str(error)
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            "The file holds no valid JSON.", where=str(path), found=str(error)
        ) from error
    if not isinstance(value, dict):
        raise UserError("The file must hold a JSON object.", where=str(path))
    return value


def read_config(path: Path, *, drop_auto_map: bool = False) -> dict[str, Any]:
    """The keys of ``config.json`` that describe the model, with ``model_type``.

    Args:
        path: The file.
        drop_auto_map: Leave out ``auto_map`` of a ``MiniAlbert`` configuration instead of refusing
            it. The importer may: it builds the model from its own classes and runs no code of the
            checkpoint's.

    Raises:
        UserError: A key is not allowed, missing, or its value out of range.
    """
    raw = read_json(path)
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in ALLOWED_KEYS:
        raise UserError(
            "This kind of model cannot be adapted as a recursive backbone.",
            where=f"{path}: model_type",
            found=repr(model_type),
            allowed=ALLOWED_KEYS,
        )
    if drop_auto_map and model_type == "MiniAlbert":
        raw.pop("auto_map", None)
    allowed = ALLOWED_KEYS[model_type]
    for key in raw:
        if key not in allowed and key not in _IGNORED:
            raise _refused_key(path, key, allowed)
    config = {key: raw[key] for key in allowed if key in raw}
    for key in REQUIRED_KEYS:
        if key not in config:
            raise UserError("A key is missing.", where=str(path), allowed=f"a value for {key!r}")
    check_values(config, path)
    return {"model_type": model_type, **config}


def check_values(config: Mapping[str, Any], path: Path) -> None:
    """Hold every value to its type and range.

    Raises:
        UserError: A value is out of range; the message names the key.
    """
    for key, value in config.items():
        problem = _problem(key, value, config)
        if problem is not None:
            shown = repr(value)
            raise UserError(
                "A value cannot be used.",
                where=f"{path}: {key}",
                found=shown if len(shown) <= 100 else shown[:100] + "...",
                allowed=problem,
            )
    if config["hidden_size"] % config["num_attention_heads"]:
        raise UserError(
            "A value cannot be used.",
            where=f"{path}: num_attention_heads",
            found=str(config["num_attention_heads"]),
            allowed=f"a divisor of hidden_size, {config['hidden_size']}",
        )


def _problem(key: str, value: object, config: Mapping[str, Any]) -> str | None:
    """What would be allowed, if `value` is not."""
    if value is None and key in (*_OPTIONAL, *_TOKEN_IDS, "problem_type", "architectures"):
        return None
    if key in _INTEGERS:
        low, high = _INTEGERS[key]
        return None if _is_int(value, low, high) else f"a whole number, {low} to {high}"
    if key in _TOKEN_IDS:
        high = config["vocab_size"] if _is_int(config["vocab_size"], 1, 10**6) else 10**6
        return None if _is_int(value, 0, high - 1) else f"a token id, 0 to {high - 1}"
    if key in _NUMBERS:
        least, most = _NUMBERS[key]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        inside = is_number and least <= value <= most  # type: ignore[operator]
        return None if inside else f"a number, {least} to {most}"
    if key in _CHOICES:
        fits = any(value is choice or value == choice for choice in _CHOICES[key])
        same_kind = any(type(value) is type(choice) for choice in _CHOICES[key])
        return None if fits and same_kind else ", ".join(map(repr, _CHOICES[key]))
    return _structure_problem(key, value, config)


def _structure_problem(key: str, value: object, config: Mapping[str, Any]) -> str | None:
    if key == "block_of_step":
        fits = isinstance(value, list) and all(_is_int(step, 0, 127) for step in value)
        return None if fits else "a list of recursion steps"
    if key == "factorised":
        return _factorised_problem(value, config)
    if key == "pruned":
        fits = isinstance(value, dict) and all(_is_int(n, 0, _MOST_KEPT) for n in value.values())
        return None if fits else "a mapping of names to how many numbers are kept"
    if key in ("own_parameters", "architectures"):
        fits = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return None if fits else "a list of names"
    if key in ("id2label", "label2id"):
        fits = isinstance(value, dict) and len(value) <= 10_000
        return None if fits else "a mapping of at most 10,000 labels"
    return None if isinstance(value, str) else "a string"


def _factorised_problem(value: object, config: Mapping[str, Any]) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(form, dict) for form in value.values()):
        return "a mapping of modules to forms"
    sizes = SimpleNamespace(**{"embedding_size": 128, **config})
    try:
        for module, form in value.items():
            check_form(module, form, matrix_shape(module, sizes))
    except ValueError as error:
        return f"forms that fit: {error}"
    return None


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _refused_key(path: Path, key: str, allowed: tuple[str, ...]) -> UserError:
    meant = nearest(key, allowed)
    executes = key == "auto_map" or key.startswith(("_attn_implementation", "trust_remote_code"))
    return UserError(
        "The configuration has a key that is refused"
        + (": it would choose code to run." if executes else " because its meaning is unknown."),
        where=f"{path}: {key[:100]}",
        allowed=allowed,
        hint=f"did you mean {meant!r}?" if meant else "remove the key if you trust the rest",
    )
