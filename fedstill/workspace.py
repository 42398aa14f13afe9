"""A whole federation as folders on one machine: a coordinator's and one for each institution, each with only its own.

The folders are what a deployed coordinator and its institutions have (``docs/deploy.md``); a simulation, the tests and
the compose demonstration make them all at once, with one difference that a real federation never has: one user owns
all keys and all records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from fedstill.sites import check_students
from shared.config import FederationConfig, InstitutionConfig, PolicySettings, PrivateKnowledge
from shared.data import Split, save_arrays
from shared.data.text import tokeniser_file
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.frozen import Frozen
from shared.identity import load_identity, make_identity, make_node_key, public_bytes, save_roster
from shared.secagg.roster import Roster
from shared.sources import ArrayData, CsvData, SplitSettings
from shared.tokenise import FILE

SALT = "salt"
"""The file by which simulated institutions name the entities that they share."""


@dataclass(frozen=True)
class Workspace:
    """Where a federation's parts lie. ``institutions`` is sorted by name."""

    folder: Path
    coordinator: Path
    institutions: Mapping[str, Path]


def prepare(config: FederationConfig, folder: Path, sites: Mapping[str, Split]) -> Workspace:
    """Makes what is missing of a federation over ``sites`` under ``folder``: keys, rosters, configurations, records.

    Safe to call again: nothing that exists is changed. Raises :class:`ResourceError` where the disk says no, and
    :class:`ConfigError` for a student of an institution that is none.
    """
    check_students(config, sites)
    workspace = Workspace(folder, folder / "coordinator", {name: folder / "institutions" / name for name in sorted(sites)})
    tokenizer = _copy_tokeniser(config, workspace.coordinator)
    _write_config(workspace.coordinator / "federation.toml", config.model_copy(update={"tokenizer_path": tokenizer}))
    coordinator_key = _identity(workspace.coordinator)
    members = {}
    for name, home in workspace.institutions.items():
        members[name] = _identity(home)
        if not (home / "keys" / "node").exists():
            make_node_key(home / "keys" / "node")
        if not (home / "records.npz").exists():
            save_arrays(home / "records.npz", sites[name])
        tokenizer = _copy_tokeniser(config, home)
        if _shares_entities(config) and not (home / SALT).exists():
            # A real one is random; by this one a simulation of the same seed gives the same student.
            write_atomic(home / SALT, hashlib.sha256(f"simulated salt {config.seed}".encode()).digest(), mode=PRIVATE_MODE)
        # Paths are meant from the file's folder, so that the whole folder can be moved.
        _write_config(home / "institution.toml", institution_config(config, name, Path("records.npz"), tokenizer))
    roster = Roster(members=members, coordinator=coordinator_key)
    for home in (workspace.coordinator, *workspace.institutions.values()):
        if not (home / "roster.json").exists():
            save_roster(home / "roster.json", roster)
    return workspace


def institution_config(config: FederationConfig, name: str, records: Path, tokenizer: Path | None = None) -> InstitutionConfig:
    """The configuration of one simulated institution: its policy agrees to exactly what the federation proposes."""
    return InstitutionConfig(
        name=name,
        seed=config.seed,
        task=config.task,
        data=ArrayData(source="arrays", path=records, unlabelled=isinstance(config.data, CsvData | ArrayData) and config.data.unlabelled),
        split=SplitSettings(test_fraction=config.split.test_fraction),
        teacher_path=records.parent / "teacher",
        student=config.students.get(name, config.student),
        tokenizer_path=tokenizer,
        knowledge=PrivateKnowledge(salt_path=records.parent / SALT if _shares_entities(config) else None),
        policy=PolicySettings(
            smallest_cohort=config.aggregation.smallest_cohort,
            collusion=config.aggregation.collusion,
            longest_clip_norm=config.aggregation.clip_norm,
            most_rounds=10 * config.rounds + 100,
            most_epochs=config.training.epochs,
            lone_heads=config.aggregation.lone_heads,
            updates=("weights",) if config.proxy is None else ("answers",),
            most_epsilon=config.privacy.epsilon if config.privacy else None,
            delta=config.privacy.delta if config.privacy else PolicySettings().delta,
            entities=_shares_entities(config),
        ),
    )


def _shares_entities(config: FederationConfig) -> bool:
    return config.knowledge is not None and config.knowledge.shared is not None


def _copy_tokeniser(config: FederationConfig, home: Path) -> Path | None:
    if config.tokenizer_path is None:
        return None
    if not (home / FILE).exists():
        write_atomic(home / FILE, read_bytes(tokeniser_file(config.tokenizer_path), what="tokeniser"))
    return Path(FILE)


def _identity(home: Path) -> bytes:
    path = home / "keys" / "identity.key"
    return public_bytes(load_identity(path) if path.exists() else make_identity(path))


def _write_config(path: Path, config: Frozen) -> None:
    if not path.exists():
        table = config.model_dump(mode="json", exclude_none=True)
        write_atomic(path, tomli_w.dumps(table).encode(), mode=PRIVATE_MODE)
