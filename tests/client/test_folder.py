from __future__ import annotations

from pathlib import Path

from client.folder import InstitutionFolder

HOME = InstitutionFolder(Path("/srv/st-mary"))


def places() -> dict[str, Path]:
    found = {name: getattr(HOME, name) for name, value in vars(InstitutionFolder).items() if isinstance(value, property)}
    return {name: path for name, path in found.items() if isinstance(path, Path)}


def test_all_lie_below_the_one_folder_and_no_two_are_the_same() -> None:
    assert all(path.is_relative_to(HOME.folder) and path != HOME.folder for path in places().values())
    assert len(set(places().values())) == len(places())


def test_private_keys_lie_together() -> None:
    assert {HOME.client_key.parent, HOME.node_key.parent} == {HOME.folder / "keys"}
