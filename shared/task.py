"""What is learnt: labels, input schema, and which figures of it may be summed. No torch here: the coordinator plans with it.

A task's raw input is one array, the same that the exported graph takes: ``float32 (batch, columns)`` for tables
(categories as their index, NaN for missing), ``uint8 (batch, height, width, channels)`` for images, and
``int32 (batch, tokens)`` for texts.

A task may have several ``heads``: they part ``labels``, each record belongs to the head that has its label, and is learnt, graded and
answered among the labels of that head alone. The model has one output a label either way.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from shared.frozen import Frozen

Labels = Annotated[tuple[str, ...], Field(min_length=2, max_length=10_000)]


Strategy = Literal["classes", "surface", "structure"]
"""How hidden states are compared for a head's records (``shared/distill/strategies.py``)."""


class Head(Frozen):
    """One of several questions that one student answers: ``labels`` of its own, of which a record of the head has one.

    ``strategy`` is how its records learn from hidden states: as ``classes`` (squared distance), as a ``surface`` (absolute distance)
    or as a ``structure`` (squared distance and structural similarity of feature maps). ``weight`` is how much its records count
    beside those of other heads at the same institution.
    """

    name: str = Field(min_length=1, max_length=200)
    labels: Labels
    strategy: Strategy = "classes"
    weight: float = Field(default=1.0, gt=0.0, le=1000.0)


class _Classification(Frozen):
    labels: Labels
    heads: tuple[Head, ...] = ()

    @model_validator(mode="after")
    def _heads_part_the_labels(self) -> Self:
        if not self.heads:
            return self
        names = [head.name for head in self.heads]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two heads have the name '{twice[0]}'; give each its own")
        if tuple(label for head in self.heads for label in head.labels) != self.labels:
            raise ValueError("the labels of the heads, one after the other, must be the task's labels in the same order")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be unique, or a label would not tell its head")
        return self


class NumericColumn(Frozen):
    """A column of numbers; a missing value is NaN in the input and an indicator inside the model."""

    kind: Literal["numeric"] = "numeric"
    name: str = Field(min_length=1)


class CategoricalColumn(Frozen):
    """A column with a closed list of values; in the input it is the index of the value, NaN where missing."""

    kind: Literal["categorical"]
    name: str = Field(min_length=1)
    categories: tuple[str, ...] = Field(min_length=1, max_length=10_000)


def _kind(column: Any) -> str:
    # A column without a kind is numeric: the common case stays short in federation.toml.
    kind = column.get("kind", "numeric") if isinstance(column, dict) else getattr(column, "kind", "numeric")
    return str(kind)


Column = Annotated[Annotated[NumericColumn, Tag("numeric")] | Annotated[CategoricalColumn, Tag("categorical")], Discriminator(_kind)]


class TabularTask(_Classification):
    """Classification of table rows. ``label`` is the column that holds one of ``labels``."""

    family: Literal["tabular"]
    label: str = Field(min_length=1)
    columns: tuple[Column, ...] = Field(min_length=1, max_length=4096)

    @model_validator(mode="after")
    def _names_are_unique(self) -> TabularTask:
        names = [column.name for column in self.columns] + [self.label]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column names must be unique and differ from the label; twice: {', '.join(twice)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be unique")
        return self

    @property
    def numeric(self) -> tuple[int, ...]:
        """Positions of the numeric columns within the input, in order."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "numeric")


class ImageTask(_Classification):
    """Classification of images of one size; a folder reader resizes to ``size`` × ``size`` before anything else."""

    family: Literal["image"]
    size: int = Field(ge=4, le=1024)
    channels: Literal[1, 3] = 3


class TextTask(_Classification):
    """Classification of short texts. ``text`` and ``label`` are columns of a CSV file.

    The raw input is int32 ``(batch, tokens)``, at most ``max_tokens``, made by the tokeniser whose file has the SHA-256
    ``tokenizer_sha256`` (lower-case hex) and ``vocabulary`` ids; rows end in ``padding``. The file itself lies where
    ``tokenizer_path`` of the configuration says, and travels in the artifact.
    """

    family: Literal["text"]
    text: str = Field(default="text", min_length=1)
    label: str = Field(default="label", min_length=1)
    tokenizer_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    vocabulary: int = Field(ge=2, le=1_000_000)
    padding: int = Field(default=0, ge=0)
    max_tokens: int = Field(default=64, ge=4, le=4096)


Task = Annotated[TabularTask | ImageTask | TextTask, Field(discriminator="family")]


def numeric_inputs(task: Task) -> int:
    """How many inputs have a mean and a deviation: numeric columns of a table, channels of an image; none of a text."""
    match task:
        case TabularTask():
            return len(task.numeric)
        case ImageTask():
            return task.channels
        case TextTask():
            return 0
