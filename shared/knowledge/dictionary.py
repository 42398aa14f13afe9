"""Which entities a text names: all names of a dictionary at once, whole words, longest first (Aho and Corasick 1975)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import KnowledgeError
from shared.knowledge.evidence import Groups

SHORTEST = 2
"""Characters of a name. A single letter is in every text."""
_SPACES = re.compile(r"\s+")


class Dictionary:
    """Names of entities, found in texts without regard to case or to how words are spaced.

    ``names``: of each entity the names it goes by. A name is found only as whole words; where names overlap the longest one that begins
    first is taken. Raises :class:`KnowledgeError` for a name that is too short or that two entities go by.
    """

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        import ahocorasick

        self.entities = tuple(names)
        owners: dict[str, int] = {}
        for number, (entity, forms) in enumerate(names.items()):
            for form in forms:
                plain = folded(form)
                if len(plain) < SHORTEST:
                    raise KnowledgeError(f"'{form}' is too short to name '{entity}' in a text; use {SHORTEST} characters or more")
                if owners.setdefault(plain, number) != number:
                    raise KnowledgeError(f"'{form}' names both '{self.entities[owners[plain]]}' and '{entity}'; keep it for one of them")
        if not owners:
            raise KnowledgeError("the dictionary has no name; give each entity at least one")
        self._words: Any = ahocorasick.Automaton()
        for plain, number in owners.items():
            self._words.add_word(plain, (len(plain), number))
        self._words.make_automaton()

    def named(self, text: str) -> tuple[str, ...]:
        """The entities that ``text`` names, each once, in the order of their first mention."""
        plain, end, found = folded(text), 0, dict[str, None]()
        hits = sorted((last + 1 - length, -length, number) for last, (length, number) in self._words.iter(plain))
        for start, negative, number in hits:
            if start >= end and _whole(plain, start, start - negative):
                end = start - negative
                found[self.entities[number]] = None
        return tuple(found)

    @property
    def groups(self) -> Groups:
        """A group an entity, of two alternatives: 0, not named; 1, named."""
        return Groups(self.entities, tuple((None, entity) for entity in self.entities))

    def findings(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Which entities each text names ``(texts, entities)``, 0 or 1. A text tells all: what it does not name is not missing."""
        places = {entity: place for place, entity in enumerate(self.entities)}
        rows = [[places[entity] for entity in self.named(text)] for text in texts]
        found = np.zeros((len(rows), len(self.entities)), dtype=np.int64)
        for number, named in enumerate(rows):
            found[number, named] = 1
        return found


def folded(text: str) -> str:
    """``text`` without case, and with one space between words."""
    return _SPACES.sub(" ", text).strip().casefold()


def _whole(text: str, start: int, end: int) -> bool:
    # A letter or digit on either side makes the hit a part of a longer word.
    return not ((start > 0 and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum()))
