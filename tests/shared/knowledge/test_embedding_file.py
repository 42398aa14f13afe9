"""Embeddings come back as they were written, with their names, and nothing else is read as such."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from shared.errors import CheckpointError, KnowledgeError, MissingFileError
from shared.knowledge import embedding_file
from shared.knowledge.embedding_file import KEY, load_embeddings, save_embeddings
from shared.knowledge.pretraining import Embeddings, PretrainingSettings
from shared.knowledge.triples import graph_of

GRAPH = graph_of([("a", "r", "b", 1.0), ("c", "s", "d e", 1.0)])
VECTORS = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0]], dtype=np.float32)
SETTINGS = PretrainingSettings(width=2)
FOUND = Embeddings(VECTORS, np.ones((2, 2), dtype=np.float32), (), "complex")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_embeddings(tmp_path / "e.safetensors", GRAPH, FOUND, SETTINGS, 7)
    return tmp_path / "e.safetensors"


def test_what_is_written_is_read_back_by_us_and_by_the_library(file: Path, tmp_path: Path) -> None:
    found = load_embeddings(file)
    assert (found.card.entities, found.card.relations, found.card.seed) == (("a", "b", "c", "d e"), ("r", "s"), 7)
    assert found.card.graph == GRAPH.digest()
    np.testing.assert_array_equal(found.entities, VECTORS)
    np.testing.assert_array_equal(load_file(file)["relations"], FOUND.relations)
    save_embeddings(tmp_path / "again", GRAPH, FOUND, SETTINGS, 7)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_nearest_is_by_cosine_without_the_entity_itself(file: Path) -> None:
    found = load_embeddings(file)
    near = found.nearest("a")
    assert [name for name, _ in near] == ["b", "c", "d e"]
    assert [cosine for _, cosine in near] == pytest.approx([2 / np.sqrt(4.01), 0.0, -1.0])
    assert found.nearest("a", 1) == near[:1]
    with pytest.raises(KnowledgeError, match="no entity 'd'; did you mean 'd e'"):
        found.nearest("d")


def test_an_entity_of_zeros_is_near_nothing_and_no_error(tmp_path: Path) -> None:
    zeros = Embeddings(np.zeros((4, 2), dtype=np.float32), FOUND.relations, (), "complex")
    save_embeddings(tmp_path / "z", GRAPH, zeros, SETTINGS, 0)
    assert [cosine for _, cosine in load_embeddings(tmp_path / "z").nearest("a")] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"entities": VECTORS[:3]}, "do not fit its names"),
        ({"entities": VECTORS.astype(np.float64)}, "do not fit its names"),
        ({"entities": VECTORS * np.nan}, "not finite"),
        ({"relations": FOUND.relations[:1]}, "do not fit its names"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(file: Path, change: dict[str, np.ndarray], sentence: str) -> None:
    card = load_embeddings(file).card.canonical().decode()
    save_file({"entities": VECTORS, "relations": FOUND.relations, **change}, file, {KEY: card})
    with pytest.raises(CheckpointError, match=sentence):
        load_embeddings(file)


def test_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    save_file({"entities": VECTORS}, tmp_path / "other", {KEY: json.dumps({"format": "another"})})
    with pytest.raises(CheckpointError, match="no file of embeddings"):
        load_embeddings(tmp_path / "other")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="damaged"):
        load_embeddings(file)
    with pytest.raises(MissingFileError, match="embeddings"):
        load_embeddings(tmp_path / "none")


def test_names_that_are_too_many_for_the_header_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_file, "MAX_CARD", 10)
    with pytest.raises(KnowledgeError, match="names of 4 entities"):
        save_embeddings(tmp_path / "e", GRAPH, FOUND, SETTINGS, 0)
    assert not list(tmp_path.iterdir())
