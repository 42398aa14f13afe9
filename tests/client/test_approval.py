"""Where the policy says so, no run goes without an approval, and none beyond what was approved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.approval import approve, check_approved, check_within
from server.events import EpochOpened, Event
from server.privacy import PrivacyPlanner
from server.site import CoordinatorSite
from shared.config import FederationConfig, InstitutionConfig, PrivacySettings
from shared.errors import ApprovalPending, FedstillError, IdentityError, PolicyRefusal, RunError
from shared.secagg.messages import Layout, Plan
from shared.secagg.roster import Roster
from shared.signed import RunPlan, make_plan
from shared.work import Normalisation, StatisticsRangeWork, TrainWork
from tests.support.small import federation_table, make_federation

CONFIG = FederationConfig.model_validate(federation_table(2))
APPROVED = make_plan("trial-1", CONFIG, Roster(members={"va": bytes(32)}, coordinator=bytes(32)))
PLAN = Plan(
    run="trial-1",
    epoch=1,
    round=3,
    roster_digest=bytes(32),
    cohort=("ash", "birch", "cedar"),
    threshold=3,
    share_threshold=3,
    collusion=CONFIG.aggregation.collusion,
    layout=Layout(8, 8, 8),
    clip_norm=CONFIG.aggregation.clip_norm,
    weight_cap=100,
    body=b"",
    blob_digest=bytes(32),
    keys_digest=bytes(32),
    smallest_cohort=CONFIG.aggregation.smallest_cohort,
)
WORK = TrainWork(version=0, seed=CONFIG.seed, normalisation=Normalisation(), training=CONFIG.training, distillation=CONFIG.distillation)


def institution(approve: str) -> InstitutionConfig:
    table = federation_table(2)
    data = {"source": "arrays", "path": "records.npz"}
    return InstitutionConfig.model_validate(
        {"name": "va", "task": table["task"], "student": table["student"], "data": data, "policy": {"approve": approve}}
    )


MANUAL = institution("manual")


def test_without_the_policy_nothing_is_asked(tmp_path: Path) -> None:
    assert check_approved(institution("automatic"), tmp_path, "trial-1") is None


def test_a_run_waits_for_its_approval_and_no_other_is_meant(tmp_path: Path) -> None:
    with pytest.raises(ApprovalPending, match=r"'va' has not approved run 'trial-1' yet: .* client approve FOLDER trial-1"):
        check_approved(MANUAL, tmp_path, "trial-1")
    path = approve(tmp_path, APPROVED)
    assert path.stat().st_mode & 0o777 == 0o600
    assert check_approved(MANUAL, tmp_path, "trial-1") == APPROVED
    with pytest.raises(ApprovalPending):
        check_approved(MANUAL, tmp_path, "trial-2")


@pytest.mark.parametrize("run", ["../../trial", "/etc/passwd", "a/b", "..", "x" * 5000, "run\0"])
def test_a_name_never_becomes_a_path(tmp_path: Path, run: str) -> None:
    path = approve(tmp_path / "va", APPROVED.model_copy(update={"run": run}))
    assert path.parent == tmp_path / "va" / "state" / "approved"
    found = check_approved(MANUAL, tmp_path / "va", run)
    assert found is not None
    assert found.run == run


def test_a_damaged_or_exchanged_approval_is_none(tmp_path: Path) -> None:
    path = approve(tmp_path, APPROVED)
    path.write_bytes(b"{}")
    with pytest.raises(IdentityError, match="approve the run again"):
        check_approved(MANUAL, tmp_path, "trial-1")
    path.write_bytes(APPROVED.model_copy(update={"run": "trial-2"}).canonical())
    with pytest.raises(IdentityError, match="of another run"):
        check_approved(MANUAL, tmp_path, "trial-1")


def test_what_was_approved_may_be_asked() -> None:
    check_within(MANUAL, APPROVED, PLAN, WORK)
    check_within(MANUAL, APPROVED, PLAN, StatisticsRangeWork())
    check_within(MANUAL, APPROVED, replace(PLAN, clip_norm=CONFIG.aggregation.clip_norm / 2), WORK)


def changed_work(**fields: Any) -> TrainWork:
    return WORK.model_copy(update=fields)


@pytest.mark.parametrize(
    ("plan", "work", "words"),
    [
        (replace(PLAN, clip_norm=2 * CONFIG.aggregation.clip_norm), WORK, "clip norm .* is longer"),
        (replace(PLAN, collusion=CONFIG.aggregation.collusion - 1), WORK, "collusion"),
        (replace(PLAN, smallest_cohort=CONFIG.aggregation.smallest_cohort - 1), WORK, "smallest cohort"),
        (PLAN, changed_work(version=CONFIG.rounds), "one more"),
        (PLAN, changed_work(training=CONFIG.training.model_copy(update={"epochs": 99})), r"\[training\] is another"),
        (PLAN, changed_work(distillation=CONFIG.distillation.model_copy(update={"temperature": 9.0})), r"\[distillation\] is another"),
    ],
)
def test_anything_beyond_it_is_refused(plan: Plan, work: TrainWork, words: str) -> None:
    with pytest.raises(PolicyRefusal, match=rf"refused round 3: .*{words}.* that its operator approved"):
        check_within(MANUAL, APPROVED, plan, work)


def test_noise_that_was_promised_must_be_there() -> None:
    private = RunPlan(**{**dict(APPROVED), "settings": {**APPROVED.settings, "privacy": {"epsilon": 8.0, "delta": 1e-5}}})
    wide = replace(PLAN, layout=Layout(500, 8, 32), rotation=True)
    noised = PrivacyPlanner(PrivacySettings(epsilon=8.0), CONFIG.update_rounds).noised(wide)
    for less in (wide, replace(noised, noise=noised.noise / 2)):
        with pytest.raises(PolicyRefusal, match=r"refused round 3: the noise.* is less than in the plan that its operator approved"):
            check_within(MANUAL, private, less, WORK)
    check_within(MANUAL, private, noised, WORK)


def test_a_run_says_who_has_not_approved_it_and_goes_on_once_they_have(tmp_path: Path) -> None:
    """The whole run in one process: nothing is trained before, and the same run goes to its end after."""
    private: dict[str, Any] = {"privacy": {"epsilon": 30.0}, "aggregation": {"deadline_s": 1.0, "rotation": True}}
    federation = make_federation(tmp_path, 3, policy={"approve": "manual"}, **private)
    with pytest.raises(RunError, match="'ash' has not approved run 'trial' yet"):
        federation.run()
    assert not any((home / "state" / "model.safetensors").exists() for home in federation.institutions.values())
    site = CoordinatorSite(federation.coordinator)
    for home in federation.institutions.values():
        approve(home, make_plan("trial", site.config, site.roster))
    assert federation.run().artifact.exists()


def test_a_run_asks_again_while_operators_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Approved within the deadline, the run waits and is never broken off."""
    federation = make_federation(tmp_path, 3, policy={"approve": "manual"})
    site = CoordinatorSite(federation.coordinator)
    plan = make_plan("trial", site.config, site.roster)
    monkeypatch.setattr("server.epochs.APPROVAL_S", 0.01)
    events: list[Event] = []

    def approve_the_second_time(event: Event) -> None:
        if isinstance(event, EpochOpened) and event.epoch == 2:
            for home in federation.institutions.values():
                approve(home, plan)

    federation.run(events=events, watch=approve_the_second_time)
    opened = [event for event in events if isinstance(event, EpochOpened)]
    assert [len(event.members) for event in opened] == [0, 0, 3]
    assert all("has not approved" in reason for reason in opened[0].refused.values())
    assert opened[0].refused.keys() == {"ash", "birch", "cedar"}


def test_pending_is_a_refusal_with_a_page_of_its_own() -> None:
    assert issubclass(ApprovalPending, PolicyRefusal)
    assert (ApprovalPending.exit_code, ApprovalPending.slug) == (56, "approval")
    assert issubclass(ApprovalPending, FedstillError)
