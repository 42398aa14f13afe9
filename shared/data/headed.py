"""Which heads a task may have, by its records: a column that says each row's question, or sites that share no label."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from shared.data.csvfile import read_table
from shared.data.images import holds_labels, image_files, subfolders
from shared.data.naming import institution_name
from shared.errors import LabelError
from shared.sources import CsvData, DataSource, ImageFolderData
from shared.task import Head, TabularTask, TextTask

FEWEST_LABELS = 2
"""A head of one label asks nothing."""


class Group(NamedTuple):
    """Sites that are connected by labels they share, and all their labels; both in order of names."""

    sites: tuple[str, ...]
    labels: tuple[str, ...]


def with_heads(task: TabularTask | TextTask, data: CsvData, column: str) -> TabularTask | TextTask:
    """The task with a head for each value of ``column``, in order of names, of the labels in its rows. The column is no input then.

    Raises :class:`LabelError` for a row without a value, a value with fewer than :data:`FEWEST_LABELS` labels, and a label of two values,
    and :class:`MissingColumnError`.
    """
    table, missing, asked = read_table(data), frozenset(data.missing), dict[str, set[str]]()
    for (line, value), (_, label) in zip(table.cells(column), table.cells(task.label), strict=True):
        if label in missing and data.unlabelled:
            continue
        if value in missing:
            raise LabelError(f"{table.place(line, column)} names no head; say to which question each row's label is the answer")
        asked.setdefault(value, set()).add(label)
    for value, labels in asked.items():
        if len(labels) < FEWEST_LABELS:
            raise LabelError(f"{table.path}: the head '{value}' of column '{column}' has one label only; a question has at least 2 answers")
        for other, others in asked.items():
            if other != value and (both := labels & others):
                raise LabelError(
                    f"{table.path}: the label '{min(both)}' is in the heads '{value}' and '{other}' of column '{column}'; "
                    "a label must tell its head: write it differently in each, as in 'steel: scratch'"
                )
    heads = tuple(Head(name=name, labels=tuple(one for one in task.labels if one in asked[name])) for name in sorted(asked))
    changed: dict[str, object] = {"heads": heads, "labels": tuple(label for head in heads for label in head.labels)}
    if isinstance(task, TabularTask):
        changed["columns"] = tuple(one for one in task.columns if one.name != column)
    return type(task).model_validate({**task.model_dump(), **changed})


def labels_by_site(data: DataSource, label: str) -> dict[str, set[str]]:
    """The labels that each site has, by its institution's name, where a source tells sites apart; else nothing. Reads no image."""
    found: dict[str, set[str]] = {}
    if isinstance(data, CsvData) and data.site_column is not None:
        table, missing = read_table(data), frozenset(data.missing)
        for (_, site), (_, text) in zip(table.cells(data.site_column), table.cells(label), strict=True):
            if text not in missing:
                found.setdefault(institution_name(site), set()).add(text)
    if isinstance(data, ImageFolderData) and not holds_labels(data.path):
        for place in subfolders(data.path):
            found[institution_name(place.name)] = {folder.name for folder in subfolders(place) if image_files(folder)}
    return {name: labels for name, labels in found.items() if name and labels}


def groups(labels: Mapping[str, Collection[str]]) -> list[Group]:
    """The sites parted so that two parts have no label in common, into as many parts as can be: the graph's connected components."""
    parts: list[tuple[set[str], set[str]]] = []
    for site in sorted(labels):
        sites, whole = {site}, set(labels[site])
        for part in [part for part in parts if part[1] & whole]:
            parts.remove(part)
            sites, whole = sites | part[0], whole | part[1]
        parts.append((sites, whole))
    return sorted(Group(tuple(sorted(sites)), tuple(sorted(whole))) for sites, whole in parts)
