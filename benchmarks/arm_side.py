"""The ARM side of ``benchmarks/arm.py``: runs in an aarch64 Python that has numpy, onnxruntime and cryptography, and no more.

``python -m benchmarks.arm_side ORDERS``: ORDERS is a JSON file, a list of orders. An order names a ``folder`` (an artifact, verified with
the ``key``, a raw public key in hex) or a ``model`` (a bare ONNX file), the ``inputs`` (a .npy) and either ``logits`` (the .npy to write)
or ``times`` (how often to run the model on the first record, in a process of its own for each number of times: what that process
executed is counted by whoever runs this).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compress import runtime
from shared.compress.verify import open_artifact

WARM_UP = 3
"""Calls before anything is counted: the first ones pack weights and grow the runtime's memory."""


def main() -> None:
    """Carries out every order of the file, one after another."""
    for order in json.loads(Path(sys.argv[1]).read_text()):
        inputs = np.load(order["inputs"], allow_pickle=False)
        content = _content(order)
        if "logits" in order:
            np.save(order["logits"], runtime.logits(runtime.session(content), inputs))
        if "times" in order:
            _alone(content, inputs[:1], order["times"])


def _content(order: dict[str, Any]) -> bytes:
    if "folder" in order:
        return open_artifact(Path(order["folder"]), bytes.fromhex(order["key"])).model
    return Path(order["model"]).read_bytes()


def _alone(content: bytes, record: NDArray[Any], every: Sequence[int]) -> None:
    """A fork begins where its parent is: a graph is loaded and warmed up once, and nothing but the calls differs."""
    session, feeds = runtime.session(content), {"inputs": record}
    first = [session.get_outputs()[0].name]
    for _ in range(WARM_UP):
        session.run(first, feeds)
    for times in every:
        child = os.fork()
        if not child:
            for _ in range(times):
                session.run(first, feeds)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"the process that ran a graph {times} times failed")


if __name__ == "__main__":
    main()
