"""Runs ONNX files in an aarch64 Python, on an ARM machine or under an emulator, and counts what the emulator executed.

``FEDSTILL_ARM_PYTHON`` is the command that starts such a Python (``docs/devices.md`` says how to make one with ``qemu-aarch64`` and
aarch64 wheels). It sees this machine's files, and has numpy, onnxruntime and cryptography. Under an emulator ``QEMU_CPU`` chooses the
core; on a real machine that variable does nothing. Counting also needs ``FEDSTILL_ARM_COUNTER``, the emulator's plugin that is made from
``benchmarks/arm_counter.c``, and an emulator that was built with plugins.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compress.devices import DEVICES

COMMAND, COUNTER = "FEDSTILL_ARM_PYTHON", "FEDSTILL_ARM_COUNTER"
CPUS: Mapping[str, str] = {
    "cortex-a53": "cortex-a53",
    "cortex-a72": "cortex-a72",
    "cortex-a76": "cortex-a76",
    "neoverse-n1": "neoverse-n1",
    "i8mm": "max,sve=off,sme=off",
}
"""Emulated cores by name, as ``QEMU_CPU`` takes them: the first two without dot product instructions, the next two with them, the last
with 8-bit matrix products too. ``max`` alone picks kernels that no edge device has."""
LIMIT_S = 1800
"""No call of the ARM side takes longer; it is ended then."""
CALLS = 10
"""Calls of a graph whose instructions are counted together."""
LINE = 64
"""Bytes of a cache's line."""
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Asked:
    """A file and the records that it is to answer: ``folder`` of a signed artifact with the signer's ``key``, or a bare ``model``."""

    inputs: NDArray[Any]
    folder: Path | None = None
    key: bytes = b""
    model: bytes = b""


@dataclass(frozen=True)
class Counts:
    """Of one call of a graph: ``instructions`` that it executes, and lines of :data:`LINE` bytes that the first and the second cache lack.

    The caches are emulated too, and fetch nothing ahead, as those of a real core would.
    """

    instructions: float
    misses: tuple[float, float]


def missing(*, counting: bool = False) -> str:
    """Why nothing can be run here, in one sentence; empty where it can."""
    if COMMAND not in os.environ:
        return f"{COMMAND} is not set, so nothing is run on ARM; docs/devices.md says how to make such a command"
    if counting and not Path(os.environ.get(COUNTER, "")).is_file():
        return f"{COUNTER} is not the emulator's plugin, so nothing is counted on ARM; docs/devices.md says how to make arm_counter.so"
    return ""


def machine(cpu: str) -> str:
    """What the ARM side is: architecture, onnxruntime's version, and whether the system offers dot products and 8-bit matrix products."""
    return _run(["-c", _DESCRIBE], cpu, {}).strip()


def answers(asked: Sequence[Asked], cpu: str) -> list[NDArray[np.float32]]:
    """The logits of each file, computed on ARM; ``cpu``: a name of :data:`CPUS`."""
    with _ordered(asked) as (folder, orders):
        for place, order in enumerate(orders):
            order["logits"] = str(folder / f"{place}.logits.npy")
        _carry_out(folder, orders, cpu, {})
        return [np.load(order["logits"], allow_pickle=False) for order in orders]


def counted(asked: Sequence[Asked], cpu: str) -> list[Counts]:
    """What one call of each file takes for the first of its records on ``cpu``, a name of :data:`CPUS` and of a known device.

    Counted is a process that makes :data:`CALLS` calls less one that makes none, both copies of one in which the graph is loaded and
    warm: what starting and ending take cancels. The caches are the two smallest of the device's profile. Raises ``RuntimeError``
    where the emulator does not count.
    """
    with _ordered(asked) as (folder, orders):
        for order in orders:
            order["times"] = [0, CALLS]
        log = folder / "counted.log"
        plugin = ",".join([str(Path(os.environ[COUNTER]).resolve()), *_caches(cpu)])
        _carry_out(folder, orders, cpu, {"QEMU_PLUGIN": plugin, "QEMU_LOG": "plugin", "QEMU_LOG_FILENAME": str(log)})
        totals = counts_in(log.read_text() if log.exists() else "")
    if len(totals) != 2 * len(asked) + 1:
        raise RuntimeError(f"the emulator wrote {len(totals)} totals for {2 * len(asked) + 1} processes; was it built with plugins?")
    return [_of_a_call(none, many) for none, many in zip(totals[:-1:2], totals[1::2], strict=True)]


def counts_in(log: str) -> list[Counts]:
    """One total for each process that ended, in order, from what the plugin writes."""
    found = re.findall(r"^total insns: (\d+)\nmisses: (\d+) (\d+)$", log, re.MULTILINE)
    return [Counts(int(instructions), (int(first), int(second))) for instructions, first, second in found]


def _of_a_call(none: Counts, many: Counts) -> Counts:
    first, second = (max(0.0, after - before) / CALLS for before, after in zip(none.misses, many.misses, strict=True))
    return Counts((many.instructions - none.instructions) / CALLS, (first, second))


def _caches(cpu: str) -> list[str]:
    return [f"l{level}={int(cache.bytes.value)}" for level, cache in enumerate(DEVICES[cpu].caches[:2], start=1)]


@contextmanager
def _ordered(asked: Sequence[Asked]) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    with tempfile.TemporaryDirectory() as name:
        folder, orders = Path(name), []
        for place, one in enumerate(asked):
            inputs, model = folder / f"{place}.npy", folder / f"{place}.onnx"
            np.save(inputs, one.inputs)
            model.write_bytes(one.model)
            what = {"model": str(model)} if one.folder is None else {"folder": str(one.folder.resolve()), "key": one.key.hex()}
            orders.append({"inputs": str(inputs), **what})
        yield folder, orders


def _carry_out(folder: Path, orders: Sequence[Mapping[str, Any]], cpu: str, environment: Mapping[str, str]) -> None:
    path = folder / "orders.json"
    path.write_text(json.dumps(orders))
    _run(["-m", "benchmarks.arm_side", str(path)], cpu, environment)


def _run(arguments: Sequence[str], cpu: str, environment: Mapping[str, str]) -> str:
    command = [*shlex.split(os.environ[COMMAND]), *arguments]
    known = {name: value for name, value in os.environ.items() if not name.startswith("QEMU_")}
    settings = {**known, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "QEMU_CPU": CPUS[cpu], **environment}
    done = subprocess.run(command, env=settings, cwd=_ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"the ARM side ({cpu}) ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


_DESCRIBE = """
import ctypes, platform
import onnxruntime
auxiliary = ctypes.CDLL(None).getauxval
auxiliary.restype, auxiliary.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
first, second = auxiliary(16), auxiliary(26)
flags = [name for name, there in (("dot product", first >> 20 & 1), ("8-bit matrix product", second >> 13 & 1)) if there]
print(f"{platform.machine()}, onnxruntime {onnxruntime.__version__}, {' and '.join(flags) or 'no dot product'}")
"""
