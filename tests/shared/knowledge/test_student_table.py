"""The tables that a federation's student keeps of its public graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.config import FederationConfig
from shared.data import Records
from shared.distill.alone import distil_alone
from shared.entity_table import LARGEST
from shared.errors import KnowledgeError
from shared.knowledge import student_table
from shared.knowledge.embedding import pretrained
from shared.knowledge.embedding_file import save_embeddings
from shared.knowledge.pretraining import PretrainingSettings, pretrain
from shared.knowledge.student_table import compact, student_tables
from shared.knowledge.tables import write_table
from shared.knowledge.triples import Graph, graph_of
from shared.models.derive import first_student
from shared.settings import EmbeddingTerms
from shared.work import Normalisation

JOINTS = ("toe", "ankle", "wrist", "ear")
NEAR = [("toe", "ankle"), ("ankle", "foot"), ("toe", "foot"), ("wrist", "hand"), ("hand", "arm")]
GRAPH = graph_of([("gout", "in", "the toe", 1.0), *((f"the {one}", "near", f"the {other}", 1.0) for one, other in NEAR)])


def config(folder: Path, graph: Graph = GRAPH, joints: tuple[str, ...] = JOINTS, **table: Any) -> FederationConfig:
    write_table(graph, folder / "graph.tsv")
    mapping = {
        "classes": {"ill": "gout"},
        "columns": [{"kind": "category", "column": "joint", "entities": {joint: f"the {joint}" for joint in joints if joint != "ear"}}],
    }
    columns = [{"kind": "categorical", "name": "joint", "categories": joints}, {"name": "urate"}]
    task = {"family": "tabular", "label": "state", "labels": ["ill", "well"], "columns": columns}
    knowledge = {"path": folder / "graph.tsv", "mapping": mapping, "table": {"columns": ["joint"], "width": 3} | table}
    return FederationConfig.model_validate({"name": "gout", "task": task, "knowledge": knowledge})


def test_categories_have_the_rows_of_their_entities_and_others_none(tmp_path: Path) -> None:
    (made,) = student_tables(config(tmp_path))
    rows, steps = made.numbers()
    assert (made.column, rows.shape) == ("joint", (4, 2)), "three entities less their mean lie in a plane"
    values = rows * steps[:, None]
    assert not values[3].any(), "no entity, no row"
    np.testing.assert_allclose(values[:3].mean(axis=0), 0.0, atol=0.02)
    assert np.sqrt(np.square(values[:3]).mean()) == pytest.approx(1.0, abs=0.02)
    assert student_tables(config(tmp_path)) == (made,), "the same graph and seed, the same table"
    student = first_student(config(tmp_path), Normalisation(means=(5.0,), deviations=(1.0,), tables=(made,)))
    assert student.normalisation.tables == (made,)


def test_no_table_is_made_where_none_is_asked_for(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found.knowledge is not None
    assert student_tables(found.model_copy(update={"knowledge": None})) == ()
    assert student_tables(found.model_copy(update={"knowledge": found.knowledge.model_copy(update={"table": None})})) == ()


def test_a_graph_is_pretrained_once_however_many_fits_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[tuple[str, int, int]]()

    def counted(graph: Graph, terms: EmbeddingTerms, seed: int) -> NDArray[np.float32]:
        asked.append((graph.entities[0], terms.width, seed))
        return pretrained(graph, terms, seed)

    monkeypatch.setattr(student_table, "pretrained", counted)
    monkeypatch.setattr(student_table, "_PRETRAINED", student_table._Pretrained())
    first, records = config(tmp_path), Records(np.array([[0, 5], [1, 7]], np.float32), np.array([0, 1]))
    made = student_tables(first)
    for seed in (1, 2):
        distil_alone(records, first, None, epochs=1, seed=seed)
    assert len(asked) == 1
    assert student_tables(first) == made
    student_tables(first.model_copy(update={"seed": first.seed + 1}))
    assert len(asked) == 2, "another seed, other embeddings"
    assert first.knowledge is not None
    wide = first.knowledge.model_copy(update={"embeddings": EmbeddingTerms(width=16)})
    student_tables(first.model_copy(update={"knowledge": wide}))
    assert len(asked) == 3, "other settings, other embeddings"


def test_what_is_held_belongs_to_the_order_of_a_graph_and_is_not_written_to() -> None:
    held, terms = student_table._Pretrained(), EmbeddingTerms(width=4, epochs=1)
    rest = np.array(GRAPH.triples)
    last = len(GRAPH.entities) - 1
    rest[:, [0, 2]] = last - rest[:, [0, 2]]
    turned = Graph(GRAPH.entities[::-1], GRAPH.relations, rest, GRAPH.weights.copy())
    assert turned == GRAPH, "as graphs they are one"
    found, other = held.of(GRAPH, terms, 1), held.of(turned, terms, 1)
    assert np.array_equal(other, pretrained(turned, terms, 1)), "rows are in the order of the graph that asks"
    assert held.of(GRAPH, terms, 1) is found
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0.0
    for seed in range(2, 2 + student_table.KEPT):
        held.of(GRAPH, terms, seed)
    assert held.of(GRAPH, terms, 1) is not found, "the oldest is let go"


def test_stored_embeddings_may_lack_entities(tmp_path: Path) -> None:
    fewer = graph_of([row for row in GRAPH.rows() if "the toe" not in (row[0], row[2])])
    settings = PretrainingSettings(width=6, epochs=2)
    save_embeddings(tmp_path / "e.safetensors", fewer, pretrain(fewer, settings, 1), settings, 1)
    (made,) = student_tables(config(tmp_path, embeddings_path=tmp_path / "e.safetensors"))
    assert made.numbers()[0][0].any(), "the toe is like the ankle and the foot, its neighbours"


def test_an_entity_that_no_triple_reaches_has_no_row(tmp_path: Path) -> None:
    # Two bones of their own, which what was embedded does not know and no path leads to.
    apart = graph_of([*GRAPH.rows(), ("the ear", "near", "the anvil", 1.0)])
    settings = PretrainingSettings(width=6, epochs=2)
    save_embeddings(tmp_path / "e.safetensors", GRAPH, pretrain(GRAPH, settings, 1), settings, 1)
    named = config(tmp_path, apart, embeddings_path=tmp_path / "e.safetensors")
    assert named.knowledge is not None
    mapping = {"kind": "category", "column": "joint", "entities": {joint: f"the {joint}" for joint in JOINTS}}
    changed = named.model_dump() | {
        "knowledge": named.knowledge.model_dump() | {"mapping": {"classes": {"ill": "gout"}, "columns": [mapping]}}
    }
    (made,) = student_tables(FederationConfig.model_validate(changed))
    rows, _ = made.numbers()
    assert rows[:3].any(axis=1).all()
    assert not rows[JOINTS.index("ear")].any()


def test_compact_keeps_what_is_near_near_and_its_signs_are_settled() -> None:
    whole = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32) @ np.random.default_rng(2).normal(size=(3, 9)).astype(
        np.float32
    )
    found, units = compact(whole, 8), whole / np.linalg.norm(whole, axis=1, keepdims=True)
    assert found.shape == (20, 3), "no more directions than there are"
    own, other = (np.linalg.norm(one[:, None] - one[None], axis=2) for one in (found, units))
    np.testing.assert_allclose(own / own.max(), other / other.max(), atol=1e-5)
    np.testing.assert_allclose(compact(-whole, 8) * np.sign(compact(-whole, 8)[0]), found * np.sign(found[0]), atol=1e-5)
    assert (found[np.abs(found).argmax(axis=0), np.arange(3)] > 0).all()
    longer = whole * np.arange(1, 21)[:, None].astype(np.float32)
    np.testing.assert_allclose(compact(longer, 8), found, atol=1e-5, err_msg="length is degree, not meaning")
    assert not compact(np.ones((4, 3), np.float32), 2).any(), "entities that are all alike tell nothing apart"


def test_a_column_that_names_nothing_and_a_table_that_is_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="'joint' name fewer than two entities"):
        student_tables(config(tmp_path, graph_of([("gout", "in", "the toe", 1.0)])))
    joints = tuple(str(number) for number in range(2000))
    many = graph_of([(f"the {joint}", "near", f"the {int(joint) * 7 % 2000}", 1.0) for joint in joints])
    made = config(tmp_path, many, joints, width=64)
    assert made.knowledge is not None
    settings = PretrainingSettings(width=64, epochs=0)
    save_embeddings(tmp_path / "e", many, pretrain(many, settings, 1), settings, 1)
    assert made.knowledge.table is not None
    table = made.knowledge.table.model_copy(update={"embeddings_path": tmp_path / "e"})
    large = made.model_copy(update={"knowledge": made.knowledge.model_copy(update={"table": table})})
    with pytest.raises(KnowledgeError, match=f"more than {LARGEST}; lower its width"):
        student_tables(large)


def test_private_triples_never_become_a_table(tmp_path: Path) -> None:
    found = config(tmp_path).model_dump(mode="json", exclude_none=True)
    del found["knowledge"]["path"]
    with pytest.raises(ValidationError, match="never of an institution's private triples"):
        FederationConfig.model_validate(found)


@pytest.mark.parametrize("column", ["urate", "nobody"])
def test_a_column_that_the_mapping_does_not_link_is_refused(tmp_path: Path, column: str) -> None:
    with pytest.raises(
        ValidationError, match=f"names '{column}', whose categories the mapping links to no entity; it links those of: joint"
    ):
        config(tmp_path, columns=[column])
    with pytest.raises(ValidationError, match="names a column twice"):
        config(tmp_path, columns=["joint", "joint"])
