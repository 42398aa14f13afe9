from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import quantisers
from benchmarks.edge_families import FAMILIES, is_transformer
from benchmarks.quantisers import NNCF, TORCHAO, InTorch, by_nncf, by_torchao, save_program
from shared.data.records import Records

INPUTS = np.zeros((3, 4), np.float32)
TEST = Records(np.ones((2, 4), np.float32), np.array([0, 1]))
GIVEN = b"a float graph"
WRITES = 'Path(found).write_text(\'{"figures": {"torchao_torch_static": {"accuracy": 1, "ms": 0.5}}, "reasons": {%s}}\')'


def peer(folder: Path, does: str, names: str = "given, inputs, made, *kind") -> str:
    script = folder / "peer.py"
    script.write_text(f"import sys, time\nfrom pathlib import Path\n{names} = sys.argv[3:]\n{does}\n")
    return f"{sys.executable} {script}"


def torchao(folder: Path, does: str) -> str:
    return peer(folder, does, "program, records, made, found")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the peer makes is no graph here: that it loads is the runtime's own affair."""
    monkeypatch.setattr(quantisers.runtime, "session", lambda content: None)


@pytest.fixture
def student(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """Any student: its program is a stand-in, but where it is tested."""
    monkeypatch.setattr(quantisers, "save_program", lambda student, inputs, path: path.write_bytes(b"a program"))
    return nn.Linear(4, 2)


def test_without_the_peer_it_is_said_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(NNCF, raising=False)
    monkeypatch.delenv(TORCHAO, raising=False)
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=False) is None
    assert by_torchao(nn.Linear(4, 2), INPUTS, TEST, tmp_path) == InTorch(None, {})
    said = ["without nncf: FEDSTILL_NNCF_PYTHON is not set", "without torchao: FEDSTILL_TORCHAO_PYTHON is not set"]
    assert capsys.readouterr().err.splitlines() == said


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(("transformer", "kind"), [(False, []), (True, ["transformer"])])
def test_the_peer_gets_graph_records_and_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transformer: bool, kind: list[str]) -> None:
    does = "Path(made).write_bytes(Path(given).read_bytes() + Path(inputs).read_bytes()[:6] + repr(kind).encode())"
    monkeypatch.setenv(NNCF, peer(tmp_path, does))
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=transformer) == GIVEN + b"\x93NUMPY" + repr(kind).encode()


FAILURES = [
    ("print('ValueError: no such operator', file=sys.stderr); sys.exit(1)", "ValueError: no such operator"),
    ("sys.exit(3)", "it ended with 3"),
    ("pass", "it made no file"),
    ("Path(made).write_bytes(b'no graph')", "what it made does not load"),
    ("time.sleep(60)", "it took more than 2 seconds"),
]


@pytest.mark.parametrize(("does", "reason"), FAILURES)
def test_a_peer_that_fails_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], does: str, reason: str
) -> None:
    monkeypatch.setenv(NNCF, peer(tmp_path, does))
    monkeypatch.setattr(quantisers, "LIMIT_S", 2 if "sleep" in does else 120)
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=False) is None
    assert f"without nncf: {reason}" in capsys.readouterr().err


def test_a_peer_that_is_not_there_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(NNCF, str(tmp_path / "python"))
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=False) is None
    assert "without nncf: it cannot be started" in capsys.readouterr().err


@pytest.mark.usefixtures("loads")
def test_torchao_gets_program_and_records_and_its_figures_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], student: nn.Module
) -> None:
    does = f"Path(made).write_bytes(Path(program).read_bytes() + Path(records).read_bytes()[:2])\n{WRITES % ''}"
    monkeypatch.setenv(TORCHAO, torchao(tmp_path, does))
    found = by_torchao(student, INPUTS, TEST, tmp_path)
    assert found == InTorch(b"a programPK", {"torchao_torch_static": {"accuracy": 1.0, "ms": 0.5}})
    assert not capsys.readouterr().err
    with np.load(tmp_path / "torchao-records.npz") as kept:
        assert [kept[name].shape for name in ("known", "test", "labels")] == [(3, 4), (2, 4), (2,)]


@pytest.mark.parametrize(("does", "reason"), FAILURES)
def test_torchao_that_fails_is_left_out_but_not_what_it_measured_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], student: nn.Module, does: str, reason: str
) -> None:
    monkeypatch.setenv(TORCHAO, torchao(tmp_path, f"{WRITES % ''}\n{does}"))
    monkeypatch.setattr(quantisers, "LIMIT_S", 2 if "sleep" in does else 120)
    assert by_torchao(student, INPUTS, TEST, tmp_path) == InTorch(None, {"torchao_torch_static": {"accuracy": 1.0, "ms": 0.5}})
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"without torchao: {reason}")


def test_a_way_that_torchao_cannot_go_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], student: nn.Module
) -> None:
    monkeypatch.setenv(TORCHAO, torchao(tmp_path, WRITES % '\\"torchao\\": \\"RuntimeError: no operator\\"'))
    assert by_torchao(student, INPUTS, TEST, tmp_path).content is None
    assert capsys.readouterr().err == "without torchao: RuntimeError: no operator\n"


@pytest.mark.parametrize("written", ["", "[]", '{"figures": {"way": {"accuracy": "high", "ms": 1}}, "reasons": {}}', '{"figures": {}}'])
def test_figures_that_are_none_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], student: nn.Module, written: str
) -> None:
    monkeypatch.setenv(TORCHAO, torchao(tmp_path, f"Path(found).write_text({written!r})"))
    assert by_torchao(student, INPUTS, TEST, tmp_path) == InTorch(None, {})
    assert "without torchao in torch: it wrote down no figures" in capsys.readouterr().err


def test_a_student_that_cannot_be_exported_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TORCHAO, torchao(tmp_path, "pass"))
    assert by_torchao(nn.Linear(5, 2), INPUTS, TEST, tmp_path) == InTorch(None, {})
    assert capsys.readouterr().err.startswith("without torchao: the student cannot be exported: ")


def test_the_program_computes_what_the_student_does_for_any_batch(tmp_path: Path) -> None:
    student = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 2))
    save_program(student, INPUTS, tmp_path / "student.pt2")
    program = torch.export.load(tmp_path / "student.pt2").module()
    assert student.training
    for batch in (1, 5):
        records = torch.randn(batch, 4)
        torch.testing.assert_close(program(records), student.eval()(records))


def test_the_program_says_of_each_operator_where_it_came_from(tmp_path: Path) -> None:
    # What torchao's quantiser goes by; without it, it quantises nothing and does not say so.
    save_program(nn.Linear(4, 2), INPUTS, tmp_path / "student.pt2")
    graph = torch.export.load(tmp_path / "student.pt2").graph
    sources = [node.meta["source_fn_stack"][-1][1] for node in graph.nodes if node.target is torch.ops.aten.linear.default]
    assert sources == [nn.Linear]


def test_which_students_attend() -> None:
    names = ("heart_transformer", "digits_convolutional", "digits_vision")
    found = {name: is_transformer(FAMILIES[name]().student, FAMILIES[name]().task) for name in names}
    assert found == {"heart_transformer": True, "digits_convolutional": False, "digits_vision": True}
