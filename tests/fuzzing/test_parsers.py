"""Every reader of foreign bytes, a hundred thousand and more inputs: the typed error it promises, and nothing else.

No other exception, no wait, no memory that the input did not pay for. Explicit bombs are in ``test_bombs.py``.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.supercore.fab import Fab
from pydantic import ValidationError
from safetensors.numpy import save

from client.flower import allowed
from client.training import _tensors, _vector
from server.gateway import is_fleet_call
from server.state import Facts, RunState
from shared.attached import sized_content
from shared.bundle import app_bundle, bundle_hash
from shared.certificates import load_certificate, make_authority
from shared.compress import archive, verify
from shared.compress.manifest import Manifest
from shared.enrolment import make_enrolment, read_connection, read_enrolment
from shared.errors import ArtifactError, CheckpointError, FedstillError, IdentityError, KnowledgeError, ProtocolError
from shared.identity import load_identity, load_roster, make_identity, make_node_key, save_roster
from shared.knowledge.packed import pack_graph, unpack_graph
from shared.knowledge.triples import graph_of
from shared.rpc.codec import from_wire, join_masked, open_request, seal_request, split_masked, to_wire
from shared.secagg.errors import LostEpoch
from shared.secagg.messages import Agreement, AgreeRequest, EpochKey, OpenRequest, Shares, TrainRequest, UnmaskRequest
from shared.secagg.roster import Roster
from shared.secagg.state import unpack
from shared.settings import DistillationSettings, ProxyTerms, TrainingSettings
from shared.work import (
    AnswerWork,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    GateWork,
    ImportanceWork,
    Normalisation,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    parse_work,
)
from tests.support.fuzzing import bounded_memory, fuzz, mutated
from tests.support.secagg import Federation, identity
from tests.support.small import federation_table

MOST_BYTES = 64 * 2**20
"""Growth of the whole process while one parser reads its inputs, of which none is larger than some kilobytes."""
LEAST_INPUTS = 100_000


@dataclass(frozen=True)
class Parser:
    """A reader, valid messages to start from, the errors that it promises, and how many inputs it gets."""

    corpus: Callable[[], list[bytes]]
    parse: Callable[[bytes], Any]
    promised: tuple[type[Exception], ...]
    inputs: int


# Valid messages


@functools.cache
def protocol() -> dict[Any, list[bytes]]:
    """Every message of a round in which one of five was lost, by its type."""
    federation = Federation()
    made = federation.masked(federation.plan(), lost=["elm"])
    agreement = federation.institutions["ash"].agree(made.agree_request())
    federation.agree(made)
    request = made.unmask_request("ash")
    shares = federation.institutions["ash"].unmask(request)
    following = TrainRequest(federation.plan(2))
    return {
        OpenRequest: [to_wire(OpenRequest("trial", 1, federation.roster.digest))],
        EpochKey: [to_wire(key) for key in federation.keys[:2]],
        TrainRequest: [to_wire(TrainRequest(federation.plan(), federation.keys)), to_wire(following)],
        AgreeRequest: [to_wire(made.agree_request())],
        Agreement: [to_wire(agreement)],
        UnmaskRequest: [to_wire(request)],
        Shares: [to_wire(shares)],
    }


def of(kind: Any) -> Parser:
    return Parser(lambda: protocol()[kind], functools.partial(from_wire, kind), (ProtocolError,), 20_000)


def masked_answers() -> list[bytes]:
    """Header and blob in one, with the header's length in front, so that a mutation may hit either or move the border."""
    federation, found = Federation(), []
    for name, width in (("ash", 8), ("birch", 16)):
        layout = federation.plan().layout
        header, blob = split_masked(federation.mask(federation.plan(1 + width, layout=type(layout)(7, 3, width)), name))
        found.append(len(header).to_bytes(2, "big") + header + blob)
    return found


def join(content: bytes) -> object:
    border = 2 + int.from_bytes(content[:2], "big")
    masked = join_masked(content[2:border], content[border:])
    assert masked.update.nbytes + masked.counters.nbytes == len(content[border:]), "as large as what was sent"
    return masked


def requests() -> list[bytes]:
    return [
        seal_request("train", protocol()[TrainRequest][0], identity("coordinator")),
        seal_request("open", b"x", identity("coordinator")),
    ]


def open_as_train(content: bytes) -> bytes:
    public = identity("coordinator").public_key().public_bytes_raw()
    body = open_request("train", content, public)
    assert body == protocol()[TrainRequest][0], "signed by nobody"
    return body


def states() -> list[bytes]:
    federation = Federation()
    before = federation.institutions["ash"].export()
    federation.round(federation.plan(), lost=["elm"])
    federation.mask(federation.plan(2), "ash")
    return [before, federation.institutions["ash"].export()]


