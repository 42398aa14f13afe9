"""What is said of a round in the report: who was lost, who was blamed, and what was trained anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from client.training import IN_FORCE_FILE
from fedstill.plan import ExperimentPlan, builtin_federation, revalidated
from fedstill.summarise import _bytes_down, _logits, _notes, _round, objectives
from fedstill.workspace import Workspace
from server.records import RoundRecord
from shared.files import write_atomic

LOST = RoundRecord(number=5, phase="train", training_round=3, status="closed", survivors=("a",), absent={"b": "gone"}, refused={"c": "no"})


def test_the_lost_are_named_with_the_training_round_that_a_user_counts() -> None:
    assert _notes(LOST) == ["b, c vanished in training round 3"]


def test_a_void_round_says_why_and_claims_no_survivors() -> None:
    void = LOST.model_copy(update={"status": "void", "reason": "1 of 3 answered", "refused": {}})
    assert _notes(void)[-1] == "training round 3 was void (1 of 3 answered) and was trained anew"
    assert _round(void).survivors == ()


def test_wrong_shares_are_said_and_a_quiet_round_is_not() -> None:
    quiet = RoundRecord(number=1, phase="gate", status="closed", survivors=("a", "b"))
    assert _notes(quiet) == []
    told = _notes(quiet.model_copy(update={"blamed": ("b",), "doubted": (("a", "b"),)}))
    assert told[0].startswith("b gave wrong shares or commitments in round 1 (gate)")
    assert told[1].startswith("a or b committed to a wrong seed")


def test_bytes_down_are_those_after_the_first_round_which_carries_the_student_whole() -> None:
    first, second, third = (
        LOST.model_copy(update={"bytes_down": sizes}) for sizes in ({"a": 4000, "b": 4000}, {"a": 800, "b": 4000}, {"a": 900})
    )
    assert _bytes_down([first, second, third]) == 1900
    assert _bytes_down([first]) == 4000
    assert _bytes_down([]) == 0


def test_seconds_of_a_round_are_those_of_its_stages() -> None:
    assert _round(LOST.model_copy(update={"seconds": {"train": 2.0, "unmask": 0.5}})).seconds == 2.5


def test_bytes_are_a_logit_where_answers_travel_and_a_parameter_elsewhere(tmp_path: Path) -> None:
    federation = builtin_federation("heart")
    plan = ExperimentPlan(run="trial", folder=tmp_path, federation=federation)
    assert _logits(plan) == 0
    answering = revalidated(federation, {"proxy": {"source": "generated", "records": 30}})
    assert _logits(plan.model_copy(update={"federation": answering})) == 60
    np.savez(tmp_path / "public.npz", inputs=np.zeros((7, len(federation.task.columns)), np.float32))  # type: ignore[union-attr]
    public = revalidated(federation, {"proxy": {"source": "records", "path": tmp_path / "public.npz"}})
    assert _logits(plan.model_copy(update={"federation": public})) == 14


def test_equal_objectives_are_told_once_and_who_has_not_learnt_is_left_out(tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in ("a", "b", "c", "d")}
    for name, sentence in (("a", "1 labels"), ("b", "1 soft targets (kl, T 2)"), ("d", "1 labels")):
        write_atomic(homes[name] / "state" / IN_FORCE_FILE, f"{sentence}\n".encode())
    found = objectives(Workspace(tmp_path, tmp_path / "coordinator", homes))
    assert found == {"1 labels": ("a", "d"), "1 soft targets (kl, T 2)": ("b",)}
