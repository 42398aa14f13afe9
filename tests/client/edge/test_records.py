"""Requests become the very array that ``artifact serve-once`` would make of the same records, or one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.edge.model import ServedModel
from client.edge.records import inputs_of
from shared.compress.verify import open_artifact
from shared.errors import DataError
from shared.rpc import edge_pb2 as pb
from tests.support.edge import IMAGES, make_artifact, table_request, table_rows


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return ServedModel(open_artifact(make_artifact(tmp_path_factory.mktemp("table") / "a")), 0.0)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return ServedModel(open_artifact(make_artifact(tmp_path_factory.mktemp("image") / "a", task=IMAGES)), 0.0)


def row(*values: float | str | None) -> pb.Row:
    return pb.Row(values=[cell(value) for value in values])


def cell(value: float | str | None) -> pb.Value:
    if value is None:
        return pb.Value()
    return pb.Value(text=value) if isinstance(value, str) else pb.Value(number=value)


def of_rows(*rows: pb.Row) -> pb.PredictRequest:
    return pb.PredictRequest(table=pb.Table(rows=rows))


@given(st.integers(1, 30), st.integers(0, 1000))
def test_a_table_is_the_array_it_was_written_from(table: ServedModel, count: int, seed: int) -> None:
    rows = table_rows(count, seed)
    np.testing.assert_array_equal(inputs_of(table, table_request(rows), 64), rows)


def test_rows_by_name_and_in_order_are_the_same(table: ServedModel) -> None:
    named = pb.Row(named={"risk": cell("high"), "age": cell(50.0), "dose": cell(None), "outcome": cell("ill")})
    np.testing.assert_array_equal(
        inputs_of(table, of_rows(named, row(50.0, None, "high"), row("50", "", "high")), 64), [[50.0, np.nan, 2.0]] * 3
    )


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.PredictRequest(), "the model takes a table, the request has no records"),
        (pb.PredictRequest(texts=pb.Texts(texts=["a"])), "the model takes a table, the request has texts"),
        (of_rows(), "1 to 4 records, this one 0"),
        (of_rows(*[row(1.0, 2.0, "low")] * 5), "1 to 4 records, this one 5"),
        (of_rows(row(1.0, 2.0)), "record 1 must hold 3 values"),
        (of_rows(row(1.0, 2.0, "low"), pb.Row(named={"age": cell(1.0)})), "record 2 has no column 'dose'"),
        (of_rows(pb.Row(values=[cell(1.0)], named={"age": cell(1.0)})), "not both"),
        (of_rows(row(1.0, "much", "low")), "column 'dose' needs a number"),
        (of_rows(row(1.0, 2.0, "none of them")), "holds none of its categories"),
        (of_rows(row(float("inf"), 2.0, "low")), "'age' is infinite"),
        (of_rows(row(1e300, 2.0, "low")), "'age' is infinite or too large"),
    ],
)
def test_what_does_not_fit_is_one_sentence(table: ServedModel, request_: pb.PredictRequest, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        inputs_of(table, request_, 4)


def test_images_are_their_bytes(image: ServedModel) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    sent = pb.Images(pixels=pixels.tobytes(), count=3, height=4, width=4, channels=1)
    np.testing.assert_array_equal(inputs_of(image, pb.PredictRequest(images=sent), 64), pixels)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (pb.Images(pixels=bytes(16), count=1, height=2, width=8, channels=1), "height, width and channels"),
        (pb.Images(pixels=bytes(15), count=1, height=4, width=4, channels=1), "do not have 15 bytes"),
        (pb.Images(pixels=bytes(16), count=2, height=4, width=4, channels=1), "do not have 16 bytes"),
        (pb.Images(count=2**32 - 1, height=4, width=4, channels=1), "1 to 64 records"),
    ],
)
def test_images_of_another_size_are_refused(image: ServedModel, images: pb.Images, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        inputs_of(image, pb.PredictRequest(images=images), 64)


class Texts:
    """What ``inputs_of`` asks of a model of texts."""

    task = {"family": "text", "max_tokens": 6, "padding": 0, "vocabulary": 10}  # noqa: RUF012


def tokens(*rows: list[int]) -> pb.PredictRequest:
    return pb.PredictRequest(tokens=pb.TokenRows(rows=[pb.TokenRow(ids=ids) for ids in rows]))


def test_token_rows_are_filled_up_to_the_longest() -> None:
    model: ServedModel = Texts()  # type: ignore[assignment]
    assert inputs_of(model, tokens([1, 2, 3], [4]), 8).tolist() == [[1, 2, 3], [4, 0, 0]]
    assert inputs_of(model, tokens([1, 0, 0], []), 8).tolist() == [[1], [0]]


@pytest.mark.parametrize(("ids", "reason"), [([1] * 7, "at most 6 tokens"), ([10], "vocabulary of 10"), ([2**32 - 1], "vocabulary of 10")])
def test_token_rows_that_do_not_fit_are_refused(ids: list[int], reason: str) -> None:
    model: ServedModel = Texts()  # type: ignore[assignment]
    with pytest.raises(DataError, match=reason):
        inputs_of(model, tokens([1], ids), 8)
