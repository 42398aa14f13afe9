"""Bayesian networks from BIF files: read, checked, and asked for exact marginals of one node given another.

Format: Cozman 1998, "The Interchange Format for Bayesian Networks" (BIF 0.15): ``network``, ``variable`` and ``probability``
blocks. Only discrete variables. A network is read without any library: the grammar has twelve rules, and the optional
reader of the field (pgmpy) would bring pandas, statsmodels and huggingface_hub with it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import KnowledgeError
from shared.knowledge.reading import bounded_text

SUFFIX = ".bif"
MAX_BYTES = 64 << 20
"""No longer file is read, compressed or not: a table that needs more was not elicited from experts."""
MAX_TABLE = 10_000_000
"""No larger conditional table is built."""
MAX_WORK = 1_000_000_000
"""No marginal is computed that takes more products in one step: some seconds."""
SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may be from one before the file is refused; smaller gaps are rounding and are rescaled."""
_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"|[{}()\[\],;|]|[^\s{}()\[\],;|"]+', re.DOTALL)


@dataclass(frozen=True)
class Node:
    """One discrete variable: its states, its parents by name, and P(state | parents) ``(*parent states, states)``."""

    name: str
    states: tuple[str, ...]
    parents: tuple[str, ...]
    table: NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """A Bayesian network, its nodes in an order in which parents come first."""

    nodes: dict[str, Node]

    def ancestors(self, name: str) -> tuple[str, ...]:
        """``name`` and all it depends on, in the network's order. Raises :class:`KnowledgeError` for an unknown name."""
        if name not in self.nodes:
            raise KnowledgeError(f"the network has no variable '{name}'; name one of {', '.join(list(self.nodes)[:8])}, ...")
        needed = {name}
        for other in reversed(self.nodes):
            if other in needed:
                needed.update(self.nodes[other].parents)
        return tuple(other for other in self.nodes if other in needed)

    def joint(self, *names: str) -> NDArray[np.float64]:
        """Exact P(names) ``(states of each name)``: the product of the tables of all ancestors, summed over the others.

        Raises :class:`KnowledgeError` for an unknown name, and where so much depends on so much that no order of summing is short.
        """
        needed = sorted({other for name in names for other in self.ancestors(name)}, key=list(self.nodes).index)
        if len(needed) > len(string.ascii_letters):
            raise KnowledgeError(
                f"{len(needed)} variables lie above {', '.join(names)}; exact marginals end at {len(string.ascii_letters)}"
            )
        letters = dict(zip(needed, string.ascii_letters, strict=False))
        terms = [self.nodes[other] for other in needed]
        axes = ["".join(letters[part] for part in (*node.parents, node.name)) for node in terms]
        result = "".join(letters[name] for name in names)
        written, tables = f"{','.join(axes)}->{result}", [node.table for node in terms]
        path, _ = np.einsum_path(written, *tables, optimize=("greedy", MAX_TABLE))
        sizes = {letters[node.name]: len(node.states) for node in terms}
        if (work := _work(axes, result, path[1:], sizes)) > MAX_WORK:
            raise KnowledgeError(
                f"marginals of {', '.join(names)} take {work:.1g} products, at most {MAX_WORK:.0g} are made: too much depends on too much"
            )
        found: NDArray[np.float64] = np.einsum(written, *tables, optimize=path)
        return found


def _work(axes: Sequence[str], result: str, path: Sequence[tuple[int, ...]], sizes: dict[str, int]) -> int:
    """The products of the longest step: ``path`` says which of the remaining terms are contracted into a new last one."""
    terms, longest = list(axes), 0
    for step in path:
        taken = set().union(*(terms.pop(place) for place in sorted(step, reverse=True)))
        longest = max(longest, prod(sizes[letter] for letter in taken))
        terms.append("".join(sorted(taken & set(result).union(*terms))))
    return longest


def read_network(path: Path) -> Network:
    """The network of a ``.bif`` or ``.bif.gz`` file.

    Raises :class:`MissingFileError`, and :class:`KnowledgeError` for a file that is too large, is no BIF, has a cycle, or whose
    rows are no probabilities.
    """
    tokens = _Tokens(path, bounded_text(path, what="Bayesian network", limit=MAX_BYTES))
    states: dict[str, tuple[str, ...]] = {}
    rows: dict[str, _Rows] = {}
    while (word := tokens.next(end=True)) is not None:
        if word == "network":
            tokens.skip_to("{")
            tokens.skip_to("}")
        elif word == "variable":
            name, values = _variable(tokens)
            if name in states:
                raise tokens.error(f"declares '{name}' a second time")
            states[name] = values
        elif word == "probability":
            found = _probability(tokens)
            if found.name in rows:
                raise tokens.error(f"gives '{found.name}' probabilities a second time")
            rows[found.name] = found
        else:
            raise tokens.error(f"has '{word[:40]}' where network, variable or probability must begin")
    return _network(path, states, rows)


