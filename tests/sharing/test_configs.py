"""The allow-lists of configurations, held to AdapterHub's own fields."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapters import BnConfig, LoRAConfig, PrefixTuningConfig, ReftConfig
from adapters.configuration.adapter_fusion_config import AdapterFusionConfig

from adapterkit.backbones.kronecker_configs import AdakronConfig, KronaConfig
from adapterkit.runs.errors import UserError
from adapterkit.sharing.configs import (
    ADAPTER_KEYS,
    FUSION_KEYS,
    HEAD_KEYS,
    check_adapter_config,
    check_fusion_config,
    check_head_config,
    head_labels,
)
from adapterkit.tasks.config import TaskConfig
from adapterkit.tuning.heads import add_head
from tests.plans.conftest import build


def test_adapter_keys_are_the_fields_of_the_methods_that_are_applied() -> None:
    methods = (BnConfig, LoRAConfig, PrefixTuningConfig, ReftConfig, KronaConfig, AdakronConfig)
    fields = {field.name for method in methods for field in dataclasses.fields(method)}
    assert fields | {"architecture", "configs"} == ADAPTER_KEYS


def test_fusion_keys_are_the_fields_of_a_fusion() -> None:
    fields = {field.name for field in dataclasses.fields(AdapterFusionConfig)}
    assert fields == FUSION_KEYS


def test_head_keys_are_those_of_the_heads_that_are_added() -> None:
    model, found = build(layerwise=False), set()
    for kind in ("ner", "classification", "multilabel"):
        task = TaskConfig.model_validate(
            {"name": kind, "kind": kind, "labels": ["a", "b"], "files": {"train": "a"}}
        )
        add_head(model, task, kind, seed=0)
        found |= set(model.heads[kind].config)
    assert found == HEAD_KEYS


def written(path: Path, **config: Any) -> Path:
    path.write_text(json.dumps({"name": "a", "config": config}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "value", [1e10, 2**60, "x" * 20_000, [[[[[1]]]]], {"a": {"b": {"c": {"d": {}}}}}]
)
def test_values_are_plain_and_small(value: Any, tmp_path: Path) -> None:
    for check, key in (
        (check_adapter_config, "dropout"),
        (check_head_config, "dropout_prob"),
        (check_fusion_config, "dropout_prob"),
    ):
        path = written(tmp_path / "config.json", **{key: value})
        with pytest.raises(UserError, match="not allowed") as caught:
            check(path)
        assert f"config.{key}" in str(caught.value)


@pytest.mark.parametrize("check", [check_adapter_config, check_fusion_config, check_head_config])
def test_unknown_keys_are_refused(check: Callable[[Path], None], tmp_path: Path) -> None:
    for content in ({"config": {"auto_map": "x"}}, {"config": {}, "trust_remote_code": True}):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UserError, match="meaning is unknown"):
            check(path)


@pytest.mark.parametrize("labels", [None, {}, {"a": 1}, {"a": 0, "b": 2}, {"a": "0"}, ["a"]])
def test_labels_are_numbered_from_zero(labels: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "config.json", label2id=labels)
    if labels == {}:
        assert head_labels(path) == []
        return
    with pytest.raises(UserError, match="not allowed"):
        head_labels(path)
