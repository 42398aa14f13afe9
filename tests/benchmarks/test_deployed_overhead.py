"""What a round takes besides training: time that is covered counts once, and is read from what the institutions wrote down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.deployed_overhead import Round, claims, covered, trained
from benchmarks.ground import Census, Taken, component
from shared.audit.chain import stamp


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [([], 0), ([(1, 3)], 2), ([(1, 3), (2, 5)], 4), ([(4, 5), (1, 3)], 3), ([(1, 9), (2, 3), (8, 10)], 9)],
)
def test_time_in_which_several_train_counts_once(intervals: list[tuple[float, float]], seconds: float) -> None:
    assert covered(intervals) == seconds


def test_training_is_from_agreed_to_answered(tmp_path: Path) -> None:
    def line(kind: str, time: float, **fields: object) -> str:
        return json.dumps({"kind": kind, "time": stamp(time), "fields": fields})

    train = {"run": "overhead", "round": 4, "work": "train"}
    lines = [
        line("agreed", 100.0, **train),
        line("answered", 102.5, **train, stage="train"),
        line("answered", 109.0, **train, stage="unmask"),
        line("agreed", 50.0, run="overhead", round=2, work="gate"),
        line("agreed", 60.0, run="another", round=4, work="train"),
    ]
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "log.jsonl").write_text("\n".join(lines) + "\n")
    assert trained(tmp_path, "overhead") == {4: (100.0, 102.5)}


def test_overhead_is_what_is_left_and_cpu_is_what_was_used_meanwhile() -> None:
    census = Census()
    census.taken["superlink"] = Taken(peak=10**8, cpu={7: 5.0, 8: 1.0})
    census.history = [
        (99.0, {}),
        (100.0, {"superlink": 1.0}),
        (105.0, {"superlink": 3.0, "run": 0.5}),
        (111.0, {"superlink": 4.0, "run": 1.5}),
    ]
    rounds = [Round(100.0, 5.0, 2.0, {"train": 4.0}), Round(105.0, 6.0, 2.0, {"train": 5.0, "unmask": 1.0})]
    found = {one.name: one.value for one in claims("made-up", rounds, census)}
    assert found["made-up.overhead"] == 3.5
    assert found["made-up.cpu.superlink"] == 1.5
    assert found["made-up.cpu.all"] == 2.25
    assert found["made-up.stage.unmask"] == 0.5
    assert found["made-up.memory.superlink"] == 100


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/usr/bin/python /opt/bin/flower-superlink --host 127.0.0.1", "superlink"),
        ("python -m fedstill coordinator run home", "coordinator"),
        ("python -P -m client.flower worker --address a", "worker"),
        ("python -P -m client.flower supernode --alive a", "supernode"),
        ("sleep 1", "other"),
    ],
)
def test_a_process_is_known_by_its_command_line(line: str, name: str) -> None:
    assert component(line.split()) == name
