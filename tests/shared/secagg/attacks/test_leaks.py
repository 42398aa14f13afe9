"""What passes in a whole run, what is logged and what the coordinator keeps hold no figure of one institution.

The private figures are chosen so that they cannot be met by chance: large numbers, and vectors without repetition. They are
looked for in every encoding that the project uses or that an accident could choose. With the masks taken out the same look
finds them, so it is not blind.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from client.handlers import InstitutionHandlers
from client.site import InstitutionSite, round_generator
from shared.exchange import Absent, Refusal, Reply
from shared.files import write_atomic
from shared.secagg.encoding import quantise_unclipped
from shared.secagg.messages import Layout, Words
from shared.work import TrainWork, Work, counter_fields
from tests.support.secagg import NAMES as MEMBERS
from tests.support.secagg import Federation, Stream, identity, vector_of
from tests.support.small import NAMES, SIZE, SmallContribution, SmallFederation, make_federation
from tests.support.wiretap import Tapped, run_tapped

COUNT = 4
RUN_BITS = 64
"""Length of a run of a vector's words that is looked for: in a million random bytes one is met with a probability of 10^-13."""
# 99.9999 % of uniform bytes have a smaller chi-square over 256 values: mean 255, deviation 22.6.
LARGEST_CHI_SQUARE = 255 + 5.5 * 22.6


@dataclass
class Private:
    """Everything that institutions knew and nobody else may: figures and vectors by institution, and its ring words."""

    vectors: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    figures: dict[str, set[int]] = field(default_factory=dict)


class PrivateWorkbench:
    """Counts and learns figures that are this institution's alone; ``flavour`` makes other data of the same shape."""

    private = Private()
    flavour = 0

    def __init__(self, site: InstitutionSite) -> None:
        self._name, self._task = site.config.name, site.config.task

    def perform(self, work: Work, blob: bytes, round_number: int) -> SmallContribution:
        rng = round_generator(self.flavour, self._name, round_number, "private")
        counters = rng.integers(2**38, 2**39, sum(field.length for field in counter_fields(work, self._task)))
        # Four bytes: three are met by chance among the shares of a run.
        weight = int(rng.integers(2**25, 2**26))
        update = rng.normal(0, 0.2, SIZE).astype(np.float32) if isinstance(work, TrainWork) else None
        self.private.figures.setdefault(self._name, set()).update([weight, *counters.tolist()])
        if update is not None:
            self.private.vectors.setdefault(self._name, []).append(update)
        return SmallContribution(update, weight, counters)


def noted(private: Private) -> Callable[..., Words]:
    """The real encoding, whose ring words are noted on their way to the mask."""

    def note(update: NDArray[np.float32], weight: int, plan: Any, rng: np.random.Generator, *, institution: str) -> Words:
        words = quantise_unclipped(update, weight, plan, rng, institution=institution)
        if words.size:
            private.vectors.setdefault("words", []).append(words)
        return words

    return note


def fixed_identity(path: Path) -> Ed25519PrivateKey:
    """The same key in every run."""
    key = identity(path.parent.parent.name)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomic(path, pem, mode=0o600)
    return key


@dataclass
class Played:
    """A run, what was private in it, and what was logged."""

    federation: SmallFederation
    tapped: Tapped
    private: Private
    log: str


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def play(folder: Path, flavour: int, *, masks: bool = True) -> Played:
    """A whole run with identities and randomness that are the same every time, and private data of a flavour."""
    private, kept, root = Private(), Kept(), logging.getLogger()
    level = root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.small.make_identity", fixed_identity)
        patch.setattr(
            "client.app.InstitutionHandlers", lambda site, bench: InstitutionHandlers(site, bench, random=Stream(site.config.name))
        )
        patch.setattr("client.encoder.quantise_unclipped", noted(private))
        if not masks:
            without_masks(patch)
        bench = type("Bench", (PrivateWorkbench,), {"private": private, "flavour": flavour})
        federation = make_federation(folder, COUNT, rounds=2)
        root.addHandler(kept)
        root.setLevel(logging.DEBUG)
        try:
            tapped = run_tapped(federation, workbench=bench)
        finally:
            root.setLevel(level)
            root.removeHandler(kept)
    return Played(federation, tapped, private, "\n".join(kept.lines))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("masked"), 0)


@pytest.fixture(scope="module")
def unmasked(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("unmasked"), 0, masks=False)


