"""The systemd units of docs/systemd: hardened alike, and read by systemd itself where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/fedstill/bin/fedstill"
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
    "Restart": "on-failure",
    "StateDirectoryMode": "0700",
}
units = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def read(unit: Path) -> dict[str, list[str]]:
    """All settings of a unit, each with its values in order."""
    found = defaultdict[str, list[str]](list)
    for line in unit.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def test_there_is_a_unit_for_each_service() -> None:
    assert [unit.stem for unit in UNITS] == ["fedstill-coordinator", "fedstill-institution", "fedstill-run"]


@units
def test_every_unit_is_hardened(unit: Path) -> None:
    found = read(unit)
    assert {key: found[key][0] for key in HARDENED} == HARDENED
    assert all(key in found for key in ("MemoryMax", "CPUQuota", "TasksMax"))


@units
def test_a_service_is_a_user_of_its_own_in_a_folder_of_its_own(unit: Path) -> None:
    found = read(unit)
    (user,), (folder,), (start,) = found["User"], found["StateDirectory"], found["ExecStart"]
    assert user not in ("root", "nobody")
    assert user == folder == found["Group"][0]
    program, _, _, home, *_ = start.split()
    assert program == PROGRAM
    assert Path(home).parent == Path("/var/lib") / folder


def test_door_and_run_exclude_each_other_and_the_door_comes_back() -> None:
    door, run = read(FOLDER / "fedstill-coordinator.service"), read(FOLDER / "fedstill-run.service")
    assert run["Conflicts"] == run["OnSuccess"] == ["fedstill-coordinator.service"]
    assert door["Conflicts"] == ["fedstill-run.service"]
    assert "WantedBy" in door
    assert "WantedBy" not in run


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_reads_them_without_a_word(tmp_path: Path) -> None:
    copies = []
    for unit in UNITS:
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, copies)], capture_output=True, text=True, timeout=120, check=False
    )
    if "Failed to initialize manager" in done.stderr:  # as where there is no /run of systemd's
        pytest.skip(done.stderr.strip())
    ours = [line for line in done.stderr.splitlines() if "fedstill-" in line]
    assert not ours
    assert done.returncode == 0
