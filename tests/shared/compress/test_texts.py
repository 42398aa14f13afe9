"""Text students become graphs of any batch and length, in INT8 too, and their tokeniser travels signed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from shared.compress import console, graph, rows, runtime
from shared.compress.archive import TOKENIZER
from shared.compress.artifact import archive_path, write_artifact
from shared.compress.calibrate import calibrated_tensors, choose_ranges, clip_ranges, histogram_counts, range_counts
from shared.compress.card import render
from shared.compress.export import export_float
from shared.compress.manifest import CandidateResult, GateResult, Manifest, Provenance
from shared.compress.operators import count_operators
from shared.compress.quantise import quantise
from shared.compress.verify import Artifact, open_artifact
from shared.errors import ArtifactError, DataError, MissingColumnError
from shared.models import Network, build
from shared.settings import NetworkSettings
from shared.tokenise import Tokeniser
from shared.work import Normalisation
from tests.support.texts import messages, text_task, tokenizer_json

LARGE = text_task().model_copy(update={"vocabulary": 3000})
ENCODER = NetworkSettings(width=16, depth=2, heads=4, embedding_width=8)
DECODER = NetworkSettings(width=16, depth=1, heads=2, architecture="decoder")
CONTENT = tokenizer_json().encode()
TEXTS = [text for text, _ in messages(60)]


def tokens(count: int = 60) -> NDArray[np.int32]:
    return Tokeniser(CONTENT).encode(TEXTS[:count], max_tokens=LARGE.max_tokens, padding=0)


def model_of(settings: NetworkSettings) -> Network:
    model = build(settings, LARGE, Normalisation(), seed=3)
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(20)
    return model


@pytest.fixture(scope="module")
def encoder() -> bytes:
    return export_float(model_of(ENCODER), LARGE)


@pytest.mark.parametrize("settings", [ENCODER, DECODER])
def test_the_graph_takes_any_batch_and_any_length(settings: NetworkSettings) -> None:
    model = model_of(settings)
    session = runtime.session(export_float(model, LARGE))
    for count, length in ((1, 1), (1, 16), (7, 5)):
        ids = np.ascontiguousarray(tokens(count)[:, :length])
        with torch.no_grad():
            expected = model(torch.from_numpy(ids)).numpy()
        np.testing.assert_allclose(runtime.logits(session, ids), expected, atol=1e-4)


def ranges(content: bytes, ids: NDArray[np.int32]) -> dict[str, tuple[float, float]]:
    tensors = calibrated_tensors(content)
    lows, highs = choose_ranges(tensors, range_counts(content, tensors, ids, padding=0))
    return clip_ranges(tensors, lows, highs, histogram_counts(content, tensors, lows, highs, ids, padding=0))


def test_int8_answers_as_float_does_and_keeps_the_words_in_bytes(encoder: bytes) -> None:
    made = quantise(encoder, ranges(encoder, tokens()), "u8u8")
    expected, found = (runtime.logits(runtime.session(content), tokens()) for content in (encoder, made))
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.05 * expected.std()
    tables = [value for value in graph.initialisers(graph.parse(made)).values() if value.shape == (3000, 8)]
    assert [table.dtype for table in tables] == [np.int8]
    assert len(made) < 0.5 * len(encoder)
    assert count_operators(made).int8 == {"Gemm": 1, "MatMul": 9}


def test_counts_over_texts_leave_padding_out_and_add_up(encoder: bytes) -> None:
    tensors, ids = calibrated_tensors(encoder), tokens()
    whole = range_counts(encoder, tensors, ids, padding=0)
    parts = range_counts(encoder, tensors, ids[:25], padding=0) + range_counts(encoder, tensors, ids[25:], padding=0)
    np.testing.assert_array_equal(whole, parts)
    longer = np.pad(ids[:, :12], ((0, 0), (0, 4)))
    np.testing.assert_array_equal(whole, range_counts(encoder, tensors, longer, padding=0))
    real = int((ids != 0).sum())
    first = whole.reshape(len(tensors), -1).sum(axis=1)[0]
    assert first % real == 0
    assert range_counts(encoder, tensors, ids).reshape(len(tensors), -1).sum(axis=1)[0] > first


def manifest() -> Manifest:
    gate = GateResult(
        records=10, float_right=8, max_drop=0.1, candidates=(CandidateResult(name="u8u8", right=8, agree=10, size=5),), winner="u8u8"
    )
    came = Provenance(federation="m", run="m-1", rounds=2, void_rounds=0, roster_digest="0" * 64, student_parameters=100)
    return Manifest(task=LARGE, device="portable", grid="u8u8", gate=gate, provenance=came)


@pytest.fixture(scope="module")
def folder(encoder: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "artifact"
    made = quantise(encoder, ranges(encoder, tokens()), "u8u8")
    write_artifact(path, made, manifest(), Ed25519PrivateKey.generate(), CONTENT)
    return path


@pytest.fixture(scope="module")
def artifact(folder: Path) -> Artifact:
    return open_artifact(folder)


def test_the_tokeniser_travels_signed_in_folder_and_archive(folder: Path, artifact: Artifact) -> None:
    assert artifact.manifest["files"][TOKENIZER]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert artifact.manifest["inputs"] == {
        "name": "inputs", "dtype": "int32", "shape": [16], "categories": "none", "missing": "none", "preprocessing": "tokenizer.json",
    }  # fmt: skip
    assert open_artifact(archive_path(folder)).tokenizer == artifact.tokenizer == CONTENT


def test_a_text_is_answered_with_the_same_bits_in_any_company(artifact: Artifact) -> None:
    together = artifact.logits(tokens())
    for size in (1, 2, 3, 7):
        parts = [artifact.logits(tokens()[start : start + size]) for start in range(0, len(together), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_texts_are_answered_however_they_are_written(artifact: Artifact) -> None:
    texts = TEXTS[:2]
    written = [
        json.dumps(texts),
        json.dumps([{"message": text} for text in texts]),
        "\n".join(json.dumps({"text": text}) for text in texts),
        "\n".join(texts) + "\n",
        "id,message\n" + "\n".join(f'{place},"{text}"' for place, text in enumerate(texts)),
    ]
    answers = [console.predictions(artifact, content.encode()) for content in written]
    assert all(answer == answers[0] for answer in answers)
    assert console.predictions(artifact, json.dumps(texts[0]).encode()) == answers[0][:1]
    assert console.predictions(artifact, json.dumps({"message": texts[0]}).encode()) == answers[0][:1]
    expected = artifact.predict(tokens(2)).labels.tolist()
    assert [answer["label"] for answer in answers[0]] == [LARGE.labels[label] for label in expected]


def test_a_text_may_begin_with_a_bracket(artifact: Artifact) -> None:
    assert rows.parse(artifact.manifest["task"], "[urgent] pay it\n(now)") == ["[urgent] pay it", "(now)"]


@pytest.mark.parametrize(
    ("records", "error", "said"),
    [
        ([{"note": "secret"}], MissingColumnError, "record 1 has no text; give it as 'message'"),
        (["it", 7], DataError, "record 2 must be a text"),
    ],
)
def test_what_is_no_text_is_refused_by_its_number(artifact: Artifact, records: list[object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        artifact.encode(records)
    assert "secret" not in str(caught.value)


def test_texts_without_a_tokeniser_are_refused() -> None:
    with pytest.raises(DataError, match="need the tokeniser of their artifact"):
        rows.encode(LARGE.model_dump(mode="json"), ["it"])


def test_only_as_many_tokens_are_made_as_the_longest_text_needs(artifact: Artifact) -> None:
    assert artifact.encode(["it", "pay it"]).shape == (2, 4)
    assert artifact.encode(["it " * 40]).shape == (1, 16)
    assert artifact.encode([]).shape[0] == 0


def test_another_or_a_missing_tokeniser_is_refused(folder: Path, encoder: bytes, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    (changed / TOKENIZER).write_bytes(CONTENT + b" ")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is not the file that was signed"):
        open_artifact(changed)
    (changed / TOKENIZER).unlink()
    with pytest.raises(ArtifactError, match=r"must hold .*tokenizer\.json"):
        open_artifact(changed)
    for content, said in ((None, "must list"), (CONTENT + b" ", "not the tokeniser that the task names")):
        with pytest.raises(ArtifactError, match=said):
            write_artifact(tmp_path / "other", encoder, manifest(), Ed25519PrivateKey.generate(), content)


def test_the_card_says_how_a_text_goes_in() -> None:
    text = render(manifest(), 5)
    assert "Predicts **intent** from a text" in text
    assert "split by `tokenizer.json` of this artifact into at most 16 tokens" in text
