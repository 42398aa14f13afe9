"""What an institution must know of a run before it takes part: the plan that the coordinator has signed, in plain words and whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.errors import FedstillError
from shared.files import read_bytes
from shared.frozen import Frozen
from shared.identity import fingerprint
from shared.printable import one_line
from shared.signed import RunPlan, read_plan

MOST_SETTINGS = 400
"""Settings of a plan that are listed."""


class PlanFacts(Frozen):
    """A signed plan: its digest, the roster that it is for, and every setting that rounds are held against (name, value)."""

    digest: str
    roster_fingerprint: str
    members: tuple[str, ...]
    promises: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


def plan_facts(path: Path | None, coordinator: bytes) -> PlanFacts | None:
    """The plan at ``path``; ``None`` where there is none, or none that the raw public key ``coordinator`` has signed."""
    if path is None:
        return None
    try:
        plan = read_plan(read_bytes(path, what="run's plan"), coordinator, where=str(path))
        roster = fingerprint(bytes.fromhex(plan.roster_digest))
    except (FedstillError, ValueError):
        return None
    settings = tuple((one_line(name), one_line(value)) for name, value in _flat(plan.settings))[:MOST_SETTINGS]
    members = tuple(one_line(name) for name in plan.members)
    return PlanFacts(digest=plan.digest, roster_fingerprint=roster, members=members, promises=tuple(_promises(plan)), settings=settings)


def _promises(plan: RunPlan) -> Iterator[str]:
    """What a data-protection officer asks first. Written of settings that an institution's own policy checks again."""
    aggregation, privacy = _table(plan.settings, "aggregation"), plan.settings.get("privacy")
    cohort, collusion = aggregation.get("smallest_cohort"), aggregation.get("collusion")
    yield f"{plan.settings.get('rounds')} training rounds are planned; records and teachers never leave an institution"
    yield f"the coordinator sees sums over {cohort} institutions or more; with up to {collusion} of them on its side, sums over the others"
    if aggregation.get("lone_heads"):
        yield "of a head that few institutions have, the sum is over those few, where each of them allows it"
    if isinstance(privacy, Mapping):
        yield f"the updates of all rounds together cost each institution at most ε = {privacy.get('epsilon')} at δ = {privacy.get('delta')}"
    else:
        yield "no differential privacy: what the sums and the student tell of single records is not bounded"
    if "proxy" in plan.settings:
        yield "answers to proxy records travel in place of weights"
    yield "the student of each round is known to every institution, and is public in the artifact"


def _table(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = settings.get(name)
    return found if isinstance(found, Mapping) else {}


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
            yield f"{before}{name}", f"{len(value)} entries"
        else:
            yield f"{before}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
