"""A whole simulated federation: teachers, masked rounds, artifact, and everything that its student is compared with.

The federation runs in this process through the deployed apps; teachers and baselines are fitted beside it by worker
processes. Each part leaves its result in the run's folder, so that ``--resume`` does only what is missing.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from fedstill import baselines
from fedstill.drops import parse_drop, schedule
from fedstill.plan import PLAN_FILE, ExperimentPlan, keep_plan
from fedstill.progress import Bar, progress_bar
from fedstill.report import ModelFigures, Summary, print_summary, write_report
from fedstill.sites import check_count, resize
from fedstill.stopwatch import Stopwatch
from fedstill.teachers import fit_institution
from fedstill.tell import Teller
from fedstill.workspace import Workspace, prepare
from server.coordinator import RunResult
from server.stopping import StopSignal
from shared.config import InstitutionConfig, load_config
from shared.data import load_sites
from shared.files import write_atomic

WORKERS = 2
"""Processes beside this one that fit teachers and baselines."""
OTHER_ROUNDS = 5
"""Rounds of a run that do not train: statistics, calibration and gate."""


def run_experiment(plan: ExperimentPlan, console: Console, *, started: float | None = None) -> Summary:
    """Runs or resumes a simulation to its report; ``started`` as in :class:`Stopwatch`.

    Raises :class:`FedstillError`; ``KeyboardInterrupt`` leaves a run that can go on.
    """
    try:
        return _run(plan, console, Stopwatch(started))
    except KeyboardInterrupt:
        # Whatever was being done: what is finished lies in the run's folder, and the same run goes on from there.
        if not (plan.folder / PLAN_FILE).exists():
            raise
        again = f"fedstill simulate --resume --out {plan.folder}"
        console.print(f"stopped; what is finished is kept. Go on with: {again}", highlight=False, soft_wrap=True)
        raise


def _run(plan: ExperimentPlan, console: Console, watch: Stopwatch) -> Summary:
    with watch.part("prepare"):
        workspace = make_workspace(plan)
    # One more weighs the parts of a student that is pruned.
    rounds = OTHER_ROUNDS + plan.federation.update_rounds + (plan.federation.compression.prune > 0)
    with _workers() as pool:
        with progress_bar(console, len(workspace.institutions) + rounds) as bar:
            with watch.part("teachers"):
                _fit_teachers(pool, plan, workspace, bar)
            waiting = _start_baselines(pool, plan, workspace)
            with watch.part("federation"):
                result = _federate(plan, workspace, bar)
        with watch.part("baselines (the rest of them)"):
            figures = {name: ModelFigures.model_validate(future()) for name, future in waiting.items()}
    return _finish(plan, workspace, result, figures, watch, console)


def _finish(
    plan: ExperimentPlan,
    workspace: Workspace,
    result: RunResult,
    figures: dict[str, ModelFigures],
    watch: Stopwatch,
    console: Console,
) -> Summary:
    from fedstill.measure import measure_models
    from fedstill.summarise import summarise

    with watch.part("measure"):
        artifact = _hand_over(result.artifact, plan.folder / "artifact")
        result = replace(result, artifact=artifact)
        measured = measure_models(plan.federation, workspace, result)
    # The plots are the report's own time, so the summary that they show is made before they are drawn.
    summary = summarise(plan, workspace, result, {**figures, **measured.figures}, measured.agreement, watch)
    write_report(summary, plan.folder)
    print_summary(summary, console)
    return summary


def _hand_over(signed: Path, target: Path) -> Path:
    # What a user looks for lies at the top of the run's folder; copied beside and renamed, so that it is whole or not there.
    if not target.exists():
        beside = target.with_name(f".{target.name}")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(signed, beside)
        beside.rename(target)
    return target


def make_workspace(plan: ExperimentPlan) -> Workspace:
    """The folders of the plan's federation, and the plan in them, made if they are missing.

    Raises :class:`DataError` for records that do not load, and :class:`ConfigError` for too few institutions and for drops of some that
    are not there; then nothing is made.
    """
    known = sorted(path.parent.name for path in (plan.folder / "institutions").glob("*/institution.toml"))
    if (plan.folder / "coordinator" / "roster.json").exists() and known:
        return Workspace(plan.folder, plan.folder / "coordinator", {name: plan.folder / "institutions" / name for name in known})
    sites = load_sites(plan.federation)
    if plan.institutions is not None and len(sites) != plan.institutions:
        sites = resize(sites, plan.institutions, seed=plan.federation.seed)
    check_count(len(sites), plan.federation.aggregation.smallest_cohort)
    _vanishing(plan, sites)
    keep_plan(plan)
    return prepare(plan.federation, plan.folder, sites)


def _fit_teachers(pool: ProcessPoolExecutor, plan: ExperimentPlan, workspace: Workspace, bar: Bar) -> None:
    bar.describe("fitting teachers")
    futures: dict[Future[float], str] = {
        pool.submit(_fit, home, plan.federation.model_dump_json()): name for name, home in workspace.institutions.items()
    }
    for future in as_completed(futures):
        accuracy = future.result()
        bar.advance("fitting teachers")
        bar.say(f"teacher of {futures[future]}: held-out accuracy {accuracy:.3f}")


def _fit(home: Path, federation: str) -> float:
    from shared.config import FederationConfig

    config = load_config(InstitutionConfig, home / "institution.toml")
    return fit_institution(config, home, FederationConfig.model_validate_json(federation)).accuracy


def _start_baselines(pool: ProcessPoolExecutor, plan: ExperimentPlan, workspace: Workspace) -> dict[str, Callable[[], object]]:
    if not plan.baselines:
        return {}
    homes = dict(workspace.institutions)
    units = {"federated": baselines.federated_figures, "local": baselines.local_figures, "pooled": baselines.pooled_figures}
    if plan.federation.knowledge is not None and plan.federation.knowledge.table is not None:
        units["bare"] = baselines.bare_figures
    return {name: _kept(pool, unit, plan, homes, workspace.folder / "baselines" / f"{name}.json") for name, unit in units.items()}


def _kept(
    pool: ProcessPoolExecutor,
    unit: Callable[[str, dict[str, Path]], str],
    plan: ExperimentPlan,
    homes: dict[str, Path],
    path: Path,
) -> Callable[[], object]:
    # A baseline's figures outlive an interrupted run: they are as costly as the federation.
    if path.exists():
        return lambda: ModelFigures.model_validate_json(path.read_bytes())
    future = pool.submit(unit, plan.federation.model_dump_json(), homes)

    def collect() -> object:
        content = future.result()
        write_atomic(path, content.encode())
        return ModelFigures.model_validate_json(content)

    return collect


def _federate(plan: ExperimentPlan, workspace: Workspace, bar: Bar) -> RunResult:
    from fedstill.simulation import run_in_process

    stop = StopSignal()
    with _interruptible(stop, bar):
        return run_in_process(
            workspace.coordinator,
            workspace.institutions,
            plan.run,
            on_event=Teller(bar),
            drops=_vanishing(plan, workspace.institutions),
            vanish="after",
            stop=stop,
        )


def _vanishing(plan: ExperimentPlan, institutions: Iterable[str]) -> dict[int, frozenset[str]]:
    return schedule((parse_drop(drop) for drop in plan.drops), list(institutions), seed=plan.federation.seed)


@contextmanager
def _interruptible(stop: StopSignal, bar: Bar) -> Iterator[None]:
    # The first Ctrl-C asks the run to stop between two messages; a second one ends it at once.
    asked = False

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        bar.say("stopping; once more to stop at once")
        stop.set()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _workers() -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"), initializer=_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.terminate()


def _worker() -> None:
    # Ctrl-C is the main process's to handle; it ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
