from __future__ import annotations

from pathlib import Path

from server.judged import Gate, Judged, gate_of
from server.site import CoordinatorSite
from tests.support.small import make_federation


def test_the_newest_closed_gate_and_none_before_it(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    federation.run()
    store = CoordinatorSite(federation.coordinator).store
    records = store.records("trial")
    found = gate_of(store, "trial", records)
    assert found is not None
    assert found == Gate(records=found.records, float_right=found.records, candidates=found.candidates)
    assert found.candidates == (Judged(name="u8u8", right=found.records, agree=found.records),)
    assert gate_of(store, "trial", records[:-1]) is None
    void = records[-1].model_copy(update={"status": "void"})
    assert gate_of(store, "trial", (*records[:-1], void)) is None
    store.close()
