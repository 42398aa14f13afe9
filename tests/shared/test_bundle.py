"""The bundle is the same on every machine, holds no code, and Flower takes it."""

from __future__ import annotations

import hashlib
import io
import zipfile

from shared.bundle import COORDINATOR_DIR, RUN, app_bundle, bundle_hash

KNOWN = "3ac5ece5b4c42b7056d0242917b582a7218bc39bfd360e94dea391075a99fa9b"
"""Changing the bundle makes old institutions refuse new coordinators: do it on purpose, with BUNDLE_VERSION."""


def test_hash_is_the_agreed_one() -> None:
    assert bundle_hash() == hashlib.sha256(app_bundle()).hexdigest() == KNOWN


def test_it_holds_no_code() -> None:
    names = zipfile.ZipFile(io.BytesIO(app_bundle())).namelist()
    assert sorted(names) == [".info/CONTENT", "LICENSE", "pyproject.toml"]


def test_flower_reads_it() -> None:
    from flwr.common.config import get_fab_config

    app = get_fab_config(app_bundle())["tool"]["flwr"]["app"]
    assert app["components"] == {"serverapp": "server.app:app", "clientapp": "client.app:app"}
    assert set(app["config"]) == {COORDINATOR_DIR, RUN}
