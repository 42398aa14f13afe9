from __future__ import annotations

import json

import numpy as np
import pytest

from shared.compress.rows import encode, parse
from shared.errors import DataError, MissingColumnError

TASK = {
    "family": "tabular",
    "labels": ["no", "yes"],
    "columns": [
        {"kind": "numeric", "name": "age"},
        {"kind": "categorical", "name": "sex", "categories": ["female", "male"]},
        {"kind": "categorical", "name": "pain", "categories": ["1", "2", "3"]},
    ],
}
IMAGES = {"family": "image", "labels": ["a", "b"], "size": 4, "channels": 1}


def test_objects_and_lists_become_the_same_row():
    expected = np.array([[54, 1, 2]], np.float32)
    assert (encode(TASK, [{"pain": "3", "age": 54, "sex": "male", "label": "ignored"}]) == expected).all()
    assert (encode(TASK, [[54, "male", 3]]) == expected).all()
    assert (encode(TASK, [["54", " male ", "3.0"]]) == expected).all()


@pytest.mark.parametrize("missing", [None, "", "?", "NA", "NaN", "null", " ", float("nan")])
def test_every_spelling_of_missing(missing):
    assert np.isnan(encode(TASK, [[missing, missing, missing]])).all()


def test_no_records_are_no_rows():
    assert encode(TASK, []).shape == (0, 3)
    assert encode(IMAGES, []).shape == (0, 4, 4, 1)


@pytest.mark.parametrize(
    ("record", "kind", "reason"),
    [
        ({"age": 1, "sex": "male"}, MissingColumnError, "record 1 has no column 'pain'"),
        ([1, "male"], DataError, "must hold 3 values"),
        ("1,male,3", DataError, "must hold 3 values"),
        (7, DataError, "must hold 3 values"),
        (["aged", "male", 3], DataError, "'age' needs a number"),
        ([[1], "male", 3], DataError, "'age' needs a number"),
        (["inf", "male", 3], DataError, "'age' is infinite"),
        ([1, "secret", 3], DataError, "'sex' holds none of its categories"),
        ([1, "male", 2.5], DataError, "'pain' holds none of its categories"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_shown(record, kind, reason):
    with pytest.raises(kind, match=reason) as caught:
        encode(TASK, [record])
    assert "secret" not in str(caught.value)
    assert "aged" not in str(caught.value)


def test_images_with_and_without_their_channel():
    image = np.arange(16).reshape(4, 4)
    found = encode(IMAGES, [image.tolist(), image[..., None].tolist()])
    assert found.dtype == np.uint8
    assert (found[0] == found[1]).all()
    assert (found[0, ..., 0] == image).all()


@pytest.mark.parametrize(
    "record", [np.zeros((4, 5), int).tolist(), [[0.5] * 4] * 4, [[256] * 4] * 4, [[-1] * 4] * 4, [[0] * 4, [0]], "image"]
)
def test_what_is_no_image_is_refused(record):
    with pytest.raises(DataError, match="record 1"):
        encode(IMAGES, [record])


def test_texts_in_every_form():
    one = {"age": 54, "sex": "male", "pain": 3}
    assert parse(TASK, json.dumps(one)) == [one]
    assert parse(TASK, json.dumps([one, one])) == [one, one]
    assert parse(TASK, json.dumps(one) + "\n" + json.dumps(one) + "\n") == [one, one]
    assert parse(TASK, json.dumps([54, "male", 3])) == [[54, "male", 3]]
    assert parse(TASK, json.dumps([[54, "male", 3]])) == [[54, "male", 3]]
    assert parse(TASK, "age,sex,pain\n54,male,3\n,,\n") == [{"age": "54", "sex": "male", "pain": "3"}, {"age": "", "sex": "", "pain": ""}]
    assert parse(TASK, "[]") == []


@pytest.mark.parametrize("text", ["", "  \n", "{not json", '{"a": 1}\nnot json'])
def test_texts_that_hold_no_records(text):
    with pytest.raises(DataError):
        parse(TASK, text)


def test_one_image_and_a_batch_of_images():
    image = np.zeros((4, 4), int).tolist()
    deep = np.zeros((4, 4, 1), int).tolist()
    for one in (image, deep):
        assert parse(IMAGES, json.dumps(one)) == [one]
        assert parse(IMAGES, json.dumps([one, one])) == [one, one]