def works() -> list[bytes]:
    normalisation = Normalisation(means=(0.5, 1e6), deviations=(1.0, 2.0))
    train = TrainWork(
        version=3,
        seed=7,
        normalisation=normalisation,
        training=TrainingSettings(),
        distillation=DistillationSettings(),
        label_shares=(0.25, 0.75),
    )
    learning = {name: value for name, value in train if name not in ("kind", "fragments", "head_owners", "quantised")}
    answer = AnswerWork(**learning, proxy=ProxyTerms(), records=3, proxy_sha256="0" * 64)
    tensors = ("Conv_1", "logits")
    return [
        work.canonical()
        for work in (
            StatisticsRangeWork(),
            StatisticsMomentsWork(exponents=(4, -3)),
            train,
            answer,
            ImportanceWork(normalisation=normalisation, blocks=2, heads=4, inner=32),
            CalibrateRangeWork(normalisation=normalisation, tensors=tensors),
            CalibrateHistogramWork(normalisation=normalisation, tensors=tensors, lows=(-1.0, 0.0), highs=(1.0, 6.0)),
            GateWork(candidates=("u8u8", "u8s8")),
        )
    ]


def models() -> list[bytes]:
    vector, file = np.arange(37, dtype=np.float32), np.arange(200, dtype=np.uint8)
    odd = [tensors({"vector": {"dtype": kind, "shape": [4], "data_offsets": [0, size]}}, size) for kind, size in ODD_TYPES.items()]
    endless = tensors({"vector": {"dtype": "F32", "shape": [0, 2**63 - 1], "data_offsets": [0, 0]}}, 0)
    return [save({"vector": vector}), save({"float": file, "u8u8": file[:90]}), save({"vector": vector.astype(np.float64)}), *odd, endless]


ODD_TYPES = {"BF16": 8, "F8_E4M3": 4, "F8_E5M2": 4, "C64": 32, "BOOL": 4, "F4": 2, "F128": 64}
"""Types that safetensors knows and numpy does not, or the other way round, with the bytes of four of them."""


def tensors(header: dict[str, Any], size: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def checkpoints() -> list[bytes]:
    state = RunState(Facts(phase="train", version=2), np.arange(5, dtype=np.float32), {"first": np.zeros(5)})
    return [state.to_bytes(), RunState(Facts(phase="statistics-range")).to_bytes()]


def artifacts() -> list[bytes]:
    files = {archive.MODEL: b"graph" * 50, archive.MANIFEST: manifests()[0], archive.SIGNATURE: b"s" * 64, archive.CARD: b"# card"}
    return [archive.pack(files), archive.pack(files | {archive.MODEL: bytes(3000)})]


def tars() -> list[bytes]:
    import zstandard

    return [zstandard.ZstdDecompressor().decompress(content) for content in artifacts()]


def unpack_tar(content: bytes) -> object:
    """What lies under the compression, so that mutations reach it."""
    import zstandard

    return archive.unpack(zstandard.ZstdCompressor(level=1).compress(content))


def manifests() -> list[bytes]:
    entry = {"sha256": "a" * 64, "size": 3}
    table = {
        "task": federation_table(1)["task"],
        "device": "portable",
        "grid": "u8s8",
        "gate": {
            "records": 9,
            "float_right": 8,
            "max_drop": 0.02,
            "candidates": [{"name": "u8s8", "right": 8, "agree": 9, "size": 5}],
            "winner": "u8s8",
        },
        "provenance": {
            "federation": "heart",
            "run": "one",
            "rounds": 3,
            "void_rounds": 0,
            "roster_digest": "b" * 64,
            "student_parameters": 9,
        },
        "files": {"model.onnx": entry, "card.md": entry},
        "signer": "c" * 64,
    }
    return [Manifest.model_validate(table).canonical()]


def read_manifest(content: bytes) -> object:
    """As an edge device does, which has no pydantic."""
    return verify._verified_manifest(content, b"s" * 64, None)


# Files


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fedstill-fuzz-"))


def in_file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    """A reader of paths as one of bytes."""

    def parse(content: bytes) -> object:
        # The file is there with its mode; its content comes without the disk, which would be most of the time.
        path = folder() / name
        if not path.exists():
            path.touch(0o600)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda self: content)
            return read(path)

    return parse


def rosters() -> list[bytes]:
    path = folder() / "true-roster.json"
    save_roster(path, Roster(Federation().roster.members, identity("coordinator").public_key().public_bytes_raw()))
    return [path.read_bytes()]


def roster_digest(path: Path) -> bytes:
    return load_roster(path).digest


def identities() -> list[bytes]:
    found = []
    for name, passphrase in (("plain.key", None), ("locked.key", b"open")):
        if not (folder() / name).exists():
            make_identity(folder() / name, passphrase=passphrase)
        found.append((folder() / name).read_bytes())
    return [found[0], found[0], found[0], found[1]]


def enrolments() -> list[bytes]:
    if not (folder() / "node").exists():
        make_node_key(folder() / "node")
    enrolment = make_enrolment("ash", identity("ash"), (folder() / "node.pub").read_bytes())
    return [enrolment.model_dump_json(indent=2).encode()]


