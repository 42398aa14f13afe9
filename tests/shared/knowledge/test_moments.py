"""Times of a column, and the length of a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.moments import DAY, Clock, window_length

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))


@given(MOMENTS, MOMENTS)
def test_dates_keep_their_order_and_their_distance(one: datetime, other: datetime) -> None:
    clock = Clock()
    read = [clock.read(moment.isoformat()) for moment in (one, other)]
    whole = [moment.replace(microsecond=0) for moment in (one, other)]
    assert timedelta(seconds=read[1] - read[0]) == whole[1] - whole[0]
    assert clock.dated is True


@given(st.integers(-(10**18), 10**18))
def test_a_whole_number_is_itself(number: int) -> None:
    assert Clock().read(f" {number} ") == number


def test_zones_count_and_a_time_without_one_is_utc() -> None:
    assert Clock().read("1970-01-02") == DAY
    assert Clock().read("1970-01-01T01:00:00+01:00") == 0
    assert Clock().read("1970-01-01T00:00:07Z") == int(datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(("first", "second"), [("5", "2024-01-01"), ("2024-01-01", "5")])
def test_the_first_time_decides_the_form(first: str, second: str) -> None:
    clock = Clock()
    clock.read(first)
    with pytest.raises(ValueError, match="where the column began with"):
        clock.read(second)


@pytest.mark.parametrize("cell", ["", "soon", "1.5", "2024-13-01", "9" * 5000])
def test_what_is_no_time_decides_nothing(cell: str) -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="a whole number or an ISO 8601 date"):
        clock.read(cell)
    assert clock.dated is None


@pytest.mark.parametrize(
    ("text", "dated", "length"),
    [("7d", True, 7 * DAY), ("12h", True, 43_200), ("90", False, 90), (None, True, DAY), (None, False, 1), ("2w", False, 14 * DAY)],
)
def test_a_window_has_units_or_those_of_the_column(text: str | None, dated: bool, length: int) -> None:
    assert window_length(text, dated=dated) == length


@pytest.mark.parametrize("text", ["", "0", "0d", "d", "-1", "1.5h", "7 days", "9" * 30])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(KnowledgeError, match="is no length"):
        window_length(text, dated=True)
