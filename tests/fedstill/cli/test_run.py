from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedstill.cli import main
from tests.support.small import make_federation


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["run", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_watch_draws_a_finished_run_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    code, _, err = call(capsys, "watch", tmp_path)
    assert code == 21
    assert "has no store" in err
    federation.run()
    code, out, _ = call(capsys, "watch", federation.coordinator)
    assert code == 0
    assert "trial is finished" in out
    assert call(capsys, "watch", federation.coordinator, "--once")[0] == 0
    code, out, _ = call(capsys, "watch", tmp_path, "--json", "--run", "trial")
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, events[0]["kind"], events[-1]["kind"]) == (0, "run-started", "run-finished")
    assert call(capsys, "watch", tmp_path, "--run", "other")[0] == 60
