from dataclasses import replace

import pytest

from adapterkit.comparing.suites.standing import Durations
from tests.comparing.suites.made import INPUTS, cell


def of(plan, task="toy"):
    made = cell(plan)
    return replace(made, inputs=replace(INPUTS, task={"name": task}))


def test_a_cell_takes_what_those_most_like_it_took():
    durations = Durations()
    assert durations.estimate(of("full")) is None
    durations.add(of("full"), 100.0)
    durations.add(of("full"), 200.0)
    durations.add(of("head"), 30.0)
    durations.add(of("head", "other"), 10.0)
    assert durations.estimate(of("full")) == 150.0
    assert durations.estimate(of("lora")) == 110.0
    assert durations.estimate(of("head", "third")) == 20.0
    assert durations.estimate(of("lora", "third")) == 85.0


def test_what_is_left_is_shared_out_among_the_slots():
    durations = Durations()
    assert durations.left([of("full")], [], 0, 1) is None
    durations.add(of("full"), 100.0)
    running = [(of("full"), 40.0), (of("full"), 130.0)]
    assert durations.left([of("full")] * 3, running, 0, 2) == 180.0
    assert durations.left([of("full")], [], 4, 5) == 100.0
    assert durations.left([], [(of("full"), 30.0)], 0, 8) == pytest.approx(70.0)
