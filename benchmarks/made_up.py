"""Works without training and a student that is numbers alone: what a federation costs besides learning, at any size of the student.

An institution's update is noise of its own, its counts are those of a hundred records; the protocol around them is the real one.
No torch: :func:`without_torch` ends a process that has it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from safetensors.numpy import load, save

from client.site import InstitutionSite, round_generator
from fedstill.workspace import Workspace
from server.toolbox import FLOAT, Publication, Ranges, Student
from shared.config import FederationConfig
from shared.files import write_atomic
from shared.identity import make_identity, make_node_key, public_bytes, save_roster
from shared.secagg.roster import Roster
from shared.settings import NetworkSettings
from shared.work import FIXED_POINT, Normalisation, Work, counter_fields, trains

RECORDS = 100
NEVER_ASKED = "the federations of these benchmarks have no proxy and no pruning; nobody asks a made-up toolbox for either"
PARAMETERS_VARIABLE, SECONDS_VARIABLE = "FEDSTILL_BENCH_PARAMETERS", "FEDSTILL_BENCH_SECONDS"
"""How many numbers the student has, and how many seconds the works of a training round are to take."""


def without_torch() -> None:
    """Raises ``RuntimeError`` if this process has imported torch."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is loaded in a process that was to do without it")


@dataclass(frozen=True)
class MadeUpContribution:
    """As ``client.training.Contribution``."""

    update: NDArray[np.float32] | None
    weight: int
    counters: NDArray[np.int64]


