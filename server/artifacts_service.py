"""The gRPC service ``Artifacts`` (``proto/fedstill/v1/artifacts.proto``): a finished run's artifact, in pieces, from any place on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from server.callers import Callers, NotThereError, told
from server.site import CoordinatorSite
from shared.errors import ArtifactError
from shared.rpc import artifacts_pb2 as pb

CHUNK = 256 * 1024
"""Bytes of a piece."""


class ArtifactsService:
    """Gives members what is signed for devices, and nothing else of the coordinator's folder."""

    def __init__(self, site: CoordinatorSite, callers: Callers) -> None:
        self._site, self._callers = site, callers

    async def List(self, request: pb.ListArtifactRequest, context: Any) -> pb.ListArtifactReply:  # noqa: N802
        """See ``artifacts.proto``."""
        await self._callers.member(context)
        return pb.ListArtifactReply(files=await told(context, self._listed, request.run))

    async def Download(self, request: pb.DownloadRequest, context: Any) -> AsyncIterator[pb.Chunk]:  # noqa: N802
        """See ``artifacts.proto``."""
        name = await self._callers.member(context)
        async with self._callers.streaming(name, context):
            path = await told(context, self._file, request.run, request.name, request.offset)
            with await told(context, _opened, path) as file:
                file.seek(request.offset)
                while content := await told(context, file.read, CHUNK):
                    yield pb.Chunk(content=content)
                    await self._callers.member(context)

    def _listed(self, run: str) -> list[pb.ArtifactFile]:
        return [
            pb.ArtifactFile(name=name, size=path.stat().st_size, sha256=_sha256(path, path.stat().st_mtime_ns))
            for name, path in self._files(run).items()
        ]

    def _file(self, run: str, name: str, offset: int) -> Path:
        path = self._files(run).get(name)
        if path is None:
            raise NotThereError(f"the artifact of run '{run}' has no file of that name")
        if offset > path.stat().st_size:
            raise ArtifactError(f"the file {name} has {path.stat().st_size} bytes, so it cannot go on at {offset}: begin again at 0")
        return path

    def _files(self, run: str) -> dict[str, Path]:
        # A run's name is looked up, never put together with a folder: nothing that a caller says becomes a path.
        status = self._site.store.run_status(run)
        if status is None or status[0] != "finished" or not status[1]:
            raise NotThereError(f"there is no finished run '{run}' with an artifact")
        folder = self._site.run_folder(run) / status[1]
        return {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()}


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


@lru_cache(maxsize=256)
def _sha256(path: Path, changed: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
