"""What makes a plan legal whoever looks at it: institutions check it with their own ``collusion``, the coordinator with the plan's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from shared.secagg.encoding import rounded_norm, threshold_for
from shared.secagg.errors import IllegalPlan, WrongRoster
from shared.secagg.graph import LARGEST_COMPLETE, LARGEST_DEGREE, Graph, cut_bound, share_threshold_for
from shared.secagg.messages import Plan
from shared.secagg.roster import Roster

MOST_INSTITUTIONS = 10_000
"""Largest cohort."""


def check_cohort(plan: Plan, roster: Roster) -> None:
    """A cohort is a sorted set of roster members, no larger than the protocol bears, with thresholds that it can reach."""
    if not is_sorted_set(plan.cohort) or not 2 <= len(plan.cohort) <= MOST_INSTITUTIONS:
        raise IllegalPlan(f"the cohort of round {plan.round} is not a sorted set of 2 to {MOST_INSTITUTIONS} names")
    strangers = [name for name in plan.cohort if name not in roster.members]
    if strangers:
        raise WrongRoster(f"the cohort of round {plan.round} holds {', '.join(strangers)}, who are not on the pinned roster")
    if not threshold_for(len(plan.cohort), plan.collusion) <= plan.threshold <= len(plan.cohort):
        raise IllegalPlan(
            f"a threshold of {plan.threshold} does not go with a cohort of {len(plan.cohort)} and {plan.collusion} colluding; "
            f"round {plan.round} needs {threshold_for(len(plan.cohort), plan.collusion)}"
        )
    _check_degree(plan)
    if plan.round < 1 or plan.epoch < 0:
        raise IllegalPlan(f"round {plan.round} of epoch {plan.epoch} cannot be: rounds are counted from 1")


def check_graph(plan: Plan, graph: Graph, members: int, collusion: int, refused: str) -> None:
    """A sparse graph's share threshold keeps ``collusion`` colluding institutions out, and its cohort hangs together.

    Raises :class:`IllegalPlan`, which begins with ``refused``.
    """
    if not plan.degree:
        return
    if graph.degree != plan.degree:
        raise IllegalPlan(f"{refused}: {members} members are too few for a graph of degree {plan.degree}")
    least = share_threshold_for(members, plan.degree, collusion)
    if plan.share_threshold < least:
        raise IllegalPlan(
            f"{refused}: {plan.share_threshold} shares give a seed; {collusion} colluding institutions could gather so many in one "
            f"neighbourhood of {plan.degree + 1}, at least {least} are needed"
        )
    check_together(plan, graph, plan.cohort, collusion, refused)


def check_together(plan: Plan, graph: Graph, present: Sequence[str], collusion: int, refused: str) -> None:
    """Whoever colludes, the others of ``present`` hang together in the graph; raises :class:`IllegalPlan` if not for certain."""
    if not plan.degree:
        return
    cut, bound = graph.narrowest_cut(present), cut_bound(graph.size, plan.degree, collusion)
    if cut <= bound:
        raise IllegalPlan(
            f"{refused}: {int(cut)} colluding institutions could part it in two sums, and up to {bound} may stand in such places; "
            "too many neighbours in a row are missing"
        )


def noise_ratio(plan: Plan, survivors: int, collusion: int) -> float:
    """The deviation of the honest institutions' noise in a sum over ``survivors``, in parts of one update's largest norm."""
    honest = survivors - collusion
    return plan.noise * math.sqrt(honest) / rounded_norm(plan) if plan.noise and honest > 0 else 0.0


def _check_degree(plan: Plan) -> None:
    if not plan.degree:
        if len(plan.cohort) > LARGEST_COMPLETE:
            raise IllegalPlan(f"round {plan.round} plans a complete graph of {len(plan.cohort)}; above {LARGEST_COMPLETE} it is sparse")
        if plan.share_threshold != plan.threshold:
            raise IllegalPlan(
                f"{plan.share_threshold} shares give a seed in round {plan.round}; on a complete graph it is {plan.threshold}"
            )
    elif plan.degree % 2 or not 2 <= plan.degree <= LARGEST_DEGREE or not 2 <= plan.share_threshold <= plan.degree + 1:
        raise IllegalPlan(
            f"round {plan.round} plans a graph of degree {plan.degree} in which {plan.share_threshold} shares give a seed; degrees are "
            f"even and at most {LARGEST_DEGREE}"
        )


def is_sorted_set(names: Sequence[str]) -> bool:
    """Whether names are in order and each once, as every set of institutions is written."""
    return all(one < other for one, other in itertools.pairwise(names))
