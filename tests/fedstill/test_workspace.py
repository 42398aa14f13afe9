"""A simulated federation's folders hold all that a deployed one's do, the tokeniser of its texts included."""

from __future__ import annotations

from pathlib import Path

from fedstill.plan import builtin_federation
from fedstill.workspace import SALT, institution_config, prepare
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data import load_site, load_sites
from shared.knowledge.salt import read_salt
from shared.sources import CsvData, SplitSettings
from tests.support.texts import text_task, write_messages, write_tokenizer


def test_texts_go_with_their_tokeniser_wherever_the_folder_goes(tmp_path: Path) -> None:
    data = CsvData(source="csv", path=write_messages(tmp_path / "m.csv", 60), unlabelled=True)
    tokenizer = write_tokenizer(tmp_path)
    config = FederationConfig(name="m", task=text_task(), data=data, split=SplitSettings(sites=3), tokenizer_path=tokenizer)
    prepare(config, tmp_path / "run", load_sites(config))
    (tmp_path / "run").rename(tmp_path / "moved")
    tokenizer.unlink()
    coordinator = load_config(FederationConfig, tmp_path / "moved" / "coordinator" / "federation.toml")
    assert coordinator.tokenizer_path == tmp_path / "moved" / "coordinator" / "tokenizer.json"
    home = tmp_path / "moved" / "institutions" / "site-2"
    site = load_config(InstitutionConfig, home / "institution.toml")
    assert site.tokenizer_path is not None
    assert site.tokenizer_path.is_file()
    assert site.data.unlabelled  # type: ignore[union-attr]
    split = load_site(site)
    assert split.train.texts is not None
    assert len(split.train.texts) == len(split.train)


def test_institutions_have_the_students_and_the_policy_of_a_federation_of_answers(tmp_path: Path) -> None:
    table = builtin_federation("heart").model_dump() | {
        "proxy": {"source": "generated", "records": 9},
        "students": {"hungary": {"width": 24, "depth": 1}},
    }
    config = FederationConfig.model_validate(table)
    workspace = prepare(config, tmp_path, load_sites(config))
    found = {name: load_config(InstitutionConfig, home / "institution.toml") for name, home in workspace.institutions.items()}
    assert [name for name, site in found.items() if site.student != config.student] == ["hungary"]
    assert found["hungary"].student.width == 24
    assert {site.policy.updates for site in found.values()} == {("answers",)}
    assert load_config(FederationConfig, workspace.coordinator / "federation.toml") == config


def test_a_federation_of_weights_answers_nothing(tmp_path: Path) -> None:
    assert institution_config(builtin_federation("heart"), "va", tmp_path / "records.npz").policy.updates == ("weights",)


def test_simulated_institutions_agree_to_share_entities_by_one_salt_that_the_seed_gives(tmp_path: Path) -> None:
    table = builtin_federation("heart").model_dump()
    table["knowledge"] |= {"embeddings": {"width": 8}, "shared": {}}
    config = FederationConfig.model_validate(table)
    one, again = (prepare(config, tmp_path / name, load_sites(config)) for name in ("one", "again"))
    sites = [load_config(InstitutionConfig, home / "institution.toml") for home in one.institutions.values()]
    salts = {read_salt(site.knowledge.salt_path) for site in sites if site.knowledge.salt_path is not None}
    assert {site.policy.entities for site in sites} == {True}
    assert salts == {read_salt(home / SALT) for home in again.institutions.values()}
    assert len(salts) == 1
    assert not (one.coordinator / SALT).exists()
    assert not institution_config(builtin_federation("heart"), "va", tmp_path / "records.npz").policy.entities
