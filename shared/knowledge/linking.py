"""Which entities a table's record names: a declared mapping of categories and ranges of values, and back from findings to a record."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, field_serializer, field_validator, model_validator

from shared.errors import KnowledgeError
from shared.frozen import Frozen
from shared.knowledge.evidence import MISSING, Groups
from shared.task import CategoricalColumn, ImageTask, TabularTask, TextTask


class CategoryLink(Frozen):
    """The entities that categories of ``column`` name, by category; a category that is left out names none."""

    kind: Literal["category"] = "category"
    column: str
    entities: dict[str, str]


class RangeLink(Frozen):
    """The entities that ranges of ``column`` name. ``edges`` ascend; range 0 lies below the first, range k from edge k-1 (included)
    to edge k, the last from the last edge on. ``entities``: one a range, None (in a file: ``""``) where a range names none.
    """

    kind: Literal["range"] = "range"
    column: str
    edges: tuple[float, ...] = Field(min_length=1)
    entities: tuple[str | None, ...]

    @field_validator("entities", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return tuple(name or None for name in value) if isinstance(value, list | tuple) else value

    @field_serializer("entities", when_used="json")
    def _write(self, value: tuple[str | None, ...]) -> tuple[str, ...]:
        # TOML, in which mappings are written, has no null.
        return tuple(name or "" for name in value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"the edges of '{self.column}' must ascend")
        if len(self.entities) != len(self.edges) + 1:
            raise ValueError(f"'{self.column}' has {len(self.edges) + 1} ranges but {len(self.entities)} entities; give one a range")
        return self


Link = Annotated[CategoryLink | RangeLink, Field(discriminator="kind")]


class LabelMapping(Frozen):
    """How the labels of records and a graph meet, which is all there is of images. ``classes``: the entity of each label, left out
    where a label is the absence of another; ``relations``: those that tie findings to classes, all if empty; ``hops``: how many
    triples apart they may be.
    """

    classes: dict[str, str]
    relations: tuple[str, ...] = ()
    hops: int = Field(default=1, ge=1, le=4)

    def class_entities(self, task: TabularTask | ImageTask | TextTask) -> tuple[str | None, ...]:
        """The entity of each of the task's labels, None where it has none. Raises :class:`KnowledgeError` for a label that is none."""
        if unknown := sorted(set(self.classes) - set(task.labels)):
            raise KnowledgeError(f"the mapping names the class '{unknown[0]}'; the task's labels are {', '.join(task.labels)}")
        return tuple(self.classes.get(label) for label in task.labels)


class TextMapping(LabelMapping):
    """As :class:`LabelMapping`, with the ``names`` that entities go by in texts; without any each goes by its own name in the graph."""

    names: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class TableMapping(LabelMapping):
    """As :class:`LabelMapping`, with ``columns``: one link a column."""

    columns: tuple[Link, ...] = Field(min_length=1)

    def checked(self, task: TabularTask) -> TableMapping:
        """This mapping if it fits ``task``; raises :class:`KnowledgeError` for a label, column, category or kind that does not."""
        columns = {column.name: column for column in task.columns}
        self.class_entities(task)
        names = [link.column for link in self.columns]
        for link in self.columns:
            if link.column not in columns or names.count(link.column) > 1:
                raise KnowledgeError(
                    f"the mapping's column '{link.column}' is not a column of the task, or is linked twice; link each once"
                )
            _check_link(link, columns[link.column])
        return self

    def groups(self, task: TabularTask) -> Groups:
        """A group a linked column: its categories, or its ranges."""
        alternatives = [_alternatives(link, column) for link, column, _ in self._placed(task)]
        return Groups(tuple(link.column for link in self.columns), tuple(alternatives))

    def findings(self, task: TabularTask, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
        """The alternative of each group that each record has ``(records, groups)``; ``inputs (records, columns)`` with NaN as missing."""
        found = np.full((len(inputs), len(self.columns)), MISSING, dtype=np.int64)
        for place, (link, column, number) in enumerate(self._placed(task)):
            values = inputs[:, number]
            known = ~np.isnan(values)
            if isinstance(link, RangeLink):
                found[known, place] = np.searchsorted(np.array(link.edges), values[known].astype(np.float64), side="right")
            elif isinstance(column, CategoricalColumn):
                inside = known & (values >= 0) & (values < len(column.categories))
                found[inside, place] = values[inside].astype(np.int64)
        return found

    def records(
        self,
        task: TabularTask,
        findings: NDArray[np.int64],
        donors: NDArray[np.float32],
        random: np.random.Generator,
        rows: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Raw inputs ``(records, columns)`` that have ``findings``: :meth:`findings` of them gives ``findings`` back where a donor shows
        the range. A category is its index. A number is drawn from the ``donors`` in its range, and is missing where none is. A
        column without a link, and a finding that is missing, is filled from one donor a record: those at ``rows`` ``(records,)``, or drawn.
        """
        inputs: NDArray[np.float32] = donors[random.integers(0, len(donors), len(findings)) if rows is None else rows]
        own = self.findings(task, donors)
        for place, (link, _, number) in enumerate(self._placed(task)):
            told = findings[:, place]
            if not isinstance(link, RangeLink):
                inputs[told != MISSING, number] = told[told != MISSING]
                continue
            for alternative in np.unique(told[told != MISSING]):
                chosen, pool = np.flatnonzero(told == alternative), donors[own[:, place] == alternative, number]
                inputs[chosen, number] = random.choice(pool, len(chosen)) if len(pool) else np.nan
        return inputs

    def _placed(self, task: TabularTask) -> list[tuple[CategoryLink | RangeLink, object, int]]:
        numbers = {column.name: number for number, column in enumerate(task.columns)}
        return [(link, task.columns[numbers[link.column]], numbers[link.column]) for link in self.columns]


Mapping = TableMapping | TextMapping | LabelMapping
"""What a configuration may say, by the fields that it has."""


_MAPPING: TypeAdapter[Mapping] = TypeAdapter(Mapping)


def parse_mapping(content: bytes) -> Mapping:
    """The mapping whose canonical JSON is ``content``. Raises :class:`KnowledgeError` for other bytes."""
    try:
        return _MAPPING.validate_json(content)
    except ValidationError as error:
        raise KnowledgeError("the mapping that came is not one of this release; install the same release on both sides") from error


def _alternatives(link: CategoryLink | RangeLink, column: object) -> tuple[str | None, ...]:
    if isinstance(link, RangeLink):
        return link.entities
    assert isinstance(column, CategoricalColumn)
    return tuple(link.entities.get(category) for category in column.categories)


def _check_link(link: CategoryLink | RangeLink, column: object) -> None:
    categories = column.categories if isinstance(column, CategoricalColumn) else None
    if isinstance(link, RangeLink):
        if categories is not None:
            raise KnowledgeError(f"the mapping gives ranges of '{link.column}', which is categorical; map its categories")
        return
    if categories is None:
        raise KnowledgeError(f"the mapping gives categories of '{link.column}', which is numeric; map ranges of it")
    if unknown := sorted(set(link.entities) - set(categories)):
        raise KnowledgeError(f"the mapping's category '{unknown[0]}' of '{link.column}' is not one of {', '.join(categories)}")
