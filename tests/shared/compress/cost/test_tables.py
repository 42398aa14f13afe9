from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.compress.cost.tables import seconds
from shared.compress.devices import OperatorTable

TABLE = OperatorTable(
    kind="gemm", int8=False, source="bench", rows=(1, 4, 64), work=(16, 256), seconds=((1e-6, 2e-6), (1e-6, 4e-6), (3e-6, 5e-5))
)
SIZES = st.floats(0.5, 1e6)


def test_what_was_measured_is_given_back():
    for row, rows in enumerate(TABLE.rows):
        for column, work in enumerate(TABLE.work):
            assert seconds(TABLE, rows, work) == pytest.approx(TABLE.seconds[row][column])


def test_in_between_it_is_the_geometric_mean_and_beyond_in_proportion():
    assert seconds(TABLE, 1, 64) == pytest.approx(2**0.5 * 1e-6)
    assert seconds(TABLE, 128, 512) == pytest.approx(2e-4)
    assert seconds(TABLE, 0.5, 1) == pytest.approx(1e-6)


@given(rows=SIZES, work=SIZES, more_rows=st.floats(1, 100), more_work=st.floats(1, 100))
def test_more_never_takes_less(rows, work, more_rows, more_work):
    assert seconds(TABLE, rows * more_rows, work * more_work) >= seconds(TABLE, rows, work) * (1 - 1e-9)
