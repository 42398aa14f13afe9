"""What an institution asks its coordinator about runs: the signed plan to approve, the events to watch, the artifact to take home."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from client.link import Link
from shared.errors import ArtifactError, DeploymentError, IdentityError
from shared.identity import load_roster
from shared.rpc import artifacts_pb2, runs_pb2
from shared.rpc.services import ARTIFACTS, RUNS
from shared.signed import RunPlan, SignedPlan, read_plan

MOST_FILES = 64
LARGEST_FILE = 4 * 2**30
"""Files of an artifact, and bytes of one, that are fetched at most."""
MOST_TRIES = 8
"""How often in a row a download that is broken off goes on without a byte of progress."""
RETRY_S = 2.0


def fetch_plan(link: Link, folder: Path, run: str) -> RunPlan:
    """The plan of ``run``, signed by the coordinator that is pinned here."""
    reply = link.call(RUNS, "Plan", runs_pb2.RunPlanRequest(run=run))
    try:
        signed = SignedPlan(plan=RunPlan.parse(reply.plan), signature=reply.signature.hex())
    except ValueError as error:
        raise IdentityError(
            f"what {link.connection.address} sent is not a run's plan: install the same release as the coordinator"
        ) from error
    plan = read_plan(signed.canonical(), load_roster(folder / "roster.json").coordinator, where=f"the answer of {link.connection.address}")
    if plan.run != run:
        raise IdentityError(f"{link.connection.address} sent the plan of another run: ask its operator why")
    return plan


def list_runs(link: Link) -> tuple[tuple[str, str], ...]:
    """All runs with their status, by name."""
    reply = link.call(RUNS, "List", runs_pb2.ListRunsRequest())
    return tuple((run.run, run.status) for run in reply.runs)


def watch(link: Link, run: str, after: int = 0) -> Iterator[tuple[int, float, bytes]]:
    """The events of a run, as (sequence, seconds since 1970, JSON), until it is over."""
    for event in link.stream(RUNS, "Events", runs_pb2.RunEventsRequest(run=run, after=after)):
        yield event.sequence, event.time, event.event


def fetch_artifact(link: Link, run: str, target: Path, *, wait: Callable[[float], None] = time.sleep) -> tuple[Path, ...]:
    """Brings the artifact of a finished run into ``target``, file by file; what was begun before goes on where it stopped.

    Each file has the SHA-256 that was announced. Whether the artifact is genuine is the affair of ``fedstill artifact verify``.
    Raises :class:`ArtifactError` for names or sizes that no artifact has, and for a file that came wrong.
    """
    files = link.call(ARTIFACTS, "List", artifacts_pb2.ListArtifactRequest(run=run)).files
    if len(files) > MOST_FILES or len({file.name for file in files}) != len(files):
        raise ArtifactError(f"the artifact of run '{run}' is announced with {len(files)} files: that is none of fedstill's")
    target.mkdir(parents=True, exist_ok=True)
    return tuple(_fetch(link, run, file, target, wait) for file in files)


def _fetch(link: Link, run: str, file: artifacts_pb2.ArtifactFile, target: Path, wait: Callable[[float], None]) -> Path:
    if file.name in ("", ".", "..") or not file.name.isprintable() or {"/", "\\"} & set(file.name) or file.size > LARGEST_FILE:
        raise ArtifactError(f"the artifact of run '{run}' announces a file that no artifact has: ask the coordinator's operator")
    path, part = target / file.name, target / f".{file.name}.part"
    if path.exists() and _digest(path) == file.sha256:
        return path
    _fill(link, run, file, part, wait)
    if _digest(part) != file.sha256:
        part.unlink()
        raise ArtifactError(f"the file {file.name} of run '{run}' came with another digest than was announced: fetch it again")
    part.replace(path)
    return path


def _fill(link: Link, run: str, file: artifacts_pb2.ArtifactFile, part: Path, wait: Callable[[float], None]) -> None:
    part.touch()
    if part.stat().st_size > file.size:
        part.write_bytes(b"")  # of another artifact, before this one
    tries = 0
    while (have := part.stat().st_size) < file.size:
        try:
            _append(link, artifacts_pb2.DownloadRequest(run=run, name=file.name, offset=have), part, file.size)
        except DeploymentError:
            tries = 0 if part.stat().st_size > have else tries + 1
            if tries >= MOST_TRIES:
                raise
            wait(RETRY_S)
        else:
            if part.stat().st_size == have:
                raise ArtifactError(f"the file {file.name} of run '{run}' ends before its {file.size} bytes: fetch it again")


def _append(link: Link, request: artifacts_pb2.DownloadRequest, part: Path, size: int) -> None:
    with part.open("ab") as out:
        for chunk in link.stream(ARTIFACTS, "Download", request):
            if out.tell() + len(chunk.content) > size:
                raise ArtifactError(f"the file {request.name} of run '{request.run}' is larger than was announced: fetch it again")
            out.write(chunk.content)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
