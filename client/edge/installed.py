"""The versions of an artifact on a device: one folder that knows which serves, which was before it, and how far back is forbidden.

::

    DIR/installed.json       signer, floor, current, previous, history: replaced as a whole, and that is the switch
    DIR/versions/<digest>/   an artifact, named by the SHA-256 of its manifest
    DIR/lock

The floor is the highest version that was ever installed here, and stays where it is on a roll-back. It holds against an old artifact
that somebody hands over as if it were new; it does not hold against who can write to the folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from shared.compress.archive import MANIFEST, read_files
from shared.compress.verify import Artifact, open_artifact
from shared.errors import ArtifactError, ConfigError, DowngradeError, MissingFileError
from shared.files import PUBLIC_MODE, write_atomic
from shared.processes import only_one

STATE, VERSIONS, LOCK = "installed.json", "versions", "lock"
MOST_HISTORY = 100
"""Entries of the history that are kept."""


@dataclass(frozen=True)
class Version:
    """An installed artifact: its ``version``, and its ``digest``, the SHA-256 of its manifest in hex."""

    version: int
    digest: str


@dataclass(frozen=True)
class Entry:
    """One line of the history: ``install`` or ``rollback``, to what, and when (seconds since 1970)."""

    action: str
    version: int
    digest: str
    at: float


@dataclass(frozen=True)
class Installed:
    """What ``installed.json`` says. ``signer`` is the pinned public key in hex, ``floor`` the newest that was ever installed."""

    signer: str
    floor: Version
    current: Version
    previous: Version | None = None
    history: tuple[Entry, ...] = field(default=())

    def switched(self, action: str, to: Version, previous: Version | None, at: float) -> Installed:
        """The state after ``action`` made ``to`` the current version."""
        history = (*self.history, Entry(action, to.version, to.digest, at))[-MOST_HISTORY:]
        floor = max(self.floor, to, key=lambda version: version.version)
        return replace(self, current=to, previous=previous, floor=floor, history=history)


def is_installation(folder: Path) -> bool:
    """Whether ``folder`` is one that :func:`install` made."""
    return (folder / STATE).is_file()


def read_installed(folder: Path) -> Installed:
    """What is installed in ``folder``; raises :class:`MissingFileError` or :class:`ArtifactError`."""
    try:
        found = json.loads((folder / STATE).read_bytes())
        previous = found["previous"]
        return Installed(
            signer=bytes.fromhex(found["signer"]).hex(),
            floor=_version(found["floor"]),
            current=_version(found["current"]),
            previous=None if previous is None else _version(previous),
            history=tuple(Entry(**entry) for entry in found["history"]),
        )
    except OSError as error:
        raise MissingFileError(f"nothing is installed in {folder}; install an artifact there with: fedstill artifact install") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder / STATE} cannot be read; install into a new folder") from error


def current_folder(folder: Path, installed: Installed) -> Path:
    """Where the artifact that serves lies."""
    return folder / VERSIONS / installed.current.digest


def install(artifact: Path, folder: Path, key: bytes | None = None, *, clock: Callable[[], float] = time.time) -> Installed:
    """Verifies ``artifact`` (folder or archive), copies it into ``folder`` and makes it the current version.

    ``key`` is the signer's raw public key; the first install needs it and pins it, a later one may leave it out. The same artifact
    again changes nothing, unless it had been rolled back. Raises :class:`DowngradeError` for a version that is not above the
    floor, and :class:`ArtifactError` for anything that ``artifact verify`` would refuse; then what serves goes on serving.
    """
    before = read_installed(folder) if is_installation(folder) else None
    signer = _signer(before, key)
    with only_one(folder / LOCK, what=f"another install into {folder}"):
        before = read_installed(folder) if is_installation(folder) else None
        (folder / VERSIONS).mkdir(exist_ok=True)
        new = _bring(artifact, folder / VERSIONS, signer, before)
        if before is not None and before.current == new:
            return before
        if before is None:
            entry = Entry("install", new.version, new.digest, clock())
            after = Installed(signer.hex(), new, new, None, (entry,))
        else:
            after = before.switched("install", new, before.current, clock())
        _save(folder, after)
        _prune(folder / VERSIONS, after)
        return after


def rollback(folder: Path, *, clock: Callable[[], float] = time.time) -> Installed:
    """Makes the version before the current one the current one again, verified anew. The floor stays.

    Raises :class:`ArtifactError` where there is none: after a roll-back the way on is to install.
    """
    read_installed(folder)  # before the lock, which would make the folder
    with only_one(folder / LOCK, what=f"another install into {folder}"):
        before = read_installed(folder)
        if before.previous is None:
            raise ArtifactError(f"{folder} has no version before {before.current.version} to go back to; install one")
        _opened(folder / VERSIONS / before.previous.digest, bytes.fromhex(before.signer), before.previous)
        after = before.switched("rollback", before.previous, None, clock())
        _save(folder, after)
        return after


def open_current(folder: Path, installed: Installed, *, key: bytes | None = None, threads: int = 1) -> Artifact:
    """The current version, verified with the pinned key and against what the switch says that it is.

    ``key``: the key that the caller trusts; raises :class:`ArtifactError` if it is not the pinned one, or if anything else is wrong.
    """
    return _opened(current_folder(folder, installed), _signer(installed, key), installed.current, threads)


def _signer(installed: Installed | None, key: bytes | None) -> bytes:
    if installed is None:
        if key is None:
            raise ConfigError("the first install needs --key, the signer's public key: the folder then keeps to it")
        return key
    pinned = bytes.fromhex(installed.signer)
    if key is not None and key != pinned:
        raise ArtifactError(f"the folder keeps to the signer {installed.signer}, not the one of --key; install into a new folder")
    return pinned


def _bring(artifact: Path, versions: Path, signer: bytes, installed: Installed | None) -> Version:
    # What is verified is the copy that will serve, not the file that somebody may change meanwhile.
    files = read_files(artifact)
    digest = hashlib.sha256(files[MANIFEST]).hexdigest()
    beside = Path(tempfile.mkdtemp(dir=versions, prefix=".incoming."))
    try:
        for name, content in files.items():
            write_atomic(beside / name, content, mode=PUBLIC_MODE)
        opened = open_artifact(beside, signer)
        new = Version(opened.version, digest)
        if installed is not None and new != installed.current:
            _refuse_downgrade(new, installed.floor)
        shutil.rmtree(versions / digest, ignore_errors=True)
        beside.chmod(0o755)
        beside.rename(versions / digest)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return new


def _refuse_downgrade(new: Version, floor: Version) -> None:
    if new.version < floor.version:
        raise DowngradeError(
            f"version {new.version} is older than version {floor.version}, which was installed here before; "
            "get the newest artifact, or go back one version with: fedstill artifact rollback"
        )
    if new.version == floor.version and new.digest != floor.digest:
        raise DowngradeError(
            f"another artifact with version {new.version} was installed here before; only a higher version can follow, "
            "or install into a new folder"
        )


def _prune(versions: Path, installed: Installed) -> None:
    keep = {version.digest for version in (installed.current, installed.previous) if version is not None}
    for entry in versions.iterdir():
        if entry.name not in keep:
            shutil.rmtree(entry, ignore_errors=True)


def _opened(folder: Path, signer: bytes, expected: Version, threads: int = 1) -> Artifact:
    opened = open_artifact(folder, signer, threads=threads)
    if Version(opened.version, opened.digest) != expected:
        raise ArtifactError(f"{folder} is not the version {expected.version} that was installed; install it again")
    return opened


def _save(folder: Path, installed: Installed) -> None:
    write_atomic(folder / STATE, json.dumps(asdict(installed), indent=1).encode())


def _version(found: dict[str, object]) -> Version:
    version, digest = found["version"], found["digest"]
    if not isinstance(version, int) or not isinstance(digest, str) or len(bytes.fromhex(digest)) != 32:
        raise ValueError("not a version")
    return Version(version, digest)
