"""Ways to distil in a federation whose institutions see other labels: accuracy after every few rounds, and what it cost in bytes.

    python -m benchmarks.regimes [--seeds 3] [--alpha 0.1 0.5 5] [--rounds 12] [--regime fedavg …]

Built-in digits, dealt to five sites by a Dirichlet split of ``--alpha``. All regimes have one student, one schedule, and the ring's
averaging with all that a deployed round has but masks, which cancel exactly. ``fedavg``: labels alone, the baseline of all. ``private``:
each site's own teacher. ``shared``: one teacher for all, fitted on all records, as a vendor's would be. ``mutual``: each site's
teacher learns with the student (FedKD's adaptive mutual distillation, Wu et al. 2022). With private teachers besides: ``proximal``
(FedProx), ``previous`` (the last global student's answers), ``fedadam`` and ``fedyogi``. ``logits``: private teachers, and answers to
public records in place of weights (FedMD, FedDF); its accuracy is that of the coordinator's own student, distilled from the consensus
after the rounds that are shown. Where it is asked for, a fifth of the digits is public: no site has them and none is in the test, and
the other regimes, which have no use for records without labels that nobody's teacher is asked about, get nothing of them. ``gain``
is over ``fedavg`` seed by seed, in points, at the end. Bytes are up and down of one institution, as the ring and the deltas pack
them, a round in the mean over all training rounds: the first, with the whole student or the public records, is among them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tomli_w
import torch

from benchmarks.averaging import RingAveraging
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.loop import Federation
from client.training import Workbench
from fedstill.plan import builtin_federation
from server.phases import Asked, Kit, end_training
from server.site import CoordinatorSite
from server.state import RunState
from server.tools import InstalledToolbox
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_pool, load_sites
from shared.data.digits import read_digits
from shared.data.seeds import generator
from shared.distill import evaluate
from shared.distill.teacher import fit_teacher, save_teacher
from shared.files import write_atomic
from shared.secagg.messages import Plan
from shared.sources import ArrayData

REGIMES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "fedavg": {"distillation": {"teacher": "none"}},
    "private": {},
    "shared": {},
    "mutual": {"distillation": {"teacher": "mutual"}},
    "proximal": {"distillation": {"proximal": 0.1}},
    "previous": {"distillation": {"previous_weight": 0.3}},
    "fedadam": {"optimizer": {"name": "fedadam", "learning_rate": 0.03}},
    "fedyogi": {"optimizer": {"name": "fedyogi", "learning_rate": 0.03}},
    "logits": {"proxy": {"source": "records"}},
}
SHOWN = (3, 6)
"""Rounds after which the accuracy is shown beside that of the last."""
PUBLIC_SHARE = 0.2
"""Of the digits, held apart as records without labels where ``logits`` is asked for."""


@dataclass
class Followed:
    """Accuracy on all held-out records after the rounds that are shown, and the bytes of each training round."""

    accuracy: dict[int, float] = field(default_factory=dict)
    bytes: list[int] = field(default_factory=list)


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
    runs: dict[str, list[Followed]] = {regime: [] for regime in arguments.regime}
    shown = (*(number for number in SHOWN if number < arguments.rounds), arguments.rounds)
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            hospitals, vendor = settled(alpha, seed, arguments.rounds, Path(folder), apart="logits" in arguments.regime)
            for regime in arguments.regime:
                chosen = vendor if regime == "shared" else hospitals
                found = followed(chosen, changed(hospitals.config, _of(regime, Path(folder))), shown)
                runs[regime].append(found)
                print(f"alpha {alpha:g}, seed {seed}, {regime}: {found.accuracy[arguments.rounds]:.4f}", flush=True)
    claims = []
    for regime, each in runs.items():
        for number in shown:
            claims.append(claim(f"{alpha:g}.{regime}.round{number}", [run.accuracy[number] for run in each], "accuracy"))
        if regime != "fedavg" and "fedavg" in runs:
            pairs = zip(each, runs["fedavg"], strict=True)
            gains = [100 * (one.accuracy[arguments.rounds] - other.accuracy[arguments.rounds]) for one, other in pairs]
            claims.append(claim(f"{alpha:g}.{regime}.gain", gains, "points"))
        claims.append(claim(f"{alpha:g}.{regime}.bytes_a_round", [statistics.mean(run.bytes) for run in each], "bytes"))
    return claims


def settled(alpha: float, seed: int, rounds: int, folder: Path, *, apart: bool = False) -> tuple[Hospitals, Hospitals]:
    """The sites with teachers of their own, and the same sites with one teacher that was fitted on all records.

    With ``apart`` a part of the digits is nobody's, and lies without labels in ``folder/public.npz``.
    """
    base = builtin_federation("digits")
    split = base.split.model_copy(update={"alpha": alpha, "sites": 5})
    data = hold_apart(folder, seed) if apart else base.data
    config = base.model_copy(update={"seed": seed, "rounds": rounds, "split": split, "data": data})
    sites = load_sites(config)
    hospitals = Hospitals.settle(config, sites, folder / "private")
    shutil.copytree(folder / "private", folder / "shared")
    places = {name: folder / "shared" / "institutions" / name for name in sites}
    teacher = fit_teacher(load_pool(config).train, config.task, config.teacher, config.teacher_training, seed=seed)
    for home in places.values():
        save_teacher(home / "teacher", teacher)
    return hospitals, Hospitals.settle(config, sites, folder / "shared")


def hold_apart(folder: Path, seed: int) -> ArrayData:
    """Parts the digits, by a seeded draw, into ``public.npz`` without labels and the records that are dealt to sites."""
    digits = read_digits()
    order = generator(seed, "public").permutation(len(digits))
    public, dealt = np.split(order, [round(PUBLIC_SHARE * len(digits))])
    np.savez(folder / "public.npz", inputs=digits.inputs[np.sort(public)])
    rest = digits.take(np.sort(dealt))
    np.savez(folder / "dealt.npz", inputs=rest.inputs, labels=rest.labels)
    return ArrayData(source="arrays", path=folder / "dealt.npz")


def followed(hospitals: Hospitals, config: FederationConfig, shown: Collection[int]) -> Followed:
    """A run up to its last training round."""
    test, found = load_pool(hospitals.config).test, Followed()

    def tap(asked: Asked, plan: Plan) -> None:
        if asked.update_words:
            found.bytes.append(plan.layout.update_words * plan.layout.width // 8 + len(asked.delta or asked.blob))

    with tempfile.TemporaryDirectory() as scratch:
        kit = Kit(config, InstalledToolbox(coordinator_at(Path(scratch) / "coordinator", config)))

        def watch(state: RunState) -> None:
            version = state.facts.version
            if version in shown and version not in found.accuracy:
                found.accuracy[version] = evaluate(hospitals.student(_published(state, kit)), test, len(config.task.labels)).accuracy

        benches = {}
        for name, home in hospitals.workspace.institutions.items():
            shutil.copytree(home / "teacher", Path(scratch) / name / "teacher")
            benches[name] = Workbench(load_config(InstitutionConfig, home / "institution.toml"), Path(scratch) / name)
        Federation(kit, benches, RingAveraging()).run(until="calibrate-range", watch=watch, tap=tap)
    return found


def _published(state: RunState, kit: Kit) -> RunState:
    # Between rounds of answers there is no student yet: the one that the run would end with if it ended here.
    return end_training(state, kit) if state.facts.phase == "train" else state


def coordinator_at(folder: Path, config: FederationConfig) -> CoordinatorSite:
    """A coordinator's place in ``folder`` with a configuration of its own."""
    write_atomic(folder / "federation.toml", tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)).encode())
    return CoordinatorSite(folder)


def _of(regime: str, folder: Path) -> Mapping[str, Mapping[str, object]]:
    changes = REGIMES[regime]
    return {"proxy": {**changes["proxy"], "path": folder / "public.npz"}} if "proxy" in changes else changes


def changed(config: FederationConfig, changes: Mapping[str, Mapping[str, object]]) -> FederationConfig:
    """The configuration with some keys of some tables changed."""
    table = config.model_dump()
    for name, keys in changes.items():
        table[name] = {**(table[name] or {}), **keys}
    return FederationConfig.model_validate(table)


if __name__ == "__main__":
    main()
