"""A device's profile, measured on the device: its operators in onnxruntime, one at a time, and its memory.

Needs numpy, onnx and onnxruntime alone, so that it runs where nothing else is installed: ``python -m shared.compress.measure --out
FILE``, or ``fedstill device measure``. ``graphs`` builds graphs of many equal operators, ``cases`` says which sizes, ``timing`` times
them in passes, ``machine`` asks the system what it is, ``profile`` writes all of it down.
"""
