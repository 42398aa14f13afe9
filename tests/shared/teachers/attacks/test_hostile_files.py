"""Files that would run code, or are cut or made to fit nothing, end in one sentence and nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from shared.errors import CheckpointError
from shared.task import Task
from shared.teachers import open_teacher
from shared.teachers.archive import UnsafeArchiveError, checked_archive
from shared.teachers.boosting import fit_boosting, save_boosting
from shared.teachers.fitting import fit_pretrained
from tests.support.graphs import make_exported, make_graph
from tests.support.networks import TABLE, records
from tests.support.teachers import IMAGE, TEXT, make_reader, make_seer, texts


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def refused(path: Path, task: Task) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_teacher(path, task)
    assert "\n" not in str(caught.value)


# Hugging Face folders


def test_a_pickle_with_code_in_place_of_weights_is_refused(tmp_path: Path) -> None:
    folder, mark = make_reader(tmp_path / "teacher"), tmp_path / "mark"
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert open_teacher(folder, TEXT).show(texts()).logits.shape == (6, 3)
    torch.save({**weights, "bomb": Bomb(mark)}, folder / "pytorch_model.bin")
    refused(folder, TEXT)
    with pytest.raises(CheckpointError):
        fit_pretrained(folder, tmp_path / "fitted", texts(), TEXT, seed=1)
    assert not mark.exists()


@pytest.mark.parametrize("model_type", ["bert", "nonesuch"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_a_folder_brings_along_is_never_run(tmp_path: Path, model_type: str, file: str) -> None:
    folder, mark = make_reader(tmp_path / "teacher"), tmp_path / "mark"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Model: ...\n")
    names = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoTokenizer")
    table = json.loads((folder / file).read_text())
    table |= {"auto_map": dict.fromkeys(names, "evil.Model")}
    if file == "config.json":
        table["model_type"] = model_type
    (folder / file).write_text(json.dumps(table))
    with suppress(CheckpointError):
        open_teacher(folder, TEXT)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("change", [lambda old: old[:-50], lambda old: b"", lambda old: b"\xff" * 64])
def test_a_damaged_folder_is_refused(tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    folder = make_reader(tmp_path)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    refused(folder, TEXT)


def test_weights_of_other_shapes_and_classes_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = make_seer(tmp_path)
    table = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**table, "hidden_sizes": [8, 24]}))
    refused(folder, IMAGE)
    (folder / "config.json").write_text(json.dumps({**table, "architectures": ["pipeline"]}))
    assert open_teacher(folder, IMAGE).layers == 2


# Exported graphs


def changed(path: Path, change: Callable[[str, bytes], bytes | None], extra: dict[str, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in (extra or {}).items():
            with catch_warnings(action="ignore"):  # of a name that is there twice
                new.writestr(f"{old.namelist()[0].split('/')[0]}/{name}", content)
    return out.getvalue()


def pickled(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def edited(**replaced: str) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        for old, new in replaced.items():
            if name.endswith("models/model.json"):
                assert old.encode() in content
                content = content.replace(old.encode(), new.encode())
        return content

    return change


def test_an_exported_graph_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt2", tmp_path / "mark"
    make_exported(path, "table")
    whole = path.read_bytes()
    checked_archive(whole)
    with zipfile.ZipFile(path) as archive:
        program = json.loads(next(archive.read(name) for name in archive.namelist() if name.endswith("models/model.json")))
    expression = next(iter(_expressions(program)))
    bomb = pickled(Bomb(mark))
    hostile = [
        changed(path, lambda name, old: bomb if name.endswith("sample_inputs/model.pt") else old),
        changed(path, lambda name, old: old.replace(b'"use_pickle": false', b'"use_pickle": true')),
        changed(path, lambda name, old: old, {"data/constants/custom_obj_0": bomb}),
        changed(path, lambda name, old: old, {"data/weights/model.pt": bomb}),
        changed(path, lambda name, old: old, {"data/aotinductor/model/a.so": b"x"}),
        changed(path, lambda name, old: old, {"models/model.json": b"{}"}),
        changed(path, edited(**{"torch.ops.aten.linear.default": "torch.os.mkdir"})),
        changed(path, edited(**{"torch.ops.aten.linear.default": "torch.ops.aten.from_file.default"})),
        changed(path, edited(**{expression: f"__import__('os').mkdir('{mark}')"})),
        changed(path, edited(**{'"guards_code": []': json.dumps({"guards_code": ["L['x']"]})[1:-1]})),
        changed(path, edited(**{"builtins.tuple": "collections.namedtuple"})),
        whole[: len(whole) // 2],
        b"",
        pickled({"a": Bomb(mark)}),
    ]
    for content in hostile:
        path.write_bytes(content)
        refused(path, TABLE)
        assert not mark.exists()
    path.write_bytes(whole)
    assert open_teacher(path, TABLE).parameters == 10


def _expressions(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [item for key, item in value.items() if key == "expr_str"] + [one for item in value.values() for one in _expressions(item)]
    return [one for item in value for one in _expressions(item)] if isinstance(value, list) else []


@given(st.text(alphabet="0123456789suMaxin()+*,._'\" =", max_size=60))
def test_no_text_for_a_size_reaches_a_name_or_an_attribute(text: str) -> None:
    from shared.teachers.archive import _EXPRESSION

    if _EXPRESSION.fullmatch(text):
        assert "." not in text
        assert "_" not in text


def test_a_long_text_for_a_size_is_judged_at_once() -> None:
    from shared.teachers.archive import _EXPRESSION

    assert not _EXPRESSION.fullmatch("1" * 100_000 + "!x")
    assert not _EXPRESSION.fullmatch("Symbol('s1'" + ", a=True" * 10_000)


def test_an_archive_of_two_folders_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/version", "3")
        archive.writestr("b/version", "3")
    with pytest.raises(UnsafeArchiveError):
        checked_archive(out.getvalue())


# Graphs and trees


@given(st.integers(0, 400), st.binary(max_size=40))
def test_cut_and_overwritten_graphs_are_refused_or_answer(tmp_path_factory: pytest.TempPathFactory, place: int, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("graph")
    make_graph(folder / "model.onnx", ["n", 4])
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    with suppress(CheckpointError):
        assert open_teacher(folder, TABLE).show(records(TABLE, 3)).logits.shape == (3, 2)


def test_a_graph_cannot_read_other_files_as_its_weights(tmp_path: Path) -> None:
    import onnx

    make_graph(tmp_path / "model.onnx", ["n", 4])
    model = onnx.load(tmp_path / "model.onnx")
    (tmp_path / "secret.bin").write_bytes(np.ones(8, np.float32).tobytes())
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", str(tmp_path / "secret.bin")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    refused(tmp_path, TABLE)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_cut_trees_are_refused(tmp_path: Path, share: float) -> None:
    text = fit_boosting(records(TABLE, 60), TABLE, seed=1)
    save_boosting(tmp_path, text[: int(len(text) * share)])
    refused(tmp_path, TABLE)


def test_a_pickle_is_no_tree(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "model.txt").write_bytes(pickled(Bomb(mark)))
    refused(tmp_path, TABLE)
    assert not mark.exists()


def test_nothing_is_no_teacher(tmp_path: Path) -> None:
    refused(tmp_path, TABLE)
    refused(tmp_path / "nowhere", TABLE)
    shutil.copy(__file__, tmp_path / "teacher.py")
    refused(tmp_path / "teacher.py", TABLE)
