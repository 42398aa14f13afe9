"""Records alone suggest a federation; hints that contradict each other are refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedstill.inferring import Hints, infer_federation
from shared.config import CsvData, ImageFolderData
from shared.errors import ConfigError, MissingFileError
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


def test_records_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone\.csv is not there"):
        infer_federation(tmp_path / "gone.csv", Hints())
