"""From a student to a signed INT8 artifact: export, calibrate by masked sums, quantise, gate, sign; and back: verify, predict.

Nothing is imported here, because an edge device has only numpy, onnxruntime and cryptography: ``verify``, ``rows``,
``runtime`` and ``console`` need no more than that; ``export`` and ``trace`` need torch, the rest needs onnx and pydantic.
"""
