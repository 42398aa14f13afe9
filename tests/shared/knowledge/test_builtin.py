from __future__ import annotations

from pathlib import Path

import pytest

from shared.config import KnowledgeSettings
from shared.errors import KnowledgeError
from shared.knowledge.builtin import GRAPHS, MAPPINGS, builtin_graph, graph_of, mapping_of
from shared.knowledge.files import read_graph

MAPPING = {"classes": {"yes": "ill"}, "columns": [{"kind": "range", "column": "age", "edges": [50], "entities": ["", "old"]}]}


def test_every_graph_has_its_mapping_and_every_class_of_it_is_there() -> None:
    assert set(GRAPHS) == set(MAPPINGS)
    for name, mapping in MAPPINGS.items():
        assert set(mapping.classes.values()) <= set(builtin_graph(name).entities)


def test_settings_choose_the_graph_and_the_mapping(tmp_path: Path) -> None:
    file = tmp_path / "own.tsv"
    file.write_text("old\traises risk of\till\n")
    builtin, own = KnowledgeSettings(builtin="heart"), KnowledgeSettings.model_validate({"path": file, "mapping": MAPPING})
    assert (graph_of(builtin), mapping_of(builtin)) == (builtin_graph("heart"), MAPPINGS["heart"])
    assert (graph_of(own), mapping_of(own)) == (read_graph(file).graph, own.mapping)
    assert mapping_of(KnowledgeSettings.model_validate({"builtin": "heart", "mapping": MAPPING})) == own.mapping
    nothing = KnowledgeSettings()
    assert (graph_of(nothing), mapping_of(nothing)) == (None, None)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(KnowledgeError, match="there is no built-in graph 'lung'; there are: heart"):
        builtin_graph("lung")