def without_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither put on nor taken off, so that the run is the same.
    for place in ("institution", "coordinator"):
        monkeypatch.setattr(f"shared.secagg.{place}.apply", lambda *arguments: None)


# What is looked for


def spellings(number: int) -> tuple[bytes, ...]:
    """A figure as it could stand somewhere: decimal, hexadecimal, fixed size without its zeros, varint, floating point."""
    size = (number.bit_length() + 7) // 8
    groups = [number >> 7 * place & 0x7F for place in range((number.bit_length() + 6) // 7)]
    varint = bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
    texts = (str(number).encode(), f"{number:x}".encode())
    return (
        *texts,
        number.to_bytes(size, "little"),
        number.to_bytes(size, "big"),
        varint,
        struct.pack("<d", number),
        struct.pack(">d", number),
    )


def pieces(vector: NDArray[Any]) -> Iterator[bytes]:
    """Runs of a vector's words, long enough not to be met by chance, in every type and text that it could be written in."""
    signed = vector if vector.dtype.kind == "f" else vector.view(f"i{vector.itemsize}")
    types = ("f4", "f8", "f2") if vector.dtype.kind == "f" else ("i2", "i4", "i8")
    for written in (signed.astype(order + kind) for kind in types for order in "<>"):
        words = max(2, math.ceil(RUN_BITS / (8 * min(written.itemsize, vector.itemsize))))
        for start in range(written.size - words + 1):
            run = written[start : start + words]
            if len(set(run.tolist())) == words:
                yield from spelled_bytes(run.tobytes())


def spelled_bytes(content: bytes) -> Iterator[bytes]:
    """The bytes themselves, in hexadecimal, and in base64 as it stands at each of the three places of a longer text."""
    yield content
    yield content.hex().encode()
    for start in range(3):
        yield base64.b64encode(content[start : start + (len(content) - start) // 3 * 3])


class Places:
    """Named contents, and which of them holds given bytes."""

    def __init__(self, named: Mapping[str, bytes]) -> None:
        self._named = named
        self._indexed: dict[int, set[bytes]] = {}

    def holding(self, needle: bytes) -> set[str]:
        length = len(needle)
        if length not in self._indexed:
            every = (content[start : start + length] for content in self._named.values() for start in range(len(content) - length + 1))
            self._indexed[length] = set(every)
        if needle not in self._indexed[length]:
            return set()
        return {where for where, content in self._named.items() if needle in content}


def found(private: Private, named: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Every (whose, where) at which a private figure or a piece of a private vector stands."""
    places, hits = Places(named), set()
    for name, figures in private.figures.items():
        hits |= {(name, where) for number in figures for spelled in spellings(number) for where in places.holding(spelled)}
    for name, vectors in private.vectors.items():
        hits |= {(name, where) for vector in vectors for piece in pieces(vector) for where in places.holding(piece)}
    return hits


def messages(tapped: Tapped) -> dict[str, bytes]:
    """Every request and answer as bytes, by a name that says which."""
    places = {}
    for index, (name, request) in enumerate(tapped.wire.requests):
        places[f"request {index} to {name}: {request.kind} {request.round}"] = request.header + request.blob
    for index, (name, answer) in enumerate(tapped.wire.answers):
        match answer:
            case Reply():
                places[f"answer {index} of {name}: header"], places[f"answer {index} of {name}: vectors"] = answer.header, answer.blob
            case Refusal():
                places[f"answer {index} of {name}"] = f"{answer.code} {answer.reason}".encode()
            case Absent():
                places[f"answer {index} of {name}"] = answer.reason.encode()
    return places


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def chi_square(content: bytes) -> float:
    counts = np.bincount(np.frombuffer(content, np.uint8), minlength=256)
    expected = len(content) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def vectors_of(tapped: Tapped) -> bytes:
    return b"".join(answer.blob for _, answer in tapped.wire.answers if isinstance(answer, Reply))


# What is found


def test_no_figure_of_one_institution_is_in_any_message(played: Played) -> None:
    wire, rounds = played.tapped.wire, len(played.tapped.result.rounds)
    assert {request.kind for _, request in wire.requests} == {"open", "train", "unmask"}
    assert len(wire.answers) == COUNT * (1 + 2 * rounds)
    assert set(played.private.figures) == set(NAMES[:COUNT])
    assert {len(vectors) for name, vectors in played.private.vectors.items() if name != "words"} == {2}
    assert found(played.private, messages(played.tapped)) == set()


def test_no_figure_of_one_institution_is_logged_or_kept(played: Played) -> None:
    said = "\n".join(event.model_dump_json() for event in played.tapped.events)
    places = files(played.federation.coordinator) | {"the log": played.log.encode(), "the events": said.encode()}
    assert {"store.sqlite", "runs/trial/student.safetensors"} <= set(places)
    assert found(played.private, places) == set()


def test_the_sums_themselves_are_kept(played: Played) -> None:
    # So the look above would have met a single institution's figures in the same places.
    sums = Private(figures={"the sum": set(played.tapped.result.rounds[2].counters["eval_loss"])})
    assert ("the sum", "store.sqlite") in found(sums, files(played.federation.coordinator))


def test_without_masks_every_institution_s_figures_are_found(unmasked: Played) -> None:
    hits = found(unmasked.private, messages(unmasked.tapped))
    assert {name for name, _ in hits} == {*NAMES[:COUNT], "words"}
    assert all(where.endswith("vectors") for _, where in hits), "and nowhere but in the vectors"
    # Every institution's, in every round.
    rounds = len(unmasked.tapped.result.rounds)
    assert len({where for name, where in hits if name != "words"}) == COUNT * rounds


@pytest.mark.parametrize(
    "leak",
    [
        lambda number, update: f"the loss is {number}".encode(),
        lambda number, update: number.to_bytes(8, "little"),
        lambda number, update: b"\x08" + spellings(number)[4],
        lambda number, update: b"{" + update.tobytes().hex().encode() + b"}",
        lambda number, update: base64.b64encode(b"ab" + update.tobytes()),
        lambda number, update: update.astype(np.float64)[5:9].tobytes(),
        lambda number, update: np.round(update * 1000).astype(np.int64)[3:].tobytes(),
    ],
)
def test_the_look_finds_what_leaks_in_another_form(leak: Callable[[int, NDArray[np.float32]], bytes]) -> None:
    update = np.random.default_rng(5).normal(0, 1, SIZE).astype(np.float32)
    words = np.round(update * 1000).astype(np.int64).astype(np.uint16)
    private = Private({"ash": [update, words]}, {"ash": {2**38 + 12_345}})
    assert found(private, {"somewhere": leak(2**38 + 12_345, update)}) == {("ash", "somewhere")}
    assert found(private, {"somewhere": Stream("nothing")(100_000)}) == set()


def test_masked_bytes_of_two_runs_with_other_data_are_both_uniform(played: Played, unmasked: Played, tmp_path: Path) -> None:
    other = play(tmp_path, 1)
    assert played.private.figures["ash"].isdisjoint(other.private.figures["ash"])
    for run in (played, other):
        assert len(vectors_of(run.tapped)) > 20_000
        assert chi_square(vectors_of(run.tapped)) < LARGEST_CHI_SQUARE
    assert chi_square(vectors_of(unmasked.tapped)) > 10 * LARGEST_CHI_SQUARE


@pytest.mark.parametrize("data", ["zero", "largest"])
@pytest.mark.parametrize("width", [8, 16, 32])
def test_masked_words_are_uniform_whatever_is_under_them(data: str, width: int) -> None:
    # A long vector, so that a small bias would show: 800 000 bytes of each institution.
    federation = Federation()
    plan = federation.plan(layout=Layout(800_000 * 8 // width, 0, width))
    for name in MEMBERS[:2]:
        vector = vector_of(plan, name)
        content = np.zeros_like(vector.update) if data == "zero" else np.full_like(vector.update, 127 // len(MEMBERS))
        masked = federation.mask(plan, name, type(vector)(content, vector.counters, vector.weight))
        assert chi_square(masked.update.tobytes()) < LARGEST_CHI_SQUARE
        assert chi_square(content.tobytes()) > 10 * LARGEST_CHI_SQUARE


def test_two_institutions_with_the_same_data_send_nothing_alike() -> None:
    federation = Federation()
    plan = federation.plan(layout=Layout(4000, 3))
    vector = vector_of(plan, "ash")
    sent = [federation.mask(plan, name, vector).update for name in MEMBERS]
    equal = [int((one == other).sum()) for index, one in enumerate(sent) for other in sent[:index]]
    # Of 4000 words of 16 bits 0.06 are equal by chance.
    assert max(equal) <= 3
    assert len({hashlib.sha256(words.tobytes()).digest() for words in sent}) == len(MEMBERS)
