"""Disks that are full or read-only in fact: small ones in memory, which only root can mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import ResourceError
from tests.support.audits import audit_of
from tests.support.small import SmallFederation, digest_of, make_federation, undisturbed

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]

SIZE_KB = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "none", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def placed(federation: SmallFederation, who: str, disk: Path) -> SmallFederation:
    """The federation with the coordinator's, or an institution's, folder on the disk."""
    home = federation.coordinator if who == "coordinator" else federation.institutions[who]
    shutil.copytree(home, disk / who)
    if who == "coordinator":
        return SmallFederation(disk / who, federation.institutions)
    return SmallFederation(federation.coordinator, {**federation.institutions, who: disk / who})


def fill(disk: Path, left: int) -> Path:
    """Fills the disk but for ``left`` bytes."""
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(max(0, free - left)))
    return disk / "filler"


@pytest.mark.parametrize("left_kb", [0, 60, 120, 200, 300])
def test_a_coordinator_s_disk_that_is_full(left_kb: int, disk: Path, tmp_path: Path) -> None:
    federation = placed(make_federation(tmp_path, 3), "coordinator", disk)
    filler = fill(disk, left_kb * 1024)
    with pytest.raises(ResourceError, match=r"No space left|full|unable to open|disk I/O"):
        federation.run()
    assert [path for path in disk.rglob(".*") if path.is_file()] == [], "nothing half-written"
    filler.unlink()
    assert digest_of(federation.run()) == undisturbed(3, 2)
    audit_of(federation.coordinator)


def test_a_coordinator_s_disk_that_is_read_only(disk: Path, tmp_path: Path) -> None:
    federation = placed(make_federation(tmp_path, 3), "coordinator", disk)

    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(ResourceError, match="check the disk and its permissions"):
        federation.run()
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert digest_of(federation.run()) == undisturbed(3, 2)


def test_an_institution_s_disk_that_is_full(disk: Path, tmp_path: Path) -> None:
    federation = placed(make_federation(tmp_path, 4), "ash", disk)
    filler = fill(disk, 0)
    result = federation.run()
    assert all("ash" not in record.survivors for record in result.rounds), "the others go on without it"
    filler.unlink()
    after = federation.run("afterwards")
    assert all("ash" in record.survivors for record in after.rounds)
    audit_of(federation.institutions["ash"])
