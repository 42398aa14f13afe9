"""torch-geometric comes without its own warning, and with every other one."""

from __future__ import annotations

import warnings
from types import ModuleType
from unittest.mock import patch

import pytest

from shared.knowledge.library import LIBRARY, graph_layers


def importing(category: type[Warning], message: str) -> object:
    def load(name: str) -> ModuleType:
        assert name == LIBRARY
        warnings.warn(message, category, stacklevel=2)
        return ModuleType(name)

    return patch("importlib.import_module", load)


def test_it_has_what_is_used_of_it() -> None:
    found = graph_layers()
    assert callable(found.RGCNConv)
    assert {"TransE", "DistMult", "ComplEx", "RotatE"} <= set(vars(found.kge))


def test_its_own_warning_is_not_shown() -> None:
    with importing(DeprecationWarning, "`torch.jit.script` is deprecated. Please switch to `torch.compile`"):  # type: ignore[attr-defined]
        assert graph_layers().__name__ == LIBRARY


@pytest.mark.parametrize(
    ("category", "message"), [(DeprecationWarning, "another call is deprecated"), (UserWarning, "torch.jit.script found something wrong")]
)
def test_every_other_warning_is(category: type[Warning], message: str) -> None:
    with importing(category, message), pytest.warns(category, match=message):  # type: ignore[attr-defined]
        graph_layers()


def test_warnings_are_afterwards_what_they_were() -> None:
    before = list(warnings.filters)
    graph_layers()
    assert list(warnings.filters) == before
