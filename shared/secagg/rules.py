"""What an institution agrees to. Each rule is a function that raises the typed error of the attack it stops.

A rule knows the institution's own policy and pinned roster and believes nothing else: what the coordinator says is
either signed by an institution on that roster or within these rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import PolicyRefusal
from shared.secagg import fragments
from shared.secagg.encoding import prove_headroom, threshold_for
from shared.secagg.errors import EquivocatedSet, ForgedMessage, IllegalPlan, UnprovenSet, WrongRoster
from shared.secagg.graph import Graph
from shared.secagg.keys import check_usable
from shared.secagg.legality import check_cohort, check_graph, check_together, is_sorted_set, noise_ratio
from shared.secagg.messages import EpochKey, Plan, UnmaskRequest
from shared.secagg.roster import Roster
from shared.secagg.signing import agreement_bytes, keys_digest, round_context, verify_epoch_keys, verify_member


@dataclass(frozen=True)
class SecaggPolicy:
    """What the coordinator cannot weaken.

    ``smallest_cohort``: fewest institutions in a sum; ``collusion``: how many others may work with the coordinator (0: it
    is alone); ``longest_clip_norm``: largest L2 norm an update may keep; ``most_rounds``: highest round number of a run;
    ``least_noise``: least deviation, in parts of the largest norm that one institution's words can have, of the noise that
    the honest of the smallest surviving set add together (0: none is asked for).
    """

    smallest_cohort: int = 3
    collusion: int = 1
    longest_clip_norm: float = 10.0
    most_rounds: int = 1000
    least_noise: float = 0.0

    @property
    def fewest(self) -> int:
        """Fewest institutions in a sum that hides an honest one behind another, and at least ``smallest_cohort``."""
        return max(self.smallest_cohort, self.collusion + 2)


@dataclass(frozen=True)
class Rules:
    """The rules of one institution."""

    institution: str
    roster: Roster
    policy: SecaggPolicy

    def check_plan(self, plan: Plan) -> None:
        """Every rule about a plan that does not depend on earlier rounds. Legal plans have a context; others may not."""
        refused = f"institution '{self.institution}' refused round {plan.round}"
        if plan.roster_digest != self.roster.digest:
            raise WrongRoster(f"{refused}: it is planned for another roster than the pinned one; compare fingerprints and enrol again")
        check_cohort(plan, self.roster)
        if self.institution not in plan.cohort:
            raise IllegalPlan(f"{refused}: it is not in the cohort {', '.join(plan.cohort)}")
        for complaint in self._limits(plan):
            raise PolicyRefusal(f"{refused}: {complaint}")
        least = threshold_for(len(plan.cohort), self.policy.collusion)
        if plan.threshold < least:
            raise IllegalPlan(
                f"{refused}: threshold {plan.threshold} for a cohort of {len(plan.cohort)} lets the coordinator and "
                f"{self.policy.collusion} colluding institutions open an update; at least {least} is needed"
            )
        prove_headroom(plan)
        if plan.fragments and plan.smallest_cohort < self.policy.fewest:
            raise PolicyRefusal(
                f"{refused}: a coordinate that {plan.smallest_cohort} train may be sent, it wants at least {self.policy.fewest} behind "
                "each (policy.smallest_cohort)"
            )
        noise = noise_ratio(plan, self._least_survivors(plan), self.policy.collusion)
        if plan.layout.update_words and noise < self.policy.least_noise:
            raise PolicyRefusal(
                f"{refused}: noise of {noise:.3g} times an update's largest norm is below its own least noise {self.policy.least_noise:g} "
                "(policy.least_noise)"
            )

    def check_graph(self, plan: Plan, graph: Graph, keys: Sequence[EpochKey]) -> None:
        """The graph is that of the epoch's keys, its thresholds keep local colluders out, and the cohort hangs together."""
        refused = f"institution '{self.institution}' refused round {plan.round}"
        if plan.keys_digest != keys_digest(keys):
            raise ForgedMessage(f"{refused}: it is planned for other keys of epoch {plan.epoch} than '{self.institution}' has pinned")
        check_graph(plan, graph, len(keys), self.policy.collusion, refused)
        holders = graph.holders(self.institution, plan.cohort)
        if len(holders) < plan.share_threshold:
            raise IllegalPlan(
                f"{refused}: {len(holders)} of its neighbourhood are in the cohort, {plan.share_threshold} shares give a seed"
            )

    def check_keys(self, own: EpochKey, keys: Sequence[EpochKey]) -> None:
        """The signed keys of an epoch: of roster members, each once, this institution's own as it was made."""
        verify_epoch_keys(keys, self.roster)
        for key in keys:
            if (key.run, key.epoch) != (own.run, own.epoch):
                raise ForgedMessage(
                    f"the key of '{key.institution}' is of epoch {key.epoch} of run {key.run}, not of epoch {own.epoch} of {own.run}"
                )
            check_usable(key)
        for what, values in (("institution", [key.institution for key in keys]), ("public key", [key.public_key for key in keys])):
            if len(set(values)) != len(values):
                raise ForgedMessage(f"the keys of epoch {own.epoch} hold the same {what} twice")
        if own not in keys:
            raise ForgedMessage(f"the keys of epoch {own.epoch} do not hold the one that '{self.institution}' has made")

    def check_known(self, plan: Plan, keys: Sequence[EpochKey]) -> None:
        """Everyone in the cohort has a key in this epoch."""
        missing = sorted(set(plan.cohort) - {key.institution for key in keys})
        if missing:
            raise IllegalPlan(f"institution '{self.institution}' refused round {plan.round}: no epoch key of {', '.join(missing)}")

    def check_survivors(self, plan: Plan, survivors: Sequence[str], graph: Graph) -> None:
        """A surviving set is within its cohort, holds this institution, is neither below the threshold nor the smallest cohort,
        hangs together in the graph, and leaves enough behind every coordinate that was sent."""
        refused = f"institution '{self.institution}' refused the surviving set of round {plan.round}"
        if not is_sorted_set(survivors) or not set(survivors) <= set(plan.cohort):
            raise EquivocatedSet(f"{refused}: it is not a set of names within the cohort")
        if self.institution not in survivors:
            raise EquivocatedSet(f"{refused}: it is not in the set itself, although it answered")
        least = self._least_survivors(plan)
        if len(survivors) < least:
            raise IllegalPlan(f"{refused}: {len(survivors)} survivors are fewer than {least}")
        check_together(plan, graph, survivors, self.policy.collusion, refused)
        for cell in fragments.thin(plan, survivors) if plan.fragments else ():
            left = sorted(set(cell.members) & set(survivors))
            raise IllegalPlan(
                f"{refused}: of those who trained coordinate {cell.ranges[0][0]} only {', '.join(left) or 'nobody'} would be left, fewer "
                f"than {plan.smallest_cohort}"
            )

    def check_proof(self, request: UnmaskRequest) -> None:
        """The set's signatures: of the whole cohort if it is whole, else of at least the threshold of its members."""
        plan, survivors = request.plan, request.survivors
        content = agreement_bytes(round_context(plan), survivors)
        for name, signature in request.agreements.items():
            if name not in survivors:
                raise UnprovenSet(f"'{name}' signed for the surviving set of round {plan.round} without being in it")
            verify_member(self.roster, name, signature, content, f"the agreement on round {plan.round}")
        needed = len(plan.cohort) if survivors == plan.cohort and not plan.degree else plan.threshold
        if len(request.agreements) < needed:
            raise UnprovenSet(
                f"institution '{self.institution}' refused to unmask round {plan.round}: {len(request.agreements)} signatures over the "
                f"surviving set, {needed} are needed"
            )

    def _least_survivors(self, plan: Plan) -> int:
        return max(plan.threshold, self.policy.fewest)

    def _limits(self, plan: Plan) -> list[str]:
        policy, size, found = self.policy, len(plan.cohort), []
        if size < policy.fewest:
            found.append(f"cohort of {size} is below its own smallest cohort {policy.fewest} (policy.smallest_cohort)")
        if not (math.isfinite(plan.clip_norm) and plan.clip_norm <= policy.longest_clip_norm):
            found.append(
                f"clip norm {plan.clip_norm:g} is above its own longest clip norm {policy.longest_clip_norm:g} (policy.longest_clip_norm)"
            )
        if plan.round > policy.most_rounds:
            found.append(f"it takes part in at most {policy.most_rounds} rounds of a run (policy.most_rounds)")
        return found
