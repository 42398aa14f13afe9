"""The newest model that the coordinator has sent, on disk, so that the next one may come as a delta to it.

What came is never believed: whatever its form, the model's SHA-256 is the one that the signed plan names, or it is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shared.deltas import patched
from shared.errors import MissingFileError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.secagg.errors import ForgedMessage, MissingBase


@dataclass(frozen=True)
class ModelStore:
    """One model in the file ``path``, whole or not there. It is looked at anew each time: a lost file is a model not held."""

    path: Path

    def receive(self, blob: bytes, digest: bytes) -> bytes:
        """The content with the SHA-256 ``digest``, from what travelled: the content, a delta from the held one, or nothing.

        It is kept in place of the one before, and survives a crash from here on; empty content is not kept. Raises
        :class:`MissingBase` where the whole content is needed, :class:`ForgedMessage` where ``blob`` does not give it.
        """
        content = blob
        if not _is(blob, digest):
            held = self._held()
            if _is(held, digest):
                return held
            content = _from_delta(held, blob, digest)
        if content:
            write_atomic(self.path, content, mode=PRIVATE_MODE)
        return content

    def _held(self) -> bytes:
        try:
            return read_bytes(self.path, what="model held from the last round")
        except MissingFileError:
            return b""


def _from_delta(held: bytes, blob: bytes, digest: bytes) -> bytes:
    if not blob:
        raise MissingBase("the model that the plan names is not held here; send the whole model")
    content = patched(held, blob)
    if not _is(content, digest):
        raise ForgedMessage("a delta leads to another model than the plan names; send the whole model")
    return content


def _is(content: bytes, digest: bytes) -> bool:
    return hashlib.sha256(content).digest() == digest
