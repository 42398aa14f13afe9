"""The thin app bundle: all that is ever pushed through Flower to start a run. It names installed code and holds none.

Flower ships a run as a bundle (FAB: a zip with a list of its files). Ours has two files, ``pyproject.toml``, which
points at ``server.app:app`` and ``client.app:app`` of the installed package, and ``LICENSE``. Its bytes are the same
on every machine, so an institution knows its hash without being told and refuses every other bundle.
"""

from __future__ import annotations

import hashlib
import io
import zipfile

BUNDLE_VERSION = "1.0.0"
"""Raised when coordinator and institution of different versions could misunderstand each other: they then refuse."""
COORDINATOR_DIR = "coordinator-dir"
"""Key of the run configuration: the coordinator's folder, on the coordinator's machine."""
RUN = "run"
"""Key of the run configuration: fedstill's own name of the run, which outlives Flower's."""

_EPOCH = (2020, 1, 1, 0, 0, 0)
_LICENSE = b"Apache-2.0. This bundle holds no code: it names the fedstill package that is installed where it runs.\n"
_PYPROJECT = f"""\
[project]
name = "fedstill-run"
version = "{BUNDLE_VERSION}"
description = "Starts a fedstill run with the installed package; holds no code"
license = {{ file = "LICENSE" }}
dependencies = ["flwr>=1.41.0"]

[tool.flwr.app]
publisher = "fedstill"
fab-format-version = 1
flwr-version-target = "1.41.0"

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"

[tool.flwr.app.config]
{COORDINATOR_DIR} = ""
{RUN} = ""
""".encode()


def app_bundle() -> bytes:
    """The bundle's bytes: stored, not deflated, with a fixed date, so that no library version can change them."""
    files = {"pyproject.toml": _PYPROJECT, "LICENSE": _LICENSE}
    listing = "\n".join(f"{name},{hashlib.sha256(content).hexdigest()},{8 * len(content)}" for name, content in files.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**files, ".info/CONTENT": listing.encode()}.items():
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def bundle_hash() -> str:
    """SHA-256 of :func:`app_bundle` in hex, as Flower names bundles."""
    return hashlib.sha256(app_bundle()).hexdigest()