class MadeUpWorkbench:
    """Does a round's work without records; a training round takes ``seconds``, or as long as its update takes to make."""

    def __init__(self, site: InstitutionSite, seconds: float = 0.0) -> None:
        self._name, self._task, self._seconds = site.config.name, site.config.task, seconds

    def perform(self, work: Work, blob: bytes, round_number: int) -> MadeUpContribution:
        """The same arguments give the same contribution."""
        without_torch()
        counters = np.concatenate([self._count(field.name, field.length) for field in counter_fields(work, self._task)])
        update = self._update(load(blob)["vector"].size, round_number) if trains(work) else None
        return MadeUpContribution(update, RECORDS, counters)

    def _update(self, size: int, round_number: int) -> NDArray[np.float32]:
        due = time.monotonic() + self._seconds
        generator = round_generator(1, self._name, round_number, "made up")
        update = generator.standard_normal(size, np.float32)
        update *= np.float32(1 / np.sqrt(size))
        time.sleep(max(0.0, due - time.monotonic()))
        return update

    def _count(self, name: str, length: int) -> NDArray[np.int64]:
        match name:
            case "eval_loss" | "train_loss":
                return np.array([RECORDS * FIXED_POINT // 2])
            case "eval_confusion":
                return np.array([RECORDS - 10, 5, 5, 0])
            case _:
                return np.full(length, RECORDS)


@dataclass(frozen=True)
class MadeUpToolbox:
    """A student of ``size`` numbers that nothing is inferred with."""

    size: int

    def exponents(self, sums: NDArray[np.int64]) -> tuple[int, ...]:
        """As :meth:`server.toolbox.Toolbox.exponents`, and so on below."""
        return (4,) * (sums.size // 64)

    def normalisation(self, sums: Mapping[str, NDArray[np.int64]], exponents: tuple[int, ...]) -> Normalisation:
        """Any."""
        return Normalisation(means=(0.0,) * len(exponents), deviations=(1.0,) * len(exponents))

    def initial(self, normalisation: Normalisation) -> NDArray[np.float32]:
        """Nothing learnt."""
        return np.zeros(self.size, np.float32)

    def proxy(self, normalisation: Normalisation) -> NDArray[Any]:
        """None is asked for."""
        raise AssertionError(NEVER_ASKED)

    def graph(self) -> bytes:
        """None."""
        return b""

    def distilled(self, normalisation: Normalisation, consensus: NDArray[np.float32]) -> NDArray[np.float32]:
        """None is asked for."""
        raise AssertionError(NEVER_ASKED)

    def parts(self, student: Student) -> tuple[int, int, int]:
        """None is asked for."""
        raise AssertionError(NEVER_ASKED)

    def pruned(self, student: Student, sums: Mapping[str, NDArray[np.int64]]) -> tuple[NetworkSettings, NDArray[np.float32]]:
        """None is asked for."""
        raise AssertionError(NEVER_ASKED)

    def fragments(self, student: Student) -> dict[str, tuple[tuple[int, int], ...]]:
        """None."""
        return {}

    def outputs(self, student: Student) -> tuple[tuple[tuple[int, int], ...], ...]:
        """None."""
        return ()

    def tensors(self, student: Student) -> tuple[str, ...]:
        """Two."""
        return ("first", "second")

    def choose_ranges(self, tensors: tuple[str, ...], sums: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Any."""
        return (-1.0,) * len(tensors), (1.0,) * len(tensors)

    def clip_ranges(self, tensors: tuple[str, ...], lows: tuple[float, ...], highs: tuple[float, ...], sums: NDArray[np.int64]) -> Ranges:
        """The same."""
        return {name: (low, high) for name, low, high in zip(tensors, lows, highs, strict=True)}

    def candidates(self, student: Student, ranges: Ranges) -> dict[str, bytes]:
        """Two files of a few bytes: judging them is not what is measured."""
        return {FLOAT: student.vector[:16].tobytes(), "u8u8": json.dumps(dict(ranges)).encode()}

    def loses_too_much(self, student: Student, ranges: Ranges, sums: Mapping[str, NDArray[np.int64]]) -> bool:
        """Its made-up student loses nothing."""
        return False

    def publish(self, publication: Publication) -> Path:
        """Writes the student."""
        artifact = publication.folder / "artifact"
        write_atomic(publication.folder / "student.safetensors", save({"vector": publication.state.vector}))
        write_atomic(artifact / "manifest.json", publication.state.facts.canonical())
        return artifact


def made_up_federation(folder: Path, institutions: int, rounds: int) -> Workspace:
    """Folders of a federation whose works are made up: keys, rosters and configurations, no records and no teachers."""
    table = _table(rounds)
    task, student = FederationConfig.model_validate(table).task, NetworkSettings(width=4, depth=1)
    coordinator = folder / "coordinator"
    homes = {f"i{place:03d}": folder / "institutions" / f"i{place:03d}" for place in range(institutions)}
    members = {name: public_bytes(make_identity(home / "keys" / "identity.key")) for name, home in homes.items()}
    roster = Roster(members=members, coordinator=public_bytes(make_identity(coordinator / "keys" / "identity.key")))
    write_atomic(coordinator / "federation.toml", tomli_w.dumps(table).encode())
    save_roster(coordinator / "roster.json", roster)
    for name, home in homes.items():
        save_roster(home / "roster.json", roster)
        make_node_key(home / "keys" / "node")
        site = {
            "name": name,
            "seed": 1,
            "task": task.model_dump(mode="json"),
            "data": {"source": "arrays", "path": "records.npz"},
            "student": student.model_dump(mode="json", exclude_none=True),
            "policy": {"smallest_cohort": 3, "most_rounds": 10 * rounds + 100},
        }
        write_atomic(home / "institution.toml", tomli_w.dumps(site).encode())
    return Workspace(folder, coordinator, homes)


def _table(rounds: int) -> dict[str, Any]:
    columns = [{"name": "age"}, {"name": "dose"}]
    return {
        "name": "made-up",
        "rounds": rounds,
        "seed": 1,
        "task": {"family": "tabular", "label": "ill", "labels": ["no", "yes"], "columns": columns},
        "teacher": {"width": 8, "depth": 1},
        "student": {"width": 4, "depth": 1},
        "aggregation": {"deadline_s": 600.0},
    }
