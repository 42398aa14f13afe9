"""The seam between the coordinator and its tools: what stands behind it, in runs and in tests, is called alike."""

from __future__ import annotations

import inspect

import pytest

from server.toolbox import FLOAT, Toolbox
from server.tools import InstalledToolbox
from tests.support.small import SmallToolbox

METHODS = [name for name, _ in inspect.getmembers(Toolbox, inspect.isfunction) if not name.startswith("_")]


def test_the_seam_has_methods() -> None:
    assert {"initial", "graph", "publish"} <= set(METHODS)
    assert FLOAT == "float"


@pytest.mark.parametrize("kind", [InstalledToolbox, SmallToolbox])
@pytest.mark.parametrize("name", METHODS)
def test_every_toolbox_answers_as_the_seam_says(kind: type, name: str) -> None:
    expected, found = (list(inspect.signature(getattr(one, name)).parameters) for one in (Toolbox, kind))
    assert found == expected
