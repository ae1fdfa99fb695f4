"""Reading the short form of plans: ``0-2:frozen 3-4:adapter(seq_bn,r=16) 5:full``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapterkit.plans.adapter_table import (
    ADAPTER_ALIASES,
    ADAPTER_SPECS,
    DEFAULT_ADAPTER,
    DEFAULT_OPTIONS,
    REFUSED_ADAPTERS,
    AdapterSpec,
)
from adapterkit.plans.choice import FROZEN, Choice
from adapterkit.plans.mechanisms import MECHANISMS
from adapterkit.plans.mistakes import Spot
from adapterkit.plans.options import Option, OptionValue, find_option

HEAD = "head"
"""The mode in which no step learns, only the task head."""

ALL, REST = "all", "rest"
MAX_STEP = 999

_STEPS = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_SOME_STEPS = "steps such as 3, 0-2 or 0,2-4"
_STEPS_ALLOWED = f"{_SOME_STEPS}; {ALL}; {REST}"


@dataclass(frozen=True)
class Clause:
    """One piece of a plan: what adapts some steps.

    Args:
        steps: The steps; None stands for all that the plan does not name.
        choice: What adapts them; None is the mode `head`.
        spot: Where it is written.
    """

    steps: tuple[int, ...] | None
    choice: Choice | None
    spot: Spot


def mode_names() -> list[str]:
    """Every name that ``--mode`` knows."""
    return [HEAD, *(name for name in MECHANISMS if name != FROZEN.mechanism), *ADAPTER_SPECS]


def parse_clauses(whole: Spot) -> list[Clause]:
    """Read the clauses of a plan, in the order written.

    Raises:
        UserError: The text is not a plan; says at which character.
    """
    spots = list(_split(whole, " \t\r\n"))
    if not spots:
        raise whole.error("The plan is empty.", hint="for example: 0-2:frozen 3-5:adapter")
    if len(spots) == 1 and ":" not in spots[0].text.partition("(")[0]:
        return [parse_mode(spots[0])]
    return [_parse_clause(spot) for spot in spots]


def parse_mode(spot: Spot) -> Clause:
    """Read a mode: one choice for every step, or `head`."""
    if spot.text == HEAD:
        return Clause(None, None, spot)
    return Clause(None, parse_choice(spot), spot)


def mode_clauses(mode: Spot, steps: Spot | None) -> list[Clause]:
    """Read a mode and the steps it is for; the others stay frozen."""
    clause = parse_mode(mode.stripped())
    if steps is None:
        return [clause]
    steps = steps.stripped()
    if clause.choice is None:
        raise steps.error(f"The mode {HEAD} trains no step.", hint="leave the steps out")
    if steps.text == ALL:
        return [clause]
    chosen = Clause(parse_steps(steps, f"{_SOME_STEPS}; {ALL}"), clause.choice, steps)
    return [chosen, Clause(None, FROZEN, steps)]


def parse_steps(spot: Spot, allowed: str = _STEPS_ALLOWED) -> tuple[int, ...]:
    """Read steps such as ``0,2-4``; `allowed` says what may stand there, for errors."""
    steps: list[int] = []
    for piece in _split(spot, ",", keep_empty=True):
        match = _STEPS.fullmatch(piece.stripped().text)
        if match is None:
            raise piece.error("These are no recursion steps.", allowed=allowed)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise piece.error("The range runs backwards.", allowed=f"{last}-{first}")
        if last > MAX_STEP:
            raise piece.error(f"There is no recursion step {last}.", allowed=f"0 to {MAX_STEP}")
        repeated = sorted(set(steps) & set(range(first, last + 1)))
        if repeated:
            raise piece.error(f"Step {repeated[0]} is named twice.", hint="name each step once")
        steps.extend(range(first, last + 1))
    return tuple(sorted(steps))


def parse_choice(spot: Spot) -> Choice:
    """Read a mechanism with its arguments, or the name of an adapter configuration."""
    name_text, opening, rest = spot.text.partition("(")
    name = spot.part(0, len(name_text)).stripped()
    if opening and ")" not in rest:
        raise spot.error("A bracket is not closed.", hint="write adapter(seq_bn,r=16)")
    if opening and not rest.endswith(")"):
        behind = spot.part(len(name_text) + 1 + rest.index(")") + 1)
        raise behind.error("Nothing may follow the closing bracket.")
    inside = spot.part(len(name_text) + 1, -1) if opening else None
    arguments = [piece.stripped() for piece in _split(inside, ",", True)] if inside else []
    if len(arguments) == 1 and not arguments[0].text:
        arguments = []
    if name.text in MECHANISMS:
        mechanism = MECHANISMS[name.text]
        if mechanism.takes_config:
            return _parse_adapter(name.text, arguments, name)
        if opening and not mechanism.options:
            raise spot.error(f"{name.text!r} takes no arguments.", allowed=name.text)
        values = _parse_options(name.text, mechanism.options, arguments)
        return Choice(name.text, options=_ordered(mechanism.options, values))
    if name.text in (ALL, REST) or name.text == HEAD:
        raise spot.error(
            f"{name.text!r} is no mechanism.",
            allowed=tuple(MECHANISMS),
            hint="for the linear probe, the whole plan is: head" if name.text == HEAD else None,
        )
    if _is_adapter_name(name.text):
        return _parse_adapter("adapter", [name, *arguments], name)
    raise name.unknown("mechanism or adapter", (*MECHANISMS, *ADAPTER_SPECS))


def _parse_clause(spot: Spot) -> Clause:
    before, colon, _ = spot.text.partition(":")
    if not colon or "(" in before:
        raise spot.error(
            "It is not said which steps this is for.",
            allowed="STEPS:MECHANISM, as in 3-5:adapter",
            hint="put the steps and a colon in front of it, with no space around the colon",
        )
    steps_spot, choice_spot = spot.part(0, len(before)), spot.part(len(before) + 1)
    if not choice_spot.text:
        raise spot.error(
            "No mechanism is given for these steps.",
            allowed=tuple(MECHANISMS),
            hint="put it behind the colon, with no space between",
        )
    if ":" in choice_spot.text.partition("(")[0]:
        raise choice_spot.error(
            "A mechanism has no colon in it.",
            allowed="STEPS:MECHANISM STEPS:MECHANISM ...",
            hint="put a space between the pieces of a plan",
        )
    steps = None if before in (ALL, REST) else parse_steps(steps_spot)
    return Clause(steps, parse_choice(choice_spot), spot)


def _is_adapter_name(name: str) -> bool:
    return name in ADAPTER_SPECS or name in ADAPTER_ALIASES or name in REFUSED_ADAPTERS


def _parse_adapter(mechanism: str, arguments: list[Spot], place: Spot) -> Choice:
    named = bool(arguments) and "=" not in arguments[0].text
    spec = _adapter_spec(arguments[0]) if named else ADAPTER_SPECS[DEFAULT_ADAPTER]
    definition = MECHANISMS[mechanism]
    if definition.configs and spec.name not in definition.configs:
        raise arguments[0].error(
            f"{mechanism!r} does not take {spec.name}.", allowed=definition.configs
        )
    options = (*spec.options, *definition.options)
    values = _parse_options(spec.name, options, arguments[1 if named else 0 :])
    values = {**dict(definition.defaults), **({} if named else DEFAULT_OPTIONS), **values}
    if values.get("prefix_positions") == 0 and not values.get("suffix_positions"):
        raise place.error(f"{spec.name} adapts no position.", hint="set suffix_positions too")
    return Choice(mechanism, spec.name, _ordered(options, values))


def _adapter_spec(spot: Spot) -> AdapterSpec:
    name = ADAPTER_ALIASES.get(spot.text, spot.text)
    if name in REFUSED_ADAPTERS:
        raise spot.error(
            f"The adapter {name!r} cannot be used step by step: {REFUSED_ADAPTERS[name]}.",
            allowed=tuple(ADAPTER_SPECS),
        )
    if name not in ADAPTER_SPECS:
        raise spot.unknown("adapter", tuple(ADAPTER_SPECS))
    return ADAPTER_SPECS[name]


def _parse_options(
    owner: str, options: Sequence[Option], arguments: Sequence[Spot]
) -> dict[str, OptionValue]:
    values: dict[str, OptionValue] = {}
    for spot in arguments:
        name, value = _parse_option(owner, options, spot)
        if name in values:
            raise spot.error(f"The option {name!r} is given twice.", hint="give it once")
        values[name] = value
    return values


def _ordered(
    options: Sequence[Option], values: Mapping[str, OptionValue]
) -> tuple[tuple[str, OptionValue], ...]:
    return tuple((o.name, values[o.name]) for o in options if o.name in values)


def _parse_option(owner: str, options: Sequence[Option], spot: Spot) -> tuple[str, OptionValue]:
    before, equals, _ = spot.text.partition("=")
    name_spot, value = spot.part(0, len(before)).stripped(), spot.part(len(before) + 1).stripped()
    name = name_spot.text
    allowed = tuple(option.name for option in options)
    if not equals:
        raise spot.error("This is no option.", allowed=f"NAME=VALUE with {', '.join(allowed)}")
    option = find_option(options, name)
    if option is None:
        aliases = {alias: option.name for option in options for alias in option.aliases}
        raise name_spot.unknown(f"option of {owner} called", allowed, aliases)
    try:
        return option.name, option.parse(value.text)
    except ValueError as error:
        raise spot.error(
            f"The option {name!r} of {owner} cannot be '{value.shown}'.",
            allowed=option.allowed,
        ) from error


def _split(spot: Spot, separators: str, keep_empty: bool = False) -> Iterator[Spot]:
    """The pieces between `separators` that stand outside brackets."""
    depth = start = 0
    for index, character in enumerate(spot.text):
        depth += (character == "(") - (character == ")")
        if depth < 0 or depth > 1:
            raise spot.part(index, index + 1).error("This bracket is out of place.")
        if character in separators and depth == 0:
            if keep_empty or index > start:
                yield spot.part(start, index)
            start = index + 1
    if depth:
        raise spot.part(start).error("A bracket is not closed.")
    if keep_empty or start < len(spot.text):
        yield spot.part(start)
