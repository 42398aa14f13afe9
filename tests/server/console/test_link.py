from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.console.access import Access
from server.console.link import make_link
from server.console.paths import LOGIN
from shared.errors import ConfigError, MissingFileError
from shared.service import write_status
from tests.support.opened import make_coordinator


def test_the_code_is_where_no_server_sees_it(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "coordinator")
    link = make_link(folder, 60.0)
    parts = urlsplit(link.url)
    assert (parts.scheme, parts.netloc, parts.path, parts.query) == ("https", "127.0.0.1:8443", LOGIN, "")
    assert Access(folder).sign_in(parts.fragment) is not None
    assert not link.open


def test_it_leads_where_the_door_is(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "coordinator")
    write_status(folder / "flower" / "status.json", "coordinator", "open", ports={"door": 9443, "console": 1})
    link = make_link(folder, 60.0)
    assert urlsplit(link.url).netloc == "127.0.0.1:9443"
    assert link.open
    assert urlsplit(make_link(folder, 60.0, "fl.example.org:443").url).netloc == "fl.example.org:443"


def test_a_wrong_address_and_a_folder_that_is_none_make_no_code(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "coordinator")
    with pytest.raises(ConfigError, match="--address"):
        make_link(folder, 60.0, "https://fl.example.org/#")
    with pytest.raises(MissingFileError):
        make_link(tmp_path / "none", 60.0)
    assert not (folder / "console").exists()
    assert not (tmp_path / "none").exists()
