from __future__ import annotations

import dataclasses

import pytest
import torch
from adapters import ADAPTER_CONFIG_MAP
from adapters.methods.modeling import Activation_Function_Class

from adapterkit.plans.adapter_table import (
    ADAPTER_ALIASES,
    ADAPTER_SPECS,
    OWN_ADAPTERS,
    REFUSED_ADAPTERS,
)
from adapterkit.plans.options import NON_LINEARITIES
from adapterkit.plans.stacking import members
from adapterkit.plans.task_adapter import CONFIGS


def test_every_configuration_of_adapterhub_is_supported_renamed_or_refused() -> None:
    known = [*ADAPTER_SPECS, *ADAPTER_ALIASES, *REFUSED_ADAPTERS]
    assert sorted(known) == sorted([*ADAPTER_CONFIG_MAP, *OWN_ADAPTERS])
    assert sorted(CONFIGS) == sorted(known)


@pytest.mark.parametrize("old", ADAPTER_ALIASES)
def test_former_names_mean_the_same(old: str) -> None:
    new = ADAPTER_CONFIG_MAP[ADAPTER_ALIASES[old]]
    assert ADAPTER_CONFIG_MAP[old].to_dict() == new.to_dict()


@pytest.mark.parametrize(
    ("name", "option"),
    [(spec.name, option.name) for spec in ADAPTER_SPECS.values() for option in spec.options],
)
def test_options_are_fields_and_accept_their_defaults(name: str, option: str) -> None:
    known = ADAPTER_SPECS[name].option(option)
    assert known is not None
    default = getattr(members(CONFIGS[name])[known.member], known.attribute)
    if default is not None:
        text = "".join(default) if isinstance(default, list) else str(default)
        assert known.parse(text) == ("".join(default) if isinstance(default, list) else default)


def test_option_names_are_unambiguous() -> None:
    for spec in ADAPTER_SPECS.values():
        names = [name for option in spec.options for name in (option.name, *option.aliases)]
        assert len(names) == len(set(names)), spec.name


@pytest.mark.parametrize("name", NON_LINEARITIES)
def test_adapterhub_knows_the_non_linearities(name: str) -> None:
    output = Activation_Function_Class(name)(torch.tensor([-1.0, 1.0]))
    assert not torch.equal(output, torch.tensor([-1.0, 1.0]))


@pytest.mark.parametrize("name", ADAPTER_SPECS)
def test_sizes_follow_from_adapterhubs_own_settings(name: str) -> None:
    spec, theirs = ADAPTER_SPECS[name], members(CONFIGS[name])
    for ours, their in zip(spec.methods, theirs, strict=True):
        for field in dataclasses.fields(ours):  # type: ignore[arg-type]
            value = getattr(their, field.name)
            value = "".join(value) if isinstance(value, list) else value
            assert getattr(ours, field.name) == value, (name, field.name)


@pytest.mark.parametrize("name", ADAPTER_SPECS)
def test_settings_that_no_option_changes_are_those_the_sizes_assume(name: str) -> None:
    """What the methods have no field for, because every configuration has it alike."""
    alike = {
        "ln_before": False,
        "ln_after": False,
        "cross_adapter": False,
        "inv_adapter": None,
        "factorized_phm_W": True,
        "shared_W_phm": False,
        "shared_phm_rule": True,
        "factorized_phm_rule": False,
        "phm_bias": True,
        "selfattn_lora": True,
        "vera_d": None,
        "vera_b": None,
        "shared_gating": True,
        "tied_weights": False,
        "dtype": None,
    }
    for member in members(CONFIGS[name]):
        found = {key: getattr(member, key) for key in alike if hasattr(member, key)}
        assert found == {key: alike[key] for key in found}
