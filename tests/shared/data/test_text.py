"""Texts of a file become tokens and stay texts; rows without a label are learnt from, never held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.config import FederationConfig, InstitutionConfig, check_config
from shared.data import Split, infer_text_task, load_site, load_sites, save_arrays
from shared.data.arrays import read_arrays
from shared.data.csvfile import read_csv
from shared.data.records import UNLABELLED, Records
from shared.data.split import hold_out
from shared.data.statistics import choose_exponents, exponent_counts, moment_counts, normalisation
from shared.data.text import LONGEST
from shared.errors import ConfigError, DataError, EmptyInstitutionError, LabelError, MissingColumnError, MissingFileError
from shared.sources import ArrayData, CsvData, SplitSettings
from shared.tokenise import Tokeniser
from shared.work import Normalisation
from tests.support.texts import INTENTS, messages, text_task, tokenizer_json, write_messages, write_tokenizer

TASK = text_task()
TOKENISER = Tokeniser(tokenizer_json().encode())


def source(tmp_path: Path, content: str, **changed: object) -> CsvData:
    (tmp_path / "messages.csv").write_text(content)
    return CsvData.model_validate({"source": "csv", "path": tmp_path / "messages.csv", **changed})


def test_texts_become_tokens_and_are_kept(tmp_path: Path) -> None:
    data = CsvData(source="csv", path=write_messages(tmp_path / "m.csv", 12))
    records = read_csv(data, TASK, write_tokenizer(tmp_path))
    assert records.texts is not None
    assert records.texts.tolist() == [text for text, _ in messages(12)]
    np.testing.assert_array_equal(records.inputs, TOKENISER.encode(records.texts.tolist(), max_tokens=16, padding=0))
    assert records.labels.tolist() == [INTENTS.index(intent) for _, intent in messages(12)]


def test_of_a_very_long_text_the_beginning_is_kept(tmp_path: Path) -> None:
    records = read_csv(source(tmp_path, f"message,intent\n{'it ' * 3000},pay\n"), TASK, write_tokenizer(tmp_path))
    assert records.texts is not None
    assert len(str(records.texts[0])) == LONGEST


def test_a_folder_with_the_tokeniser_will_do(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    assert len(read_csv(source(tmp_path, "message,intent\npay it,pay\n"), TASK, tmp_path)) == 1


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        ("text,intent\nhello,pay\n", MissingColumnError, "no column 'message'"),
        ("message,intent\n,pay\n", DataError, "line 2, column 'message' is empty"),
        ("message,intent\nsecret,walk\n", LabelError, "line 2, column 'intent' is none of the task's labels"),
        ("message,intent\nsecret,\n", LabelError, "set data.unlabelled"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_without_its_content(
    content: str, error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        read_csv(source(tmp_path, content), TASK, write_tokenizer(tmp_path))
    assert "secret" not in str(caught.value)


def test_without_its_tokeniser_a_text_task_is_refused(tmp_path: Path) -> None:
    data = source(tmp_path, "message,intent\npay it,pay\n")
    with pytest.raises(ConfigError, match="set tokenizer_path"):
        read_csv(data, TASK)
    with pytest.raises(MissingFileError, match="tokeniser"):
        read_csv(data, TASK, tmp_path / "gone.json")
    with pytest.raises(ConfigError, match="a text task needs tokenizer_path"):
        check_config(FederationConfig, {"name": "m", "task": TASK.model_dump()}, where="federation.toml")


def test_unlabelled_rows_are_learnt_from_and_never_held_out(tmp_path: Path) -> None:
    rows = "".join(f"{text},{intent if place % 3 else ''}\n" for place, (text, intent) in enumerate(messages(60)))
    data = source(tmp_path, "message,intent\n" + rows, unlabelled=True)
    config = InstitutionConfig(name="ash", task=TASK, data=data, tokenizer_path=write_tokenizer(tmp_path))
    split = load_site(config)
    assert (split.train.labels == UNLABELLED).sum() == 20
    assert (split.test.labels != UNLABELLED).all()
    assert len(split.test) == round(40 * 0.34)


def test_a_site_without_any_label_is_refused() -> None:
    records = Records(np.zeros((5, 1), np.float32), np.full(5, UNLABELLED))
    with pytest.raises(EmptyInstitutionError, match="has no record with a label"):
        hold_out(records, 0.3, seed=1, site="ash")


def test_dealt_sites_survive_their_arrays(tmp_path: Path) -> None:
    data = CsvData(source="csv", path=write_messages(tmp_path / "m.csv", 80))
    config = FederationConfig(name="m", task=TASK, data=data, split=SplitSettings(sites=3), tokenizer_path=write_tokenizer(tmp_path))
    for name, split in load_sites(config).items():
        save_arrays(tmp_path / f"{name}.npz", split)
        found = read_arrays(tmp_path / f"{name}.npz", TASK)
        assert isinstance(found, Split)
        for part, was in ((found.train, split.train), (found.test, split.test)):
            np.testing.assert_array_equal(part.inputs, was.inputs)
            np.testing.assert_array_equal(part.labels, was.labels)
            assert part.texts is not None
            assert was.texts is not None
            np.testing.assert_array_equal(part.texts, was.texts)


def test_shorter_rows_of_tokens_are_filled_up(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", inputs=np.ones((2, 3), np.int64), labels=np.array([0, 1]))
    records = read_arrays(tmp_path / "r.npz", TASK)
    assert isinstance(records, Records)
    assert records.inputs.dtype == np.int32
    assert records.inputs.tolist() == [[1] * 3 + [0] * 13] * 2
    assert records.texts is None


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": np.zeros((2, 17), np.int32)},
        {"inputs": np.zeros((2, 3), np.float32)},
        {"inputs": np.full((2, 3), -1)},
        {"inputs": np.full((2, 3), TASK.vocabulary)},
        {"texts": np.array(["a"])},
        {"texts": np.array([1, 2])},
        {"texts": np.array([["a", "b"]] * 2, dtype=object)},
    ],
)
def test_arrays_that_are_no_texts_are_refused(changed: dict[str, object], tmp_path: Path) -> None:
    arrays = {"inputs": np.zeros((2, 3), np.int32), "labels": np.array([0, 1]), **changed}
    np.savez(tmp_path / "r.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        read_arrays(tmp_path / "r.npz", TASK)


def test_the_label_of_none_needs_leave_and_is_never_held_out(tmp_path: Path) -> None:
    parts = {"inputs": np.zeros((2, 3), np.int32), "labels": np.array([0, UNLABELLED])}
    np.savez(tmp_path / "r.npz", **parts)
    with pytest.raises(LabelError):
        read_arrays(tmp_path / "r.npz", TASK)
    found = read_arrays(tmp_path / "r.npz", TASK, unlabelled=True)
    assert isinstance(found, Records)
    assert found.labels.tolist() == [0, UNLABELLED]
    np.savez(tmp_path / "t.npz", **parts, **{f"test_{name}": value for name, value in parts.items()})
    with pytest.raises(LabelError, match="test_labels"):
        read_arrays(tmp_path / "t.npz", TASK, unlabelled=True)
    assert ArrayData(source="arrays", path=tmp_path).unlabelled is False


def test_texts_have_no_numeric_inputs_to_count() -> None:
    records = Records(np.zeros((4, 16), np.int32), np.zeros(4, np.int64))
    exponents = choose_exponents(TASK, exponent_counts(TASK, records))
    counts = moment_counts(TASK, records, exponents)
    assert exponents == ()
    assert all(count.shape == (0,) for count in counts.values())
    assert normalisation(TASK, counts, exponents) == Normalisation()


def test_a_task_is_inferred_with_room_for_nearly_all_texts(tmp_path: Path) -> None:
    data = CsvData(source="csv", path=write_messages(tmp_path / "m.csv", 100))
    found = infer_text_task(data, "message", "intent", TOKENISER)
    assert found == TASK.model_copy(update={"max_tokens": 16})
    long = source(tmp_path, "message,intent\n" + f"{'it ' * 40},pay\n" * 10 + "it,book\n" * 10)
    assert infer_text_task(long, "message", "intent", TOKENISER).max_tokens == 64


def test_a_tokeniser_without_padding_gets_an_id_more(tmp_path: Path) -> None:
    data = CsvData(source="csv", path=write_messages(tmp_path / "m.csv", 20))
    bare = Tokeniser(tokenizer_json().replace("[PAD]", "[GAP]").encode())
    found = infer_text_task(data, "message", "intent", bare)
    assert (found.padding, found.vocabulary) == (bare.vocabulary, bare.vocabulary + 1)
