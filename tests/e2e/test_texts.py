"""Texts from a CSV file to a signed artifact that answers texts, by the commands that a user types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.texts import INTENTS, messages, write_messages, write_tokenizer

pytestmark = pytest.mark.e2e


def fedstill(folder: Path, *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fedstill", *arguments], cwd=folder, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_messages_become_an_artifact_that_sorts_messages(tmp_path: Path) -> None:
    write_messages(tmp_path / "messages.csv", 320)
    write_tokenizer(tmp_path)
    fedstill(tmp_path, "init", "messages.csv", "--text", "message", "--label", "intent", "--tokenizer", "tokenizer.json", "--sites", "4")
    summary = json.loads(fedstill(tmp_path, "simulate", "federation.toml", "--rounds", "2", "--no-baselines", "--out", "run", "--json"))
    assert summary["rounds"] == {"planned": 2, "closed": 2, "void": 0}
    artifact = tmp_path / "run" / "artifact"
    assert (artifact / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    fedstill(tmp_path, "artifact", "verify", "run/artifact", "--key", "run/coordinator/roster.json")
    others = messages(80, seed=99)
    given = "\n".join(json.dumps({"message": text}) for text, _ in others)
    found = json.loads(fedstill(tmp_path, "artifact", "serve-once", "run/artifact", "--json", given=given))["predictions"]
    assert {entry["label"] for entry in found} <= set(INTENTS)
    right = sum(entry["label"] == intent for entry, (_, intent) in zip(found, others, strict=True))
    assert right > 1.3 * len(others) / len(INTENTS)
    lines = fedstill(tmp_path, "artifact", "serve-once", "run/artifact", given=others[0][0] + "\n")
    assert lines.split("\t")[0] == found[0]["label"]
