"""Records alone suggest a federation; hints that contradict each other are refused before anything is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedstill.inferring import Hints, infer_federation, suggested_heads
from shared.config import FederationConfig
from shared.errors import ConfigError, MissingFileError
from shared.sources import CsvData, ImageFolderData
from tests.support.texts import INTENTS, write_messages, write_tokenizer


def rows(path: Path) -> Path:
    path.write_text("site,age,ill\n" + "".join(f"{'ab'[age % 2]},{age},{'yes' if age > 40 else 'no'}\n" for age in range(30, 50)))
    return path


def test_a_table(tmp_path: Path) -> None:
    found = infer_federation(rows(tmp_path / "Données été.csv"), Hints(label="ill", site_column="site"))
    assert (found.name, found.task.family, found.task.labels) == ("donnees-ete", "tabular", ("no", "yes"))
    assert isinstance(found.data, CsvData)
    assert found.data.site_column == "site"
    assert found.data.path.is_absolute()


def test_texts(tmp_path: Path) -> None:
    hints = Hints(label="intent", text="message", tokenizer=write_tokenizer(tmp_path), sites=3)
    found = infer_federation(write_messages(tmp_path / "messages.csv", 40), hints)
    assert (found.task.family, found.task.labels, found.split.sites) == ("text", INTENTS, 3)
    assert found.tokenizer_path == (tmp_path / "tokenizer.json").absolute()
    # The folder of a tokeniser means the tokeniser in it.
    assert infer_federation(tmp_path / "messages.csv", hints.model_copy(update={"tokenizer": tmp_path})) == found


def test_images_in_folders_of_labels(tmp_path: Path) -> None:
    for label in ("bad", "good"):
        (tmp_path / "leaves" / label).mkdir(parents=True)
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "leaves" / label / "1.png")
    found = infer_federation(tmp_path / "leaves", Hints())
    assert (found.name, found.task.labels) == ("leaves", ("bad", "good"))
    assert isinstance(found.data, ImageFolderData)


def test_a_name_without_letters_is_still_a_name(tmp_path: Path) -> None:
    assert infer_federation(rows(tmp_path / "数据.csv"), Hints(label="ill")).name == "federation"


def questions(path: Path, *, sites: int = 3) -> Path:
    """``sites`` plants that tell steel's defects, and as many that tell boards'."""
    asked = (("steel", "scratch dent"), ("boards", "short open"))
    rows = [
        f"{question}-{site},{question},{size},{label}\n"
        for question, labels in asked
        for site in range(sites)
        for size in range(12)
        for label in labels.split()
    ]
    path.write_text("plant,question,size,defect\n" + "".join(rows))
    return path


def test_a_column_of_questions_makes_heads_with_their_owners(tmp_path: Path) -> None:
    hints = Hints(label="defect", site_column="plant", head_column="question")
    found = infer_federation(questions(tmp_path / "rows.csv"), hints)
    assert [(head.name, head.labels) for head in found.task.heads] == [("boards", ("open", "short")), ("steel", ("dent", "scratch"))]
    assert found.head_owners == {name: tuple(f"{name}-{site}" for site in range(3)) for name in ("boards", "steel")}
    assert not suggested_heads(found)
    dealt = infer_federation(tmp_path / "rows.csv", hints.model_copy(update={"site_column": None, "sites": 4}))
    assert all(set(owners) <= {f"site-{place}" for place in range(1, 5)} for owners in dealt.head_owners.values())


def test_a_head_of_too_few_sites_is_refused_while_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the head 'boards' has 2 of at least 3 institutions"):
        infer_federation(questions(tmp_path / "rows.csv", sites=2), Hints(label="defect", site_column="plant", head_column="question"))


def test_sites_that_share_no_label_are_told_as_comments_that_are_a_federation(tmp_path: Path) -> None:
    config = infer_federation(questions(tmp_path / "rows.csv"), Hints(label="defect", site_column="plant"))
    assert not config.task.heads
    comments = suggested_heads(config)
    assert all(line == "#" or line.startswith("# ") for line in comments.splitlines())
    settings = [line.removeprefix("# ").removeprefix("#") for line in comments[comments.index("# labels") :].splitlines()]
    told = tomllib.loads("\n".join(settings))
    table = config.model_dump(mode="json", exclude_none=True)
    table["task"] |= {"labels": told["labels"], "heads": told["heads"]}
    changed = FederationConfig.model_validate(table | {"head_owners": told["head_owners"]})
    assert [head.labels for head in changed.task.heads] == [("open", "short"), ("dent", "scratch")]
    assert changed.head_owners["head-2"] == ("steel-0", "steel-1", "steel-2")


def test_nothing_is_suggested_where_sites_see_parts_of_one_question(tmp_path: Path) -> None:
    path = questions(tmp_path / "rows.csv")
    assert not suggested_heads(infer_federation(path, Hints(label="defect", sites=4)))
    path.write_text(path.read_text() + "steel-0,steel,1,open\n")
    assert not suggested_heads(infer_federation(path, Hints(label="defect", site_column="plant")))
    # A site with one label alone asks no question of its own.
    path.write_text(
        "plant,size,defect\n" + "".join(f"{'ab'[size % 2]},{size / 2},{'xyz'[(size % 2) * (1 + size // 2 % 2)]}\n" for size in range(30))
    )
    assert not suggested_heads(infer_federation(path, Hints(label="defect", site_column="plant")))


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        (Hints(site_column="site", sites=3), "exclude each other"),
        (Hints(text="message"), "belong together"),
        (Hints(tokenizer=Path("tokenizer.json")), "belong together"),
    ],
)
def test_hints_that_do_not_fit_together_are_refused(tmp_path: Path, hints: Hints, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        infer_federation(rows(tmp_path / "rows.csv"), hints)
    with pytest.raises(ConfigError, match="to a CSV file"):
        infer_federation(tmp_path, Hints(text="message", tokenizer=tmp_path))
    with pytest.raises(ConfigError, match="--head-column is of a CSV file"):
        infer_federation(tmp_path, Hints(head_column="question"))


def test_records_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone\.csv is not there"):
        infer_federation(tmp_path / "gone.csv", Hints())
