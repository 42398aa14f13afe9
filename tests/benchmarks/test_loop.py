"""The in-process loop gives the student of a whole masked run, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.loop import Federation
from client.site import InstitutionSite
from server.phases import Kit
from server.site import CoordinatorSite
from server.state import RunState
from tests.support.small import SmallToolbox, SmallWorkbench, final_vector, make_federation


def test_without_masks_the_student_is_bit_identical(tmp_path: Path) -> None:
    small = make_federation(tmp_path, 3, rounds=2)
    masked = final_vector(small.run())
    kit = Kit(CoordinatorSite(small.coordinator).config, SmallToolbox())
    benches = {name: SmallWorkbench(InstitutionSite(home)) for name, home in small.institutions.items()}
    seen: list[RunState] = []
    state = Federation(kit, benches).run(watch=seen.append)
    np.testing.assert_array_equal(state.vector, masked)
    assert state.facts.phase == "publish"
    assert [one.facts.version for one in seen if one.facts.phase == "calibrate-range"] == [2]


def test_a_run_may_stop_before_calibration(tmp_path: Path) -> None:
    small = make_federation(tmp_path, 3, rounds=1)
    kit = Kit(CoordinatorSite(small.coordinator).config, SmallToolbox())
    benches = {name: SmallWorkbench(InstitutionSite(home)) for name, home in small.institutions.items()}
    assert Federation(kit, benches).run(until="calibrate-range").facts.version == 1
