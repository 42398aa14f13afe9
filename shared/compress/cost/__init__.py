"""What a graph costs on a device that is not at hand: seconds and bytes of one record, predicted from the device's profile.

``fused`` asks onnxruntime what it would execute, ``operators`` counts each executed operator's work, ``layout`` adds the
conversions of memory layout between them, ``tables`` and ``roofline`` turn work into seconds, ``predicting`` adds up, and ``times``
compares files on all the devices that a profile stands for.
docs/devices.md says how well it predicts; ``shared/compress/measure`` makes the tables on a device itself.
"""

from shared.compress.cost.predicting import OperatorCost, Prediction, predict, share_of_time
from shared.compress.cost.times import Times, Timing, timing_on

__all__ = ["OperatorCost", "Prediction", "Times", "Timing", "predict", "share_of_time", "timing_on"]
