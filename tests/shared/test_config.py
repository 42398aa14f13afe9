"""Configuration: unknown keys, values out of range and broken files are one clear sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from shared.config import AggregationSettings, ConfigError, FederationConfig, InstitutionConfig, check_config, load_config

TABLE = {
    "name": "trial",
    "task": {"family": "tabular", "label": "ill", "labels": ["no", "yes"], "columns": [{"name": "age"}]},
    "teacher": {"width": 32, "depth": 2},
    "student": {"width": 8, "depth": 1},
    "data": {"source": "csv", "path": "records.csv"},
}


def write(tmp_path: Path, table: dict[str, object]) -> Path:
    path = tmp_path / "federation.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def test_paths_are_meant_from_the_file_s_folder(tmp_path: Path) -> None:
    config = load_config(FederationConfig, write(tmp_path, TABLE))
    assert config.data is not None
    assert config.data.source == "csv"
    assert config.data.path == tmp_path / "records.csv"


def test_a_configuration_survives_being_written_and_read(tmp_path: Path) -> None:
    config = load_config(FederationConfig, write(tmp_path, TABLE))
    again = load_config(FederationConfig, write(tmp_path, config.model_dump(mode="json", exclude_none=True)))
    assert again == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ruonds": 3}, r"unknown key 'ruonds'; did you mean 'rounds'\?"),
        ({"training": {"lerning_rate": 0.1}}, r"unknown key 'training.lerning_rate'; did you mean 'learning_rate'\?"),
        ({"rounds": 0}, r"'rounds': Input should be greater than or equal to 1"),
        ({"name": "St. Mary"}, r"'name': String should match pattern"),
        ({"task": TABLE["task"] | {"labels": ["no", "no"]}}, r"'task.tabular': labels must be unique"),
        ({"task": TABLE["task"] | {"columns": [{"name": "ill"}]}}, r"column names must be unique and differ from the label; twice: ill"),
        ({"compression": {"device": "cortex-a54"}}, r"'compression.device': unknown device 'cortex-a54' \(did you mean 'cortex-a53'\?\)"),
        ({"aggregation": {"smallest_cohort": 2}}, r"smallest_cohort must be at least collusion \+ 2 = 3"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    path = write(tmp_path, TABLE | change)
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_config(FederationConfig, path)
    assert str(caught.value).startswith(str(path))


def test_a_profile_of_one_s_own_is_meant_from_the_file_s_folder(tmp_path: Path) -> None:
    config = load_config(FederationConfig, write(tmp_path, TABLE | {"compression": {"device": "gateway.toml"}}))
    assert config.compression.device == str(tmp_path / "gateway.toml")


def test_text_that_is_not_toml_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "institution.toml"
    path.write_text("name = ")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_config(InstitutionConfig, path)


def test_the_defaults_of_aggregation_are_legal() -> None:
    settings = AggregationSettings()
    assert settings.smallest_cohort >= settings.collusion + 2


HEADED = {
    "family": "image",
    "size": 8,
    "labels": ["a", "b", "c", "d"],
    "heads": [{"name": "one", "labels": ["a", "b"]}, {"name": "two", "labels": ["c", "d"]}],
}


def test_heads_survive_being_written_and_read(tmp_path: Path) -> None:
    config = FederationConfig.model_validate({"name": "trial", "task": HEADED})
    assert load_config(FederationConfig, write(tmp_path, config.model_dump(mode="json", exclude_none=True))) == config


def test_an_institution_names_a_head_that_there_is(tmp_path: Path) -> None:
    table = {"name": "ash", "task": HEADED, "data": {"source": "images", "path": "x"}, "head": "two"}
    assert load_config(InstitutionConfig, write(tmp_path, table)).head == "two"
    with pytest.raises(ConfigError, match="no head 'three'; its heads are: one, two"):
        load_config(InstitutionConfig, write(tmp_path, table | {"head": "three"}))


def test_heads_need_all_of_a_teacher_s_logits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="top_k at 0"):
        load_config(FederationConfig, write(tmp_path, {"name": "trial", "task": HEADED, "distillation": {"top_k": 3}}))


HEADS = {"labels": ["a", "b", "c", "d"], "heads": [{"name": "one", "labels": ["a", "b"]}, {"name": "two", "labels": ["c", "d"]}]}
OWNERS = {"one": ["ash", "birch", "elm"], "two": ["birch", "elm", "fir"]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"head_owners": OWNERS, "fragments": {"ash": ["blocks.0.*"]}}, "leave out either"),
        ({"head_owners": OWNERS | {"three": ["ash"]}}, "names 'three', which is no head of the task; its heads are: one, two"),
        ({"head_owners": OWNERS | {"two": ["fir", "fir", "elm"]}}, "head 'two' has 2 of at least 3 institutions"),
        ({"head_owners": {"one": OWNERS["one"]}}, "head 'two' has 0 of at least 3"),
    ],
)
def test_heads_need_enough_owners_and_no_fragments(changed: dict[str, Any], said: str) -> None:
    table = {"name": "plants", "task": {"family": "image", "size": 8, **HEADS}, "head_owners": OWNERS}
    check_config(FederationConfig, table, where="federation.toml")
    with pytest.raises(ConfigError, match=said):
        check_config(FederationConfig, table | changed, where="federation.toml")


def test_lone_heads_may_have_any_owners() -> None:
    table = {"name": "plants", "task": {"family": "image", "size": 8, **HEADS}, "aggregation": {"lone_heads": True}}
    for owners in ({}, {"one": ["ash"]}, OWNERS):
        check_config(FederationConfig, table | {"head_owners": owners}, where="federation.toml")


IMAGES = {"family": "image", "size": 8, "labels": ["a", "b"]}
GENERATED: dict[str, object] = {"source": "generated", "records": 9}


def test_a_federation_of_answers_survives_being_written_and_read(tmp_path: Path) -> None:
    for proxy in (GENERATED, {"source": "records", "path": "public.csv", "weight": 0.5}):
        config = load_config(FederationConfig, write(tmp_path, TABLE | {"proxy": proxy, "students": {"ash": {"width": 16, "depth": 1}}}))
        assert load_config(FederationConfig, write(tmp_path, config.model_dump(mode="json", exclude_none=True))) == config
        assert config.students["ash"].width == 16
    assert config.proxy is not None
    assert config.proxy.source == "records"
    assert config.proxy.path == tmp_path / "public.csv"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"proxy": GENERATED, "task": IMAGES}, "proxy records of family 'image' cannot be generated; give public ones"),
        ({"proxy": GENERATED, "fragments": {"ash": ["head.*"]}}, r"\[fragments\] are parts of weights"),
        ({"proxy": {"source": "records", "path": "x"}, "task": HEADED}, "leave out either it or task.heads"),
        ({"proxy": GENERATED, "compression": {"quantisation_aware": 1}}, "no weights travel that could learn with a grid"),
        ({"students": {"ash": {"width": 16, "depth": 1}}}, r"students of different shapes cannot share weights; add \[proxy\]"),
        ({"proxy": {"source": "records"}}, "'proxy.records.path': Field required"),
        ({"proxy": {"source": "generated", "records": 0}}, "'proxy.generated.records': Input should be greater"),
        ({"proxy": {"source": "generated", "wieght": 1}}, r"unknown key 'proxy.generated.wieght'; did you mean 'weight'\?"),
    ],
)
def test_what_makes_no_sense_with_answers_is_said(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(FederationConfig, write(tmp_path, TABLE | change))


SHARING = {"embeddings": {"width": 8}, "shared": {"slots": 128}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"knowledge": {key: value for key, value in SHARING.items() if key != "embeddings"}}, "add that table"),
        ({"knowledge": SHARING | {"shared": {"slots": 100}}}, "multiple of 64"),
        ({"proxy": {"source": "generated"}}, "with [proxy] none travel"),
        ({"fragments": {"ash": ["blocks.0.*"]}}, "leave out either it or [fragments]"),
        ({"privacy": {"epsilon": 8.0}, "aggregation": {"width": 32}}, "would drown the rows of [knowledge.shared]"),
        ({"aggregation": {"weighting": "equal"}}, "makes up for what institutions weigh"),
    ],
)
def test_what_makes_no_sense_with_shared_entities_is_said(change: dict[str, object], sentence: str) -> None:
    table = TABLE | {"knowledge": SHARING}
    assert check_config(FederationConfig, table, where="here").knowledge is not None
    with pytest.raises(ConfigError) as caught:
        check_config(FederationConfig, table | change, where="here")
    assert sentence in str(caught.value)


def test_rounds_that_learn_with_the_grid_carry_updates_too(tmp_path: Path) -> None:
    config = load_config(FederationConfig, write(tmp_path, TABLE | {"rounds": 5, "compression": {"quantisation_aware": 2}}))
    assert (config.rounds, config.update_rounds) == (5, 7)
    assert load_config(FederationConfig, write(tmp_path, TABLE | {"rounds": 5})).update_rounds == 5
