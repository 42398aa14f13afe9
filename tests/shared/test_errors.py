"""Every error has an exit code of its own and a page that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import errors
from shared.errors import FedstillError

PAGES = Path(__file__).parents[2] / "docs" / "errors"
KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FedstillError)), key=lambda kind: kind.exit_code
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_page_that_names_it_and_its_code(kind: type[FedstillError]) -> None:
    page = (PAGES / f"{kind.slug}.md").read_text()
    assert page.startswith(f"# {kind.__name__} (exit code {kind.exit_code})")


def test_no_two_errors_share_a_code_or_a_page() -> None:
    assert len({kind.exit_code for kind in KINDS}) == len({kind.slug for kind in KINDS}) == len(KINDS)


def test_no_page_is_left_without_its_error() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == {kind.slug for kind in KINDS}
