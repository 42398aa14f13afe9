from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.charts import Chart, Line
from server.console.drawing import draw


def chart(*points: tuple[float, float]) -> Chart:
    return Chart(title="Loss", unit="", lines=(Line(name="loss", points=points),))


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(-1e9, 1e9)), min_size=1, max_size=80))
def test_every_point_is_within_the_axes_and_every_tick_is_on_one(points: list[tuple[float, float]]) -> None:
    drawn = draw(chart(*points))
    for place in drawn.curves[0].path.split():
        x, y = map(float, place.split(","))
        assert drawn.left <= x <= drawn.right
        assert drawn.top <= y <= drawn.bottom
    assert 2 <= len(drawn.up) <= 12
    assert all(drawn.top <= tick.at <= drawn.bottom for tick in drawn.up)
    assert all(drawn.left <= tick.at <= drawn.right for tick in drawn.across)


def test_larger_is_higher_and_later_is_further_right() -> None:
    first, second = [tuple(map(float, place.split(","))) for place in draw(chart((1, 0.1), (2, 0.9))).curves[0].path.split()]
    assert second[0] > first[0]
    assert second[1] < first[1]


def test_amounts_begin_at_zero_and_figures_where_they_are() -> None:
    amounts = draw(chart((1, 90.0), (2, 100.0)).model_copy(update={"from_zero": True}))
    assert amounts.up[0].text == "0"
    assert draw(chart((1, 90.0), (2, 100.0))).up[0].text == "90"


def test_ticks_are_round() -> None:
    drawn = draw(chart((1, 0.0), (10, 100.0)))
    assert [tick.text for tick in drawn.up] == ["0", "20", "40", "60", "80", "100"]
    assert [tick.text for tick in drawn.across] == ["2", "4", "6", "8", "10"]


def test_many_points_have_no_dots_and_none_cannot_be_drawn() -> None:
    assert len(draw(chart(*((x, 1.0) for x in range(10)))).curves[0].marks) == 10
    assert draw(chart(*((x, 1.0) for x in range(100)))).curves[0].marks == ()
    with pytest.raises(ValueError, match="without a point"):
        draw(Chart(title="", unit="", lines=()))
