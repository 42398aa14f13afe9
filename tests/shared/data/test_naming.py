from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data.naming import dealt_names, institution_name

LEGAL = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


@pytest.mark.parametrize(
    ("text", "name"),
    [("VA Long Beach", "va-long-beach"), ("Zürich", "zurich"), (" _A/B_ ", "a-b"), ("x" * 80, "x" * 63), ("…", "")],
)
def test_sites_get_plain_names(text: str, name: str) -> None:
    assert institution_name(text) == name


@given(st.text())
def test_a_name_is_legal_or_empty_and_naming_it_again_changes_nothing(text: str) -> None:
    name = institution_name(text)
    assert name == "" or LEGAL.match(name)
    assert institution_name(name) == name


def test_dealt_names_sort_as_they_count() -> None:
    assert dealt_names(3) == ("site-1", "site-2", "site-3")
    names = dealt_names(120)
    assert list(names) == sorted(names)
    assert len(set(names)) == 120