def certificates() -> list[bytes]:
    if not (folder() / "ca.crt").exists():
        make_authority(folder(), name="fuzz")
    return [(folder() / "ca.crt").read_bytes()]


def bundle(content: bytes) -> bool:
    accepted = allowed(Fab(bundle_hash(), content, {})) or allowed(Fab(content[:64].hex(), app_bundle(), {}))
    assert accepted == (content == app_bundle()), "another bundle than the known one"
    return accepted


def fleet_call(content: bytes) -> bool:
    path, _, query = content.partition(b"?")
    passed = is_fleet_call(path, query)
    if passed:
        assert not query
        assert path.startswith(b"/v1/fleet/")
        assert not set(path[len(b"/v1/fleet/") :]) - set(b"abcdefghijklmnopqrstuvwxyz-"), "anything that a parser could read otherwise"
    return passed


PATHS = [
    b"/v1/fleet/pull-messages",
    b"/v1/fleet/push-object?x=1",
    b"/v1/fleet/../control/start-run",
    b"/v1/fleet/%2e%2e/control",
    b"//v1/fleet/a",
]


def graphs() -> list[bytes]:
    rows = [(f"head {number}", "shows", f"tail {number % 7}", 1.0 + number) for number in range(40)]
    return [pack_graph(graph_of(rows)), pack_graph(graph_of(rows[:1])), pack_graph(graph_of([], entities=["alone"]))]


def attached_content(content: bytes) -> bytes:
    return sized_content(np.frombuffer(content[: len(content) // 8 * 8], np.uint64), "the graph")


PARSERS: dict[str, Parser] = {
    **{kind.__name__: of(kind) for kind in (OpenRequest, EpochKey, TrainRequest, AgreeRequest, Agreement, UnmaskRequest, Shares)},
    "masked answer": Parser(masked_answers, join, (ProtocolError,), 20_000),
    "signed request": Parser(requests, open_as_train, (ProtocolError,), 20_000),
    "epoch state": Parser(states, unpack, (LostEpoch,), 20_000),
    "work": Parser(works, parse_work, (ValidationError,), 20_000),
    "model": Parser(models, _tensors, (CheckpointError,), 20_000),
    "vector": Parser(models, lambda content: _vector(_tensors(content)), (CheckpointError,), 5_000),
    "knowledge graph": Parser(graphs, unpack_graph, (KnowledgeError,), 10_000),
    "attached content": Parser(graphs, attached_content, (ProtocolError,), 5_000),
    "checkpoint": Parser(checkpoints, lambda content: RunState.from_bytes(content, where="here"), (CheckpointError,), 5_000),
    "archive": Parser(artifacts, archive.unpack, (ArtifactError,), 5_000),
    "archive's tar": Parser(tars, unpack_tar, (ArtifactError,), 5_000),
    "manifest": Parser(manifests, Manifest.parse, (ValidationError,), 5_000),
    "manifest on a device": Parser(manifests, read_manifest, (ArtifactError,), 5_000),
    "key of an artifact": Parser(
        lambda: [*rosters(), b"c" * 64], in_file(lambda path: verify.parse_key(str(path)), "key"), (ArtifactError,), 3_000
    ),
    "roster": Parser(rosters, in_file(roster_digest, "roster.json"), (IdentityError,), 5_000),
    "identity": Parser(identities, in_file(lambda path: load_identity(path, passphrase=b"open"), "identity.key"), (IdentityError,), 1_500),
    "enrolment": Parser(enrolments, in_file(read_enrolment, "enrolment.json"), (IdentityError,), 3_000),
    "connection": Parser(
        lambda: [b'{"address":"fl.example.org:443"}'], in_file(read_connection, "connection.json"), (IdentityError,), 2_000
    ),
    "certificate": Parser(certificates, in_file(load_certificate, "ca.pem"), (IdentityError,), 2_000),
    "bundle": Parser(lambda: [app_bundle()], bundle, (), 5_000),
    "fleet call": Parser(lambda: PATHS, fleet_call, (), 20_000),
}


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("name", PARSERS)
def test_a_reader_of_foreign_bytes_reads_or_says_what_it_promised(name: str) -> None:
    parser = PARSERS[name]
    corpus = parser.corpus()
    for content in corpus:
        fuzz(parser.parse, iter([content]), parser.promised)
    with bounded_memory(MOST_BYTES):
        ends = fuzz(parser.parse, mutated(corpus, parser.inputs, seed=sorted(PARSERS).index(name)), parser.promised)
    assert sum(ends.values()) == parser.inputs
    if parser.promised:
        assert ends.total() - ends["read"] > parser.inputs // 3, "a good part of the inputs is damaged"
        assert all(issubclass(error, (FedstillError, ValidationError)) for error in parser.promised)


def test_there_are_enough_inputs() -> None:
    assert sum(parser.inputs for parser in PARSERS.values()) >= LEAST_INPUTS
