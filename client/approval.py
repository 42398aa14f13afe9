"""``policy.approve = "manual"``: this institution answers no run before its operator has read the run's plan and approved it.

What was approved is kept in ``state/approved/RUN.json``, and every round is held against it (``client/beyond.py``). A coordinator that
asks for something else than it had signed is refused.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from client.beyond import beyond
from shared.config import InstitutionConfig
from shared.errors import ApprovalPending, IdentityError, PolicyRefusal
from shared.files import PRIVATE_MODE, write_atomic
from shared.secagg.messages import Plan
from shared.signed import RunPlan
from shared.work import Work


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
    for complaint in beyond(approved.settings, plan, work):
        raise PolicyRefusal(
            f"institution '{config.name}' refused round {plan.round}: {complaint} than in the plan that its operator approved "
            "(policy.approve)"
        )


def _place(folder: Path, run: str) -> Path:
    # A run's name is the coordinator's to choose, so it is never a part of a path here.
    return folder / "state" / "approved" / f"{hashlib.sha256(run.encode()).hexdigest()}.json"
