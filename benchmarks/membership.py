"""Membership inference: was this record among those that an update was learnt from?

Members are compared with records of the same label that were not, so that knowing which labels somebody has gives nothing.
The figure is the area under the ROC curve: 0.5 is a coin, 1 is certainty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from torch.func import vmap
from torch.nn import functional

from benchmarks.inversion import Gradient
from shared.data import Records
from shared.distill.evaluation import LARGEST_LOSS
from shared.models import Network, load_vector, to_vector
from shared.models.network import predict_logits

_BATCH = 64


def gradients(gradient: Gradient, records: Records) -> NDArray[np.float32]:
    """Each record's own gradient ``(n, d)``."""
    each = vmap(lambda inputs, label: gradient(inputs[None], label[None]))
    inputs, labels = torch.from_numpy(records.inputs).to(torch.float32), torch.from_numpy(records.labels)
    parts = [each(inputs[start : start + _BATCH], labels[start : start + _BATCH]) for start in range(0, len(records), _BATCH)]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def alignment(update: NDArray[np.float64], own: NDArray[np.float32], usual: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far an update of one step points along what is a record's alone: ``own (n, d)`` gradients less its label's ``usual``.

    A gradient-alignment attack as in Nasr et al. 2019 (white box, passive): higher for members.
    """
    alone = own - usual
    scores: NDArray[np.float64] = -(alone @ update) / (np.linalg.norm(alone, axis=1) + 1e-12)
    return scores


def loss_drop(model: Network, update: NDArray[np.float64], records: Records) -> NDArray[np.float64]:
    """How much a record's loss falls by an update of many steps (Yeom et al. 2018, with the model before as calibration)."""
    before = to_vector(model)
    first = _losses(model, records)
    load_vector(model, before + update.astype(np.float32))
    second = _losses(model, records)
    load_vector(model, before)
    return first - second


def surety(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """``log(p / (1 - p))`` of the true label's probability, ``(n,)``: what Carlini et al. 2022 (section IV.C) score a record by, for it is
    nearly normal where a loss is not. It orders records as the loss does."""
    found = logits.astype(np.float64)
    rows = np.arange(len(labels))
    true = found[rows, labels]
    others = found.copy()
    others[rows, labels] = -np.inf
    result: NDArray[np.float64] = true - logsumexp(others, axis=1)
    return result


def beyond(found: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much higher each record's score is than the least-squares line of the scores on what is ``usual`` of it, both ``(n,)``."""
    line = np.stack([usual, np.ones(len(usual))], axis=1)
    residual: NDArray[np.float64] = found - line @ np.linalg.lstsq(line, found, rcond=None)[0]
    return residual


def auc(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The chance that a member scores above another record, a tie counting half."""
    truth = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    return float(roc_auc_score(truth, np.concatenate([members, others])))


def _losses(model: Network, records: Records) -> NDArray[np.float64]:
    logits = torch.from_numpy(predict_logits(model, records.inputs)).to(torch.float64)
    losses: NDArray[np.float64] = functional.cross_entropy(logits, torch.from_numpy(records.labels), reduction="none").numpy()
    # A masked update makes a model whose logits are no numbers: it says nothing about any record.
    return np.nan_to_num(losses, nan=0.0, posinf=LARGEST_LOSS)
