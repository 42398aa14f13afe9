"""What is left of wide logits still says what the teacher said."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.sparse import largest, spread


@given(st.integers(2, 40), st.data())
def test_kept_labels_have_the_teachers_probability_and_none_overtakes(width: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, width - 1))
    figures = st.lists(st.floats(-20, 20, width=32), min_size=width, max_size=width)
    logits = torch.tensor(data.draw(st.lists(figures, min_size=1, max_size=4)))
    values, labels, rest = largest(logits, count)
    found = spread(values, labels, rest, width)
    assert found.shape == logits.shape
    before, after = logits.softmax(dim=1), found.softmax(dim=1)
    torch.testing.assert_close(after.gather(1, labels), before.gather(1, labels), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(after.sum(dim=1), torch.ones(len(logits)))
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, labels, True)
    others = found.masked_fill(kept, -torch.inf).max(dim=1).values
    assert (others <= values.min(dim=1).values).all()


def test_all_but_one_is_all() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    torch.testing.assert_close(spread(*largest(logits, 2), 3), logits)
