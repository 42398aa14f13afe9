"""A head that one institution has alone: what the coordinator reads out of an honest sum, and every way in which it is kept from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.app import make_app
from server.events import InstitutionRefused
from shared.errors import ConfigError
from shared.exchange import Refusal, Reply
from shared.secagg.messages import AgreeRequest, TrainRequest
from shared.work import TrainWork, parse_work
from tests.support.headed import ALONE, OUTPUTS, headed_workbench, make_headed
from tests.support.small import NAMES, SIZE, final_vector, small_update
from tests.support.wiretap import Scene, run_tapped, scene

TRAINING = 3
"""The run's first round in which a student is trained."""
BENCH = headed_workbench(ALONE)


def naming(here: Scene, *owners: str) -> TrainRequest:
    """The true request to ash with other owners of its head."""
    request: TrainRequest = here.opened()
    work = parse_work(request.plan.body)
    assert isinstance(work, TrainWork)
    changed = work.model_copy(update={"head_owners": {**work.head_owners, "one": owners}})
    return replace(request, plan=replace(request.plan, body=changed.canonical()))


def sentence(answer: Reply | Refusal) -> str:
    assert isinstance(answer, Refusal)
    assert answer.code == "PolicyRefusal"
    return answer.reason


def test_where_it_is_allowed_the_sum_is_the_one_institution_s_own_update(tmp_path: Path) -> None:
    federation = make_headed(tmp_path, ALONE, lone=True, lone_heads=True)
    seen = final_vector(federation.run(client_app=make_app(BENCH)))
    own = small_update("ash", np.zeros(SIZE, np.float32), TRAINING)
    place = OUTPUTS["one"]
    np.testing.assert_allclose(seen[place], own[place], atol=1e-6)
    # All else is a sum over all, or over those who have the head: as far from any one of them as ever.
    for name in NAMES:
        theirs = small_update(name, np.zeros(SIZE, np.float32), TRAINING)
        assert np.abs(seen[6:] - theirs[6:]).max() > 0.01


def test_by_default_it_is_refused_and_nothing_is_opened(tmp_path: Path) -> None:
    federation = make_headed(tmp_path, ALONE, lone=True)
    tapped = run_tapped(federation, workbench=BENCH)
    refused = [event for event in tapped.events if isinstance(event, InstitutionRefused)]
    assert {event.institution for event in refused} == {"ash"}
    assert all("head 'one'" in event.reason for event in refused)
    assert not final_vector(tapped.result)[OUTPUTS["one"]].any(), "the others' zeros"


def test_owners_that_are_made_up_refuse_themselves_and_do_not_count_once_they_are_lost(tmp_path: Path) -> None:
    here = scene(make_headed(tmp_path, ALONE, lone=True), "train", TRAINING)
    lie = naming(here, "ash", "birch", "cedar")
    for name in ("birch", "cedar"):
        assert "of which it has no records" in sentence(here.ask(name, here.sealed(lie), BENCH))
    assert isinstance(here.ask("ash", here.sealed(lie), BENCH), Reply), "it cannot know yet"
    agree = AgreeRequest(lie.plan, ("ash", "elm", "fir"))
    assert "1 of the institutions have records of head 'one'" in sentence(here.ask("ash", here.sealed(agree), BENCH))


def test_owners_that_are_left_out_do_not_help(tmp_path: Path) -> None:
    here = scene(make_headed(tmp_path, ALONE, lone=True), "train", TRAINING)
    assert "does not name it there" in sentence(here.ask("ash", here.sealed(naming(here, "birch", "cedar", "elm")), BENCH))
    assert "1 of the institutions" in sentence(here.ask("ash", here.requests["ash"], BENCH))


def test_a_coordinator_that_does_not_say_who_has_which_head_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="head_owners does not say"):
        make_headed(tmp_path, {}).run(client_app=make_app(BENCH))
    lax = scene(make_headed(tmp_path / "lax", {}, lone=True), "train", TRAINING)
    assert "does not say which institutions" in sentence(lax.ask("cedar", lax.requests["cedar"], BENCH))
