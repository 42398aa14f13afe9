"""One version that serves, and which of them is current: a newer one is loaded beside it and takes over between two requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from client.edge.drift import Drift
from client.edge.installed import Installed, Version, is_installation, open_current, read_installed
from shared.compress.verify import Artifact, open_artifact
from shared.errors import ConfigError, FedstillError


class ServedModel:
    """An artifact that serves since ``since`` (seconds since 1970), with what it has been given."""

    def __init__(self, artifact: Artifact, since: float) -> None:
        self.artifact, self.since = artifact, since
        self.drift = Drift(artifact.manifest)

    @property
    def task(self) -> dict[str, Any]:
        """The manifest's task."""
        task: dict[str, Any] = self.artifact.manifest["task"]
        return task

    def logits(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Raw records -> float32 ``(n, labels)``; what was given is noted."""
        found = self.artifact.logits(inputs)
        self.drift.add(inputs)
        return found


class Source(Protocol):
    """Where versions come from."""

    def changed(self) -> bool:
        """Whether :meth:`load` may give another artifact than the last time; cheap."""
        ...

    def load(self) -> Artifact:
        """The artifact that should serve now, verified; raises :class:`FedstillError`."""
        ...


@dataclass(frozen=True)
class FixedSource:
    """One artifact, folder or archive, signed by ``key``; it never changes while the process lives."""

    path: Path
    key: bytes
    threads: int = 1

    def changed(self) -> bool:
        """Never."""
        return False

    def load(self) -> Artifact:
        """The artifact."""
        return open_artifact(self.path, self.key, threads=self.threads)


class InstalledSource:
    """The current version of a folder that ``fedstill artifact install`` made."""

    def __init__(self, folder: Path, key: bytes | None = None, threads: int = 1) -> None:
        self._folder, self._key, self._threads = folder, key, threads
        self._loaded: Version | None = None

    def changed(self) -> bool:
        """Whether the switch says another version than the one that was loaded, or tried, last; false while it cannot be read."""
        try:
            return read_installed(self._folder).current != self._loaded
        except FedstillError:
            return False

    def load(self) -> Artifact:
        """The current version."""
        installed: Installed = read_installed(self._folder)
        self._loaded = installed.current
        return open_current(self._folder, installed, key=self._key, threads=self._threads)


def open_source(path: Path, key: bytes | None, threads: int) -> Source:
    """The source at ``path``: an installation, whose signer is pinned, or an artifact, whose signer ``key`` must say.

    Raises :class:`ConfigError` for an artifact without a key.
    """
    if is_installation(path):
        return InstalledSource(path, key, threads)
    if key is None:
        raise ConfigError("give --key, the public key of the artifact's signer, or install it with --key and serve the folder")
    return FixedSource(path, key, threads)


class Current:
    """The model that serves, and what happened when another was to take over. Changed in one thread only.

    ``refused`` says why the version that should serve does not; ``loaded`` and ``refusals`` count how often either happened.
    """

    def __init__(self, source: Source, say: Callable[[str], None], *, clock: Callable[[], float] = time.time) -> None:
        """Loads the first model; raises what the source raises."""
        self._source, self._say, self._clock = source, say, clock
        self.model = ServedModel(source.load(), clock())
        self.refused = ""
        self.loaded, self.refusals = 1, 0

    def due(self, *, anyway: bool = False) -> bool:
        """Whether there is something to load; ``anyway`` is a person's word."""
        return anyway or self._source.changed()

    def fetch(self) -> ServedModel | Exception:
        """The model that should serve, loaded beside the one that does. Takes as long as it takes: not for the event loop."""
        try:
            return ServedModel(self._source.load(), self._clock())
        except Exception as error:  # whatever is wrong with a new version, the old one must go on
            return error

    def switch(self, found: ServedModel | Exception) -> None:
        """Lets ``found`` take over from here on; an error leaves the old model where it is, and is told."""
        if isinstance(found, Exception):
            self.refused, self.refusals = str(found), self.refusals + 1
            self._say(f"refused: {found}; version {self.model.artifact.version} goes on serving")
        elif found.artifact.digest == self.model.artifact.digest:
            self.refused = ""
        else:
            before, self.model, self.refused, self.loaded = self.model, found, "", self.loaded + 1
            verb = "rolled back to" if found.artifact.version < before.artifact.version else "now serving"
            self._say(f"{verb} version {found.artifact.version} ({found.artifact.digest[:12]}), before: {before.artifact.version}")
