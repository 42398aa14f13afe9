from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.dictionary import Dictionary, folded

NAMES = {"MI": ["myocardial infarction", "heart attack"], "heart": ["heart"], "ST": ["st segment", "st"]}


def test_whole_words_are_found_longest_first_in_order() -> None:
    words = Dictionary(NAMES)
    assert words.named("A Heart   ATTACK; the\nheart's ST segment.") == ("MI", "heart", "ST")
    assert words.named("hearts, first, heart-attack") == ("heart",)
    assert words.named("") == ()


def test_findings_tell_of_each_entity_whether_it_is_named() -> None:
    words = Dictionary(NAMES)
    assert words.groups.names == ("MI", "heart", "ST")
    assert words.groups.entities[0] == (None, "MI")
    assert words.findings(["heart attack", "none", "heart, st"]).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert words.findings([]).shape == (0, 3)


@given(st.lists(st.sampled_from(["aa", "ab", "ba", "aab", "aa ba"]), min_size=1, unique=True), st.text(alphabet="ab ,", max_size=30))
def test_the_automaton_finds_what_a_plain_search_finds(forms: list[str], text: str) -> None:
    longest_first = sorted(forms, key=len, reverse=True)
    plain = re.compile(r"(?<![^\W_])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![^\W_])")
    expected = list(dict.fromkeys(plain.findall(folded(text))))
    assert list(Dictionary({form: [form] for form in forms}).named(text)) == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [({"x": ["a"]}, "too short"), ({"x": ["Flu "], "y": ["flu"]}, "names both 'x' and 'y'"), ({}, "no name"), ({"x": []}, "no name")],
)
def test_a_dictionary_that_cannot_tell_is_refused(names: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(KnowledgeError, match=sentence):
        Dictionary(names)
