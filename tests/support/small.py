"""A federation small enough to be followed by hand: numpy works, a numpy toolbox, folders of n institutions.

Institution i's records pull the student towards its own optimum, so every sum that a run should give can be computed
in plain float64 beside it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from safetensors.numpy import load, save

from client.app import make_app as make_client_app
from client.site import InstitutionSite, round_generator
from fedstill.simulation import Faults, LocalGrid, no_faults
from server.coordinator import Coordinator, RunResult
from server.events import Event
from server.flower import GridExchange
from server.site import CoordinatorSite
from server.stopping import StopSignal
from server.toolbox import FLOAT, Publication, Ranges, Student
from shared.config import FederationConfig
from shared.files import write_atomic
from shared.identity import make_identity, public_bytes, save_roster
from shared.secagg.roster import Roster
from shared.settings import NetworkSettings
from shared.work import FIXED_POINT, Normalisation, Work, counter_fields, trains

SIZE = 37
"""Parameters of the small student."""
NAMES = ("ash", "birch", "cedar", "elm", "fir")


@dataclass(frozen=True)
class SmallContribution:
    update: NDArray[np.float32] | None
    weight: int
    counters: NDArray[np.int64]


def names_of(count: int) -> tuple[str, ...]:
    """The first ``count`` names: five trees, then as many numbers as are needed."""
    return (*NAMES, *(f"n{index:03d}" for index in range(len(NAMES), count)))[:count]


def records_of(name: str) -> int:
    return 20 + 10 * (NAMES.index(name) if name in NAMES else int(name[1:]) % 9)


def optimum_of(name: str, size: int = SIZE) -> NDArray[np.float64]:
    return round_generator(3, name, 0, "optimum").normal(0, 0.1, size)


def small_update(name: str, vector: NDArray[np.float32], round_number: int) -> NDArray[np.float32]:
    """Half the way to the institution's optimum, with a little noise that the round's number draws."""
    noise = round_generator(3, name, round_number, "noise").normal(0, 0.01, vector.size)
    return (0.5 * (optimum_of(name, vector.size) - vector) + noise).astype(np.float32)


class SmallWorkbench:
    def __init__(self, site: InstitutionSite) -> None:
        self.name, self.task = site.config.name, site.config.task

    def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
        fields = counter_fields(work, self.task)
        counters = np.concatenate([self._count(field.name, field.length) for field in fields])
        update = small_update(self.name, load(blob)["vector"], round_number) if trains(work) else None
        return SmallContribution(update, records_of(self.name), counters)

    def _count(self, name: str, length: int) -> NDArray[np.int64]:
        records = records_of(self.name)
        match name:
            case "eval_loss" | "train_loss":
                return np.array([records * FIXED_POINT // 2])
            case "eval_confusion":
                return np.array([records - 5, 2, 3, 0])
            case _:
                return np.full(length, records)


@dataclass(frozen=True)
class SmallToolbox:
    size: int = SIZE
    proxy_records: int = 10
    graph_bytes: bytes = b"a graph, packed"

    def exponents(self, sums: NDArray[np.int64]) -> tuple[int, ...]:
        return (4,) * (sums.size // 64)

    def normalisation(self, sums: Mapping[str, NDArray[np.int64]], exponents: tuple[int, ...]) -> Normalisation:
        return Normalisation(means=tuple(float(value) for value in sums["sum"]), deviations=(1.0,) * len(exponents))

    def initial(self, normalisation: Normalisation) -> NDArray[np.float32]:
        return np.zeros(self.size, np.float32)

    def proxy(self, normalisation: Normalisation) -> NDArray[Any]:
        return np.arange(2 * self.proxy_records, dtype=np.float32).reshape(-1, 2) / 3

    def graph(self) -> bytes:
        return self.graph_bytes

    def distilled(self, normalisation: Normalisation, consensus: NDArray[np.float32]) -> NDArray[np.float32]:
        # A student that knows the consensus by heart.
        return consensus.reshape(-1)

    def fragments(self, student: Student) -> dict[str, tuple[tuple[int, int], ...]]:
        return {"ash": ((0, SIZE // 2),)}

    def parts(self, student: Student) -> tuple[int, int, int]:
        return 2, 4, 8

    def pruned(self, student: Student, sums: Mapping[str, NDArray[np.int64]]) -> tuple[NetworkSettings, NDArray[np.float32]]:
        # Half of the numbers, as many as the sums have records.
        half = student.vector[: student.vector.size // 2] + np.float32(sums["taylor_records"][0])
        return NetworkSettings(width=4, depth=1, inner=4), half

    def outputs(self, student: Student) -> tuple[tuple[tuple[int, int], ...], ...]:
        return (((0, 2),), ((2, 4),), ((4, 6),))

    def tensors(self, student: Student) -> tuple[str, ...]:
        return ("first", "second")

    def choose_ranges(self, tensors: tuple[str, ...], sums: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (-1.0,) * len(tensors), (1.0,) * len(tensors)

    def clip_ranges(self, tensors: tuple[str, ...], lows: tuple[float, ...], highs: tuple[float, ...], sums: NDArray[np.int64]) -> Ranges:
        return {name: (low / 2, high / 2) for name, low, high in zip(tensors, lows, highs, strict=True)}

    def candidates(self, student: Student, ranges: Ranges) -> dict[str, bytes]:
        return {FLOAT: student.vector.tobytes(), "u8u8": json.dumps(dict(ranges)).encode()}

    def loses_too_much(self, student: Student, ranges: Ranges, sums: Mapping[str, NDArray[np.int64]]) -> bool:
        return False

    def publish(self, publication: Publication) -> Path:
        artifact = publication.folder / "artifact"
        write_atomic(publication.folder / "student.safetensors", save({"vector": publication.state.vector}))
        write_atomic(artifact / "manifest.json", publication.state.facts.canonical())
        return artifact


@dataclass
class SmallFederation:
    """Folders of a coordinator and its institutions; ``run`` plays a run over them with fresh objects each time."""

    coordinator: Path
    institutions: dict[str, Path]

    def run(
        self,
        run: str = "trial",
        *,
        faults: Faults = no_faults,
        events: list[Event] | None = None,
        stop: StopSignal | None = None,
        client_app: Any = None,
        toolbox: Any = None,
        watch: Any = None,
    ) -> RunResult:
        seen: list[Event] = [] if events is None else events

        def on_event(event: Event) -> None:
            seen.append(event)
            if watch is not None:
                watch(event)

        site = CoordinatorSite(self.coordinator, run=run)
        grid = LocalGrid(client_app or make_client_app(SmallWorkbench), self.institutions, faults=faults)
        try:
            exchange = GridExchange(grid, frozenset(self.institutions), poll_s=0.001, stop=stop)
            return Coordinator(site, exchange, on_event, toolbox=toolbox or SmallToolbox(), stop=stop).run(run)
        finally:
            grid.close()
            site.store.close()


def federation_table(rounds: int, **changed: Any) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": "small",
        "rounds": rounds,
        "seed": 3,
        "task": {
            "family": "tabular",
            "label": "ill",
            "labels": ["no", "yes"],
            "columns": [{"name": "age"}, {"name": "dose"}],
        },
        "teacher": {"width": 8, "depth": 1},
        "student": {"width": 4, "depth": 1},
        # As exact as a ring goes, so that a run can be followed in plain numbers.
        "aggregation": {"deadline_s": 20.0, "most_void_rounds": 2, "width": 32, "rotation": False, "clip_quantile": 0.0},
    }
    for key, value in changed.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return table


def make_federation(
    folder: Path, count: int = 4, *, rounds: int = 2, policy: Mapping[str, Any] | None = None, **changed: Any
) -> SmallFederation:
    table = federation_table(rounds, **changed)
    config = FederationConfig.model_validate(table)
    coordinator = folder / "coordinator"
    homes = {name: folder / "institutions" / name for name in names_of(count)}
    key = public_bytes(make_identity(coordinator / "keys" / "identity.key"))
    members = {name: public_bytes(make_identity(home / "keys" / "identity.key")) for name, home in homes.items()}
    write_atomic(coordinator / "federation.toml", tomli_w.dumps(table).encode())
    for home in (coordinator, *homes.values()):
        save_roster(home / "roster.json", Roster(members=members, coordinator=key))
    for name, home in homes.items():
        site = {
            "name": name,
            "seed": 3,
            "task": config.task.model_dump(mode="json"),
            "data": {"source": "arrays", "path": "records.npz"},
            "student": config.student.model_dump(mode="json", exclude_none=True),
            "policy": {"smallest_cohort": 3, **(policy or {})},
        }
        write_atomic(home / "institution.toml", tomli_w.dumps(site).encode())
    return SmallFederation(coordinator, homes)


def final_vector(result: RunResult) -> NDArray[np.float32]:
    return load(result.student.read_bytes())["vector"]


@cache
def undisturbed(count: int, rounds: int) -> str:
    """The student's digest of a run to which nothing happens; keys are fresh each time and do not matter to it."""
    with tempfile.TemporaryDirectory() as folder:
        return digest_of(make_federation(Path(folder), count, rounds=rounds).run())


def digest_of(result: RunResult) -> str:
    return hashlib.sha256(final_vector(result).tobytes()).hexdigest()
