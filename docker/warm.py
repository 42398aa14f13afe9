"""Compiles, while an image is built, the modules that its services import, and no others: ``python warm.py coordinator|institution``.

The file system of a service is read-only, so that what is not compiled here is compiled anew at every start. It also proves
that ``slim.sh`` took out nothing that is imported.
"""

from __future__ import annotations

import importlib
import sys

sys.dont_write_bytecode = False

BOTH = (
    "fedstill.cli.audit",
    "fedstill.cli.artifact",
    "flwr.supercore.cli.flower_superexec",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "scipy.stats",
    "torch",
    "torch.onnx",
    "shared.compress.artifact",
    "shared.compress.export",
    "shared.models",
    "shared.metrics",
)
SIDE = {
    "coordinator": (
        "fedstill.cli.coordinator",
        "server.api",
        "server.app",
        "server.console.__main__",
        "server.door",
        "server.gateway",
        "server.supervise",
        "server.tools",
    ),
    "institution": (
        "fedstill.cli.client",
        "client.app",
        "client.supervise",
        "client.training",
        "lightgbm",
        "sklearn.datasets",
        "transformers",
    ),
}


def main(side: str) -> None:
    """Imports what ``side`` imports."""
    for name in (*BOTH, *SIDE[side]):
        importlib.import_module(name)


if __name__ == "__main__":
    main(sys.argv[1])
