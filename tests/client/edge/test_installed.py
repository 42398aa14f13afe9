"""Versions on disk: an older one is refused, a switch is one file, and what is damaged never becomes current."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from client.edge.installed import (
    MOST_HISTORY,
    STATE,
    VERSIONS,
    Installed,
    Version,
    install,
    is_installation,
    open_current,
    read_installed,
    rollback,
)
from shared.errors import ArtifactError, ConfigError, DowngradeError, MissingFileError
from tests.support.edge import PUBLIC, make_artifact

STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {version: make_artifact(folder / str(version), version) for version in (1, 2, 3)}


def clock() -> float:
    return 17.0


def test_the_first_install_pins_the_signer(artifacts: dict[int, Path], tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(ConfigError, match="needs --key"):
        install(artifacts[1], home)
    assert not is_installation(home)
    installed = install(artifacts[1], home, PUBLIC, clock=clock)
    assert installed == read_installed(home)
    assert (installed.signer, installed.current, installed.previous) == (PUBLIC.hex(), installed.floor, None)
    assert open_current(home, installed).version == 1
    with pytest.raises(ArtifactError, match="keeps to the signer"):
        install(artifacts[2], home, b"\x01" * 32)
    foreign = make_artifact(tmp_path / "foreign", 9, key=STRANGER)
    with pytest.raises(ArtifactError, match="another key"):
        install(foreign, home)
    assert install(artifacts[2], home).current.version == 2


def test_the_archive_installs_like_the_folder(artifacts: dict[int, Path], tmp_path: Path) -> None:
    from_archive = install(artifacts[1].with_name("1.tar.zst"), tmp_path / "a", PUBLIC)
    assert from_archive.current == install(artifacts[1], tmp_path / "b", PUBLIC).current


def test_an_older_version_is_refused_and_what_serves_stays(artifacts: dict[int, Path], tmp_path: Path) -> None:
    install(artifacts[2], tmp_path, PUBLIC)
    with pytest.raises(DowngradeError, match="version 1 is older than version 2"):
        install(artifacts[1], tmp_path)
    assert read_installed(tmp_path).current.version == 2
    assert len(list((tmp_path / VERSIONS).iterdir())) == 1


def test_another_artifact_of_the_same_version_is_refused(artifacts: dict[int, Path], tmp_path: Path) -> None:
    install(artifacts[2], tmp_path / "home", PUBLIC)
    with pytest.raises(DowngradeError, match="another artifact with version 2"):
        install(make_artifact(tmp_path / "twin", 2, seed=99), tmp_path / "home")


def test_the_same_artifact_again_changes_nothing(artifacts: dict[int, Path], tmp_path: Path) -> None:
    install(artifacts[1], tmp_path, PUBLIC)
    before = install(artifacts[2], tmp_path)
    assert install(artifacts[2], tmp_path) == before == read_installed(tmp_path)
    assert rollback(tmp_path).current.version == 1


def test_a_roll_back_goes_one_step_and_keeps_the_floor(artifacts: dict[int, Path], tmp_path: Path) -> None:
    for version in (1, 2, 3):
        install(artifacts[version], tmp_path, PUBLIC, clock=clock)
    after = rollback(tmp_path, clock=clock)
    assert (after.current.version, after.floor.version, after.previous) == (2, 3, None)
    assert [(entry.action, entry.version, entry.at) for entry in after.history] == [
        ("install", 1, 17.0), ("install", 2, 17.0), ("install", 3, 17.0), ("rollback", 2, 17.0),
    ]  # fmt: skip
    with pytest.raises(ArtifactError, match="no version before 2"):
        rollback(tmp_path)
    with pytest.raises(DowngradeError):
        install(artifacts[1], tmp_path)
    assert install(artifacts[2], tmp_path) == after
    assert install(artifacts[3], tmp_path).current.version == 3


def test_only_the_current_version_and_the_one_before_are_kept(artifacts: dict[int, Path], tmp_path: Path) -> None:
    for version in (1, 2, 3):
        installed = install(artifacts[version], tmp_path, PUBLIC)
    assert installed.previous is not None
    assert {entry.name for entry in (tmp_path / VERSIONS).iterdir()} == {installed.current.digest, installed.previous.digest}


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "manifest.sig", "card.md"])
def test_a_flipped_byte_never_becomes_current(artifacts: dict[int, Path], tmp_path: Path, name: str) -> None:
    before = install(artifacts[1], tmp_path / "home", PUBLIC)
    damaged = Path(shutil.copytree(artifacts[2], tmp_path / "damaged"))
    content = bytearray((damaged / name).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / name).write_bytes(content)
    with pytest.raises(ArtifactError):
        install(damaged, tmp_path / "home")
    assert read_installed(tmp_path / "home") == before
    assert [entry.name for entry in (tmp_path / "home" / VERSIONS).iterdir()] == [before.current.digest]


def test_a_roll_back_verifies_what_it_goes_back_to(artifacts: dict[int, Path], tmp_path: Path) -> None:
    first = install(artifacts[1], tmp_path, PUBLIC)
    after = install(artifacts[2], tmp_path)
    (tmp_path / VERSIONS / first.current.digest / "card.md").write_text("all is well")
    with pytest.raises(ArtifactError, match=r"card\.md is not the file"):
        rollback(tmp_path)
    assert read_installed(tmp_path) == after


def test_the_switch_must_say_what_the_artifact_is(artifacts: dict[int, Path], tmp_path: Path) -> None:
    install(artifacts[1], tmp_path, PUBLIC)
    state = json.loads((tmp_path / STATE).read_bytes())
    state["current"]["version"] = 5
    (tmp_path / STATE).write_text(json.dumps(state))
    with pytest.raises(ArtifactError, match="not the version 5"):
        open_current(tmp_path, read_installed(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"signer": 1}', '{"signer": "zz"}', "[" * 100_000])
def test_nonsense_in_place_of_the_switch_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(MissingFileError, match="nothing is installed"):
        read_installed(tmp_path)
    (tmp_path / STATE).write_text(content)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_installed(tmp_path)


@given(st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=150))
def test_the_floor_is_the_highest_that_ever_was(steps: list[int | None]) -> None:
    start = Version(7, "aa" * 32)
    installed, highest = Installed("bb" * 32, start, start), 7
    for step in steps:
        if step is not None:
            installed, highest = installed.switched("install", Version(step, "cc" * 32), installed.current, 0.0), max(highest, step)
        elif installed.previous is not None:
            installed = installed.switched("rollback", installed.previous, None, 0.0)
        assert installed.floor.version == highest
        assert len(installed.history) <= MOST_HISTORY
