from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.data.images import holds_labels, read_image, read_image_folder, read_image_sites
from shared.errors import DataError, EmptyInstitutionError, LabelError, MissingFileError
from shared.task import ImageTask

GREY = ImageTask(family="image", labels=("bad", "good"), size=8, channels=1)
COLOUR = ImageTask(family="image", labels=("bad", "good"), size=8, channels=3)


def draw(path: Path, *, mode: str = "L", size: tuple[int, int] = (8, 8), colour: int | tuple[int, ...] = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    draw(tmp_path / "good" / "b.png", colour=2)
    draw(tmp_path / "good" / "a.PNG", colour=1)
    draw(tmp_path / "bad" / "z.png", colour=3)
    draw(tmp_path / "bad" / ".hidden.png")
    (tmp_path / "good" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    records = read_image_folder(tmp_path, GREY)
    assert records.inputs[:, 0, 0, 0].tolist() == [3, 1, 2]
    assert records.labels.tolist() == [0, 1, 1]
    assert records.inputs.dtype == np.uint8


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("L", 100, (100, 100, 100)),
        ("RGB", (9, 8, 7), (9, 8, 7)),
        ("RGBA", (9, 8, 7, 0), (9, 8, 7)),
        ("1", 1, (255, 255, 255)),
        ("LA", (5, 9), (5, 5, 5)),
    ],
)
def test_images_of_every_kind_get_the_channels_of_the_task(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], seen: tuple[int, ...]
) -> None:
    file = draw(tmp_path / "x.png", mode=mode, colour=colour)
    assert tuple(read_image(file, COLOUR)[0, 0].tolist()) == seen
    assert read_image(file, GREY).shape == (8, 8, 1)


def test_images_are_brought_to_one_size_and_the_right_way_up(tmp_path: Path) -> None:
    image = Image.new("L", (32, 16), 0)
    image.paste(255, (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    pixels = read_image(tmp_path / "x.jpg", GREY)
    assert pixels.shape == (8, 8, 1)
    assert pixels[:, 0].min() > 200
    assert pixels[:, -1].max() < 50


def test_deeper_images_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep.png has more than 8 bits"):
        read_image(tmp_path / "deep.png", GREY)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    for keep in (0, 10, len(content) // 2):
        (tmp_path / "cut.png").write_bytes(content[:keep])
        with pytest.raises(DataError, match=r"cut.png is damaged"):
            read_image(tmp_path / "cut.png", GREY)


@pytest.mark.parametrize("limit", [50, 150])
def test_an_image_too_large_to_be_safe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    file = draw(tmp_path / "bomb.png", size=(16, 16))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"bomb.png"):
        read_image(file, GREY)


def test_a_folder_that_is_no_label_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "unsure" / "a.png")
    with pytest.raises(LabelError, match="unsure"):
        read_image_folder(tmp_path, GREY)


def test_folders_without_images_are_an_empty_institution(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    with pytest.raises(EmptyInstitutionError, match="no PNG or JPEG"):
        read_image_folder(tmp_path, GREY)
    with pytest.raises(EmptyInstitutionError):
        read_image_sites(tmp_path / "good", GREY)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="gone"):
        read_image_folder(tmp_path / "gone", GREY)


def test_each_site_has_its_own_folder_and_a_legal_name(tmp_path: Path) -> None:
    draw(tmp_path / "Plant B" / "good" / "a.png")
    draw(tmp_path / "Plant A" / "bad" / "a.png")
    sites = read_image_sites(tmp_path, GREY)
    assert {name: part.labels.tolist() for name, part in sites.items()} == {"plant-a": [0], "plant-b": [1]}
    draw(tmp_path / "plant-a" / "bad" / "a.png")
    with pytest.raises(DataError, match="no name of its own"):
        read_image_sites(tmp_path, GREY)


def test_a_folder_of_labels_is_told_from_one_of_sites(tmp_path: Path) -> None:
    (tmp_path / "north" / "bad").mkdir(parents=True)
    (tmp_path / "north" / "bad" / "1.PNG").touch()
    assert holds_labels(tmp_path / "north")
    assert not holds_labels(tmp_path)
    with pytest.raises(MissingFileError):
        holds_labels(tmp_path / "gone")
