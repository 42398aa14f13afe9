"""What ``fedstill simulate`` was asked for, settled once and kept in the run's folder, so that ``--resume`` asks the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from fedstill.drops import check_rounds, parse_drop
from fedstill.sites import check_count
from shared.config import FederationConfig, load_config
from shared.errors import ConfigError, RunError
from shared.files import read_bytes, write_atomic
from shared.frozen import Frozen
from shared.sources import BuiltinData

PLAN_FILE = "plan.json"
BUILTIN = ("heart", "digits")


class ExperimentPlan(Frozen):
    """One simulation: the federation, where it is kept, and what is done to it. ``run`` names it in every message."""

    run: str
    folder: Path
    federation: FederationConfig
    institutions: int | None = None
    drops: tuple[str, ...] = ()
    baselines: bool = True


def plan_experiment(
    config: Path | None,
    *,
    data: str,
    institutions: int | None,
    rounds: int | None,
    seed: int | None,
    drops: Sequence[str],
    out: Path | None,
    resume: bool,
    baselines: bool,
) -> ExperimentPlan:
    """Settles a simulation, or with ``resume`` reads the one that ``out`` (or the latest run) holds. Writes nothing.

    Raises :class:`ConfigError` for what cannot be used and :class:`RunError` for a folder that is taken or empty.
    """
    if resume:
        return read_plan(out if out is not None else latest_run(Path("runs")))
    vanishing = [parse_drop(drop) for drop in drops]
    federation = load_config(FederationConfig, config) if config is not None else builtin_federation(data)
    changes: dict[str, object] = {key: value for key, value in (("rounds", rounds), ("seed", seed)) if value is not None}
    if institutions is not None and federation.data is not None and federation.split.sites is not None:
        changes["split"] = federation.split.model_copy(update={"sites": institutions})
    federation = revalidated(federation, changes)
    check_rounds(vanishing, federation.rounds)
    if institutions is not None:
        check_count(institutions, federation.aggregation.smallest_cohort)
    folder = (out if out is not None else _new_folder(federation.name)).absolute()
    if (folder / PLAN_FILE).exists():
        raise RunError(f"{folder} holds a run already; go on with it by --resume, or give another --out")
    return ExperimentPlan(
        run=f"{federation.name}-{federation.seed}",
        folder=folder,
        federation=federation,
        institutions=institutions,
        drops=tuple(drops),
        baselines=baselines,
    )


def keep_plan(plan: ExperimentPlan) -> None:
    """Writes the plan into its folder: from then on the run is there to be gone on with."""
    write_atomic(plan.folder / PLAN_FILE, plan.model_dump_json(indent=2).encode())


def builtin_federation(name: str) -> FederationConfig:
    """The federation over built-in records. Raises :class:`ConfigError` for a name that is none."""
    if name not in BUILTIN:
        raise ConfigError(f"--data {name}: there is no such built-in data; there are {' and '.join(BUILTIN)}")
    from shared.data import builtin_task
    from shared.models.presets import preset

    source = BuiltinData.model_validate({"source": name})
    return FederationConfig.model_validate({"name": name, "task": builtin_task(name), "data": source, **preset(name)})


def read_plan(folder: Path) -> ExperimentPlan:
    """The plan that a run's folder holds, wherever the folder lies now. Raises :class:`RunError` if there is none."""
    if not (folder / PLAN_FILE).exists():
        raise RunError(f"{folder} holds no run to go on with; start one without --resume")
    try:
        plan = ExperimentPlan.model_validate_json(read_bytes(folder / PLAN_FILE, what="plan"))
    except ValidationError as error:
        raise RunError(f"{folder / PLAN_FILE} is damaged; start a new run in another folder") from error
    return plan.model_copy(update={"folder": folder.absolute()})


def latest_run(folder: Path) -> Path:
    """The run under ``folder`` whose plan is newest. Raises :class:`RunError` if there is none."""
    plans = sorted(folder.glob(f"*/{PLAN_FILE}"), key=lambda path: path.stat().st_mtime)
    if not plans:
        raise RunError(f"there is no run under {folder.absolute()} to go on with; name its folder by --out")
    return plans[-1].parent


def _new_folder(name: str) -> Path:
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def revalidated(federation: FederationConfig, changes: dict[str, object]) -> FederationConfig:
    """The federation with ``changes`` from the command line. Raises :class:`ConfigError` that names the option."""
    try:
        return FederationConfig.model_validate({**federation.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--{first['loc'][0]}: {first['msg']}") from error
