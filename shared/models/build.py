"""From settings to a model: which family a task has, made from a seed alone."""

from __future__ import annotations

import torch

from shared.errors import ConfigError
from shared.models.layers import initialise
from shared.models.mobile import MobileNet, stages
from shared.models.network import Network, count_parameters
from shared.models.perceptron import Perceptron
from shared.models.residual import ResidualNet, layout, stem_size
from shared.models.seeds import generator
from shared.models.text import TextTransformer
from shared.models.transformer import TabularTransformer
from shared.models.vision import VisionTransformer
from shared.settings import NetworkSettings
from shared.task import ImageTask, TabularTask, Task, TextTask, numeric_inputs
from shared.work import Normalisation

_ARCHITECTURES = {
    "tabular": ("transformer", "perceptron"),
    "image": ("convolutional", "transformer", "mobile"),
    "text": ("encoder", "decoder"),
}
"""Those of each family of tasks, the first is ``auto``'s."""
_IMAGES: dict[str, type[ResidualNet | VisionTransformer | MobileNet]] = {
    "convolutional": ResidualNet,
    "transformer": VisionTransformer,
    "mobile": MobileNet,
}


def build(network: NetworkSettings, task: Task, normalisation: Normalisation, *, seed: int) -> Network:
    """A model of the task's family, its weights a function of ``seed`` and its shape alone; not in training mode.

    Raises :class:`ConfigError` where the settings or the normalisation do not fit.
    """
    expected = numeric_inputs(task)
    if len(normalisation.means) != expected or len(normalisation.deviations) != expected:
        raise ConfigError(f"the normalisation has {len(normalisation.means)} means, but the task has {expected} numeric inputs")
    if any(deviation <= 0 for deviation in normalisation.deviations):
        raise ConfigError("a deviation of the normalisation is not positive; make it from the records' statistics")
    if normalisation.tables and task.family != "tabular":
        raise ConfigError(f"entity tables are of a table's categorical columns, and the task is of family '{task.family}'; leave them out")
    model = _made(network, task, normalisation)
    initialise(model, generator(seed, "weights"))
    return model.eval()


def parameters_of(network: NetworkSettings, task: Task, normalisation: Normalisation) -> int:
    """How many trainable numbers such a model has, without the memory for them. Raises :class:`ConfigError` as :func:`build`."""
    with torch.device("meta"):
        return count_parameters(_made(network, task, normalisation))


def shown_layers(network: NetworkSettings, task: Task) -> int:
    """How many layers such a model shows: blocks of a transformer, stages of a convolutional net. Raises as :func:`architecture`."""
    if isinstance(task, ImageTask) and architecture(network, task) == "convolutional":
        return len(layout(network, stem_size(task)))
    if isinstance(task, ImageTask) and architecture(network, task) == "mobile":
        return len(stages(network))
    return network.depth


def architecture(network: NetworkSettings, task: Task) -> str:
    """The architecture that ``auto`` stands for, else the one that is set. Raises :class:`ConfigError` if the task has it not."""
    known = _ARCHITECTURES[task.family]
    if network.architecture not in ("auto", *known):
        raise ConfigError(
            f"architecture '{network.architecture}' is not one for a task of family '{task.family}'; use {' or '.join(known)}"
        )
    return known[0] if network.architecture == "auto" else network.architecture


def _made(network: NetworkSettings, task: Task, normalisation: Normalisation) -> Network:
    kind = architecture(network, task)
    if kind not in ("convolutional", "mobile", "perceptron") and network.head_width is None and network.width % network.heads:
        raise ConfigError(f"width {network.width} is not a multiple of heads {network.heads}; change one of the two")
    match task:
        case TabularTask():
            return (Perceptron if kind == "perceptron" else TabularTransformer)(network, task, normalisation)
        case ImageTask():
            return _IMAGES[kind](network, task, normalisation)
        case TextTask():
            if task.padding >= task.vocabulary:
                raise ConfigError(f"task.padding {task.padding} is not one of the {task.vocabulary} ids of task.vocabulary; correct one")
            return TextTransformer(network, task, normalisation)
