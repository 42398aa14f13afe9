"""torch-geometric, imported when it is first needed: it takes seconds, and warns of a torch call that is its own to replace."""

from __future__ import annotations

import warnings
from types import ModuleType

LIBRARY = "torch_geometric.nn"


def graph_layers() -> ModuleType:
    """``torch_geometric.nn``: ``RGCNConv``, and under ``kge`` the models of link prediction."""
    import importlib

    with warnings.catch_warnings():
        # Its pooling layers, which are not used here, are compiled by torch.jit.script at import.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=DeprecationWarning)
        return importlib.import_module(LIBRARY)
