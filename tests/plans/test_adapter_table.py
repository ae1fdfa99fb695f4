from __future__ import annotations

import pytest
import torch
from adapters import ADAPTER_CONFIG_MAP
from adapters.methods.modeling import Activation_Function_Class

from adapterkit.plans.adapter_table import ADAPTER_ALIASES, ADAPTER_SPECS, REFUSED_ADAPTERS
from adapterkit.plans.options import NON_LINEARITIES
from adapterkit.plans.stacking import members


def test_every_configuration_of_adapterhub_is_supported_renamed_or_refused() -> None:
    known = [*ADAPTER_SPECS, *ADAPTER_ALIASES, *REFUSED_ADAPTERS]
    assert sorted(known) == sorted(ADAPTER_CONFIG_MAP)


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
    index, _, field = known.field.rpartition(".")
    default = getattr(members(ADAPTER_CONFIG_MAP[name])[int(index or 0)], field)
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
