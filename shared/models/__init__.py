"""Teachers and students: one family for tables, one for images, and what all of distillation sees of them."""

from __future__ import annotations

from shared.models.build import build
from shared.models.checkpoint import load_model, save_model
from shared.models.features import Features, features
from shared.models.network import Network, count_parameters, predict
from shared.models.vector import load_vector, to_vector

__all__ = [
    "Features",
    "Network",
    "build",
    "count_parameters",
    "features",
    "load_model",
    "load_vector",
    "predict",
    "save_model",
    "to_vector",
]
