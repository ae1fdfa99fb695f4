"""Typed options of adapter configurations, as plans spell them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

OptionValue = bool | int | float | str
OptionKind = Literal["count", "offset", "number", "fraction", "flag", "name", "letters", "scaling"]

NON_LINEARITIES = ("gelu", "leakyrelu", "relu", "sigmoid", "silu", "swish", "tanh")

_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_LEARNED_SCALINGS = ("channel", "learned")
_LARGEST_COUNT = 10_000
_LARGEST_NUMBER = 1e6
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ALLOWED = {
    "count": f"a whole number from 1 to {_LARGEST_COUNT}",
    "offset": f"a whole number from 0 to {_LARGEST_COUNT}",
    "number": f"a number above 0, at most {_LARGEST_NUMBER:.0f}",
    "fraction": "a number from 0 up to, not including, 1",
    "flag": "true or false",
    "scaling": f"a number above 0, at most {_LARGEST_NUMBER:.0f}; channel; or learned",
}


@dataclass(frozen=True)
class Option:
    """One option of an adapter configuration.

    Args:
        name: How plans spell and print it.
        field: AdapterHub's field; ``"1.r"`` is field ``r`` of a union's second member.
        kind: What values it takes.
        choices: The values of kind ``"name"``, the letters of kind ``"letters"``.
        aliases: Other spellings plans accept.
    """

    name: str
    field: str
    kind: OptionKind
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def member(self) -> int:
        """Which member of a union it is an option of; 0 where there is no union."""
        return int(self.field.rpartition(".")[0] or 0)

    @property
    def attribute(self) -> str:
        """AdapterHub's field of that member."""
        return self.field.rpartition(".")[2]

    @property
    def allowed(self) -> str:
        """What values the option takes, in words."""
        if self.kind == "name":
            return ", ".join(self.choices)
        if self.kind == "letters":
            return f"one or more of the letters {', '.join(self.choices)}"
        return _ALLOWED[self.kind]

    def parse(self, text: str) -> OptionValue:
        """Read a value.

        Raises:
            ValueError: `text` is none of the values allowed.
        """
        if self.kind == "flag" and text.lower() in _FLAGS:
            return _FLAGS[text.lower()]
        if self.kind == "name" and text.lower() in self.choices:
            return text.lower()
        if self.kind == "letters" and text and set(text) <= set(self.choices):
            return "".join(letter for letter in self.choices if letter in text)
        if self.kind == "scaling" and text in _LEARNED_SCALINGS:
            return text
        if self.kind in ("count", "offset", "number", "fraction", "scaling"):
            return self._parse_number(text)
        raise ValueError(self.allowed)

    def _parse_number(self, text: str) -> int | float:
        if not _NUMBER.fullmatch(text):
            raise ValueError(self.allowed)
        value = float(text)
        whole = math.isfinite(value) and value == int(value)
        in_range = {
            "count": whole and 1 <= value <= _LARGEST_COUNT,
            "offset": whole and 0 <= value <= _LARGEST_COUNT,
            "number": 0 < value <= _LARGEST_NUMBER,
            "scaling": 0 < value <= _LARGEST_NUMBER,
            "fraction": 0 <= value < 1,
        }
        if not in_range[self.kind]:
            raise ValueError(self.allowed)
        return int(value) if whole else value


def find_option(options: Iterable[Option], name: str) -> Option | None:
    """The option spelled `name`, if there is one."""
    return next((o for o in options if name == o.name or name in o.aliases), None)


def format_value(value: OptionValue) -> str:
    """How plans print a value; `Option.parse` reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
