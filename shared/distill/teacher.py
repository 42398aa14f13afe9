"""Teachers: fitted by an institution on its own records, kept in a folder, never shown to anyone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from shared.data.records import Records, labelled
from shared.data.split import hold_out
from shared.data.statistics import choose_exponents, exponent_counts, moment_counts, normalisation
from shared.distill.hard_labels import HardLabels
from shared.distill.heads import WithinHeads, site_heads
from shared.distill.held_out import HeldOut
from shared.distill.loop import Fit
from shared.distill.resume import Carried, Resume
from shared.errors import CheckpointError, EmptyInstitutionError, MissingFileError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.frozen import Frozen
from shared.models.build import build
from shared.models.checkpoint import load_model, model_bytes
from shared.models.device import CPU, device_of, repeatable
from shared.models.features import Features
from shared.models.layers import use_dropout
from shared.models.network import Network, count_parameters, trimmed_for
from shared.models.seeds import derive, generator
from shared.models.vector import parameters_in_order
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import Task
from shared.work import Normalisation

VALIDATION_FRACTION = 0.2
FEWEST_TO_VALIDATE = 30
"""Fewer training records than this are all learnt from: a handful held out would choose by chance."""
PATIENCE = 8
"""Epochs without a better validation loss after which the fit stops."""
SMOOTHING = 0.1
"""Label smoothing: a teacher that is sure of everything teaches no more than the labels do."""
MODEL_FILE, CARD_FILE = "model.safetensors", "teacher.json"


class TeacherCard(Frozen):
    """``teacher.json``: which file belongs to it."""

    format: Literal["fedstill-teacher-1"] = "fedstill-teacher-1"
    model_sha256: str
    parameters: int


def fit_teacher(
    records: Records,
    task: Task,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    seed: int,
    resume: Resume | None = None,
    device: torch.device = CPU,
) -> Network:
    """Fits a model on training records that have a label; a seeded fifth of them decides when to stop, and the best epoch is kept.

    Records without a label teach it nothing. With ``resume`` a fit that was killed goes on, bit for bit. It computes on
    ``device``, and the teacher comes back to the CPU. Raises
    :class:`EmptyInstitutionError` without labelled records and :class:`NotFiniteError` where the fit diverges.
    """
    records = labelled(records)
    if not len(records):
        raise EmptyInstitutionError("there are no labelled training records to fit a teacher on; give the institution some")
    teacher = build(network, task, own_normalisation(task, records), seed=derive(seed, "teacher")).to(device)
    learnt, validated = _parts(records, seed)
    held_out = HeldOut(teacher, validated, PATIENCE) if validated is not None else None
    with repeatable(device):
        for _ in _fit(teacher, learnt, training, seed, held_out, resume):
            if held_out is not None and held_out.is_enough():
                break
    use_dropout(teacher, None)
    if held_out is not None:
        held_out.put_back()
    return teacher.to(CPU).eval()


def own_normalisation(task: Task, records: Records) -> Normalisation:
    """Mean and deviation of the institution's own numeric inputs: a teacher knows no one else's."""
    exponents = choose_exponents(task, exponent_counts(task, records))
    return normalisation(task, moment_counts(task, records, exponents), exponents)


def save_teacher(folder: Path, teacher: Network) -> None:
    """Writes ``model.safetensors`` and ``teacher.json``, private to the owner, so that a crash leaves no half teacher."""
    content = model_bytes(teacher)
    card = TeacherCard(model_sha256=hashlib.sha256(content).hexdigest(), parameters=count_parameters(teacher))
    write_atomic(folder / MODEL_FILE, content, mode=PRIVATE_MODE)
    write_atomic(folder / CARD_FILE, card.canonical() + b"\n", mode=PRIVATE_MODE)


def load_teacher(folder: Path, task: Task | None = None) -> Network:
    """The teacher in a folder; if ``task`` is given, the teacher must have been fitted for it.

    Raises :class:`CheckpointError` where there is none, it is damaged, or it is another task's.
    """
    try:
        card = TeacherCard.parse(read_bytes(folder / CARD_FILE, what="teacher"))
        content = read_bytes(folder / MODEL_FILE, what="teacher")
    except MissingFileError as error:
        raise CheckpointError(f"there is no teacher in {folder}; fit one with 'fedstill teacher fit' or copy one there") from error
    except ValidationError as error:
        raise CheckpointError(f"{folder / CARD_FILE} is damaged; fit the teacher again or restore a copy") from error
    if hashlib.sha256(content).hexdigest() != card.model_sha256:
        raise CheckpointError(f"{folder / MODEL_FILE} is not the file that {CARD_FILE} names; fit the teacher again or restore a copy")
    teacher = load_model(folder / MODEL_FILE)
    if task is not None and teacher.task != task:
        raise CheckpointError(f"the teacher in {folder} was fitted for another task (labels, columns or size); fit it again")
    return teacher


def _fit(
    teacher: nn.Module, records: Records, training: TrainingSettings, seed: int, held_out: HeldOut | None, resume: Resume | None
) -> Iterator[float]:
    device = device_of(teacher)
    inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
    heads, dropout = site_heads(teacher, records.labels), generator(seed, "teacher", "dropout", device=device)
    term = HardLabels(SMOOTHING) if heads is None else WithinHeads(HardLabels(SMOOTHING), heads)

    def loss(rows: Tensor) -> Tensor:
        teacher.train()
        batch = trimmed_for(teacher, inputs.index_select(0, rows)).to(device)
        value: Tensor = term(Features(teacher(batch)), None, labels.index_select(0, rows).to(device))
        return value.mean()

    use_dropout(teacher, dropout)
    carried: dict[str, Carried] = {"dropout": dropout, **({"held out": held_out} if held_out is not None else {})}
    batches = generator(seed, "teacher", "batches")
    return iter(Fit(parameters_in_order(teacher), loss, len(records), training, batches, resume=resume, carried=carried))


def _parts(records: Records, seed: int) -> tuple[Records, Records | None]:
    if len(records) < FEWEST_TO_VALIDATE:
        return records, None
    split = hold_out(records, VALIDATION_FRACTION, seed=seed, site="teacher-validation")
    return split.train, split.test
