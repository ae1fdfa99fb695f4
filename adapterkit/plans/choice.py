"""What adapts a recursion step: a mechanism, for `adapter` with configuration and options."""

from __future__ import annotations

from dataclasses import dataclass

from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.mechanism import Mechanism
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.plans.methods.method import Method
from adapterkit.plans.options import OptionValue, format_value


@dataclass(frozen=True)
class Choice:
    """A mechanism as one or more recursion steps use it.

    Args:
        mechanism: Name of the mechanism.
        config: Name of the adapter configuration; None unless the mechanism takes one.
        options: Options set, by name, in the order of the configuration's table.
    """

    mechanism: str
    config: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __str__(self) -> str:
        if self.config is None:
            return self.mechanism
        options = (f"{name}={format_value(value)}" for name, value in self.options)
        return f"{self.mechanism}({','.join((self.config, *options))})"

    @property
    def definition(self) -> Mechanism:
        """The mechanism itself."""
        return MECHANISMS[self.mechanism]

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods of its adapter configuration, with its options set."""
        if self.config is None:
            return ()
        return ADAPTER_SPECS[self.config].configured(self.options)

    @property
    def family(self) -> str:
        """What choices that want like learning rates have in common."""
        return self.definition.kind if self.config is None else ADAPTER_SPECS[self.config].family

    @property
    def summary(self) -> str:
        """What learns, in words."""
        return (
            self.definition.summary if self.config is None else ADAPTER_SPECS[self.config].summary
        )


FROZEN = Choice("frozen")
