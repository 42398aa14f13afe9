"""The steps of a compression, in order: benchmark, prune, quantise, verify, sign; a table after each."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fedstill.compressing.lessons import Lessons, Parts, parts_of, teacher_of
from fedstill.compressing.plan import CompressPlan, check_folder
from fedstill.compressing.pruning import prune, undo_last_cut
from fedstill.compressing.quantising import Judged, Ranges, calibrated, figures_of, judged, right_of
from fedstill.compressing.scoring import Scorer
from fedstill.compressing.signing import ARTIFACT_FOLDER, signer, write_signed
from fedstill.compressing.steps import Steps, left_unfinished
from fedstill.compressing.work import GRAPH_FILE, PRUNED_FILE, Work
from fedstill.report.compressed import CompressSummary, FileFigures, plot_pareto, print_files, print_stages
from fedstill.stopwatch import Stopwatch
from server.locking import run_lock
from shared.compress.archive import ARCHIVE_SUFFIX
from shared.errors import ArtifactError
from shared.files import write_atomic

if TYPE_CHECKING:
    from shared.compress.gate import Allowed
    from shared.data.records import Split
    from shared.models import Network

SUMMARY_FILE, PLOT_FILE, INT8_FILE = "summary.json", "pareto.png", "int8.onnx"
NOT_SLOWER_HERE = 1.05
"""Measured times of one machine repeat within a few per cent: beyond this ratio a file is slower than float where it was measured."""


def run_compression(plan: CompressPlan, console: Console, pool: Split | None = None) -> CompressSummary:
    """Compresses by the plan; a folder in which an earlier command was stopped is taken up. Raises :class:`shared.errors.FedstillError`
    and its kinds. Where the gate refuses a pruned student for what it loses, the last cut is undone, and so on to the student that came
    in; one that is refused then leaves its tables and its float graph in the folder, and no artifact.

    ``pool``: the records, where they are loaded already; else those of the plan's federation.
    """
    import torch

    from shared.compress.devices import find_profile

    check_folder(plan.folder)
    # What would fail later should fail before anything is written.
    find_profile(plan.device)
    torch.set_num_threads(plan.threads)
    watch = Stopwatch()
    with watch.part("records"):
        student, parts = _loaded(plan, pool)
    with run_lock(plan.folder, plan.federation.name), ExitStack() as keeping:
        steps = _taken_up(plan, console)
        # What a teacher says of the records stays here no longer than it is needed: the folder is for others to have.
        targets = keeping.enter_context(steps.scratch())
        identity = signer(plan)
        with watch.part("benchmark"):
            lessons = Lessons(Path(targets), steps, parts, plan.federation, teacher_of(plan.teacher, student), plan.seed)
            work = _begun(plan, console, lessons, student)
        if plan.prune:
            with watch.part("prune"):
                prune(work)
        with watch.part("quantise"):
            verdict, figures = _signable(work)
        with watch.part("sign"):
            write_signed(plan, work.student, verdict, work.original, work.changes, identity)
            summary = _summary(work, figures, identity.public_key().public_bytes_raw().hex(), dict(watch.parts))
            write_atomic(plan.folder / SUMMARY_FILE, summary.model_dump_json(indent=2).encode())
            steps.finished()
    if steps.reused:
        console.print(f"{steps.reused} trained students were kept from before the command was stopped", highlight=False, soft_wrap=True)
    return summary


def _taken_up(plan: CompressPlan, console: Console) -> Steps:
    """The steps that an earlier command finished in this folder before it was stopped; what else it left goes, for it may not fit."""
    if left_unfinished(plan.folder):
        console.print(f"{plan.folder} holds a compression that was stopped: it goes on, or begins again where it does not fit")
        for name in (SUMMARY_FILE, PLOT_FILE, GRAPH_FILE, PRUNED_FILE, INT8_FILE, ARTIFACT_FOLDER + ARCHIVE_SUFFIX):
            (plan.folder / name).unlink(missing_ok=True)
        shutil.rmtree(plan.folder / ARTIFACT_FOLDER, ignore_errors=True)
    return Steps(plan.folder)


def _loaded(plan: CompressPlan, pool: Split | None) -> tuple[Network, Parts]:
    from shared.data import load_pool
    from shared.models import load_model

    return load_model(plan.student), parts_of(load_pool(plan.federation) if pool is None else pool, plan.seed)


def _begun(plan: CompressPlan, console: Console, lessons: Lessons, student: Network) -> Work:
    from shared.compress.cost import timing_on
    from shared.compress.export import export_float

    scorer = Scorer(lessons.parts.test, student.task, timing_on(plan.device))
    original = export_float(student, student.task)
    work = Work(plan, console, lessons, scorer, student, original)
    write_atomic(plan.folder / GRAPH_FILE, original)
    if plan.teacher is not None:
        work.stages.append(scorer.teacher("teacher, torch", lessons.teacher, plan.teacher))
    work.stages.append(scorer.student("student, torch", student, plan.student))
    work.stages.append(scorer.graph("student, ONNX", original, student, plan.folder / GRAPH_FILE))
    print_stages(work.stages, console, f"benchmark: {len(lessons.parts.test):,} held-out records", plan.device)
    return work


def _signable(work: Work) -> tuple[Judged, list[FileFigures]]:
    """What may be signed of the pruned student, or of the last one on the way to it that loses little enough."""
    from shared.compress.gate import LossRefusal

    while True:
        try:
            return _quantised(work)
        except LossRefusal as refusal:
            if not work.before:
                raise
            last = [cut.name for cut in work.cuts if cut.accepted][-1]
            work.console.print(f"{refusal}\nthe last cut, '{last}', went too far and is undone", highlight=False, soft_wrap=True)
            undo_last_cut(work)


def _quantised(work: Work) -> tuple[Judged, list[FileFigures]]:
    from shared.compress.gate import Allowed
    from shared.compress.latency import onnx_latency

    plan = work.plan
    allowed = Allowed(
        plan.max_drop,
        None if plan.budget_ms is None else plan.budget_ms / 1000,
        None if plan.budget_mb is None else int(plan.budget_mb * 1e6),
    )
    files = _files(work)
    verdict = _fast_enough_here(work, files, allowed)
    figures = list(figures_of(verdict, work.scorer.test.inputs, onnx_latency))
    print_files(figures, work.console)
    winner = next(file for file in figures if file.signed)
    path = plan.folder / INT8_FILE
    write_atomic(path, verdict.winner)
    try:
        work.stages.append(work.scorer.graph(f"INT8 {winner.name}", verdict.winner, work.student, path))
    finally:
        path.unlink(missing_ok=True)
    print_stages(work.stages, work.console, f"compressed for {plan.device}", plan.device)
    return verdict, figures


def _files(work: Work) -> dict[str, bytes]:
    """The candidates of the device, best first: of the student as it is, or as it learnt on the grid where that answers better."""
    from shared.compress.devices import WEIGHTS_ONLY, find_profile
    from shared.compress.export import export_float

    plan, task, learn = work.plan, work.student.task, work.lessons.parts.learn
    content = export_float(work.student, task)
    ranges = calibrated(content, learn, task)
    files = _candidates(work, content, ranges)
    if not plan.quantised_epochs or not files or next(iter(files)) == WEIGHTS_ONLY:
        return files
    grid = find_profile(plan.device).grids[0]
    learnt, own = work.lessons.heal_on_grid(work.student, ranges, grid, plan.quantised_epochs)
    others = _candidates(work, export_float(learnt, task), own)
    before, after = (right_of(next(iter(found.values())), work.lessons.parts.watch, task) if found else -1 for found in (files, others))
    figures = f"{after} of {len(work.lessons.parts.watch)} watched records right, {before} without"
    if after <= before:
        work.console.print(f"learning on the grid won nothing and is left out: {figures}", highlight=False, soft_wrap=True)
        return files
    work.console.print(f"learnt on the grid: {figures}", highlight=False, soft_wrap=True)
    work.student = learnt
    work.changes.append(f"learnt on for {plan.quantised_epochs} epochs with the arithmetic of {grid}")
    return others


def _candidates(work: Work, content: bytes, ranges: Ranges) -> dict[str, bytes]:
    from shared.compress.candidates import candidates

    return candidates(content, ranges, work.plan.device, work.scorer.timing)


def _fast_enough_here(work: Work, files: dict[str, bytes], allowed: Allowed) -> Judged:
    """The gate's verdict, and where this machine is of the device's kind, only on what is not slower than float by measurement either."""
    from shared.compress.devices import find_profile
    from shared.compress.here import is_here
    from shared.compress.latency import onnx_latencies

    test, timing = work.lessons.parts.test, work.scorer.timing
    while True:
        verdict = judged(work.original, files, test, work.student.task, allowed, timing)
        if not is_here(find_profile(work.plan.device).instruction_sets):
            return verdict
        taken = onnx_latencies({"winner": verdict.winner, "float": work.original}, test.inputs)
        ratio = taken["winner"] / taken["float"]
        if ratio <= NOT_SLOWER_HERE:
            return verdict
        name = verdict.result.winner
        if len(files) == 1:
            raise ArtifactError(
                f"no INT8 file may be signed: '{name}' takes {ratio:.2f} times as long as float, measured here; --device names another"
            )
        work.console.print(f"'{name}' takes {ratio:.2f} times as long as float, measured here: not signed", highlight=False, soft_wrap=True)
        files = {other: content for other, content in files.items() if other != name}


def _summary(work: Work, figures: list[FileFigures], signed_by: str, seconds: dict[str, float]) -> CompressSummary:
    plan = work.plan
    plot_pareto(work.points, plan.budget_ms, plan.folder / PLOT_FILE)
    return CompressSummary(
        name=plan.federation.name,
        folder=plan.folder,
        device=plan.device,
        records=len(work.lessons.parts.test),
        max_drop=plan.max_drop,
        stages=tuple(work.stages),
        cuts=tuple(work.cuts),
        files=tuple(figures),
        artifact=plan.folder / ARTIFACT_FOLDER,
        signer=signed_by,
        plot=plan.folder / PLOT_FILE,
        seconds=seconds,
    )
