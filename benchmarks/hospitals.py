"""Hospitals on this machine: the folders that a simulation makes, teachers fitted in them, and federations over them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.averaging import Averaging, RingAveraging
from benchmarks.loop import Federation, Tap, no_tap
from client.training import Workbench
from fedstill.teachers import fit_institution
from fedstill.workspace import Workspace, prepare
from server.phases import Kit
from server.site import CoordinatorSite
from server.state import RunState
from server.toolbox import FLOAT, Student
from server.tools import InstalledToolbox
from shared.compress import runtime
from shared.compress.gate import Allowed, results
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import Split
from shared.models import build, load_vector


@dataclass(frozen=True)
class Hospitals:
    """One seed's hospitals; several federations with other optimisers or losses may use the same teachers."""

    config: FederationConfig
    workspace: Workspace

    @classmethod
    def settle(cls, config: FederationConfig, sites: Mapping[str, Split], folder: Path) -> Hospitals:
        """Makes the folders, and every hospital fits its teacher on its own training records."""
        workspace = prepare(config, folder, sites)
        for home in workspace.institutions.values():
            fit_institution(load_config(InstitutionConfig, home / "institution.toml"), home, config)
        return cls(config, workspace)

    def federate(
        self, config: FederationConfig, *, until: str = "calibrate-range", averaging: Averaging | None = None, tap: Tap = no_tap
    ) -> RunState:
        """A run with ``config``, which differs from the hospitals' in how is trained only, up to a phase.

        ``averaging`` sums contributions (the ring's way, if none is given); ``tap`` is shown what every round asks.
        """
        kit = Kit(config, InstalledToolbox(CoordinatorSite(self.workspace.coordinator), config))
        # What an institution keeps from round to round belongs to one run: each federation gets a place of its own.
        with tempfile.TemporaryDirectory() as scratch:
            benches = {
                name: Workbench(load_config(InstitutionConfig, home / "institution.toml"), Path(scratch) / name)
                for name, home in self.workspace.institutions.items()
            }
            return Federation(kit, benches, averaging or RingAveraging()).run(until=until, tap=tap)

    def student(self, state: RunState) -> nn.Module:
        """The federation's student as a torch model."""
        model = build(self.config.student, self.config.task, state.facts.normalisation, seed=self.config.seed)
        load_vector(model, state.vector)
        return model

    def predict_int8(self, state: RunState, inputs: NDArray[Any]) -> NDArray[np.int64]:
        """Classes that the INT8 file gives in onnxruntime, as :meth:`int8`."""
        answers: NDArray[np.int64] = self.int8(state)(inputs).argmax(axis=1)
        return answers

    def int8(self, state: RunState) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """The INT8 file that the gate's counts choose, as onnxruntime runs it: raw records -> logits.

        Needs a state after the gate. Raises :class:`ArtifactError` where no file passes.
        """
        toolbox = InstalledToolbox(CoordinatorSite(self.workspace.coordinator))
        files = toolbox.candidates(Student(state.vector, state.facts.normalisation), state.facts.ranges)
        whole = files.pop(FLOAT)
        sums = {name: np.array(counts, np.int64) for name, counts in state.facts.gate.items()}
        session = runtime.session(files[results(whole, files, sums, Allowed(self.config.compression.max_drop)).winner])
        return lambda inputs: runtime.logits(session, inputs)
