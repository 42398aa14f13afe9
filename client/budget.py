"""What an institution lets its updates cost it: a ledger of its own, whatever the coordinator accounts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from client.ledger import Charge, Ledger
from shared.config import InstitutionConfig
from shared.errors import PolicyRefusal
from shared.privacy.budget import Spent
from shared.secagg.messages import Plan
from shared.secagg.rules import SecaggPolicy
from shared.work import Work, trains


@dataclass(frozen=True)
class PrivacyGuard:
    """Charges rounds to the institution's ledger and refuses beyond ``policy.most_epsilon`` at ``policy.delta``."""

    config: InstitutionConfig
    policy: SecaggPolicy
    ledger: Ledger

    def charge(self, plan: Plan, work: Work) -> Charge:
        """What answering ``plan`` costs: nothing for rounds that only count, and for plans without noise where no limit is set.

        Raises :class:`PolicyRefusal` for a plan without noise where a limit is set, and for one that goes beyond it.
        """
        if not trains(work) or (not plan.noise and self.config.policy.most_epsilon is None):
            return Charge(0.0, lambda spent: None)
        if not plan.noise:
            raise PolicyRefusal(
                f"institution '{self.config.name}' refused round {plan.round}: it asks for an update without noise, and a limit on "
                "epsilon is set (policy.most_epsilon)"
            )
        from shared.privacy.rounds import round_cost

        charge = Charge(round_cost(plan, self.policy.collusion, self.policy.fewest), partial(self._check, plan.round))
        charge.check(self.ledger.spent().after(charge.rho))
        return charge

    def _check(self, number: int, spent: Spent) -> None:
        policy = self.config.policy
        if policy.most_epsilon is None:
            return
        epsilon = spent.epsilon(policy.delta)
        if epsilon > policy.most_epsilon:
            raise PolicyRefusal(
                f"institution '{self.config.name}' refused round {number}: its updates would then have cost an epsilon of {epsilon:.4g} at "
                f"delta {policy.delta:g}, its own limit is {policy.most_epsilon:g} (policy.most_epsilon)"
            )
