"""Seconds of an operator that was not measured on a device: the slower of computing and of moving its bytes (Williams et al. 2009).

A model, not a measurement: it orders graphs, and its seconds are a guess. Bytes are read from the smallest cache that holds all that
the operator touches, else from memory. Light operators compute at the rate of the float units, by a fixed count of simple steps for
each number.
"""

from __future__ import annotations

import math
from types import MappingProxyType

from shared.compress.cost.kinds import DENSE
from shared.compress.cost.operators import Operator
from shared.compress.devices.schema import DeviceProfile

STEPS = MappingProxyType(
    {
        "elementwise": 1.0,
        "broadcast": 1.0,
        "select": 4.0,
        "activation": 20.0,
        "normalise": 6.0,
        "softmax": 20.0,
        "reduce": 1.0,
        "pool": 1.0,
        "gather": 1.0,
        "move": 1.0,
        "turn": 8.0,
        "relayout": 4.0,
        "quantise": 4.0,
        "dequantise": 2.0,
        "view": 0.0,
    }
)
"""Simple vector steps a number: polynomials of about twenty terms in exp and erf, a few passes in a norm, strided reads in a copy."""
DEPTHWISE_SHARE = MappingProxyType({False: 0.25, True: 0.0625})
"""Of the dense rate in float and INT8, where a profile says nothing of depthwise convolutions: each number is used for one channel alone.
As slow in INT8 as on x86, which has no kernels for it that add up pairs: then a net is rather left in float than made slower."""


def seconds(operator: Operator, profile: DeviceProfile) -> float:
    """What the operator takes on the device, dispatch included."""
    computing = _computing(operator, profile)
    touched = operator.reads + operator.writes + operator.weights
    return profile.dispatch.value + max(computing, _moved(operator) / bandwidth(touched, profile))


def bandwidth(touched: int, profile: DeviceProfile) -> float:
    """Bytes a second of the smallest cache that holds ``touched`` bytes, else of memory."""
    for cache in profile.caches:
        if touched <= cache.bytes.value:
            return cache.bandwidth.value
    return profile.memory_bandwidth.value


def _computing(operator: Operator, profile: DeviceProfile) -> float:
    if operator.kind not in DENSE:
        return operator.rows * operator.work * STEPS[operator.kind] / (profile.float_macs.value * profile.clock.value)
    rate = _macs(operator, profile) * profile.clock.value * profile.attained.value
    return operator.rows * padded_work(operator, profile) / rate


def _macs(operator: Operator, profile: DeviceProfile) -> float:
    dense, own = (profile.int8_macs, profile.depthwise_int8_macs) if operator.int8 else (profile.float_macs, profile.depthwise_float_macs)
    if operator.kind != "depthwise":
        return dense.value
    return own.value if own is not None else dense.value * DEPTHWISE_SHARE[operator.int8]


def padded_work(operator: Operator, profile: DeviceProfile) -> float:
    """Its work with the columns filled up to whole blocks, as kernels compute them; in blocked float maps the channels read too."""
    block = int(profile.channel_block.value)
    work = operator.work * _filled(operator.columns, block)
    if profile.blocked_floats and operator.in_blocks and not operator.int8 and operator.channels > block:
        return work * _filled(operator.channels, block)
    return work


def _filled(number: int, block: int) -> float:
    return math.ceil(number / block) * block / number if number else 1.0


def _moved(operator: Operator) -> int:
    # A look-up reads the rows that it gives, not the whole table.
    return 2 * operator.writes if operator.kind == "gather" else operator.reads + operator.writes + operator.weights
