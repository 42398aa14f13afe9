"""An exported model is written anew from what was looked at: nothing else goes along, and what is safe stays the same."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shared.teachers.archive import UnsafeArchiveError, checked_archive
from tests.support.graphs import EXAMPLES, make_exported


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def archive_of(found: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_plain_model_computes_the_same_afterwards(tmp_path: Path, kind: str) -> None:
    module = make_exported(tmp_path / "model.pt2", kind)
    content = (tmp_path / "model.pt2").read_bytes()
    checked = checked_archive(content)
    assert members(checked) == members(content)
    assert members(checked_archive(checked)) == members(checked), "once is enough"
    example = EXAMPLES[kind][1]
    torch.testing.assert_close(torch.export.load(io.BytesIO(checked)).module()(example), module(example))


def test_bytes_outside_of_the_members_do_not_go_along(tmp_path: Path) -> None:
    make_exported(tmp_path / "model.pt2", "table")
    content = (tmp_path / "model.pt2").read_bytes()
    assert b"a script" not in checked_archive(b"#!/bin/sh\n# a script\n" + content)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: {f"{root}/notes.txt": b"hello"}, "a member that no plain model has"),
        (lambda root: {"elsewhere/version": b"3"}, "in several folders"),
        (
            lambda root: {f"{root}/data/weights/model_weights_config.json": json.dumps({"config": {"w": {"use_pickle": True}}}).encode()},
            "pickled",
        ),
        (lambda root: {f"{root}/models/model.json": json.dumps({"guards_code": ["True"]}).encode()}, "guards, which are code"),
        (lambda root: {f"{root}/models/model.json": json.dumps({"node": {"target": "os.system"}}).encode()}, "none of torch's plain ones"),
        (lambda root: {f"{root}/models/model.json": json.dumps({"sizes": [{"expr_str": "open('x')"}]}).encode()}, "no arithmetic"),
    ],
)
def test_what_no_plain_model_has_is_refused(tmp_path: Path, change: Callable[[str], dict[str, bytes]], what: str) -> None:
    make_exported(tmp_path / "model.pt2", "table")
    found = members((tmp_path / "model.pt2").read_bytes())
    root = next(iter(found)).split("/")[0]
    if "guards" in what or "plain ones" in what or "arithmetic" in what:
        found = {name: content for name, content in found.items() if not name.endswith("models/model.json")}
    with pytest.raises(UnsafeArchiveError, match=what):
        checked_archive(archive_of(found | change(root)))
