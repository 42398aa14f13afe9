"""``policy.approve = "manual"``: this institution answers no run before its operator has read the run's plan and approved it.

What was approved is kept in ``state/approved/RUN.json``, and every round is held against it: settings of learning, the clip norm,
the number of updates, noise. A coordinator that asks for something else than it had signed is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.config import InstitutionConfig
from shared.errors import ApprovalPending, IdentityError, PolicyRefusal
from shared.files import PRIVATE_MODE, write_atomic
from shared.secagg.messages import Plan
from shared.signed import RunPlan
from shared.work import LearningWork, Work, trains


def approve(folder: Path, plan: RunPlan) -> Path:
    """Keeps a plan as approved; another plan of the same run takes its place. Returns where it lies."""
    path = _place(folder, plan.run)
    write_atomic(path, plan.canonical(), mode=PRIVATE_MODE)
    return path


def check_approved(config: InstitutionConfig, folder: Path, run: str) -> RunPlan | None:
    """The approved plan of ``run``; ``None`` where the policy wants none. Raises :class:`ApprovalPending` if there is none yet."""
    if config.policy.approve == "automatic":
        return None
    path = _place(folder, run)
    if not path.exists():
        raise ApprovalPending(
            f"institution '{config.name}' has not approved run '{run}' yet: its operator reads the plan and approves it with "
            f"'fedstill client approve FOLDER {run}' (policy.approve)"
        )
    try:
        plan = RunPlan.parse(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IdentityError(f"the approval in {path} cannot be read: approve the run again") from error
    if plan.run != run:
        raise IdentityError(f"the approval in {path} is of another run: approve the run again")
    return plan


def check_within(config: InstitutionConfig, approved: RunPlan, plan: Plan, work: Work) -> None:
    """Raises :class:`PolicyRefusal` where a round asks for something else than the plan that was approved."""
    for complaint in _complaints(approved.settings, plan, work):
        raise PolicyRefusal(
            f"institution '{config.name}' refused round {plan.round}: {complaint} than in the plan that its operator approved "
            "(policy.approve)"
        )


def _complaints(settings: dict[str, Any], plan: Plan, work: Work) -> Iterable[str]:
    aggregation = settings.get("aggregation", {})
    if plan.clip_norm > aggregation.get("clip_norm", 0.0):
        yield f"the clip norm {plan.clip_norm:g} is longer"
    if plan.collusion < aggregation.get("collusion", 0):
        yield f"the collusion of {plan.collusion} that is withstood is less"
    if plan.smallest_cohort < aggregation.get("smallest_cohort", 0):
        yield f"the smallest cohort of {plan.smallest_cohort} is smaller"
    if trains(work) and settings.get("privacy") is not None and plan.noise <= 0.0:
        yield "the noise, which is none, is less"
    if isinstance(work, LearningWork):
        if work.version >= settings.get("rounds", 0):
            yield f"update {work.version + 1} is one more"
        for part in ("training", "distillation"):
            if getattr(work, part).model_dump(mode="json", exclude_none=True) != settings.get(part):
                yield f"[{part}] is another"


def _place(folder: Path, run: str) -> Path:
    # A run's name is the coordinator's to choose, so it is never a part of a path here.
    return folder / "state" / "approved" / f"{hashlib.sha256(run.encode()).hexdigest()}.json"
