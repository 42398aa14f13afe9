"""One entity's triples, and how a federation's columns meet a graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from fedstill.knowledge.inspecting import entity_facts, links, read_mapping
from fedstill.plan import builtin_federation
from shared.errors import ConfigError, KnowledgeError, MissingFileError
from shared.knowledge.builtin import MAPPINGS
from shared.knowledge.heart import read_heart_graph
from shared.knowledge.triples import graph_of

GRAPH = graph_of([("a", "r", "b", 1.0), ("b", "s", "a", 2.0), ("a", "r", "a", 1.0), ("b", "r", "c", 1.0)])


def test_triples_in_both_directions_each_once() -> None:
    facts = entity_facts(GRAPH, "a")
    assert facts.as_head == (("a", "r", "a", 1.0), ("a", "r", "b", 1.0))
    assert facts.as_tail == (("b", "s", "a", 2.0),)
    assert (facts.reached, entity_facts(GRAPH, "a", 2).reached) == (1, 2)
    with pytest.raises(KnowledgeError, match="no entity 'z'"):
        entity_facts(GRAPH, "z")


def test_the_built_in_federation_and_mapping_meet_the_built_in_graph(tmp_path: Path) -> None:
    path = tmp_path / "federation.toml"
    path.write_text(tomli_w.dumps(builtin_federation("heart").model_dump(mode="json", exclude_none=True)))
    found = links(read_heart_graph(), path, "heart")
    assert {column.column for column in found.columns} >= {"age", "cp", "thal"}
    assert not found.absent_classes
    assert links(read_heart_graph(), path) == found
    plain = builtin_federation("heart").model_dump(mode="json", exclude_none=True)
    path.write_text(tomli_w.dumps({key: value for key, value in plain.items() if key != "knowledge"}))
    with pytest.raises(ConfigError, match=r"no \[knowledge.mapping\] of columns"):
        links(read_heart_graph(), path)


def test_a_federation_of_pictures_has_no_columns_to_link(tmp_path: Path) -> None:
    path = tmp_path / "federation.toml"
    path.write_text(tomli_w.dumps(builtin_federation("digits").model_dump(mode="json", exclude_none=True)))
    with pytest.raises(ConfigError, match="federation of image records"):
        links(GRAPH, path, "heart")


def test_a_mapping_survives_toml_and_a_wrong_one_is_named_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    with pytest.raises(MissingFileError, match="mapping"):
        read_mapping(str(path))
    path.write_text(tomli_w.dumps(MAPPINGS["heart"].model_dump(mode="json", exclude_none=True)))
    assert read_mapping(str(path)) == MAPPINGS["heart"]
    path.write_text("classes = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_mapping(str(path))
    path.write_text('[classes]\nyes = "flu"\n[[columns]]\nkind = "category"\ncolum = "skin"\ncolumn = "skin"\nentities = {}\n')
    with pytest.raises(ConfigError, match="did you mean 'column'"):
        read_mapping(str(path))
