"""Folders of the coordinator and of an institution: each wrong part is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.site import InstitutionSite
from server.site import CoordinatorSite
from shared.errors import ConfigError, FedstillError, IdentityError, MissingFileError
from shared.identity import make_identity
from tests.support.small import SmallFederation, make_federation


@pytest.fixture
def federation(tmp_path: Path) -> SmallFederation:
    return make_federation(tmp_path, 3)


def test_a_whole_folder_has_everything(federation: SmallFederation) -> None:
    site = CoordinatorSite(federation.coordinator)
    assert site.config.name == "small"
    assert site.identity.public_key().public_bytes_raw() == site.roster.coordinator
    assert site.run_folder("trial") == federation.coordinator / "runs" / "trial"
    assert site.store.runs() == ()
    home = InstitutionSite(federation.institutions["ash"])
    assert home.identity.public_key().public_bytes_raw() == site.roster.members["ash"]
    assert home.protocol_policy.smallest_cohort == 3


def test_the_store_may_lie_elsewhere(federation: SmallFederation, tmp_path: Path) -> None:
    CoordinatorSite(federation.coordinator, f"sqlite:///{tmp_path / 'other.sqlite'}").store.start_run("trial", b"", b"")
    assert (tmp_path / "other.sqlite").exists()
    assert not (federation.coordinator / "store.sqlite").exists()


@pytest.mark.parametrize(("part", "kind"), [("federation.toml", ConfigError), ("roster.json", IdentityError)])
def test_a_damaged_part_is_named(part: str, kind: type[FedstillError], federation: SmallFederation) -> None:
    (federation.coordinator / part).write_text("no such thing")
    site = CoordinatorSite(federation.coordinator)
    with pytest.raises(kind, match=part.replace(".", r"\.")):
        _ = (site.config, site.roster)


@pytest.mark.parametrize("part", ["institution.toml", "roster.json", "keys/identity.key"])
def test_a_missing_part_is_named(part: str, federation: SmallFederation) -> None:
    (federation.institutions["ash"] / part).unlink()
    site = InstitutionSite(federation.institutions["ash"])
    with pytest.raises(MissingFileError, match=part.replace(".", r"\.")):
        _ = (site.config, site.roster, site.identity)


def test_a_key_that_is_not_the_enrolled_one_is_refused(federation: SmallFederation) -> None:
    for home in (federation.coordinator, federation.institutions["ash"]):
        (home / "keys" / "identity.key").unlink()
        make_identity(home / "keys" / "identity.key")
    with pytest.raises(IdentityError, match="names another coordinator key"):
        _ = CoordinatorSite(federation.coordinator).identity
    with pytest.raises(IdentityError, match="no institution 'ash' with this identity key"):
        _ = InstitutionSite(federation.institutions["ash"]).identity
