"""Neural Network Compression Framework's side of ``benchmarks/edge_families.py``: runs in a Python that has nncf and onnx, and no torch.

``python -m benchmarks.nncf_side GIVEN INPUTS MADE [transformer]``: post-training quantisation of the ONNX file GIVEN, calibrated on INPUTS
(a .npy), as nncf's own documentation does it: ``nncf.quantize`` with its defaults, and its model type for transformers.
"""

from __future__ import annotations

import sys

import nncf
import numpy as np
import onnx


def main() -> None:
    """Quantises and writes."""
    given, inputs, made = sys.argv[1:4]
    records = np.load(inputs, allow_pickle=False)
    dataset = nncf.Dataset([{"inputs": records[row : row + 1]} for row in range(len(records))])
    kind = nncf.ModelType.TRANSFORMER if sys.argv[4:] == ["transformer"] else None
    onnx.save(nncf.quantize(onnx.load(given), dataset, model_type=kind, subset_size=len(records)), made)


if __name__ == "__main__":
    main()
