"""Which version serves: a newer one takes over, one that must not be trusted leaves the old one where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.edge.installed import VERSIONS, install, rollback
from client.edge.model import Current, FixedSource, InstalledSource, open_source
from shared.errors import ArtifactError, ConfigError
from tests.support.edge import PUBLIC, make_artifact, table_rows


@pytest.fixture
def home(tmp_path: Path) -> Path:
    install(make_artifact(tmp_path / "1", 1), tmp_path / "home", PUBLIC)
    return tmp_path / "home"


def follow(current: Current) -> None:
    assert current.due()
    current.switch(current.fetch())
    assert not current.due()


def test_an_artifact_needs_a_key_and_an_installation_has_one(home: Path) -> None:
    with pytest.raises(ConfigError, match="give --key"):
        open_source(home.parent / "1", None, 1)
    assert isinstance(open_source(home.parent / "1", PUBLIC, 1), FixedSource)
    assert open_source(home, None, 1).load().version == 1
    with pytest.raises(ArtifactError, match="keeps to the signer"):
        open_source(home, b"\x02" * 32, 1).load()


def test_a_fixed_artifact_never_changes(home: Path) -> None:
    source = FixedSource(home.parent / "1", PUBLIC)
    assert not source.changed()
    assert source.load().digest == InstalledSource(home).load().digest


def test_a_newer_version_takes_over_and_a_roll_back_takes_it_away(home: Path) -> None:
    said: list[str] = []
    current = Current(InstalledSource(home), said.append, clock=lambda: 5.0)
    assert not current.due()
    first = current.model
    install(make_artifact(home.parent / "2", 2), home)
    follow(current)
    assert current.model.artifact.version == 2
    assert first.artifact.version == 1
    rollback(home)
    follow(current)
    assert current.model.artifact.digest == first.artifact.digest
    assert current.model is not first
    assert (current.loaded, current.refusals) == (3, 0)
    assert [line[:26] for line in said] == ["now serving version 2 (" + said[0][23:26], "rolled back to version 1 ("]


def test_a_damaged_version_is_refused_once_and_the_old_one_serves(home: Path) -> None:
    said: list[str] = []
    current = Current(InstalledSource(home), said.append)
    installed = install(make_artifact(home.parent / "2", 2), home)
    model = home / VERSIONS / installed.current.digest / "model.onnx"
    content = bytearray(model.read_bytes())
    content[100] ^= 1
    model.write_bytes(content)
    follow(current)
    assert current.model.artifact.version == 1
    assert "model.onnx is not the file that was signed" in current.refused
    assert said == [f"refused: {current.refused}; version 1 goes on serving"]
    content[100] ^= 1
    model.write_bytes(content)
    assert current.due(anyway=True)
    current.switch(current.fetch())
    assert (current.model.artifact.version, current.refused, current.refusals) == (2, "", 1)


def test_a_refusal_ends_with_a_roll_back_to_what_serves(home: Path) -> None:
    current = Current(InstalledSource(home), lambda _: None)
    before = current.model
    installed = install(make_artifact(home.parent / "2", 2), home)
    (home / VERSIONS / installed.current.digest / "model.onnx").unlink()
    follow(current)
    assert current.refused
    rollback(home)
    follow(current)
    assert (current.refused, current.model, current.loaded) == ("", before, 1)


def test_a_switch_that_cannot_be_read_changes_nothing(home: Path) -> None:
    current = Current(InstalledSource(home), lambda _: None)
    (home / "installed.json").write_text("{")
    assert not current.due()


def test_what_a_model_is_given_is_noted(home: Path) -> None:
    model = Current(InstalledSource(home), lambda _: None).model
    model.logits(table_rows(300))
    assert model.drift.seen()[0].count > 200
