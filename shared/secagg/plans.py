"""What makes a plan legal, whoever looks at it: the coordinator before it asks, each institution before it answers."""

from __future__ import annotations

from dataclasses import dataclass

from shared.secagg.encoding import prove_headroom
from shared.secagg.errors import EquivocatedSet, IllegalPlan, WrongRoster
from shared.secagg.messages import Plan
from shared.secagg.roster import Roster
from shared.secagg.shamir import MOST_HOLDERS


@dataclass(frozen=True)
class SecaggPolicy:
    """What an institution agrees to in secure aggregation. The coordinator cannot weaken it.

    ``collusion`` is the number ``c`` of institutions that may collude with the coordinator; ``smallest_cohort`` holds for
    the cohort and for its survivors.
    """

    smallest_cohort: int
    collusion: int
    longest_clip_norm: float
    most_rounds: int


def check_plan(plan: Plan, roster: Roster, collusion: int) -> None:
    """Raises unless the plan is for this roster, its threshold fits its cohort and ``collusion``, and nothing can overflow."""
    if plan.roster_digest != roster.digest:
        raise WrongRoster(
            f"round {plan.round} was planned for another roster than the pinned one; compare roster digests with the coordinator"
        )
    strangers = sorted(set(plan.cohort) - set(roster.members))
    if strangers:
        raise WrongRoster(f"round {plan.round} has a member who is not on the pinned roster: {', '.join(strangers)}")
    if list(plan.cohort) != sorted(set(plan.cohort)):
        raise IllegalPlan(f"the cohort of round {plan.round} is not sorted or names somebody twice")
    size = len(plan.cohort)
    if size < collusion + 2 or size > MOST_HOLDERS:
        raise IllegalPlan(f"a cohort of {size} in round {plan.round} is outside {collusion + 2} to {MOST_HOLDERS}")
    if not size + collusion < 2 * plan.threshold <= 2 * size:
        raise IllegalPlan(
            f"round {plan.round} plans a threshold of {plan.threshold} for a cohort of {size}; with up to {collusion} colluding it must be "
            f"more than {(size + collusion) / 2:g} and at most {size}"
        )
    prove_headroom(plan)


def check_survivors(plan: Plan, survivors: tuple[str, ...], least: int) -> None:
    """Raises :class:`EquivocatedSet` unless ``survivors`` is a sorted part of the cohort with at least ``least`` members."""
    if list(survivors) != sorted(set(survivors)) or not set(survivors) <= set(plan.cohort):
        raise EquivocatedSet(f"the surviving set of round {plan.round} is not a sorted part of its cohort")
    if len(survivors) < least:
        raise EquivocatedSet(f"the surviving set of round {plan.round} has {len(survivors)} members; at least {least} are needed")
