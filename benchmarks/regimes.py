"""Ways to distil in a federation whose institutions see other labels: accuracy after every few rounds, and what it cost in bytes.

    python -m benchmarks.regimes [--seeds 3] [--alpha 0.1 0.5 5] [--rounds 12] [--regime fedavg …]

Built-in digits, dealt to five sites by a Dirichlet split of ``--alpha``. All regimes have one student, one schedule, and the ring's
averaging with all that a deployed round has but masks, which cancel exactly. ``fedavg``: labels alone, the baseline of all. ``private``:
each site's own teacher. ``shared``: one teacher for all, fitted on all records, as a vendor's would be. ``mutual``: each site's
teacher learns with the student (FedKD's adaptive mutual distillation, Wu et al. 2022). With private teachers besides: ``proximal``
(FedProx), ``previous`` (the last global student's answers), ``fedadam`` and ``fedyogi``. ``gain`` is over ``fedavg`` seed by seed, in
points, at the end. Bytes are up and down of one institution a round, as the ring packs them.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.averaging import RingAveraging
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.loop import Federation
from client.training import Workbench
from fedstill.plan import builtin_federation
from server.phases import Kit
from server.site import CoordinatorSite
from server.state import RunState
from server.tools import InstalledToolbox
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_pool, load_sites
from shared.distill import evaluate
from shared.distill.teacher import fit_teacher, save_teacher
from shared.models import count_parameters

REGIMES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "fedavg": {"distillation": {"teacher": "none"}},
    "private": {},
    "shared": {},
    "mutual": {"distillation": {"teacher": "mutual"}},
    "proximal": {"distillation": {"proximal": 0.1}},
    "previous": {"distillation": {"previous_weight": 0.3}},
    "fedadam": {"optimizer": {"name": "fedadam", "learning_rate": 0.03}},
    "fedyogi": {"optimizer": {"name": "fedyogi", "learning_rate": 0.03}},
}
SHOWN = (3, 6)
"""Rounds after which the accuracy is shown beside that of the last."""


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--alpha", type=float, nargs="+", default=[0.1, 0.5, 5.0])
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--regime", nargs="+", choices=list(REGIMES), default=list(REGIMES), help="which (default all)")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    report("regimes", [entry for alpha in arguments.alpha for entry in measured(alpha, arguments)], arguments)


def measured(alpha: float, arguments: argparse.Namespace) -> list[Claim]:
    """The claims of one split."""
    curves: dict[str, list[list[float]]] = {regime: [] for regime in arguments.regime}
    parameters = 1
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            hospitals, vendor = settled(alpha, seed, arguments.rounds, Path(folder))
            for regime in arguments.regime:
                chosen = vendor if regime == "shared" else hospitals
                curve, parameters = followed(chosen, changed(hospitals.config, REGIMES[regime]))
                curves[regime].append(curve)
                print(f"alpha {alpha:g}, seed {seed}, {regime}: {curve[-1]:.4f}", flush=True)
    claims = []
    for regime, found in curves.items():
        for number in (*(number for number in SHOWN if number < arguments.rounds), arguments.rounds):
            claims.append(claim(f"{alpha:g}.{regime}.round{number}", [curve[number - 1] for curve in found], "accuracy"))
        if regime != "fedavg" and "fedavg" in curves:
            gains = [100 * (one[-1] - other[-1]) for one, other in zip(found, curves["fedavg"], strict=True)]
            claims.append(claim(f"{alpha:g}.{regime}.gain", gains, "points"))
    return [*claims, claim(f"{alpha:g}.bytes_a_round", [2.0 * parameters], "bytes")]


def settled(alpha: float, seed: int, rounds: int, folder: Path) -> tuple[Hospitals, Hospitals]:
    """The sites with teachers of their own, and the same sites with one teacher that was fitted on all records."""
    base = builtin_federation("digits")
    split = base.split.model_copy(update={"alpha": alpha, "sites": 5})
    config = base.model_copy(update={"seed": seed, "rounds": rounds, "split": split})
    sites = load_sites(config)
    hospitals = Hospitals.settle(config, sites, folder / "private")
    shutil.copytree(folder / "private", folder / "shared")
    places = {name: folder / "shared" / "institutions" / name for name in sites}
    teacher = fit_teacher(load_pool(config).train, config.task, config.teacher, config.teacher_training, seed=seed)
    for home in places.values():
        save_teacher(home / "teacher", teacher)
    return hospitals, Hospitals.settle(config, sites, folder / "shared")


def followed(hospitals: Hospitals, config: FederationConfig) -> tuple[list[float], int]:
    """Accuracy on all held-out records after every training round, and the student's number of parameters."""
    test, curve, sizes = load_pool(hospitals.config).test, list[float](), list[int]()
    kit = Kit(config, InstalledToolbox(CoordinatorSite(hospitals.workspace.coordinator)))
    versions = [0]

    def watch(state: RunState) -> None:
        if state.facts.version > versions[-1]:
            versions.append(state.facts.version)
            student = hospitals.student(state)
            sizes.append(count_parameters(student))
            curve.append(evaluate(student, test, len(config.task.labels)).accuracy)

    with tempfile.TemporaryDirectory() as scratch:
        benches = {}
        for name, home in hospitals.workspace.institutions.items():
            shutil.copytree(home / "teacher", Path(scratch) / name / "teacher")
            benches[name] = Workbench(load_config(InstitutionConfig, home / "institution.toml"), Path(scratch) / name)
        Federation(kit, benches, RingAveraging()).run(until="calibrate-range", watch=watch)
    return curve, sizes[-1]


def changed(config: FederationConfig, changes: Mapping[str, Mapping[str, object]]) -> FederationConfig:
    """The configuration with some keys of some tables changed."""
    table = config.model_dump()
    for name, keys in changes.items():
        table[name] = {**table[name], **keys}
    return FederationConfig.model_validate(table)


if __name__ == "__main__":
    main()
