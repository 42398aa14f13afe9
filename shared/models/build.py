"""From settings to a model: which family a task has, made from a seed alone."""

from __future__ import annotations

from shared.errors import ConfigError
from shared.models.layers import initialise
from shared.models.network import Network
from shared.models.residual import ResidualNet
from shared.models.seeds import generator
from shared.models.transformer import TabularTransformer
from shared.settings import NetworkSettings
from shared.task import Task
from shared.work import Normalisation


def build(network: NetworkSettings, task: Task, normalisation: Normalisation, *, seed: int) -> Network:
    """A model of the task's family, its weights a function of ``seed`` and its shape alone; not in training mode.

    Raises :class:`ConfigError` where the settings or the normalisation do not fit.
    """
    expected = task.channels if task.family == "image" else len(task.numeric)
    if len(normalisation.means) != expected or len(normalisation.deviations) != expected:
        raise ConfigError(f"the normalisation has {len(normalisation.means)} means, but the task has {expected} numeric inputs")
    if any(deviation <= 0 for deviation in normalisation.deviations):
        raise ConfigError("a deviation of the normalisation is not positive; make it from the records' statistics")
    if task.family == "tabular" and network.width % network.heads:
        raise ConfigError(f"width {network.width} is not a multiple of heads {network.heads}; change one of the two")
    model = ResidualNet(network, task, normalisation) if task.family == "image" else TabularTransformer(network, task, normalisation)
    initialise(model, generator(seed, "weights"))
    return model.eval()
