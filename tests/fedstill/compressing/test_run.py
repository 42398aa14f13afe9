"""A whole compression of a small, unlearnt student on real records: what it writes can be trusted, repeated and refused."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fedstill.compressing.plan import CompressPlan
from fedstill.compressing.quantising import judged
from fedstill.compressing.run import run_compression
from fedstill.compressing.steps import STEPS_FOLDER
from fedstill.plan import builtin_federation
from shared.compress.gate import LossRefusal
from shared.compress.verify import open_artifact
from shared.data import load_pool
from shared.distill.teacher import own_normalisation
from shared.errors import ArtifactError, RunError
from shared.identity import make_identity
from shared.models import build, load_model, save_model
from shared.settings import NetworkSettings

FEDERATION = builtin_federation("heart")


def kept(file, settings):
    train = load_pool(FEDERATION).train
    save_model(file, build(settings, FEDERATION.task, own_normalisation(FEDERATION.task, train), seed=1))
    return file


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return kept(tmp_path_factory.mktemp("student") / "student.safetensors", NetworkSettings(width=16, depth=5, heads=1, inner=16))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A student of which more than a block can be cut."""
    return kept(tmp_path_factory.mktemp("wide") / "student.safetensors", NetworkSettings(width=16, depth=5, heads=2, inner=16))


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    path = tmp_path_factory.mktemp("identity") / "key.pem"
    make_identity(path)
    return path


def plan(folder, student, identity, **changes):
    given = {"healing_epochs": 1, "max_drop": 1.0, "device": "x86-avx2", "identity": identity} | changes
    return CompressPlan(folder=folder, student=student, federation=FEDERATION, **given)


