"""What every teacher's answer goes through: the wanted places, labels in the task's order, files named by a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from shared.distill.masks import pooled
from shared.errors import CheckpointError, MissingFileError
from shared.models.features import Features
from shared.task import Task

SMALLEST_PROBABILITY = 1e-7
"""Smaller probabilities count as this one, so that their logarithm stays a number that can be learnt from."""


def chosen(found: Features, hidden: Sequence[int], attentions: Sequence[int]) -> Features:
    """Of a model's features those that are wanted, detached, on the CPU, in float32; attention ``l`` is that of block ``l``.

    Where the model has not one attention map a block and record (windows, pooling), activation attention of the states stands in.
    """
    states, maps = found.hidden_states, found.attentions
    if attentions and not _one_a_block(found):
        picked = [_activation(states[place]) for place in attentions]
    else:
        picked = [maps[place - 1] for place in attentions]
    part = Features(found.logits, tuple(states[place] for place in hidden), tuple(picked))
    moved = part.map(lambda tensor: tensor.detach().to("cpu", torch.float32))
    mask = found.mask.detach().to("cpu", torch.bool) if found.mask is not None and (hidden or attentions) else None
    return Features(moved.logits, moved.hidden_states, moved.attentions, mask)


def averaged(found: Features) -> Features:
    """Features whose states are the means of each record's real tokens, ``(batch, 1, width)``, and without maps: what two models that
    split texts differently can be compared by. Their tokens are no one another's, even where they happen to be equally many."""
    return Features(found.logits, tuple(pooled(state, found.mask) for state in found.hidden_states))


def label_order(names: Sequence[str], task: Task, *, where: Path) -> tuple[int, ...]:
    """For each label of the task the place of the teacher's logit: by name where the names are the same, else in order.

    Names count as equal whatever their case. Raises :class:`CheckpointError` where the number differs, or where some names fit
    and others do not: then no order can be trusted.
    """
    theirs, ours = [name.strip().casefold() for name in names], [label.strip().casefold() for label in task.labels]
    if len(theirs) != len(ours):
        raise CheckpointError(
            f"the teacher in {where} knows {len(theirs)} labels, but the task has {labels_of(task)}; choose a teacher of the task's labels"
        )
    if set(theirs) == set(ours) and len(set(ours)) == len(ours):
        return tuple(theirs.index(name) for name in ours)
    if set(theirs) & set(ours):
        raise CheckpointError(
            f"the teacher in {where} knows some of the task's labels and some others, so they cannot be told apart; "
            f"give its labels the task's names"
        )
    return tuple(range(len(ours)))


def labels_of(task: Task) -> str:
    """How many labels a teacher of the task must answer, in words; of a task with heads those of all, whoever has records of one alone."""
    count = f"{len(task.labels)} labels"
    return f"{count} (of all {len(task.heads)} heads, one head's after the other's)" if task.heads else count


def log_probabilities(probabilities: Tensor) -> Tensor:
    """``log p``, float32, with ``p`` no smaller than :data:`SMALLEST_PROBABILITY`: what a softmax makes into ``p`` again."""
    return probabilities.to(torch.float32).clamp_min(SMALLEST_PROBABILITY).log()


def digest_of(paths: Iterable[Path], *more: object) -> str:
    """SHA-256 (hex) over files, by name, and over whatever else decides what the teacher says.

    Raises :class:`CheckpointError` where a file cannot be read.
    """
    digest = hashlib.sha256(repr(more).encode())
    for path in sorted(paths):
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise CheckpointError(f"cannot read the teacher's file {path}: {error.strerror}; check its permissions") from error
        digest.update(len(path.name).to_bytes(2, "big") + path.name.encode() + content)
    return digest.hexdigest()


def telling_file(path: Path, name: str) -> Path:
    """The file itself, or the file ``name`` in the folder. Raises :class:`MissingFileError`."""
    found = path if path.is_file() else path / name
    if not found.is_file():
        raise MissingFileError(f"there is no {found}; check the teacher's path")
    return found


def damaged(path: Path, error: BaseException) -> CheckpointError:
    """The error for a teacher that a library could not load; the library's own words may quote what lies there, so only their kind."""
    return CheckpointError(
        f"the teacher in {path} is damaged or of a kind that cannot be loaded ({type(error).__name__}); copy it there again"
    )


def _one_a_block(found: Features) -> bool:
    states = found.hidden_states[1:]
    pairs = zip(found.attentions, states, strict=False)
    return len(found.attentions) == len(states) and all(one.shape[0] == len(found.logits) == state.shape[0] for one, state in pairs)


def _activation(state: Tensor) -> Tensor:
    return functional.normalize(state.to(torch.float32).square().mean(dim=-1), dim=1)
