"""The model store: one content whatever the form it came in, kept whole, and nothing kept that the plan does not name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from client.models import ModelStore
from shared.deltas import moved, pack, quantise
from shared.secagg.errors import ForgedMessage, MissingBase
from tests.support.secagg import flipped

RNG = np.random.default_rng(4)
VECTORS = [RNG.normal(0, 1, 50).astype(np.float32)]
DELTAS: list[bytes] = []
for _ in range(3):
    _delta = quantise(RNG.normal(0, 0.1, 50))
    VECTORS.append(moved(VECTORS[-1], _delta))
    DELTAS.append(pack(_delta, VECTORS[-2].tobytes(), VECTORS[-1].tobytes()))
MODELS = [vector.tobytes() for vector in VECTORS]


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "state" / "model.safetensors")


def test_a_model_comes_whole_then_as_deltas_then_as_nothing(store: ModelStore) -> None:
    assert store.receive(MODELS[0], digest(MODELS[0])) == MODELS[0]
    for number, delta in enumerate(DELTAS, start=1):
        fresh = ModelStore(store.path)
        assert fresh.receive(delta, digest(MODELS[number])) == MODELS[number]
        assert fresh.path.read_bytes() == MODELS[number], "for the next delta, after a restart too"
        assert fresh.receive(b"", digest(MODELS[number])) == MODELS[number]


def test_a_model_that_is_held_is_used_whatever_comes(store: ModelStore) -> None:
    store.receive(MODELS[1], digest(MODELS[1]))
    for blob in (DELTAS[0], MODELS[1], b"", b"noise"):
        assert store.receive(blob, digest(MODELS[1])) == MODELS[1]


@pytest.mark.parametrize("held", [None, 1, 2])
def test_without_the_base_the_whole_is_asked_for_and_taken(held: int | None, store: ModelStore) -> None:
    if held is not None:
        store.receive(MODELS[held], digest(MODELS[held]))
    for blob in (DELTAS[2], b"") if held != 2 else (b"",):
        with pytest.raises(MissingBase):
            store.receive(blob, digest(MODELS[3]))
    assert store.receive(MODELS[3], digest(MODELS[3])) == MODELS[3]


def test_a_damaged_file_is_a_model_that_is_not_held(store: ModelStore) -> None:
    store.receive(MODELS[0], digest(MODELS[0]))
    store.path.write_bytes(flipped(MODELS[0], 77))
    with pytest.raises(MissingBase):
        store.receive(DELTAS[0], digest(MODELS[1]))


def test_what_does_not_give_the_named_model_is_refused_and_not_kept(store: ModelStore) -> None:
    store.receive(MODELS[0], digest(MODELS[0]))
    for blob in (MODELS[1], flipped(DELTAS[0], 8 * len(DELTAS[0]) - 9), DELTAS[0], b"noise"):
        with pytest.raises(ForgedMessage):
            store.receive(blob, digest(MODELS[2]))
    assert store.path.read_bytes() == MODELS[0]


def test_a_round_without_a_model_keeps_the_one_that_is_held(store: ModelStore) -> None:
    store.receive(MODELS[0], digest(MODELS[0]))
    assert store.receive(b"", digest(b"")) == b""
    assert store.path.read_bytes() == MODELS[0]


def test_the_model_is_its_owner_s_to_read(store: ModelStore) -> None:
    store.receive(MODELS[0], digest(MODELS[0]))
    assert store.path.stat().st_mode & 0o077 == 0