@pytest.fixture(autouse=True, scope="module")
def elsewhere():
    """This machine is of no device's kind, so that what is signed does not depend on how busy it is; see ``here``."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shared.compress.here.is_here", lambda instruction_sets: False)
        yield


@pytest.fixture
def here(monkeypatch):
    """This machine is of the device's kind, and the files are as slow as ``slow`` says, in order of the gate's verdicts."""

    def slow(*ratios):
        left = iter(ratios)
        monkeypatch.setattr("shared.compress.here.is_here", lambda instruction_sets: True)
        monkeypatch.setattr("shared.compress.latency.onnx_latencies", lambda files, inputs: {"winner": next(left), "float": 1.0})

    return slow


@pytest.fixture(scope="module")
def done(tmp_path_factory, student, identity):
    folder = tmp_path_factory.mktemp("runs") / "first"
    console = Console(file=io.StringIO(), width=100)
    return run_compression(plan(folder, student, identity), console), console.file.getvalue()


@pytest.fixture
def unmeasured(monkeypatch):
    """Without the fresh processes whose memory is measured: they take seconds, and the first run has them."""
    monkeypatch.setattr("fedstill.compressing.scoring.peak_bytes", lambda *given: None)


def test_the_artifact_verifies_and_says_what_was_done(done):
    summary, said = done
    artifact = open_artifact(summary.artifact, bytes.fromhex(summary.signer))
    came = artifact.manifest["provenance"]
    assert came["roster_digest"] is None
    assert "pruned (1 of 5 blocks" in came["changes"][0]
    assert artifact.manifest["gate"]["masked"] is False
    assert artifact.manifest["gate"]["records"] == summary.records
    assert any(cut.accepted for cut in summary.cuts)
    for title in ("benchmark", "prune", "quantise", "compressed for x86-avx2"):
        assert title in said
    card = (summary.artifact / "card.md").read_text()
    assert "made without a federation" in card
    assert "counted there" not in card
    assert summary.plot is not None
    assert summary.plot.read_bytes().startswith(b"\x89PNG")


def test_what_is_left_of_the_student_is_what_was_gated(done):
    summary, _ = done
    assert load_model(summary.folder / "student.safetensors").settings.depth == 4
    signed = next(file for file in summary.files if file.signed)
    assert signed.bytes == (summary.artifact / "model.onnx").stat().st_size
    assert [stage.name for stage in summary.stages] == ["student, torch", "student, ONNX", "pruned, ONNX", f"INT8 {signed.name}"]
    assert summary.stages[-1].parameters < summary.stages[0].parameters
    assert all(stage.peak_mb for stage in summary.stages)
    assert summary.stages[-1].peak_mb < summary.stages[0].peak_mb / 2


def test_what_the_teacher_said_of_the_records_does_not_stay(done):
    summary, _ = done
    names = {entry.name for entry in summary.folder.iterdir()}
    assert names == {"artifact", "artifact.tar.zst", "lock", "pareto.png", "student.onnx", "student.safetensors", "summary.json"}


def test_the_summary_is_written(done):
    summary, _ = done
    assert json.loads((summary.folder / "summary.json").read_text())["signer"] == summary.signer


@pytest.mark.usefixtures("unmeasured")
def test_equal_plans_give_equal_artifacts(done, tmp_path, student, identity):
    again = run_compression(plan(tmp_path / "again", student, identity), Console(quiet=True))
    for name in ("model.onnx", "manifest.json", "manifest.sig", "card.md"):
        assert (again.artifact / name).read_bytes() == (done[0].artifact / name).read_bytes()


@pytest.mark.usefixtures("unmeasured")
def test_without_a_key_one_is_made_for_its_owner_alone(tmp_path, student):
    summary = run_compression(plan(tmp_path / "own", student, None, prune=False), Console(quiet=True))
    key = tmp_path / "own" / "signing.key"
    assert key.stat().st_mode & 0o077 == 0
    assert open_artifact(summary.artifact, bytes.fromhex(summary.signer)).manifest["provenance"]["changes"] == []


@pytest.mark.usefixtures("unmeasured")
def test_a_budget_that_nothing_keeps_is_refused_and_nothing_is_signed(tmp_path, student, identity):
    with pytest.raises(ArtifactError, match="no INT8 file may be signed"):
        run_compression(plan(tmp_path / "tight", student, identity, prune=False, budget_mb=0.0001), Console(quiet=True))
    assert not (tmp_path / "tight" / "artifact").exists()
    assert not list((tmp_path / "tight").glob("*.tar.zst"))


@pytest.fixture
def gate(monkeypatch):
    """A gate that raises each of ``refusals`` once before it judges as the real one does; gives back how often it was asked."""

    def refuse(*refusals):
        left, asked = list(refusals), []

        def judge(*given):
            asked.append(given)
            if left:
                raise left.pop(0)
            return judged(*given)

        monkeypatch.setattr("fedstill.compressing.run.judged", judge)
        return asked

    return refuse


@pytest.mark.usefixtures("unmeasured")
def test_a_cut_too_far_is_undone_and_what_was_before_it_is_signed(gate, tmp_path, wide, identity):
    gate()
    whole = run_compression(plan(tmp_path / "far", wide, identity), Console(quiet=True))
    names = [cut.name for cut in whole.cuts if cut.accepted]
    asked = gate(*[LossRefusal("0.02 lost")] * (len(names) - 1))
    console = Console(file=io.StringIO(), width=200)
    summary = run_compression(plan(tmp_path / "back", wide, identity), console)
    assert len(asked) == len(names) > 1
    assert [cut.name for cut in summary.cuts if cut.accepted] == names[:1] == ["1 of 5 blocks"]
    assert [cut.name for cut in summary.cuts if cut.reason.startswith("undone")] == names[1:]
    assert f"the last cut, '{names[-1]}', went too far and is undone" in console.file.getvalue()
    [change] = open_artifact(summary.artifact, bytes.fromhex(summary.signer)).manifest["provenance"]["changes"]
    assert change.startswith("pruned (1 of 5 blocks), each healed by 1 epochs")
    assert change.endswith(f"; undone, as the gate refused their files: {', '.join(names[1:])}")
    left = load_model(summary.folder / "student.safetensors").settings
    assert (left.depth, left.heads) == (4, 2)
    pruned = [stage.parameters for stage in summary.stages if stage.name == "pruned, ONNX"]
    assert pruned == [summary.stages[-1].parameters]
    assert whole.stages[-1].parameters < pruned[0] < whole.stages[0].parameters


@pytest.mark.usefixtures("unmeasured")
def test_where_every_cut_is_undone_the_student_is_quantised_as_it_came(gate, done, tmp_path, student, identity):
    gate(*[LossRefusal("0.02 lost")] * sum(cut.accepted for cut in done[0].cuts))
    summary = run_compression(plan(tmp_path / "whole", student, identity), Console(quiet=True))
    unpruned = run_compression(plan(tmp_path / "unpruned", student, identity, prune=False), Console(quiet=True))
    assert (summary.artifact / "model.onnx").read_bytes() == (unpruned.artifact / "model.onnx").read_bytes()
    assert (summary.folder / "student.onnx").read_bytes() == (unpruned.folder / "student.onnx").read_bytes()
    assert not (summary.folder / "student.safetensors").exists()
    assert "pruned, ONNX" not in {stage.name for stage in summary.stages}
    [change] = open_artifact(summary.artifact, bytes.fromhex(summary.signer)).manifest["provenance"]["changes"]
    assert change.startswith("not pruned; ")


@pytest.mark.usefixtures("unmeasured")
def test_a_student_that_is_refused_even_whole_is_refused(gate, tmp_path, student, identity):
    asked = gate(*[LossRefusal("0.02 lost")] * 100)
    with pytest.raises(LossRefusal, match=r"0\.02 lost"):
        run_compression(plan(tmp_path / "never", student, identity), Console(quiet=True))
    assert 1 < len(asked) < 100
    assert not (tmp_path / "never" / "artifact").exists()


@pytest.mark.usefixtures("unmeasured")
def test_what_no_larger_student_would_cure_undoes_nothing(gate, tmp_path, student, identity):
    asked = gate(ArtifactError("too slow"))
    with pytest.raises(ArtifactError, match="too slow"):
        run_compression(plan(tmp_path / "slow", student, identity), Console(quiet=True))
    assert len(asked) == 1


@pytest.mark.usefixtures("unmeasured")
def test_on_a_device_of_its_kind_what_is_slower_than_float_is_not_signed(here, tmp_path, student, identity):
    here(1.5, 1.01)
    console = Console(file=io.StringIO(), width=200)
    summary = run_compression(plan(tmp_path / "slow", student, identity, prune=False, device="cortex-a76"), console)
    said = console.file.getvalue()
    [refused] = [line for line in said.splitlines() if "takes 1.50 times as long as float, measured here: not signed" in line]
    winner = open_artifact(summary.artifact, bytes.fromhex(summary.signer)).manifest["gate"]["winner"]
    assert f"'{winner}'" not in refused


@pytest.mark.usefixtures("unmeasured")
def test_where_all_files_are_slower_than_float_nothing_is_signed(here, tmp_path, student, identity):
    here(*[1.2] * 20)
    with pytest.raises(ArtifactError, match=r"takes 1\.20 times as long as float, measured here; --device names another"):
        run_compression(plan(tmp_path / "slower", student, identity, prune=False), Console(quiet=True))
    assert not (tmp_path / "slower" / "artifact").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path, student, identity):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds something already"):
        run_compression(plan(tmp_path / "theirs", student, identity), Console(quiet=True))
    assert [entry.name for entry in (tmp_path / "theirs").iterdir()] == ["notes.txt"]


ALONE = """
import sys
from rich.console import Console
from fedstill.compressing.plan import CompressPlan
from fedstill.compressing.quantising import judged
from fedstill.compressing.run import run_compression
run_compression(CompressPlan.model_validate_json(sys.argv[1]), Console(quiet=True))
"""


def killed_after_one_step(given: CompressPlan) -> None:
    """Runs the plan in a process of its own and kills it, by the signal that nothing can catch, once its first step is kept."""
    process = subprocess.Popen([sys.executable, "-c", ALONE, given.model_dump_json()], cwd=Path(__file__).parents[3])
    try:
        until = time.monotonic() + 240
        while not list((given.folder / STEPS_FOLDER).glob("*.json")):
            assert process.poll() is None, "it ended before a step was kept"
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.kill()
    assert process.wait(60) == -signal.SIGKILL


@pytest.mark.usefixtures("unmeasured")
def test_a_killed_compression_goes_on_and_signs_what_it_would_have_signed(done, tmp_path, student, identity):
    given = plan(tmp_path / "killed", student, identity)
    killed_after_one_step(given)
    # As if it had been killed later, by a command with other settings: nothing of that may reach what is signed now.
    (given.folder / "artifact").mkdir(exist_ok=True)
    (given.folder / "artifact" / "half").touch()
    (given.folder / "student.safetensors").write_bytes(b"of another")
    (given.folder / STEPS_FOLDER / "scratch-left").mkdir()
    console = Console(file=io.StringIO(), width=200)
    summary = run_compression(given, console)
    said = console.file.getvalue()
    assert "holds a compression that was stopped: it goes on" in said
    assert "trained students were kept from before" in said
    for name in ("model.onnx", "manifest.json", "manifest.sig", "card.md"):
        assert (summary.artifact / name).read_bytes() == (done[0].artifact / name).read_bytes()
    assert {entry.name for entry in given.folder.iterdir()} == {entry.name for entry in done[0].folder.iterdir()}
