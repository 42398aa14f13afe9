from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quantisers
from benchmarks.edge_families import FAMILIES, is_transformer
from benchmarks.quantisers import NNCF, by_nncf

INPUTS = np.zeros((3, 4), np.float32)
GIVEN = b"a float graph"


def peer(folder: Path, does: str) -> str:
    script = folder / "peer.py"
    script.write_text(f"import sys, time\nfrom pathlib import Path\ngiven, inputs, made, *kind = sys.argv[3:]\n{does}\n")
    return f"{sys.executable} {script}"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the peer makes is no graph here: that it loads is the runtime's own affair."""
    monkeypatch.setattr(quantisers.runtime, "session", lambda content: None)


def test_without_the_peer_it_is_said_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(NNCF, raising=False)
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=False) is None
    assert capsys.readouterr().err == "without nncf: FEDSTILL_NNCF_PYTHON is not set\n"


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(("transformer", "kind"), [(False, []), (True, ["transformer"])])
def test_the_peer_gets_graph_records_and_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transformer: bool, kind: list[str]) -> None:
    does = "Path(made).write_bytes(Path(given).read_bytes() + Path(inputs).read_bytes()[:6] + repr(kind).encode())"
    monkeypatch.setenv(NNCF, peer(tmp_path, does))
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=transformer) == GIVEN + b"\x93NUMPY" + repr(kind).encode()


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("print('ValueError: no such operator', file=sys.stderr); sys.exit(1)", "ValueError: no such operator"),
        ("sys.exit(3)", "it ended with 3"),
        ("pass", "it made no file"),
        ("Path(made).write_bytes(b'no graph')", "what it made does not load"),
        ("time.sleep(60)", "it took more than 2 seconds"),
    ],
)
def test_a_peer_that_fails_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], does: str, reason: str
) -> None:
    monkeypatch.setenv(NNCF, peer(tmp_path, does))
    monkeypatch.setattr(quantisers, "LIMIT_S", 2 if "sleep" in does else 120)
    assert by_nncf(GIVEN, INPUTS, tmp_path, transformer=False) is None
    assert reason in capsys.readouterr().err


def test_which_students_attend() -> None:
    names = ("heart_transformer", "digits_convolutional", "digits_vision")
    found = {name: is_transformer(FAMILIES[name]().student, FAMILIES[name]().task) for name in names}
    assert found == {"heart_transformer": True, "digits_convolutional": False, "digits_vision": True}
