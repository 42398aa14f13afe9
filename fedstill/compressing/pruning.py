"""The step that prunes, and the way back where the gate says that it went too far."""

from __future__ import annotations

from fedstill.compressing.cutting import Limits, cuts
from fedstill.compressing.work import GRAPH_FILE, PRUNED_FILE, Work
from fedstill.progress import progress_bar
from fedstill.report.compressed import print_cuts
from shared.files import write_atomic

STAGE = "pruned, ONNX"
UNDONE = "undone: the gate signed no file of it"


def prune(work: Work) -> None:
    """Cuts what can go; leaves the student that is left, healed, in the folder."""
    from shared.compress.devices import find_profile
    from shared.compress.export import export_float
    from shared.compress.prune.plan import PruneSettings

    plan, task = work.plan, work.student.task
    block = int(find_profile(plan.device).channel_block.value)
    settings = PruneSettings(keep_layers=plan.keep_layers, first_depth=work.student.settings.depth, multiple=block)
    limits = Limits(plan.max_drop, None if plan.budget_ms is None else plan.budget_ms / 1000)
    with progress_bar(work.console, None) as bar:
        tried = cuts(
            work.student,
            work.lessons,
            settings,
            limits,
            lambda student: work.scorer.timing(export_float(student, task)),
            plan.healing_epochs,
            lambda loss: bar.advance(f"healing, loss {loss:.4f}"),
        )
        for cut, student in tried:
            work.cuts.append(cut)
            if cut.accepted:
                work.before.append(work.student)
            work.student = student
    print_cuts(work.cuts, work.console)
    _leave(work)


def undo_last_cut(work: Work) -> None:
    """Back to the student before the last cut that was kept, whatever it learnt since; there must be one (``work.before``).

    Cuts are accepted by the watched records, and the gate counts others: what the first allow, the second may refuse. A cut that is undone
    asks the gate once more, about a student that is nearer to the one that came in; what was undone is in the manifest.
    """
    work.student = work.before.pop()
    place = max(place for place, cut in enumerate(work.cuts) if cut.accepted)
    work.cuts[place] = work.cuts[place].model_copy(update={"accepted": False, "reason": UNDONE})
    work.stages = [stage for stage in work.stages if stage.name != STAGE]
    (work.plan.folder / PRUNED_FILE).unlink(missing_ok=True)
    _leave(work)


def _leave(work: Work) -> None:
    """The student of now as a graph and, where a cut was kept, a checkpoint, a stage and a change of the manifest."""
    from shared.compress.export import export_float
    from shared.models import save_model

    plan, kept = work.plan, [cut.name for cut in work.cuts if cut.accepted]
    undone = [cut.name for cut in work.cuts if cut.reason == UNDONE]
    back = f"; undone, as the gate refused their files: {', '.join(undone)}" if undone else ""
    healed = f"pruned ({', '.join(kept)}), each healed by {plan.healing_epochs} epochs of distillation" if kept else "not pruned"
    work.changes = [healed + back] if kept or undone else []
    graph = export_float(work.student, work.student.task) if kept else work.original
    write_atomic(plan.folder / GRAPH_FILE, graph)
    if kept:
        save_model(plan.folder / PRUNED_FILE, work.student)
        work.stages.append(work.scorer.graph(STAGE, graph, work.student, plan.folder / GRAPH_FILE))
