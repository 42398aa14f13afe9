"""What can be a name, and what is suggested for one that is not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.knowledge.names import MAX_NAME, SUGGESTED, is_name, near_names, unknown


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("a", True),
        ("x" * MAX_NAME, True),
        ("x" * (MAX_NAME + 1), False),
        ("", False),
        (" ", False),
        ("a\tb", False),
        ("a\nb", False),
        ("ä b", True),
    ],
)
def test_a_name_fits_in_one_cell_and_on_one_line(text: str, can: bool) -> None:
    assert is_name(text) is can


@given(
    st.lists(st.text("abcdef ", min_size=4, max_size=9).filter(str.strip), unique=True, max_size=9),
    st.text("abcdef", min_size=4, max_size=9),
)
def test_near_names_are_few_and_the_name_itself_comes_first(names: list[str], name: str) -> None:
    found = near_names(name, [*names, name.upper()])
    assert len(found) <= SUGGESTED
    assert set(found) <= {*names, name.upper()}
    assert found[0].strip().lower() == name


def test_an_unknown_name_gets_the_nearest_or_what_there_is() -> None:
    names = ["myocardial ischaemia", "smoking"]
    assert unknown("the graph", "entity", "Myocardial ischemia", names).endswith("did you mean 'myocardial ischaemia'?")
    assert unknown("the graph", "entity", "xyz", names) == "the graph has no entity 'xyz'; it has myocardial ischaemia, smoking, …"
    assert len(unknown("the graph", "entity", "x" * 10**5, names)) < 200
