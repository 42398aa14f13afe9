"""A finished run's student signed for another device, from what was counted there and nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from safetensors.numpy import load, save

from fedstill.compressing.statistics import sign_for
from fedstill.plan import builtin_federation
from server.site import CoordinatorSite
from shared.compress.artifact import write_artifact
from shared.compress.calibrate import calibrated_tensors
from shared.compress.candidates import candidates
from shared.compress.cost import timing_on
from shared.compress.export import export_float
from shared.compress.gate import Allowed, results
from shared.compress.manifest import Manifest, Provenance
from shared.compress.quantise import quantise
from shared.compress.verify import open_artifact
from shared.data.digits import TASK as DIGITS
from shared.data.digits import read_digits
from shared.distill.teacher import own_normalisation
from shared.errors import ArtifactError, CheckpointError, MissingFileError, RunError
from shared.identity import public_bytes
from shared.models import build
from tests.support.networks import TABLE, network
from tests.support.opened import make_coordinator

ALLOWED = Allowed(0.05)
RIGHT = {"u8s8": 80, "u8s8-7bit": 79, "weights-only": 80}


def judged_files() -> dict[str, bytes]:
    content = export_float(network(), TABLE)
    found = dict.fromkeys(calibrated_tensors(content), (-4.0, 4.0))
    return {"float": content} | {name: quantise(content, found, name) for name in RIGHT}


def kept_run(site, whole, files, right, *, task=TABLE, device="x86-avx512-vnni", timing=None):
    """Leaves what a run leaves: the files that were judged, their counts and the artifact of the best."""
    site.store.start_run("one", b"{}", site.roster.digest)
    home = site.run_folder("one")
    home.mkdir(parents=True, exist_ok=True)
    judged = {"float": whole, **files}
    (home / "candidates.safetensors").write_bytes(
        save({name: np.frombuffer(content, np.uint8) for name, content in sorted(judged.items())})
    )
    sums = {"gate_records": [100], "gate_float_right": [80], "gate_right": list(right.values()), "gate_agree": [99] * len(files)}
    gate = results(whole, files, {name: np.array(counts) for name, counts in sums.items()}, ALLOWED, timing)
    digest = hashlib.sha256(whole).hexdigest()
    came = Provenance(
        federation="f", run="one", rounds=3, void_rounds=0, roster_digest="ab" * 32, student_parameters=9, student_digest=digest
    )
    manifest = Manifest(version=4, task=task, device=device, grid=gate.winner, gate=gate, provenance=came)
    write_artifact(home / "artifact", files[gate.winner], manifest, site.identity)


@pytest.fixture
def site(tmp_path):
    found, files = CoordinatorSite(make_coordinator(tmp_path / "coordinator")), judged_files()
    kept_run(found, files.pop("float"), files, RIGHT)
    return found


def finish(site):
    site.store.finish_run("one", "artifact")
    return site


def test_what_was_counted_is_signed_for_another_device(site, tmp_path):
    signed = sign_for(finish(site).folder, None, "cortex-a53", ALLOWED, tmp_path / "out")
    opened = open_artifact(tmp_path / "out", public_bytes(site.identity))
    assert opened.manifest["device"] == "cortex-a53"
    assert opened.manifest["provenance"]["run"] == "one"
    assert opened.version == 4
    assert signed.gate.won.right == RIGHT[signed.gate.winner]
    assert signed.gate.float_seconds is not None


def test_a_grid_that_saturates_there_is_not_among_what_may_be_signed(site, tmp_path):
    signed = sign_for(finish(site).folder, "one", "x86-avx2", ALLOWED, tmp_path / "out")
    assert {entry.name for entry in signed.gate.candidates} == {"u8s8-7bit", "weights-only"}


def test_a_portable_run_has_counted_what_is_faster_on_some_devices_alone(tmp_path):
    task, settings = DIGITS, builtin_federation("digits").student
    content = export_float(build(settings, task, own_normalisation(task, read_digits()), seed=1), task)
    found = dict.fromkeys(calibrated_tensors(content), (-4.0, 4.0))
    files = candidates(content, found, "portable", timing_on("portable"))
    site = CoordinatorSite(make_coordinator(tmp_path / "coordinator"))
    kept_run(site, content, files, dict.fromkeys(files, 80), task=task, device="portable", timing=timing_on("portable"))
    own = open_artifact(site.run_folder("one") / "artifact", public_bytes(site.identity))
    assert own.manifest["grid"] == "weights-only"
    signed = sign_for(finish(site).folder, None, "cortex-a76", ALLOWED, tmp_path / "out")
    assert signed.operators.int8["Conv"] == 6
    assert signed.gate.won.seconds < signed.gate.float_seconds


def test_a_run_that_has_not_finished_has_no_statistics(site, tmp_path):
    with pytest.raises(RunError, match=r"no run in .* has finished"):
        sign_for(site.folder, None, "portable", ALLOWED, tmp_path / "out")
    with pytest.raises(RunError, match="no finished run 'two'"):
        sign_for(finish(site).folder, "two", "portable", ALLOWED, tmp_path / "out")


def test_files_that_are_not_those_that_were_judged_are_refused(site, tmp_path):
    path = finish(site).run_folder("one") / "candidates.safetensors"
    files = load(path.read_bytes())
    path.write_bytes(save(files | {"float": files["u8s8"]}))
    with pytest.raises(CheckpointError, match="other files"):
        sign_for(site.folder, None, "portable", ALLOWED, tmp_path / "out")
    path.write_bytes(save({"float": files["float"]}))
    with pytest.raises(MissingFileError, match="not all of the files"):
        sign_for(site.folder, None, "portable", ALLOWED, tmp_path / "out")
    path.write_bytes(b"noise")
    with pytest.raises(CheckpointError, match="damaged"):
        sign_for(site.folder, None, "portable", ALLOWED, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_that_no_judged_file_keeps_is_refused(site, tmp_path):
    with pytest.raises(ArtifactError, match="no INT8 file may be signed"):
        sign_for(finish(site).folder, None, "cortex-a53", Allowed(0.05, size=10), tmp_path / "out")
