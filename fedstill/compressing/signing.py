"""The end of a compression: its artifact, signed with a key that the user gave or that is made beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fedstill.compressing.plan import CompressPlan
from shared.files import read_bytes
from shared.identity import load_identity, make_identity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fedstill.compressing.quantising import Judged
    from shared.compress.manifest import Manifest, Provenance
    from shared.models import Network

IDENTITY_FILE, ARTIFACT_FOLDER = "signing.key", "artifact"


def signer(plan: CompressPlan) -> Ed25519PrivateKey:
    """The key that the plan names, or one in its folder: made there (0600), or by a command that was stopped. Raises as
    :func:`shared.identity.load_identity`."""
    own = plan.folder / IDENTITY_FILE
    if plan.identity is None and not own.exists():
        return make_identity(own)
    return load_identity(plan.identity or own)


def write_signed(
    plan: CompressPlan, student: Network, judged: Judged, original: bytes, changes: Sequence[str], identity: Ed25519PrivateKey
) -> Manifest:
    """Writes ``artifact`` and ``artifact.tar.zst`` into the plan's folder; gives back the manifest as signed."""
    from shared.compress.artifact import write_artifact
    from shared.compress.manifest import InputsSeen, Manifest
    from shared.data.text import read_tokeniser

    task, scales = student.task, student.normalisation
    manifest = Manifest(
        task=task,
        device=plan.device,
        grid=judged.result.winner,
        gate=judged.result,
        provenance=provenance(plan, student, original, changes),
        inputs_seen=InputsSeen(means=scales.means, deviations=scales.deviations),
    )
    tokenizer = read_tokeniser(task, plan.federation.tokenizer_path).content if task.family == "text" else None
    return write_artifact(plan.folder / ARTIFACT_FOLDER, judged.winner, manifest, identity, tokenizer)


def provenance(plan: CompressPlan, student: Network, original: bytes, changes: Sequence[str]) -> Provenance:
    """Where the student came from: what the artifact beside its checkpoint says, if there is one, and what was changed."""
    from shared.compress.manifest import Provenance
    from shared.models import count_parameters

    known = _beside(plan.student.parent / ARTIFACT_FOLDER)
    came = known or Provenance(federation=plan.federation.name, run="compressed here", rounds=0, void_rounds=0, student_parameters=1)
    found = {
        "student_parameters": count_parameters(student),
        "student_digest": hashlib.sha256(original).hexdigest(),
        "changes": tuple(changes),
    }
    return came.model_copy(update=found)


def _beside(folder: Path) -> Provenance | None:
    from shared.compress.manifest import Manifest

    if not (folder / "manifest.json").is_file():
        return None
    try:
        return Manifest.model_validate_json(read_bytes(folder / "manifest.json", what="manifest")).provenance
    except ValidationError:
        return None
