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
        options: Options set, by name, in the order in which the configuration or, where there is
            none, the mechanism lists them.
    """

    mechanism: str
    config: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __str__(self) -> str:
        options = (f"{name}={format_value(value)}" for name, value in self.options)
        arguments = [*([self.config] if self.config is not None else []), *options]
        return f"{self.mechanism}({','.join(arguments)})" if arguments else self.mechanism

    @property
    def definition(self) -> Mechanism:
        """The mechanism itself."""
        return MECHANISMS[self.mechanism]

    @property
    def methods(self) -> tuple[Method, ...]:
        """What it is made of, with its options set: of an adapter, its configuration's methods."""
        if self.config is None:
            return self.definition.methods(self.options)
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
