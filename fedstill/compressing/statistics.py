"""Another device's artifact from a run that is over, without any record: the files that institutions have judged, and their masked counts.

The accuracy of a file is that of its arithmetic, whatever computes it exactly. So what was counted once holds for every device that does
not saturate with the file's grid; only what it costs there is asked anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from server.site import CoordinatorSite
from server.toolbox import FLOAT
from shared.errors import ArtifactError, CheckpointError, MissingFileError, RunError
from shared.files import read_bytes
from shared.identity import public_bytes

if TYPE_CHECKING:
    from shared.compress.gate import Allowed
    from shared.compress.manifest import Manifest

CANDIDATES_FILE, ARTIFACT_FOLDER = "candidates.safetensors", "artifact"


def sign_for(folder: Path, run: str | None, device: str, allowed: Allowed, out: Path) -> Manifest:
    """Writes the artifact of a finished run for ``device`` to ``out``, signed by the coordinator of ``folder``; gives back its manifest.

    ``run`` defaults to the last that finished. The artifact has the version of the run's own: it is the same student. Raises
    :class:`RunError` where no run has finished, :class:`MissingFileError` where the judged files are gone, and :class:`ArtifactError`
    where none of them may be signed for the device.
    """
    from shared.compress.artifact import write_artifact
    from shared.compress.cost import timing_on
    from shared.compress.devices import find_profile
    from shared.compress.gate import results

    site = CoordinatorSite(folder)
    home = site.run_folder(_finished(site, run))
    manifest = _signed_by(home / ARTIFACT_FOLDER, site)
    profile = find_profile(device)
    files = _judged_files(home / CANDIDATES_FILE, manifest)
    whole = files.pop(FLOAT)
    timing = timing_on(device)
    usable = {name: content for name, content in files.items() if _is_exact(name, profile.grids)}
    if not usable:
        raise ArtifactError(
            f"no file that was judged in the run computes exactly on '{device}'; run a federation with compression.device = '{device}'"
        )
    ranked = sorted(usable, key=lambda name: (timing(usable[name]).burden(timing(whole)), len(usable[name])))
    judged = {name: usable[name] for name in ranked}
    gate = results(whole, judged, _sums(manifest, ranked), allowed, timing)
    tokenizer = read_bytes(home / ARTIFACT_FOLDER / "tokenizer.json", what="tokeniser") if manifest.task.family == "text" else None
    described = manifest.model_copy(update={"device": profile.name, "grid": gate.winner, "gate": gate})
    return write_artifact(out, judged[gate.winner], described, site.identity, tokenizer)


def _finished(site: CoordinatorSite, run: str | None) -> str:
    done = [name for name in site.store.runs() if (status := site.store.run_status(name)) is not None and status[0] == "finished"]
    if run is not None and run not in done:
        raise RunError(f"there is no finished run '{run}' in {site.folder}; there are: {', '.join(done) or 'none'}")
    if not done:
        raise RunError(f"no run in {site.folder} has finished; its statistics are there when it has")
    return run or done[-1]


def _signed_by(artifact: Path, site: CoordinatorSite) -> Manifest:
    from shared.compress.manifest import Manifest
    from shared.compress.verify import open_artifact

    return Manifest.model_validate(open_artifact(artifact, public_bytes(site.identity)).manifest)


def _judged_files(path: Path, manifest: Manifest) -> dict[str, bytes]:
    try:
        files = {name: array.tobytes() for name, array in load(read_bytes(path, what="file of what the gate judged")).items()}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged; restore it from a copy") from error
    wanted = {FLOAT, *(entry.name for entry in manifest.gate.candidates)}
    if not wanted <= set(files):
        raise MissingFileError(f"{path} has not all of the files that the gate judged; restore it from a copy")
    sizes = {entry.name: entry.size for entry in manifest.gate.candidates}
    digest = hashlib.sha256(files[FLOAT]).hexdigest()
    if digest != manifest.provenance.student_digest or any(len(files[name]) != size for name, size in sizes.items()):
        raise CheckpointError(f"{path} holds other files than those that the run's artifact tells of; restore it from a copy")
    return {name: files[name] for name in wanted}


def _is_exact(name: str, grids: tuple[str, ...]) -> bool:
    from shared.compress.grids import PAYING, recipe

    return not recipe(name).grid.saturates or name.removesuffix(PAYING) in grids


def _sums(manifest: Manifest, names: list[str]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    known = {entry.name: entry for entry in manifest.gate.candidates}
    return {
        "gate_records": np.array([manifest.gate.records], np.int64),
        "gate_float_right": np.array([manifest.gate.float_right], np.int64),
        "gate_right": np.array([known[name].right for name in names], np.int64),
        "gate_agree": np.array([known[name].agree for name in names], np.int64),
    }
