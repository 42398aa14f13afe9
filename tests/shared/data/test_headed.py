"""Heads by a column are those of its rows; groups of sites part the labels as finely as can be."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.data import infer_task
from shared.data.headed import Group, groups, labels_by_site, with_heads
from shared.errors import LabelError, MissingColumnError
from shared.sources import CsvData, ImageFolderData
from shared.task import TabularTask

PLANTS = "plant,question,size,defect\n" + "".join(
    f"{plant},{question},{size},{label}\n"
    for plant, question, labels in (("A", "steel", "ab"), ("B", "steel", "bc"), ("C", "boards", "xy"))
    for size, label in enumerate(labels * 4)
)


def source(folder: Path, content: str = PLANTS, *, unlabelled: bool = False) -> CsvData:
    (folder / "rows.csv").write_text(content)
    return CsvData(source="csv", path=folder / "rows.csv", site_column="plant", unlabelled=unlabelled)


def headed(data: CsvData, column: str = "question") -> TabularTask:
    task = with_heads(infer_task(data, "defect"), data, column)  # type: ignore[arg-type]
    assert isinstance(task, TabularTask)
    return task


def test_a_column_of_questions_makes_a_head_of_each_and_is_no_input(tmp_path: Path) -> None:
    task = headed(source(tmp_path))
    assert [(head.name, head.labels) for head in task.heads] == [("boards", ("x", "y")), ("steel", ("a", "b", "c"))]
    assert task.labels == ("x", "y", "a", "b", "c")
    assert [column.name for column in task.columns] == ["size"]


def test_numbers_stay_in_their_order_within_a_head(tmp_path: Path) -> None:
    rows = "".join(
        f"A,{question},{size},{label}\n" for question, labels in (("q", (10, 2)), ("p", (3, 1))) for size in range(4) for label in labels
    )
    assert headed(source(tmp_path, "plant,question,size,defect\n" + rows)).labels == ("1", "3", "2", "10")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("C,steel,1,x", "the label 'x' is in the heads 'boards' and 'steel'|the label 'x' is in the heads 'steel' and 'boards'"),
        ("C,paint,1,z\nC,paint,2,z", "the head 'paint' of column 'question' has one label only"),
        ("C,?,1,x", r"line 26, column 'question' names no head"),
    ],
)
def test_what_makes_no_heads_is_refused_in_a_sentence(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        headed(source(tmp_path, f"{PLANTS}{row}\n"))
    with pytest.raises(MissingColumnError, match="has no column 'gone'"):
        headed(source(tmp_path), "gone")


def test_a_row_without_a_label_needs_no_head(tmp_path: Path) -> None:
    assert len(headed(source(tmp_path, f"{PLANTS}C,?,1,\n", unlabelled=True)).heads) == 2


def test_sites_have_the_labels_of_their_rows_or_folders(tmp_path: Path) -> None:
    assert labels_by_site(source(tmp_path), "defect") == {"a": {"a", "b"}, "b": {"b", "c"}, "c": {"x", "y"}}
    assert labels_by_site(CsvData(source="csv", path=tmp_path / "rows.csv"), "defect") == {}
    for place in ("Nord/good", "Nord/bad", "South/x"):
        (tmp_path / "images" / place).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "images" / place / "1.png")
    (tmp_path / "images" / "South" / "empty").mkdir()
    assert labels_by_site(ImageFolderData(source="images", path=tmp_path / "images"), "") == {"nord": {"good", "bad"}, "south": {"x"}}
    assert labels_by_site(ImageFolderData(source="images", path=tmp_path / "images" / "Nord"), "") == {}


def test_sites_that_share_a_label_are_together_even_over_others() -> None:
    found = groups({"a": {"1", "2"}, "b": {"3", "4"}, "c": {"2", "3"}, "d": {"x"}})
    assert found == [Group(("a", "b", "c"), ("1", "2", "3", "4")), Group(("d",), ("x",))]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.integers(0, 9).map(str), min_size=1, max_size=3), max_size=8))
def test_groups_part_sites_and_labels_and_cannot_be_parted_further(labels: dict[str, set[str]]) -> None:
    found = groups(labels)
    assert sorted(site for group in found for site in group.sites) == sorted(labels)
    assert sorted(label for group in found for label in group.labels) == sorted(set().union(*labels.values()))
    for group in found:
        assert set(group.labels) == set().union(*(labels[site] for site in group.sites))
        for size in range(1, len(group.sites)):
            for part in combinations(group.sites, size):
                inside, outside = (set().union(*(labels[site] for site in sites)) for sites in (part, set(group.sites) - set(part)))
                assert inside & outside
