from __future__ import annotations

from pathlib import Path

import pytest

from fedstill.simulation import Vanish
from server.console.one_run import A_PAGE, OneRunReader, RunPage
from server.console.runs import RunReader
from server.records import RoundRecord, StoredRound
from server.site import CoordinatorSite
from shared.errors import MissingFileError
from shared.exchange import MessageKind
from tests.support.console import played
from tests.support.small import make_federation


def page_of(folder: Path, run: str = "trial", number: int = 1) -> RunPage:
    site = CoordinatorSite(folder)
    try:
        return OneRunReader(site, RunReader(site)).page(run, number)
    finally:
        site.store.close()


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "before" if (institution, number, stage) == ("birch", 3, "train") else None


def test_a_run_with_an_absence_and_a_refusal(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4)
    home = federation.institutions["elm"] / "institution.toml"
    home.write_text(home.read_text().replace("smallest_cohort = 3", "smallest_cohort = 3\nmost_rounds = 3"))
    result = federation.run(faults=one_is_lost)
    page = page_of(federation.coordinator)
    lost = next(line for line in page.rounds if line.number == 3)
    assert (lost.phase, lost.status, lost.cohort, lost.participants) == ("train", "closed", 4, ("ash", "cedar", "elm"))
    assert set(lost.absent) == {"birch"}
    assert any("elm" in line.refused for line in page.rounds)
    assert [line.number for line in page.rounds] == [record.number for record in reversed(result.rounds)]
    assert lost.bytes_up == sum(result.rounds[2].bytes_up.values())
    assert {member.name: member.missed > 0 for member in page.members}["birch"]
    assert {chart.title for chart in page.charts} >= {"Accuracy on held-out records", "Seconds of waiting, by stage"}
    assert page.figures["train_records"] > 0
    assert page.gate is not None
    assert page.gate.candidates[0].name == "u8u8"
    assert page.privacy is None


def test_what_is_spent_is_by_the_run_s_own_settings(tmp_path: Path) -> None:
    budget = {"epsilon": 50.0, "delta": 1e-5}
    federation = make_federation(tmp_path, 4, rounds=1, privacy=budget, aggregation={"width": 16, "rotation": True})
    federation.run()
    config = federation.coordinator / "federation.toml"
    config.write_text(config.read_text().replace("epsilon = 50.0", "epsilon = 1.0"))
    spent = page_of(federation.coordinator).privacy
    assert spent is not None
    assert 0 < spent.spent <= 50.0
    assert (spent.epsilon, spent.delta) == (50.0, 1e-5)


def test_an_older_release_s_settings_and_a_run_without_a_round(tmp_path: Path) -> None:
    site = CoordinatorSite(make_federation(tmp_path, 3).coordinator)
    site.store.start_run("old", b'{"unknown": 1}', b"")
    page = page_of(site.folder, "old")
    assert (page.privacy, page.rounds, page.charts, page.gate, page.artifact, page.plan) == (None, (), (), None, None, None)
    with pytest.raises(MissingFileError, match="no run of that name"):
        page_of(site.folder, "other")
    site.store.close()


def test_many_rounds_come_page_by_page(tmp_path: Path) -> None:
    site = CoordinatorSite(make_federation(tmp_path, 3).coordinator)
    site.store.start_run("long", b"{}", b"")
    for number in range(1, A_PAGE + 3):
        site.store.open_round("long", StoredRound(RoundRecord(number=number, phase="train"), 0, b"", ""), {})
    first, last = page_of(site.folder, "long"), page_of(site.folder, "long", 99)
    assert [line.number for line in first.rounds] == list(range(A_PAGE + 2, 2, -1))
    assert ([line.number for line in last.rounds], last.page, last.pages) == ([2, 1], 2, 2)
    site.store.close()


def test_what_was_signed_is_named(tmp_path: Path) -> None:
    page = page_of(played(tmp_path).coordinator)
    assert page.artifact is not None
    assert [file.name for file in page.artifact.files] == ["manifest.json"]
    assert page.artifact.facts == (), "the small toolbox writes no real manifest"
