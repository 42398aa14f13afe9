"""Quantisation-aware training of one student on one's own records, from calibrated ranges to learnt ones."""

from __future__ import annotations

import torch

from shared.compress.qat.student import QuantisationAware, prove
from shared.compress.quantise import Ranges
from shared.data.records import Records
from shared.distill.depth import Wanted
from shared.distill.targets import Targets
from shared.distill.trainer import distil
from shared.models.device import CPU
from shared.models.network import Network
from shared.settings import DistillationSettings, TrainingSettings
from shared.work import AT_THE_END

PROOF_RECORDS = 64


def heal_quantised(
    student: Network,
    targets: Targets | None,
    records: Records,
    training: TrainingSettings,
    distillation: DistillationSettings,
    *,
    ranges: Ranges,
    grid: str,
    seed: int,
    learn: bool = True,
    span: tuple[float, float] = AT_THE_END,
    head: str | None = None,
    wanted: Wanted | None = None,
    device: torch.device = CPU,
) -> dict[str, tuple[float, float]]:
    """Trains ``student`` in place for ``training.epochs`` with the arithmetic of ``quantise(export_float(student, task), ranges, grid)``.

    Gives back the ranges to quantise it with: those learnt, or, without ``learn``, those given. ``targets`` are the teacher's in
    the records' order, or none; the other arguments are as of :func:`shared.distill.trainer.distil`. Equal arguments give
    bit-identical students and ranges on the CPU. Raises :class:`ArtifactError` where the student's calls cannot be matched with
    its graph, and what :func:`distil` raises.
    """
    aware = QuantisationAware(student, ranges, grid, learn=learn)
    distil(aware, targets, records, training, distillation, seed=seed, span=span, head=head, wanted=wanted, device=device)
    student.eval()
    prove(aware, records.inputs[:PROOF_RECORDS])
    return aware.ranges()
