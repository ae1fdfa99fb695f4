"""Reading YAML files strictly, with the line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

from adapterkit.runs.errors import UserError

Location: TypeAlias = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what PyYAML would pass over or stumble on.

    A key given twice, of which PyYAML keeps the last; a key that is a list or a mapping; and
    aliases, which can make a file refer to itself.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key is a list or a mapping, not a name", key)
            if key.value in seen:
                raise _refusal(f"the key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, f"aliases (*{event.anchor}) are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)


def _refusal(problem: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def read_yaml(
    path: Path, kind: str = "task", keys: str = "name, kind, labels, files"
) -> tuple[dict[Any, Any], dict[Location, int]]:
    """Return the values of a file of keys and values, and the line of every key and item.

    Args:
        path: The file.
        kind: What sort of file it is, for messages.
        keys: Some keys that such a file holds, for messages.

    Raises:
        UserError: Naming file and line, if it cannot be read, or holds anything else.
    """
    text = _read_text(path, kind)
    try:
        values = yaml.load(text, Loader=_Loader)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        hint = "indent with spaces" if "'\\t'" in str(error.problem) else None
        raise UserError(
            f"the {kind} file is not valid YAML: {error.problem}", where=f"{path}{line}", hint=hint
        ) from error
    except yaml.reader.ReaderError as error:
        line = f", line {text.count(chr(10), 0, error.position) + 1}"
        raise UserError(
            f"the {kind} file is not valid YAML: {error.reason}",
            where=f"{path}{line}",
            found=repr(text[error.position]),
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            f"a {kind} file holds keys and values",
            where=f"{path}, line {root.start_mark.line + 1 if root else 1}",
            found={list: "a list", type(None): "nothing"}.get(type(values), repr(values)[:80]),
            allowed=f"{keys} and so on, each followed by a colon and its value",
        )
    lines: dict[Location, int] = {}
    _index_lines(root, (), lines)
    return values, lines


def _read_text(path: Path, kind: str) -> str:
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"the {kind} file is not UTF-8",
            where=f"{path}, line {line}",
            found=f"byte 0x{raw[error.start]:02x} at offset {error.start}",
            hint="save it again as UTF-8",
        ) from error
    except OSError as error:
        raise UserError(
            f"the {kind} file cannot be read: {error.strerror}", where=str(path)
        ) from error


def _index_lines(node: Any, at: Location, lines: dict[Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*at, key.value)] = key.start_mark.line + 1
            _index_lines(value, (*at, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            _index_lines(item, (*at, index), lines)
