from __future__ import annotations

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.students.layer_map import resolve_layers


@pytest.mark.parametrize(
    ("steps", "teacher_layers", "expected"),
    [
        (6, 12, (2, 4, 6, 8, 10, 12)),
        (6, 6, (1, 2, 3, 4, 5, 6)),
        (4, 6, (2, 3, 5, 6)),
        (12, 6, (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)),
        (1, 12, (12,)),
    ],
)
def test_steps_are_spread_evenly_and_end_at_the_last_layer(
    steps: int, teacher_layers: int, expected: tuple[int, ...]
) -> None:
    assert resolve_layers(None, steps, teacher_layers) == expected


def test_a_stated_map_is_kept() -> None:
    assert resolve_layers([1, 1, 3], 3, 3) == (1, 1, 3)


@pytest.mark.parametrize("layer", [0, -1, 7])
def test_a_layer_out_of_range_is_refused_with_its_step(layer: int) -> None:
    with pytest.raises(UserError) as error:
        resolve_layers([1, layer, 6], 3, 6)
    assert str(layer) in str(error.value)
    assert "step 1" in str(error.value)
    assert "1 to 6" in str(error.value)


def test_a_map_of_another_length_is_refused() -> None:
    with pytest.raises(UserError, match="does not fit") as error:
        resolve_layers([1, 2], 3, 6)
    assert "3 layers" in str(error.value)