class _Tokens:
    """The words of a file with the line of the last one."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._text, self._at = path, text, 0
        self._words: Iterator[re.Match[str]] = _TOKEN.finditer(text)

    def next(self, *, end: bool = False) -> str | None:
        for match in self._words:
            self._at = match.start()
            word = match.group()
            if not word.startswith(("//", "/*")):
                return word.strip('"')
        if end:
            return None
        raise self.error("ends in the middle of a block")

    def word(self) -> str:
        found = self.next()
        assert found is not None
        return found

    def expect(self, wanted: str) -> None:
        found = self.word()
        if found != wanted:
            raise self.error(f"has '{found[:40]}' where '{wanted}' must stand")

    def skip_to(self, wanted: str) -> None:
        while self.word() != wanted:
            pass

    def number(self, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise self.error(f"has '{word[:40]}' where a probability must stand") from None
        if not 0.0 <= value <= 1.0 + SUM_TOLERANCE:
            raise self.error(f"has the probability {value:g}; it must lie between 0 and 1")
        return value

    def error(self, what: str) -> KnowledgeError:
        line = self._text.count("\n", 0, self._at) + 1
        return KnowledgeError(f"{self.path}, line {line} {what}; correct the file")


@dataclass(frozen=True)
class _Rows:
    name: str
    parents: tuple[str, ...]
    given: dict[tuple[str, ...], tuple[float, ...]]
    """Probabilities by the parents' states; ``()`` holds the whole table or the default."""


def _variable(tokens: _Tokens) -> tuple[str, tuple[str, ...]]:
    name = tokens.word()
    tokens.expect("{")
    values: tuple[str, ...] = ()
    while (word := tokens.word()) != "}":
        if word == "type":
            tokens.expect("discrete")
            tokens.skip_to("{")
            values = tuple(_until(tokens, "}"))
        if word != ";":
            tokens.skip_to(";")
    if not values:
        raise tokens.error(f"declares '{name}' without states")
    return name, values


def _until(tokens: _Tokens, last: str) -> Iterator[str]:
    while (word := tokens.word()) != last:
        if word != ",":
            yield word


def _probability(tokens: _Tokens) -> _Rows:
    tokens.expect("(")
    name = tokens.word()
    parents = tuple(word for word in _until(tokens, ")") if word != "|")
    tokens.expect("{")
    given: dict[tuple[str, ...], tuple[float, ...]] = {}
    while (word := tokens.word()) != "}":
        if word == "(":
            of = tuple(_until(tokens, ")"))
            given[of] = tuple(_numbers(tokens))
        elif word in ("table", "default"):
            given[()] = tuple(_numbers(tokens))
        else:
            tokens.skip_to(";")
    return _Rows(name, parents, given)


def _numbers(tokens: _Tokens) -> Iterator[float]:
    while (word := tokens.word()) != ";":
        if word != ",":
            yield tokens.number(word)


def _network(path: Path, states: dict[str, tuple[str, ...]], rows: dict[str, _Rows]) -> Network:
    for name in states:
        if name not in rows:
            raise KnowledgeError(f"{path} declares '{name}' but gives it no probabilities; add its block")
    nodes: dict[str, Node] = {}
    waiting = dict(rows)
    while waiting:
        ready = [found for found in waiting.values() if all(parent in nodes for parent in found.parents)]
        if not ready:
            raise KnowledgeError(f"{path}: the parents of '{next(iter(waiting))}' are not declared or form a cycle; correct them")
        for found in ready:
            nodes[found.name] = _node(path, found, states)
            del waiting[found.name]
    return Network(nodes)


def _node(path: Path, found: _Rows, states: dict[str, tuple[str, ...]]) -> Node:
    for name in (found.name, *found.parents):
        if name not in states:
            raise KnowledgeError(f"{path} gives probabilities for '{name}', which it does not declare; add its variable block")
    shape = tuple(len(states[name]) for name in (*found.parents, found.name))
    if prod(shape) > MAX_TABLE:
        raise KnowledgeError(f"{path}: the table of '{found.name}' has {prod(shape)} cells; at most {MAX_TABLE} can be read")
    table = np.full(shape, np.nan)
    whole = found.given.get((), ())
    if whole:
        _fill_whole(path, found.name, table, whole)
    for parents, values in found.given.items():
        if parents:
            _fill_row(path, found, states, table, parents, values)
    sums = table.sum(axis=-1, keepdims=True)
    if not bool(np.all(np.abs(sums - 1.0) <= SUM_TOLERANCE)):
        raise KnowledgeError(
            f"{path}: the probabilities of '{found.name}' are not complete or do not add up to 1 in each row; correct them"
        )
    return Node(found.name, states[found.name], found.parents, table / sums)


def _fill_whole(path: Path, name: str, table: NDArray[np.float64], values: tuple[float, ...]) -> None:
    if len(values) not in (table.size, table.shape[-1]):
        raise KnowledgeError(f"{path}: the table of '{name}' has {len(values)} numbers, not {table.size}; correct it")
    table[...] = np.array(values).reshape(table.shape if len(values) == table.size else table.shape[-1:])


def _fill_row(
    path: Path,
    found: _Rows,
    states: dict[str, tuple[str, ...]],
    table: NDArray[np.float64],
    parents: tuple[str, ...],
    values: tuple[float, ...],
) -> None:
    if len(parents) != len(found.parents) or len(values) != table.shape[-1]:
        raise KnowledgeError(f"{path}: a row of '{found.name}' does not fit its parents or states; correct it")
    try:
        place = tuple(states[name].index(state) for name, state in zip(found.parents, parents, strict=True))
    except ValueError:
        raise KnowledgeError(f"{path}: a row of '{found.name}' names a state that its parents do not have; correct it") from None
    table[place] = values
