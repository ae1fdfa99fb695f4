from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.comparing.charts.bars import Bar, bar_chart, stacked_chart, swatch
from adapterkit.comparing.charts.dots import Dot, dot_chart
from adapterkit.comparing.charts.figures import percent, short, signed_percent
from adapterkit.comparing.charts.lines import Line, apart, line_chart
from adapterkit.comparing.charts.palette import look, marker
from adapterkit.comparing.charts.points import Point, pareto_chart, pareto_front
from adapterkit.comparing.charts.scales import scale_of
from adapterkit.comparing.charts.svg import as_file

ODD = "a <b> & \"c\" 'd' \x00 \ud800"
SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawn: str) -> ElementTree.Element:
    whole = ElementTree.fromstring(as_file(drawn, ODD))
    inside = whole.find(f"{SVG}svg")
    assert inside is not None
    assert float(whole.get("height", 0)) > float(inside.get("height", 0)) > 0
    return inside


def test_every_chart_is_well_formed_whatever_it_is_called() -> None:
    charts = [
        pareto_chart([Point(ODD, look(0), 5.0, 0.5, 0.1)], ODD, ODD, ODD),
        pareto_chart([], ODD, ODD, ODD),
        line_chart([Line(ODD, look(1), ((1.0, 0.2), (2.0, 0.4)))], ODD, ODD, ODD),
        line_chart([Line(ODD, look(1), ((1.0, 0.2),))], ODD, ODD, ODD),
        dot_chart([(ODD, [Dot(ODD, look(2), 0.5, None), Dot(ODD, look(3), 0.6, 0.1)])], ODD, ODD),
        bar_chart([Bar(ODD, 0.1, ODD), Bar(ODD, -0.1, ODD), Bar(ODD, None, ODD)], ODD, ODD),
        bar_chart([], ODD, ODD),
        stacked_chart([ODD], [ODD, "x"], [[1.0, 0.0]], ODD, "p"),
        stacked_chart([ODD], ["x"], [[0.0]], ODD, "p"),
    ]
    for drawn in charts:
        root = parsed(drawn)
        assert root.get("role") == "img"
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert title.text == ODD.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
        assert description is not None
        assert description.text


def test_hatches_that_are_used_are_defined() -> None:
    drawn = stacked_chart(["A"], ["x", "y"], [[1.0, 2.0]], "t", "t0-")
    defined = {each.get("id") for each in parsed(drawn).iter(f"{SVG}pattern")}
    used = {each.get("fill", "")[5:-1] for each in parsed(drawn).iter(f"{SVG}rect")}
    assert defined == {"t0-0", "t0-1"}
    assert defined <= used
    assert "url(#t0-1)" in swatch("t0-", 1)


def test_series_are_told_apart_without_colour() -> None:
    looks = [look(index) for index in range(210)]
    assert len({(each.colour, each.shape, each.dash) for each in looks}) == 210
    first = looks[:7]
    assert len({each.shape for each in first}) == 7
    assert len({marker(each, 0, 0) for each in first}) == 7
    assert [each.key for each in (looks[0], looks[25], looks[26], looks[52])] == [
        "A",
        "Z",
        "AA",
        "BA",
    ]


FIGURES = st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=8)


@given(FIGURES, st.booleans())
def test_scales_hold_their_figures_and_mark_round_ones(
    values: list[float], logarithmic: bool
) -> None:
    scale = scale_of(values, logarithmic=logarithmic)
    assert all(-1e-9 <= scale.share(value) <= 1 + 1e-9 for value in values)
    shares = [scale.share(tick) for tick in scale.ticks()]
    assert all(-1e-6 <= share <= 1 + 1e-6 for share in shares)
    assert all(one < other for one, other in pairwise(shares))
    assert 1 <= len(shares) <= 13


def test_ticks_are_round() -> None:
    assert scale_of([0.71, 0.79]).ticks() == pytest.approx([0.72, 0.74, 0.76, 0.78])
    assert scale_of([1_000, 1_000_000], logarithmic=True).ticks()[:2] == pytest.approx([1e3, 1e4])


COSTS = st.tuples(st.integers(1, 5), st.integers(0, 5))


@given(st.lists(COSTS, max_size=8))
def test_nothing_beats_the_pareto_front(drawn: list[tuple[int, int]]) -> None:
    points = [
        Point(str(number), look(number), float(x), float(y)) for number, (x, y) in enumerate(drawn)
    ]
    front = pareto_front(points)
    for each in points:
        beaten = any(
            other.x <= each.x and other.y >= each.y and (other.x < each.x or other.y > each.y)
            for other in points
        )
        assert (each in front) != beaten
    assert [each.x for each in front] == sorted(each.x for each in front)


@given(st.lists(st.floats(0, 300), max_size=10))
def test_letters_move_apart_and_keep_their_order(heights: list[float]) -> None:
    moved = apart(heights, 11.0)
    placed = sorted(moved)
    assert all(other - one > 9.0 for one, other in pairwise(placed))
    order = sorted(range(len(heights)), key=heights.__getitem__)
    assert [moved[index] for index in order] == placed


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.0, "1"), (0.123456, "0.123"), (1500, "1.5k"), (2.5e6, "2.5M"), (7.4e9, "7.4G"), (0, "0")],
)
def test_figures_are_short(value: float, said: str) -> None:
    assert short(value) == said


def test_shares_are_said_in_hundredths() -> None:
    assert percent(0.79813) == "79.81"
    assert signed_percent(-0.0123) == "\u22121.23"
    assert signed_percent(0.5) == "+50.00"
    assert math.isclose(float(percent(0.5)), 50)
