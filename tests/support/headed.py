"""A small federation whose task has three heads, each of its outputs' pairs moved by those alone who have its records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.site import InstitutionSite
from shared.work import TrainWork, Work
from tests.support.small import SmallContribution, SmallFederation, SmallToolbox, SmallWorkbench, make_federation, records_of

HEADS = {"one": ("a", "b"), "two": ("c", "d"), "three": ("e", "f")}
TASK = {
    "family": "tabular",
    "label": "ill",
    "labels": list("abcdef"),
    "heads": [{"name": name, "labels": list(labels)} for name, labels in HEADS.items()],
    "columns": [{"name": "age"}, {"name": "dose"}],
}
SHARED = {"one": ("ash", "birch", "cedar"), "two": ("birch", "cedar", "elm"), "three": ("cedar", "elm", "fir")}
"""Every head has three owners."""
ALONE = SHARED | {"one": ("ash",)}
"""The first head is ash's alone."""
OUTPUTS = {name: slice(*ranges[0]) for name, ranges in zip(HEADS, SmallToolbox().outputs(None), strict=True)}  # type: ignore[arg-type]


def headed_workbench(owners: Mapping[str, Collection[str]]) -> Any:
    """Workbenches of institutions that have records of the heads of which ``owners`` names them."""

    class HeadedWorkbench(SmallWorkbench):
        def __init__(self, site: InstitutionSite) -> None:
            super().__init__(site)
            self.heads = [self.name in owners[head] for head in HEADS]

        def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
            found = super().perform(work, blob, round_number)
            if isinstance(work, TrainWork):
                assert found.update is not None
                for head, has in zip(HEADS, self.heads, strict=True):
                    found.update[OUTPUTS[head]] *= has
            return found

        def _count(self, name: str, length: int) -> NDArray[np.int64]:
            if name == "head_weights":
                return np.array(self.heads) * records_of(self.name)
            if name == "eval_confusion":
                return np.diag([records_of(self.name), 0, 0, 0, 0, 0]).reshape(-1)
            return super()._count(name, length)

    return HeadedWorkbench


def make_headed(folder: Path, owners: Mapping[str, Collection[str]] = SHARED, *, lone: bool = False, **changed: Any) -> SmallFederation:
    """Five institutions; with ``lone`` the coordinator asks for heads that too few have."""
    return make_federation(
        folder,
        5,
        rounds=1,
        task=TASK,
        head_owners={head: list(names) for head, names in owners.items()},
        aggregation={"downlink": "full", "collusion": 0, "lone_heads": lone},
        policy={"collusion": 0, **changed},
    )
