"""An edge device's side of an artifact: trust it or refuse it, load it, predict. numpy, onnxruntime and cryptography suffice
(and tokenizers, to split texts).

What a good signature proves: whoever holds the key signed exactly these bytes. Whether that is *your* federation's
coordinator only your copy of its public key can say: without one, anybody's key would do.

``python -m shared.compress.verify FOLDER [--key KEY] [--show] [--predict FILE [--head NAME]]`` is ``fedstill artifact`` for a device
that has no more than these packages.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from shared.compress import rows, runtime
from shared.compress.archive import CARD, MANIFEST, MODEL, SIGNATURE, TOKENIZER, read_files
from shared.errors import ArtifactError, DataError
from shared.tokenise import Tokeniser, checked_tokeniser

FORMAT = 1
DOMAIN = b"fedstill artifact manifest v1\n"
"""What is signed is this line and then the manifest's bytes, so that no other signature of the key fits."""


@dataclass(frozen=True)
class Prediction:
    """``labels``: int64 ``(n,)`` positions within the task's labels; ``probabilities``: float32 ``(n, labels)``, 0 outside the head that
    was asked for."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


class Artifact:
    """A verified artifact, loaded. ``manifest`` is a plain dict, ``signer`` the raw public key that signed it.

    ``tokenizer`` is the content of the artifact's ``tokenizer.json``; None where the task is not one of texts.
    """

    def __init__(self, manifest: dict[str, Any], model: bytes, signer: bytes, *, tokenizer: bytes | None = None, threads: int = 1) -> None:
        self.manifest, self.model, self.signer, self.tokenizer = manifest, model, signer, tokenizer
        self._session = runtime.session(model, threads=threads)

    @property
    def version(self) -> int:
        """The number that its signer gave it, which grows; 0 where the manifest has none."""
        return int(self.manifest.get("version", 0))

    def encode(self, records: Sequence[Any]) -> NDArray[Any]:
        """Records as people write them -> raw records of the task; as :func:`shared.compress.rows.encode`."""
        return rows.encode(self.manifest["task"], records, self._tokeniser)

    @cached_property
    def _tokeniser(self) -> Tokeniser | None:
        task = self.manifest["task"]
        if self.tokenizer is None:
            return None
        return checked_tokeniser(self.tokenizer, task["tokenizer_sha256"], task["vocabulary"], where=TOKENIZER)

    def logits(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Raw records of the task -> float32 ``(n, labels)``; raises :class:`ArtifactError` for the wrong shape or type."""
        return runtime.logits(self._session, inputs)

    def span(self, head: str) -> slice:
        """Where a head's labels lie within the task's; raises :class:`DataError` for a head that the task has not."""
        heads = self.manifest["task"].get("heads", ())
        sizes = {entry["name"]: len(entry["labels"]) for entry in heads}
        if head not in sizes:
            raise DataError(f"the artifact's task has no head '{head}'; its heads are: {', '.join(sizes) or 'none'}")
        start = sum(list(sizes.values())[: list(sizes).index(head)])
        return slice(start, start + sizes[head])

    def predict(self, inputs: NDArray[Any], head: str | None = None) -> Prediction:
        """Raw records of the task (:meth:`encode` makes them) -> labels and probabilities.

        ``head``: the name of the task's head to answer within; without it all labels of all heads may be the answer. Raises
        :class:`DataError` for a head that the task has not.
        """
        return self.answers(self.logits(inputs), head)

    def answers(self, logits: NDArray[np.float32], head: str | None = None) -> Prediction:
        """What :meth:`predict` makes of the logits ``(n, labels)``, each row by itself."""
        scores = logits.astype(np.float64)
        if head is not None:
            span = self.span(head)
            scores[:, : span.start] = scores[:, span.stop :] = -np.inf
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
        return Prediction(scores.argmax(axis=1), probabilities)


def open_artifact(path: Path, public_key: bytes | None = None, *, threads: int = 1) -> Artifact:
    """Verifies the artifact at ``path`` (folder or ``.tar.zst``) and loads it.

    ``public_key``: the signer's raw Ed25519 key that you trust; None proves only that the files belong together.
    Raises :class:`ArtifactError` for any other signer, any changed byte, any file too many, and a model that does not run.
    """
    files = read_files(path)
    manifest, signer = _verified_manifest(files[MANIFEST], files[SIGNATURE], public_key)
    _check_digests(manifest, files)
    artifact = Artifact(manifest, files[MODEL], signer, tokenizer=files.get(TOKENIZER), threads=threads)
    _check_runs(artifact)
    return artifact


def verify(path: Path, public_key: bytes | None = None) -> dict[str, Any]:
    """The manifest of the artifact at ``path``, once everything is checked as :func:`open_artifact` does."""
    return open_artifact(path, public_key).manifest


