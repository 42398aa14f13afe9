"""The coordinator's own student, learnt from proxy records and what all institutions together answered (FedDF, Lin et al. 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.config import FederationConfig
from shared.data.records import UNLABELLED, Records
from shared.distill.targets import HeldTargets
from shared.distill.trainer import distil
from shared.models.derive import first_student
from shared.models.features import Features
from shared.models.network import Network
from shared.models.seeds import derive
from shared.settings import DistillationSettings
from shared.work import Normalisation


def student_of_consensus(
    config: FederationConfig, normalisation: Normalisation, inputs: NDArray[Any], table: NDArray[np.float32]
) -> Network:
    """The federation's first student, distilled on proxy records from the consensus ``table`` float32 ``(records, labels)`` alone.

    Soft targets at ``proxy.temperature`` for ``proxy.epochs``; the rest as [training] says, without its patience, for nobody's
    records have labels. A function of its arguments: equal ones give equal bits. Raises as :func:`shared.distill.trainer.distil`.
    """
    if config.proxy is None:
        raise ValueError("only a federation with [proxy] has a consensus to learn from")
    student = first_student(config, normalisation)
    records = Records(inputs, np.full(len(inputs), UNLABELLED, np.int64))
    distil(
        student,
        HeldTargets(Features(torch.from_numpy(table))),
        records,
        config.training.model_copy(update={"epochs": config.proxy.epochs, "patience": 0}),
        DistillationSettings(temperature=config.proxy.temperature, soft_weight=1.0, hidden_weight=0.0, attention_weight=0.0),
        seed=derive(config.seed, "consensus"),
    )
    return student
