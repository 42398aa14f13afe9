"""The page is one file that asks nobody for anything, and names are text in it whatever they are."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstill.report import write_report
from fedstill.report.summary import Summary
from tests.fedstill.report.test_report import SUMMARY


def test_it_links_to_its_own_plots_alone_and_runs_nothing(tmp_path: Path) -> None:
    page = write_report(SUMMARY, tmp_path).read_text()
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sorted(linked) == [f"plots/{name}.png" for name in ("bytes", "institutions", "rounds", "time")]
    assert all((tmp_path / link).is_file() for link in linked)
    assert "<script" not in page
    assert "url(" not in page


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).map(lambda text: f"<b>{text}</b>"))
def test_any_name_and_note_is_text(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("page")
    summary = SUMMARY.model_copy(update={"name": name, "notes": (name,), "labels": (name, "other")})
    # Plots take most of the time, and names in them are pixels.
    with patch("fedstill.report.page.write_plots", return_value={}):
        page = write_report(summary, folder).read_text()
    assert "<b>" not in page
    assert Summary.model_validate_json((folder / "summary.json").read_bytes()) == summary
