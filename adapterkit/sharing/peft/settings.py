"""PEFT's ``adapter_config.json`` of a LoRA, read strictly and written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from adapterkit.backbones.safety import read_json
from adapterkit.runs.errors import UserError

HEAD_MODULE: Final = "classifier"
"""The head of a stock model for token classification."""

_HEADS = ("classifier", "score")
"""What PEFT notes as trained whole for token classification, whatever the model has of it."""

_READ = {
    "peft_type",
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "init_lora_weights",
    "bias",
}
_SAYS_NOTHING = {
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    # What follow are settings of things that have to be off.
    "megatron_core",
    "qalora_group_size",
}
_OFF: tuple[Any, ...] = (None, False, {}, [], "")
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal")
_WHY = {
    "use_dora": "PEFT's DoRA leaves a linear's bias as it is, AdapterHub's scales it",
    "fan_in_fan_out": "the backbone's matrices are linear layers' of PyTorch",
    "lora_bias": "adapterkit's LoRA has no bias",
    "layer_replication": "the backbone would have other steps",
    "target_parameters": "adapterkit's LoRA adapts linear layers",
    "trainable_token_indices": "adapterkit has no place for single word pieces",
    "exclude_modules": "list the modules that are adapted in target_modules instead",
}
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_MOST = 10_000
_Value = TypeVar("_Value", int, float)


@dataclass(frozen=True)
class LoraSettings:
    """What a LoRA of PEFT's is, as far as adapterkit's can be the same.

    Attributes:
        rank: Of modules that `ranks` does not name.
        alpha: Likewise; what scales an update is alpha / rank.
        targets: Names or endings of names of the modules that are adapted, or None where a pattern
            says it.
        ranks: Rank by module, or the end of its name.
        alphas: Likewise.
        dropout: In training, of what the update reads.
        rank_stabilised: Whether the scale is alpha / sqrt(rank) instead (arXiv 2312.03732).
        steps: The only steps that are adapted, if not all.
        groups: What the list is called in which the steps stand; the first numbered by default.
        head: Whether the task's head is there too.
        base: Where the model lay that it was trained on, if that is said.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] | None
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    dropout: float = 0.0
    rank_stabilised: bool = False
    steps: tuple[int, ...] | None = None
    groups: tuple[str, ...] = ()
    head: bool = True
    base: str | None = None

    def rank_of(self, module: str) -> int:
        """The rank of a module's update."""
        return _of_module(self.ranks, module) or self.rank

    def alpha_of(self, module: str) -> float:
        """The alpha of a module such that its scale is alpha / rank."""
        alpha = _of_module(self.alphas, module) or self.alpha
        return alpha * math.sqrt(self.rank_of(module)) if self.rank_stabilised else alpha

    def is_target(self, module: str, step: int, groups: str) -> bool:
        """Whether PEFT adapts a module.

        Args:
            module: Its full name.
            step: The step it belongs to.
            groups: What the list is called in which the model's steps stand.
        """
        assert self.targets is not None
        if module in self.targets:
            return True
        if not any(module.endswith(f".{target}") for target in self.targets):
            return False
        named = not self.groups or groups in self.groups
        return self.steps is None or (named and step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """As PEFT spells it."""
        return {
            "peft_type": "LORA",
            "task_type": "TOKEN_CLS",
            "base_model_name_or_path": None,
            "inference_mode": True,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": list(self.targets or ()),
            "rank_pattern": dict(self.ranks),
            "alpha_pattern": dict(self.alphas),
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "modules_to_save": [HEAD_MODULE],
            "use_dora": False,
            "use_rslora": False,
        }


def read_settings(path: Path) -> LoraSettings:
    """Read PEFT's ``adapter_config.json``.

    Raises:
        UserError: It cannot be read, is none of PEFT's, or describes what adapterkit's LoRA does
            not compute; says which key it is.
    """
    content = read_json(path)
    if content.get("peft_type") != "LORA":
        raise UserError(
            "This is no LoRA adapter of PEFT.",
            where=f"{path}: peft_type",
            found=str(content.get("peft_type", "no such key"))[:100],
            allowed="LORA",
        )
    _check_off(path, content)
    reader = _Reader(path, content)
    reader.one_of("task_type", ("TOKEN_CLS", None))
    reader.one_of("bias", ("none",), "adapterkit's LoRA leaves biases as they are")
    reader.one_of("init_lora_weights", _PLAIN_STARTS, "others change the backbone's weights")
    rank_stabilised = reader.one_of("use_rslora", (False, True))
    saved = reader.names("modules_to_save") or ()
    if odd := [name for name in saved if name not in _HEADS]:
        raise reader.refused("modules_to_save", odd[0], "classifier", "it is no head of the task's")
    targets = None
    if not isinstance(content.get("target_modules"), str):
        targets = reader.names("target_modules") or ()
    return LoraSettings(
        rank=reader.count("r", content.get("r")),
        alpha=reader.number("lora_alpha", content.get("lora_alpha")),
        targets=targets,
        ranks={n: reader.count("rank_pattern", v) for n, v in reader.pattern("rank_pattern")},
        alphas={n: reader.number("alpha_pattern", v) for n, v in reader.pattern("alpha_pattern")},
        dropout=reader.fraction("lora_dropout"),
        rank_stabilised=bool(rank_stabilised),
        steps=reader.steps("layers_to_transform"),
        groups=reader.names("layers_pattern") or (),
        head=HEAD_MODULE in saved,
        base=base if isinstance(base := content.get("base_model_name_or_path"), str) else None,
    )


def _check_off(path: Path, content: Mapping[str, Any]) -> None:
    for key, value in content.items():
        if key not in _READ and key not in _SAYS_NOTHING and value not in _OFF:
            why = _WHY.get(key)
            raise UserError(
                "PEFT's adapter is not one that adapterkit computes.",
                where=f"{path}: {ascii(key[:100])[1:-1]}",
                found=f"{str(value)[:100]}{f', and {why}' if why else ''}",
                allowed="plain LoRA, with that off",
                hint="use it with peft",
            )


def _of_module(values: Mapping[str, _Value], module: str) -> _Value | None:
    """The first that names a module or the end of its name, as PEFT looks it up."""
    return next(
        (v for name, v in values.items() if module == name or module.endswith(f".{name}")), None
    )


@dataclass(frozen=True)
class _Reader:
    """Reads typed values, and says which key is wrong."""

    path: Path
    content: Mapping[str, Any]

    def one_of(self, key: str, allowed: tuple[Any, ...], why: str = "") -> Any:
        value = self.content.get(key, allowed[0])
        # True is 1 in Python.
        if not any(value is each or (isinstance(each, str) and value == each) for each in allowed):
            raise self.refused(key, value, ", ".join(map(str, allowed)), why)
        return value

    def names(self, key: str) -> tuple[str, ...] | None:
        value = self.content.get(key)
        if value is None:
            return None
        value = [value] if isinstance(value, str) else value
        if (
            not isinstance(value, list)
            or len(value) > _MOST
            or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in value)
        ):
            raise self.refused(key, value, "a list of names of modules")
        return tuple(value)

    def pattern(self, key: str) -> list[tuple[str, Any]]:
        value = self.content.get(key) or {}
        if (
            not isinstance(value, dict)
            or len(value) > _MOST
            or not all(_NAME.fullmatch(name) for name in value)
        ):
            raise self.refused(key, value, "a number for each name of a module, and no patterns")
        return list(value.items())

    def count(self, key: str, value: Any) -> int:
        if type(value) is not int or not 1 <= value <= _MOST:
            raise self.refused(key, value, f"a whole number from 1 to {_MOST}")
        return value

    def number(self, key: str, value: Any) -> float:
        if type(value) not in (int, float) or not 0 < value <= 1e6:
            raise self.refused(key, value, "a number above 0, at most 1000000")
        number: float = value
        return number

    def fraction(self, key: str) -> float:
        value = self.content.get(key, 0.0)
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise self.refused(key, value, "a number from 0 up to, not including, 1")
        number: float = value
        return number

    def steps(self, key: str) -> tuple[int, ...] | None:
        value = self.content.get(key)
        value = [value] if type(value) is int else value
        if not value and value is not False:
            return None
        if not isinstance(value, list) or not all(type(step) is int for step in value):
            raise self.refused(key, value, "a list of numbers of steps")
        return tuple(value)

    def refused(self, key: str, found: Any, allowed: str, why: str = "") -> UserError:
        return UserError(
            "PEFT's adapter is not one that adapterkit computes.",
            where=f"{self.path}: {key}",
            found=f"{str(found)[:200]}{f', and {why}' if why else ''}",
            allowed=allowed,
            hint="use it with peft",
        )
