"""Runs ONNX files in an aarch64 Python, on an ARM machine or under an emulator, and counts what the emulator executed.

``FEDSTILL_ARM_PYTHON`` is the command that starts such a Python (``docs/devices.md`` says how to make one with ``qemu-aarch64`` and
aarch64 wheels). It sees this machine's files, and has numpy, onnxruntime and cryptography. Under an emulator ``QEMU_CPU`` chooses the
core; on a real machine that variable does nothing. Counting also needs ``FEDSTILL_ARM_PLUGINS``, the folder of the emulator's plugins
``libinsn.so`` and ``libcache.so``, and an emulator that was built with plugins.
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

COMMAND, PLUGINS = "FEDSTILL_ARM_PYTHON", "FEDSTILL_ARM_PLUGINS"
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
FEW, MANY = 3, 13
"""Calls of a graph in the two processes whose difference is counted: the first calls pack weights and fill caches."""
_ROOT = Path(__file__).parents[1]
_CACHE = (
    "dcachesize={l1d},dassoc={ways},dblksize=64,icachesize={l1i},iassoc={iways},iblksize=64,l2=on,l2cachesize={l2},l2assoc=16,l2blksize=64"
)


@dataclass(frozen=True)
class Asked:
    """A file and the records that it is to answer: ``folder`` of a signed artifact with the signer's ``key``, or a bare ``model``."""

    inputs: NDArray[Any]
    folder: Path | None = None
    key: bytes = b""
    model: bytes = b""


@dataclass(frozen=True)
class Caches:
    """What the emulator's cache plugin models: bytes and ways of the first level, bytes of the second (16 ways, lines of 64 bytes)."""

    l1d: int
    ways: int
    l1i: int
    iways: int
    l2: int


CORES: Mapping[str, Caches] = {
    "cortex-a53": Caches(32768, 4, 32768, 2, 512 * 1024),
    "cortex-a72": Caches(32768, 2, 49152, 3, 1024 * 1024),
    "cortex-a76": Caches(65536, 4, 65536, 4, 512 * 1024),
}
"""Arm's technical reference manuals of the cores; the second level as large as common boards have it."""


@dataclass(frozen=True)
class Counted:
    """What one call of a graph takes: instructions, and misses of the first-level data cache and of the second level."""

    instructions: float
    l1_misses: float
    l2_misses: float


def missing(*, counting: bool = False) -> str:
    """Why nothing can be run here, in one sentence; empty where it can."""
    if COMMAND not in os.environ:
        return f"{COMMAND} is not set, so nothing is run on ARM; docs/devices.md says how to make such a command"
    if counting and not all((Path(os.environ.get(PLUGINS, "")) / name).is_file() for name in ("libinsn.so", "libcache.so")):
        return f"{PLUGINS} is not a folder with libinsn.so and libcache.so, so nothing is counted on ARM"
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


def counted(asked: Sequence[Asked], cpu: str) -> list[Counted]:
    """What one call of each file executes on ``cpu``, a name of :data:`CORES`."""
    plugins, caches = Path(os.environ[PLUGINS]), CORES[cpu]
    totals = _differences(asked, cpu, f"{plugins / 'libinsn.so'}", instructions_in)
    settings = _CACHE.format(**vars(caches))
    misses = _differences(asked, cpu, f"{plugins / 'libcache.so'},{settings}", misses_in)
    return [Counted(total[0], first, second) for total, (first, second) in zip(totals, misses, strict=True)]


def instructions_in(log: str) -> list[tuple[float, ...]]:
    """One total for each process that ended, in order, from what ``libinsn.so`` writes."""
    return [(float(found),) for found in re.findall(r"^total insns: (\d+)", log, re.MULTILINE)]


def misses_in(log: str) -> list[tuple[float, ...]]:
    """Misses of the first-level data cache and of the second level, for each process that ended, from what ``libcache.so`` writes.

    Its table has a row a core: number; data accesses, misses, rate; instruction accesses, misses, rate; the same of the second level.
    """
    rows = re.findall(r"^\d+ +(\d+) +(\d+) +\S+ +(\d+) +(\d+) +\S+ +(\d+) +(\d+) +\S+$", log, re.MULTILINE)
    return [(float(row[1]), float(row[5])) for row in rows]


def _differences(asked: Sequence[Asked], cpu: str, plugin: str, read: Any) -> list[tuple[float, ...]]:
    """What a call takes, by process of :data:`MANY` calls less that of :data:`FEW`: starting, loading and warming up cancel."""
    with _ordered(asked) as (folder, orders):
        for order in orders:
            order["times"] = [FEW, MANY]
        log = folder / "plugin.log"
        _carry_out(folder, orders, cpu, {"QEMU_PLUGIN": plugin, "QEMU_LOG": "plugin", "QEMU_LOG_FILENAME": str(log)})
        found = read(log.read_text())
    if len(found) < 2 * len(asked):
        raise RuntimeError(f"the emulator's plugin wrote {len(found)} totals for {2 * len(asked)} processes; was it built with plugins?")
    pairs = zip(found[: 2 * len(asked) : 2], found[1 : 2 * len(asked) : 2], strict=True)
    return [tuple((after - before) / (MANY - FEW) for before, after in zip(few, many, strict=True)) for few, many in pairs]


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