def predict(path: Path, inputs: NDArray[Any], public_key: bytes | None = None, head: str | None = None) -> Prediction:
    """Verifies, loads and predicts in one call; keep an :class:`Artifact` open for more than one."""
    return open_artifact(path, public_key).predict(inputs, head)


def parse_key(text: str) -> bytes:
    """A public key as given on the command line: 64 hex digits, or a file: those digits, a PEM, or a ``roster.json``.

    Raises :class:`ArtifactError` for anything else.
    """
    try:
        if Path(text).is_file():
            return _of_32_bytes(_key_of_file(Path(text).read_bytes()))
        return _raw_key(text)
    except (ValueError, KeyError, TypeError, OSError, RecursionError, UnsupportedAlgorithm) as error:
        raise ArtifactError("the key is neither 64 hex digits nor a file with them, a public PEM or a roster.json") from error


def _key_of_file(content: bytes) -> bytes:
    if content.startswith(b"-----BEGIN"):
        key = serialization.load_pem_public_key(content)
        return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    if content.lstrip().startswith(b"{"):
        return base64.b64decode(json.loads(content)["coordinator"], validate=True)
    return _raw_key(content.decode())


def _raw_key(text: str) -> bytes:
    return _of_32_bytes(bytes.fromhex(text.strip()))


def _of_32_bytes(key: bytes) -> bytes:
    if len(key) != 32:
        raise ValueError("not 32 bytes")
    return key


def _verified_manifest(content: bytes, signature: bytes, public_key: bytes | None) -> tuple[dict[str, Any], bytes]:
    signer = public_key if public_key is not None else _claimed_signer(content)
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(signature, DOMAIN + content)
    except (InvalidSignature, ValueError) as error:
        raise ArtifactError(
            "the manifest's signature does not fit: the artifact was changed, or signed by another key; do not use it"
        ) from error
    manifest = _parse(content)
    if _claimed_signer(content) != signer:
        raise ArtifactError("the manifest names another signer than the key that signed it; do not use it")
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"the artifact has format {manifest.get('format')!r}, this fedstill reads {FORMAT}; use a fitting version")
    if type(version := manifest.get("version", 0)) is not int or version < 0:
        raise ArtifactError("the manifest's version is not a whole number from 0; do not use the artifact")
    return manifest, signer


def _claimed_signer(content: bytes) -> bytes:
    try:
        return _raw_key(_parse(content)["signer"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError("the manifest names no signer; do not use the artifact") from error


def _parse(content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError("the manifest is not JSON; do not use the artifact") from error
    if not isinstance(manifest, dict):
        raise ArtifactError("the manifest is not a JSON object; do not use the artifact")
    return manifest


def _check_digests(manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    declared, expected = manifest.get("files"), [MODEL, CARD, *([TOKENIZER] if _is_text(manifest) else [])]
    if not isinstance(declared, dict) or set(declared) != set(expected):
        raise ArtifactError(f"the manifest must list {' and '.join(expected)} and nothing else; do not use the artifact")
    if set(files) != {*expected, MANIFEST, SIGNATURE}:
        raise ArtifactError(f"the artifact must hold {' and '.join(expected)} beside its signed manifest; do not use it")
    for name, entry in declared.items():
        if entry != {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}:
            raise ArtifactError(f"{name} is not the file that was signed; do not use the artifact")

    if _is_text(manifest) and declared[TOKENIZER]["sha256"] != manifest["task"].get("tokenizer_sha256"):
        raise ArtifactError(f"{TOKENIZER} is not the tokeniser that the task names; do not use the artifact")


def _is_text(manifest: dict[str, Any]) -> bool:
    task = manifest.get("task")
    return isinstance(task, dict) and task.get("family") == "text"


def _empty_record(task: Any) -> NDArray[Any]:
    if task["family"] == "tabular":
        return np.full((1, len(task["columns"])), np.nan, np.float32)
    if task["family"] == "text":
        return np.full((1, task["max_tokens"]), task["padding"], np.int32)
    return np.zeros((1, task["size"], task["size"], task["channels"]), np.uint8)


def _check_runs(artifact: Artifact) -> None:
    task: Any = artifact.manifest.get("task")
    try:
        record = _empty_record(task)
        labels = len(task["labels"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ArtifactError("the manifest's task cannot be read; do not use the artifact") from error
    scores = artifact.logits(record)
    if scores.shape != (1, labels) or not np.isfinite(scores).all():
        raise ArtifactError(f"the model does not give {labels} finite numbers for a record of its task; do not use the artifact")


if __name__ == "__main__":
    from shared.compress.console import main

    main()
