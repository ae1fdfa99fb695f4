"""What adapts a recursion step: a mechanism, for `adapter` with configuration and options."""

from __future__ import annotations

from dataclasses import dataclass

from adapterkit.plans.adapter_table import ADAPTER_SPECS, AdapterSpec
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
        """What it is made of, with its options set: its configuration's methods, then its own."""
        own = {option.name for option in self.definition.options}
        methods = self.definition.methods((name, v) for name, v in self.options if name in own)
        if self.config is None:
            return methods
        return (*ADAPTER_SPECS[self.config].configured(self.config_options), *methods)

    @property
    def config_options(self) -> tuple[tuple[str, OptionValue], ...]:
        """The options that are its configuration's and not the mechanism's own."""
        own = {option.name for option in self.definition.options}
        return tuple((name, value) for name, value in self.options if name not in own)

    @property
    def family(self) -> str:
        """What choices that want like learning rates have in common."""
        return self._spec.family if self._spec is not None else self.definition.kind

    @property
    def summary(self) -> str:
        """What learns, in words."""
        if self._spec is None:
            return self.definition.summary
        on_frozen = ", on a frozen adapter" if self.definition.on_frozen else ""
        return f"{self._spec.summary}{on_frozen}"

    @property
    def _spec(self) -> AdapterSpec | None:
        """The configuration, where it is what learns."""
        if self.config is None or self.definition.options:
            return None
        return ADAPTER_SPECS[self.config]


FROZEN = Choice("frozen")
