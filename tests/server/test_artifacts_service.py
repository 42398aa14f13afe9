"""What the service gives of a coordinator's folder, asked without a wire (over it: ``tests/client/test_runs.py``)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from server.artifacts_service import ArtifactsService
from server.callers import Callers, NotThereError
from server.membership import Membership
from server.site import CoordinatorSite
from shared.errors import ArtifactError
from tests.support.opened import make_coordinator


@pytest.fixture
def service(tmp_path: Path) -> ArtifactsService:
    folder = make_coordinator(tmp_path / "coordinator")
    site = CoordinatorSite(folder)
    for run in ("done", "open"):
        site.store.start_run(run, b"{}", site.roster.digest)
        artifact = site.run_folder(run) / "artifact"
        artifact.mkdir(parents=True)
        (artifact / "model.onnx").write_bytes(b"model")
        (artifact / "link").symlink_to(folder / "keys" / "identity.key")
    site.store.finish_run("done", "artifact")
    return ArtifactsService(site, Callers(Membership(folder)))


def test_files_are_listed_with_their_digest_and_links_are_not(service: ArtifactsService) -> None:
    (file,) = service._listed("done")
    assert (file.name, file.size, file.sha256) == ("model.onnx", 5, hashlib.sha256(b"model").digest())


@pytest.mark.parametrize("run", ["open", "none", "../done", ""])
def test_a_run_that_has_not_finished_has_none(service: ArtifactsService, run: str) -> None:
    with pytest.raises(NotThereError):
        service._listed(run)


@pytest.mark.parametrize("name", ["link", "../../../keys/identity.key", "/etc/passwd", "", "."])
def test_no_name_leads_out(service: ArtifactsService, name: str) -> None:
    with pytest.raises(NotThereError):
        service._file("done", name, 0)


def test_beyond_the_end_is_said(service: ArtifactsService) -> None:
    assert service._file("done", "model.onnx", 5).name == "model.onnx"
    with pytest.raises(ArtifactError, match="begin again at 0"):
        service._file("done", "model.onnx", 6)
