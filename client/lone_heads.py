"""Heads of which too few institutions have records: what this one lets leave of them, and how it finds out.

Whoever has no records of a head sends zeros for its outputs, so their sum is a sum over those who have it, be it one. Masks hide who
has a head, and an institution sees no count; so the plan says it (``head_owners``), and everyone compares the plan with its own records.
A coordinator that names an institution that has not the head, so that the others feel less alone, is refused by that institution;
and what is said of institutions outside a surviving set does not count for it. Up to ``collusion`` institutions may lie for the
coordinator: ``smallest_cohort`` is above that number by two.

Limits: only rounds of training are held back. How many records were right, label by label, rides in the sums of other rounds too
(``policy.metrics`` keeps it in).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from shared.config import InstitutionConfig
from shared.errors import PolicyRefusal
from shared.work import TrainWork, Work, counter_fields, field_slices


def check_owners(config: InstitutionConfig, work: Work, present: Collection[str], round_number: int) -> None:
    """Raises :class:`PolicyRefusal` where ``present``, who takes part or survives, has too few owners of a head that is this one's."""
    if not isinstance(work, TrainWork) or not config.task.heads or config.policy.lone_heads:
        return
    if not work.head_owners:
        raise _refusal(config, round_number, "the plan does not say which institutions have records of each head (head_owners)")
    for head, owners in work.head_owners.items():
        together = len(set(owners) & set(present))
        if config.name in owners and together < config.policy.smallest_cohort:
            raise _refusal(
                config,
                round_number,
                f"{together} of the institutions have records of head '{head}', below its own smallest cohort "
                f"{config.policy.smallest_cohort} (policy.lone_heads allows it)",
            )


def check_own(config: InstitutionConfig, work: Work, counters: NDArray[np.int64], round_number: int) -> None:
    """Raises :class:`PolicyRefusal` where the plan says other heads of this institution than its ``counters`` do.

    With ``policy.lone_heads`` too it does not let itself be named for a head that it has not: others would count on it.
    """
    if not isinstance(work, TrainWork) or not config.task.heads or not work.head_owners:
        return
    weights = dict(field_slices(counter_fields(work, config.task)))["head_weights"]
    for head, weight in zip(config.task.heads, counters[weights].tolist(), strict=True):
        named = config.name in work.head_owners.get(head.name, ())
        if named and not weight:
            raise _refusal(config, round_number, f"head_owners names it for head '{head.name}', of which it has no records")
        if weight and not named and not config.policy.lone_heads:
            raise _refusal(config, round_number, f"it has records of head '{head.name}', but head_owners does not name it there")


def _refusal(config: InstitutionConfig, round_number: int, complaint: str) -> PolicyRefusal:
    return PolicyRefusal(f"institution '{config.name}' refused round {round_number}: {complaint}")
