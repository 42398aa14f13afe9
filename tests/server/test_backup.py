"""A folder that is lost in mid-run and comes back from the copy that docs/deploy.md tells an operator to make."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from server.events import Event, RoundClosed
from server.stopping import Interrupted, StopSignal
from shared.errors import RunError
from tests.support.small import SmallFederation, digest_of, make_federation, undisturbed

ROUNDS, COUNT = 3, 4


@pytest.fixture
def stopped(tmp_path: Path) -> SmallFederation:
    """A federation whose coordinator was stopped after its first training round."""
    federation, stop = make_federation(tmp_path, COUNT, rounds=ROUNDS), StopSignal()

    def after_the_first(event: Event) -> None:
        if isinstance(event, RoundClosed) and event.phase == "train":
            stop.set()

    with pytest.raises(Interrupted):
        federation.run(stop=stop, watch=after_the_first)
    return federation


def back_up(folder: Path, archive: Path) -> None:
    subprocess.run(["tar", "--create", "--gzip", "--file", archive, "--directory", folder.parent, folder.name], check=True)


def restore(folder: Path, archive: Path) -> None:
    shutil.rmtree(folder)
    subprocess.run(["tar", "--extract", "--preserve-permissions", "--file", archive, "--directory", folder.parent], check=True)


def test_a_lost_coordinator_goes_on_from_its_copy_to_the_same_student(stopped: SmallFederation, tmp_path: Path) -> None:
    archive = tmp_path / "coordinator.tar.gz"
    back_up(stopped.coordinator, archive)
    restore(stopped.coordinator, archive)
    assert stat.S_IMODE((stopped.coordinator / "keys" / "identity.key").stat().st_mode) == 0o600
    assert digest_of(stopped.run()) == undisturbed(COUNT, ROUNDS)


def test_a_lost_institution_goes_on_from_its_copy(stopped: SmallFederation, tmp_path: Path) -> None:
    home, archive = stopped.institutions["ash"], tmp_path / "ash.tar.gz"
    back_up(home, archive)
    restore(home, archive)
    assert digest_of(stopped.run()) == undisturbed(COUNT, ROUNDS)


def test_with_an_older_copy_of_the_coordinator_another_run_begins(stopped: SmallFederation, tmp_path: Path) -> None:
    archive = tmp_path / "coordinator.tar.gz"
    back_up(stopped.coordinator, archive)
    first = digest_of(stopped.run())
    restore(stopped.coordinator, archive)
    with pytest.raises(RunError, match="void"):  # it asks for rounds that institutions have answered otherwise
        stopped.run()
    assert digest_of(stopped.run("another")) == first
