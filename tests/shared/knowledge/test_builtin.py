"""Built-in graphs by name, and mappings from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from shared.errors import ConfigError, MissingFileError
from shared.knowledge.builtin import BUILTIN, graph_path, read_mapping


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_graph_is_a_file_with_a_mapping_that_survives_toml(name: str, tmp_path: Path) -> None:
    assert graph_path(name).is_file()
    mapping = read_mapping(name)
    table = mapping.model_dump(mode="json")
    for link in table["columns"]:
        if link["kind"] == "range":
            link["entities"] = [entity or "" for entity in link["entities"]]
    (tmp_path / "mapping.toml").write_text(tomli_w.dumps(table))
    assert read_mapping(tmp_path / "mapping.toml") == mapping


def test_any_other_name_is_a_file(tmp_path: Path) -> None:
    assert graph_path("heart.tsv") == Path("heart.tsv")
    assert graph_path(tmp_path / "heart") == tmp_path / "heart"


def test_a_mapping_that_cannot_be_read_is_named_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    with pytest.raises(MissingFileError, match="mapping"):
        read_mapping(path)
    path.write_text("classes = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_mapping(path)
    path.write_text('[classes]\nyes = "flu"\n[[columns]]\nkind = "category"\ncolum = "skin"\ncolumn = "skin"\nentities = {}\n')
    with pytest.raises(ConfigError, match="did you mean 'column'"):
        read_mapping(path)
