"""The same fit by two well-known libraries of distillation, through their own loops: torchdistill and TextBrewer.

They are looked for in a folder, for they pull packages that fedstill must not have::

    pip install --no-deps --target DIR torchdistill==1.1.5 textbrewer==0.2.1.post1 torchvision==0.28.0 tensorboard==2.21.0

torchdistill imports torchvision, whose compiled operators need not fit the torch that is here. A text task uses none of them: those
that are missing are declared, without a body, so that the import passes.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

TEMPERATURE, SOFT_WEIGHT = 2.0, 0.8
_MOST_OPERATORS = 100


@dataclass(frozen=True)
class Pair:
    """Teacher and student, both ``ids (batch, tokens) -> logits (batch, labels)``, and what they learn from."""

    teacher: nn.Module
    student: nn.Module
    inputs: Tensor
    labels: Tensor
    padding: int
    batch_size: int
    epochs: int
    rate: float


def use_folder(folder: Path) -> None:
    """Makes the packages in ``folder`` importable, behind those that are installed."""
    sys.path.append(str(folder))


def by_torchdistill(pair: Pair) -> None:
    """Run torchdistill's box with its ``KDLoss``, as its example of text classification runs it."""
    box_module = _import_torchdistill()
    from torchdistill.datasets.registry import register_collate_func

    if not getattr(by_torchdistill, "registered", False):
        register_collate_func(lambda batch: _collated(batch, pair.padding), key="fedstill_collate")
        by_torchdistill.registered = True  # type: ignore[attr-defined]
    loss = {
        "key": "KDLoss",
        "kwargs": {
            **{f"{who}_module_{what}": value for who in ("student", "teacher") for what, value in (("path", "."), ("io", "output"))},
            "temperature": TEMPERATURE,
            "alpha": 1 - SOFT_WEIGHT,
            "reduction": "batchmean",
        },
    }
    config = {
        "num_epochs": pair.epochs,
        "train_data_loader": {
            "dataset_id": "train",
            "collate_fn": "fedstill_collate",
            "requires_supp": False,
            "sampler": {"class_or_func": torch.utils.data.RandomSampler, "kwargs": {}},
            "kwargs": {"batch_size": pair.batch_size},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "AdamW", "kwargs": {"lr": pair.rate}},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": loss, "weight": 1.0}}}},
    }
    data = {"train": TensorDataset(pair.inputs, pair.labels)}
    box = box_module.get_distillation_box(pair.teacher.eval(), pair.student.train(), data, config, torch.device("cpu"), None, False, 1.0)
    for epoch in range(pair.epochs):
        box.pre_epoch_process(epoch=epoch)
        for batch, labels in box.train_data_loader:
            box.pre_forward_process()
            box.post_forward_process(loss=box.forward_process(batch, labels, None))
        box.post_epoch_process()


def by_textbrewer(pair: Pair, *, caching: bool = False) -> None:
    """TextBrewer's ``GeneralDistiller`` or, with ``caching``, its ``BasicDistiller``, which asks the teacher in the first epoch alone."""
    from textbrewer import BasicDistiller, DistillationConfig, GeneralDistiller, TrainingConfig

    loader = DataLoader(
        TensorDataset(pair.inputs, pair.labels),
        pair.batch_size,
        shuffle=not caching,
        collate_fn=lambda batch: _collated(batch, pair.padding),
    )
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingConfig(device="cpu", output_dir=folder, ckpt_frequency=0, ckpt_epoch_frequency=10**6)
        wishes = DistillationConfig(
            temperature=TEMPERATURE, hard_label_weight=1 - SOFT_WEIGHT, kd_loss_weight=SOFT_WEIGHT, is_caching_logits=caching
        )
        kind = BasicDistiller if caching else GeneralDistiller
        distiller = kind(training, wishes, pair.teacher.eval(), pair.student, _adapted, _adapted)
        optimizer = torch.optim.AdamW(pair.student.parameters(), lr=pair.rate)
        with distiller:
            distiller.train(optimizer, loader, num_epochs=pair.epochs, callback=None)


def _adapted(batch: Any, logits: Tensor) -> dict[str, Any]:
    return {"logits": (logits,), "losses": (functional.cross_entropy(logits, batch[1]),)}


def _collated(batch: list[tuple[Tensor, Tensor]], padding: int) -> tuple[Tensor, Tensor]:
    # As the libraries' users do: each batch is as long as its longest record.
    inputs = torch.stack([one for one, _ in batch])
    longest = int((inputs != padding).sum(dim=1).max())
    return inputs[:, :longest], torch.stack([label for _, label in batch])


def _import_torchdistill() -> Any:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for _ in range(_MOST_OPERATORS):
        try:
            from torchdistill.core import distillation

            return distillation
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor never) -> Tensor")  # type: ignore[no-untyped-call]
            for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "torchdistill")]:
                del sys.modules[name]
    raise RuntimeError("torchvision asks for ever more operators; install another version")
