"""Predictions as readable text, entities marked like ``[Aspirin|Chemical]`` where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from adapterkit.serving.layers import Layer, layer_texts
from adapterkit.serving.predictions import Entity, Prediction

# SGR codes of the terminal's own palette; the type is always written as well.
_COLOURS = ("34", "33", "35", "36", "32", "31")
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"

# A text must not move a terminal's cursor or change its state: control characters are shown as
# the pictures Unicode has for them.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_PICTURES |= {0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}


def render_text(layers: Sequence[Layer], *, colour: bool = False) -> str:
    """Return the texts with entities marked inline, and the labels of classified texts.

    Each adapter has a passage of its own, headed by its name where there are several, so spans of
    different adapters may overlap; overlapping spans of one adapter are nested as they open.

    Args:
        layers: What the adapters say.
        colour: Whether the text goes to a terminal that knows colours.
    """
    texts = layer_texts(layers)
    passages = []
    for number in range(len(texts)):
        for layer in layers:
            body = _passage(layer, layer.predictions[number], colour)
            heading = _heading(layer, number, len(layers), len(texts))
            if heading and colour:
                heading = f"{_BOLD}{heading}{_RESET}"
            passages.append(f"{heading}\n{body}" if heading else body)
    return "\n".join(passages)


def _heading(layer: Layer, number: int, layers: int, texts: int) -> str:
    parts = [f"text {number + 1}"] if texts > 1 else []
    parts += [layer.name] if layers > 1 else []
    return f"== {', '.join(parts)} ==" if parts else ""


def _passage(layer: Layer, prediction: Prediction, colour: bool) -> str:
    if layer.kind == "ner":
        colours = {
            label: _COLOURS[index % len(_COLOURS)] for index, label in enumerate(layer.labels)
        }
        body = _marked(prediction, colours if colour else {}, colour)
    else:
        body = _labels(prediction)
    return body if body.endswith("\n") or not body else f"{body}\n"


def _marked(prediction: Prediction, colours: dict[str, str], colour: bool) -> str:
    text = prediction.text
    # At the same character spans close before others open; longer ones open first, close last.
    events = [(entity.start, 1, -entity.end, entity) for entity in prediction.entities]
    events += [(entity.end, 0, -entity.start, entity) for entity in prediction.entities]
    events.sort(key=lambda event: event[:3])
    parts, position = [], 0
    for place, is_opening, _, entity in events:
        parts.append(_plain(text[position:place], colour))
        parts.append(_opening(entity, colours) if is_opening else _closing(entity, colours))
        position = place
    parts.append(_plain(text[position:], colour))
    return "".join(parts)


def _opening(entity: Entity, colours: dict[str, str]) -> str:
    return f"\x1b[1;{colours[entity.label]}m[" if colours else "["


def _closing(entity: Entity, colours: dict[str, str]) -> str:
    if not colours:
        return f"|{entity.label}]"
    code = colours[entity.label]
    return f"{_RESET}\x1b[{code}m|{entity.label}]{_RESET}"


def _plain(text: str, colour: bool) -> str:
    return text.replace("\r\n", "\n").translate(_PICTURES) if colour else text


def _labels(prediction: Prediction) -> str:
    lines = [f"{scored.label} ({scored.score:.2f})" for scored in prediction.labels]
    if prediction.is_truncated:
        lines.append("(only the beginning was read: the text is longer than the model's window)")
    return "\n".join(lines or ["(no label)"])
