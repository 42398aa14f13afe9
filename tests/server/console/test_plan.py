"""What institutions must know is shown of a plan that the coordinator has signed, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.console.plan import plan_facts
from server.site import CoordinatorSite
from shared.identity import fingerprint
from shared.signed import make_plan, sign_plan
from tests.support.small import make_federation


@pytest.fixture
def site(tmp_path: Path) -> CoordinatorSite:
    return CoordinatorSite(make_federation(tmp_path, 3, privacy={"epsilon": 8.0, "delta": 1e-5}).coordinator)


def test_a_signed_plan(site: CoordinatorSite, tmp_path: Path) -> None:
    plan = make_plan("small-1", site.config, site.roster)
    path = tmp_path / "plan.json"
    path.write_bytes(sign_plan(plan, site.identity).canonical())
    found = plan_facts(path, site.roster.coordinator)
    assert found is not None
    assert (found.digest, found.members) == (plan.digest, ("ash", "birch", "cedar"))
    assert found.roster_fingerprint == fingerprint(site.roster.digest)
    settings = dict(found.settings)
    assert settings["aggregation.smallest_cohort"] == str(site.config.aggregation.smallest_cohort)
    assert settings["task.columns"] == "2 entries"
    assert settings["task.labels"] == "no, yes"
    assert not any("head" in promise for promise in found.promises)
    assert any("ε = 8.0 at δ = 1e-05" in promise for promise in found.promises)


def test_a_plan_of_another_key_a_changed_one_and_none(site: CoordinatorSite, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    content = sign_plan(make_plan("small-1", site.config, site.roster), site.identity).canonical()
    path.write_bytes(content)
    assert plan_facts(path, bytes(32)) is None
    path.write_bytes(content.replace(b'"rounds":2', b'"rounds":3'))
    assert plan_facts(path, site.roster.coordinator) is None
    path.write_bytes(b"{")
    assert plan_facts(path, site.roster.coordinator) is None
    assert plan_facts(tmp_path / "none", site.roster.coordinator) is None
    assert plan_facts(None, site.roster.coordinator) is None
