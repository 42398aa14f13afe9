"""Writes an artifact: the model, its manifest, the signature over it and the card, as one folder and one archive."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.compress.archive import ARCHIVE_SUFFIX, CARD, MANIFEST, MODEL, SIGNATURE, TOKENIZER, pack
from shared.compress.card import render
from shared.compress.manifest import FileEntry, Manifest, input_schema
from shared.compress.operators import count_operators
from shared.compress.verify import DOMAIN, verify
from shared.errors import ResourceError
from shared.files import PUBLIC_MODE, write_atomic


def write_artifact(folder: Path, model: bytes, manifest: Manifest, identity: Ed25519PrivateKey, tokenizer: bytes | None = None) -> Manifest:
    """Signs and writes ``folder`` and ``folder.tar.zst`` beside it; gives back the manifest as signed.

    ``tokenizer`` is the ``tokenizer.json`` that a text task names, and None for other tasks.

    Equal arguments give equal bytes. The folder appears whole or not at all; an older one is replaced. What was written
    is verified with the signer's key before this returns. Raises :class:`ArtifactError` or :class:`ResourceError`.
    """
    public = identity.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    described = manifest.model_copy(
        update={"inputs": input_schema(manifest.task), "operators": count_operators(model), "signer": public.hex()}
    )
    contents = {MODEL: model, CARD: render(described, len(model)).encode()}
    if tokenizer is not None:
        contents[TOKENIZER] = tokenizer
    entries = {name: FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) for name, content in contents.items()}
    signed = described.model_copy(update={"files": entries})
    body = signed.canonical()
    files = {**contents, MANIFEST: body, SIGNATURE: identity.sign(DOMAIN + body)}
    _write_folder(folder, files)
    write_atomic(archive_path(folder), pack(files))
    verify(folder, public)
    return signed


def archive_path(folder: Path) -> Path:
    """Where the archive of an artifact's folder lies."""
    return folder.with_name(folder.name + ARCHIVE_SUFFIX)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise ResourceError(f"cannot write {folder}: {error.strerror}; free some space or choose another folder") from error
    try:
        for name, content in files.items():
            write_atomic(beside / name, content, mode=PUBLIC_MODE)
        beside.chmod(0o755)
        _replace(beside, folder)
    except OSError as error:
        raise ResourceError(f"cannot write {folder}: {error.strerror}; free some space or choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _replace(new: Path, folder: Path) -> None:
    # A folder that is not empty cannot be renamed over: the old one steps aside first and goes once the new one stands.
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        if folder.exists():
            os.rename(folder, old / "old")  # noqa: PTH104
        os.rename(new, folder)  # noqa: PTH104
    finally:
        shutil.rmtree(old, ignore_errors=True)
