"""Deals a built-in data set to the institutions' volumes: what a demonstration has instead of hospitals' own records.

``python provision.py FEDERATION SITES POST COORDINATOR``: ``SITES`` has one mounted volume an institution, named as it is; each
gets its own records, its configuration and the public federation.toml, and nothing else (keys are made by the institutions
themselves). ``COORDINATOR`` gets the federation.toml; it and what lies in ``POST`` are only made the services' own. Run again, it
changes nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tomli_w

from fedstill.plan import builtin_federation
from fedstill.workspace import institution_config
from shared.config import FederationConfig
from shared.data import load_sites, save_arrays
from shared.files import write_atomic

OWNER = int(os.environ.get("OWNER", "10001"))
"""The user as whom the services run; a fresh volume belongs to root."""

PROPOSED = "proposed.toml"
"""The federation.toml that ``coordinator init`` is to take."""


def main(name: str, sites: Path, post: Path, coordinator: Path) -> None:
    """Fills the volumes that are still empty."""
    config = federation(name)
    folders = sorted(folder for folder in sites.iterdir() if folder.is_dir())
    splits = load_sites(config)
    public = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)).encode()
    if len(folders) != len(splits):
        raise SystemExit(f"{name} has {len(splits)} sites and there are {len(folders)} volumes under {sites}")
    for folder, (_, split) in zip(folders, sorted(splits.items()), strict=True):
        if not (folder / "site.toml").exists():
            save_arrays(folder / "records.npz", split)
            site = institution_config(config, folder.name, Path("records.npz"))
            write_atomic(folder / "federation.toml", public)
            write_atomic(folder / "site.toml", tomli_w.dumps(site.model_dump(mode="json", exclude_none=True)).encode())
        give(folder)
    if not (coordinator / PROPOSED).exists():
        write_atomic(coordinator / PROPOSED, public)
    for folder in (coordinator, *post.iterdir()):
        give(folder)


def federation(name: str) -> FederationConfig:
    """The built-in federation, with as many training rounds as ROUNDS says."""
    config = builtin_federation(name)
    rounds = os.environ.get("ROUNDS")
    return FederationConfig.model_validate({**config.model_dump(), "rounds": int(rounds)}) if rounds else config


def give(folder: Path) -> None:
    """Makes ``folder`` and what is directly in it the services' own, and nobody else's."""
    if folder.stat().st_uid == 0:
        folder.chmod(0o700)
    for path in (folder, *folder.iterdir()):
        if path.stat().st_uid == 0:
            os.chown(path, OWNER, OWNER)


if __name__ == "__main__":
    main(sys.argv[1], *(Path(word) for word in sys.argv[2:5]))
