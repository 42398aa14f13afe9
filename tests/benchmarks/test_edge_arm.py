"""The comparison itself with this machine on both sides, and, every night, with ARM on the other one."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import edge_arm
from benchmarks.arm import COMMAND, CPUS, Asked, answers, missing
from benchmarks.edge_arm import beside, claims, compare
from benchmarks.edge_families import FAMILIES, Family
from shared.compress import runtime
from shared.data.records import Records, Split
from shared.settings import NetworkSettings, TrainingSettings
from shared.tokenise import Tokeniser
from tests.support.integers import integer_graphs
from tests.support.texts import INTENTS, messages, text_task, tokenizer_json


def short(name: str, student: NetworkSettings, epochs: int) -> Family:
    family = FAMILIES[name]()
    return dataclasses.replace(family, student=student, training=family.training.model_copy(update={"epochs": epochs}))


def texts(folder: Path) -> Family:
    task, tokenizer = text_task(), folder / "tokenizer.json"
    tokenizer.write_text(tokenizer_json())
    found = messages(600)
    tokens = Tokeniser(tokenizer.read_bytes()).encode([text for text, _ in found], max_tokens=task.max_tokens, padding=0)
    records = Records(tokens, np.array([INTENTS.index(intent) for _, intent in found]))
    split = Split(records.take(np.arange(400)), records.take(np.arange(400, 600)))
    small = NetworkSettings(width=32, depth=2, heads=4, embedding_width=16)
    training = TrainingSettings(epochs=2, batch_size=32, learning_rate=2e-3)
    return Family(task, small, small, lambda seed: split, training, 1, tokenizer=tokenizer)


STUDENTS: dict[str, Callable[[Path], Family]] = {
    "tabular": lambda folder: short("heart_transformer", NetworkSettings(width=24, depth=2, heads=4), 4),
    "convolutional": lambda folder: short("digits_convolutional", NetworkSettings(width=16, depth=2), 3),
    "vision": lambda folder: short("digits_vision", NetworkSettings(width=32, depth=2, heads=4, architecture="transformer", patch=2), 5),
    "text": texts,
}


def test_every_file_is_compared_on_every_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND, sys.executable)
    found = compare(short("heart_transformer", NetworkSettings(width=8, depth=1, heads=2), 1), ["cortex-a53"], tmp_path, seed=1, most=40)
    assert [(one.file, one.cpu) for one in found] == [(file, "cortex-a53") for file in ("float", "full", "portable", "signed")]
    assert all(one.agreement == one.equal == 1.0 and one.apart == 0.0 for one in found), "one machine against itself"


def test_the_worst_core_is_reported() -> None:
    here = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    there = np.array([[0.0, 1.0], [1.0, 2.0]], np.float32)
    labels = np.array([1, 1])
    found = [beside("full", "cortex-a53", here, here, labels), beside("full", "cortex-a76", here, there, labels)]
    assert (found[1].accuracy, found[1].agreement, found[1].equal, found[1].apart) == (0.5, 0.5, 0.75, 4.0)
    values = {entry.name: entry.value for entry in claims("digits", found)}
    assert values == {"digits.full.agreement": 0.5, "digits.full.equal": 0.75, "digits.full.apart": 4.0}


def test_without_an_arm_side_the_benchmark_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    with pytest.raises(SystemExit) as ended:
        edge_arm.main(["--no-keep"])
    assert ended.value.code == 21
    assert "SKIPPED: FEDSTILL_ARM_PYTHON is not set" in capsys.readouterr().err


@pytest.fixture
def on_arm() -> None:
    if reason := missing():
        pytest.skip(f"SKIPPED: {reason}")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("on_arm")
@pytest.mark.parametrize("family", STUDENTS)
def test_signed_artifacts_answer_on_arm_as_they_do_here(family: str, tmp_path: Path) -> None:
    found = compare(STUDENTS[family](tmp_path), ["cortex-a53", "cortex-a76"], tmp_path, seed=1)
    assert len(found) == 8
    for one in found:
        assert one.agreement == 1.0, one


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("on_arm")
@pytest.mark.parametrize("cpu", CPUS)
def test_integer_graphs_are_equal_on_arm_bit_for_bit(cpu: str) -> None:
    made = integer_graphs()
    theirs = answers([Asked(records, model=content) for content, records in made.values()], cpu)
    for (name, (content, records)), there in zip(made.items(), theirs, strict=True):
        here = runtime.logits(runtime.session(content), records)
        assert here.dtype == there.dtype
        assert np.array_equal(here, there), name
