"""Small inputs that claim to be large, or would become so: refused before memory is taken for what is not there."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from client.training import _tensors
from shared.compress import archive
from shared.errors import ArtifactError, CheckpointError, IdentityError, KnowledgeError, ProtocolError
from shared.identity import load_roster
from shared.knowledge.packed import unpack_graph
from shared.rpc import secagg_pb2 as pb
from shared.rpc.codec import LARGEST_HEADER, from_wire, join_masked, split_masked, to_wire
from shared.secagg.encoding import MOST_WORDS, prove_headroom
from shared.secagg.errors import IllegalPlan, IllegalVector, LostEpoch
from shared.secagg.messages import Agreement, Layout, Shares, TrainRequest, UnmaskRequest
from shared.secagg.state import unpack
from shared.work import parse_work
from tests.support.fuzzing import bounded_memory
from tests.support.secagg import Federation, vector_of

MEBIBYTE = 2**20


@pytest.mark.parametrize("words", [2**31, 2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize("counters", [0, 2**31, 2**63, 2**64 - 1])
def test_a_masked_answer_of_a_billion_words_that_are_not_there(words: int, counters: int) -> None:
    blob = bytes(1000)
    for width in (8, 16, 32):
        header = pb.MaskedHeader(institution="ash", update_words=words, width=width, counters=counters).SerializeToString()
        with (
            bounded_memory(MEBIBYTE),
            pytest.raises(ProtocolError, match=f"declares {words} words and {counters} counters, which 1000 bytes"),
        ):
            join_masked(header, blob)


def test_lengths_that_add_up_beyond_the_machine_s_integers_are_no_others() -> None:
    # 2^63 words of 16 bits are 2^64 bytes, which an integer of the machine would take for none.
    header = pb.MaskedHeader(institution="ash", update_words=2**63, width=16, counters=0).SerializeToString()
    with pytest.raises(ProtocolError, match="declares"):
        join_masked(header, b"")
    header = pb.MaskedHeader(institution="ash", update_words=8, width=8, counters=2**61).SerializeToString()
    with pytest.raises(ProtocolError, match="declares"):
        join_masked(header, bytes(8))


@pytest.mark.parametrize(("words", "counters"), [(2**31 + 1, 3), (7, 2**31 + 1), (2**63, 0), (0, 2**64 - 1)])
def test_a_plan_of_more_words_than_any_student_has(words: int, counters: int) -> None:
    federation = Federation()
    plan = federation.plan(layout=Layout(words, counters))
    with bounded_memory(MEBIBYTE):
        again = from_wire(TrainRequest, to_wire(TrainRequest(plan))).plan
        with pytest.raises(IllegalPlan, match="update words"):
            prove_headroom(again)
        with pytest.raises(IllegalPlan, match="update words"):
            federation.institutions["ash"].check(again, federation.keys)


def test_a_plan_of_as_many_words_as_may_be_takes_no_memory_at_an_institution() -> None:
    federation = Federation()
    plan, vector = federation.plan(layout=Layout(MOST_WORDS, MOST_WORDS)), vector_of(federation.plan(), "ash")
    ash = federation.institutions["ash"]
    with bounded_memory(MEBIBYTE):
        ash.check(plan, federation.keys)
        with pytest.raises(IllegalVector, match="takes 2147483648 words"):
            ash.mask(plan, vector.update, vector.weight, vector.counters)


LISTS: list[tuple[Any, bytes]] = [
    (TrainRequest, b"\x12\x00"),
    (Agreement, b"\x1a\x00"),
    (Shares, b"\x22\x00"),
    (Shares, b"\x1a\x00"),
    (UnmaskRequest, b"\x12\x00"),
    (UnmaskRequest, b"\x1a\x00"),
]


@pytest.mark.parametrize(("kind", "entry"), LISTS)
def test_a_list_of_millions_of_nothings(kind: Any, entry: bytes) -> None:
    content, longer = entry * (LARGEST_HEADER // len(entry)), entry * (LARGEST_HEADER // len(entry) + 1)
    with bounded_memory(64 * LARGEST_HEADER), pytest.raises(ProtocolError):
        from_wire(kind, content)
    with bounded_memory(MEBIBYTE), pytest.raises(ProtocolError, match="larger than the largest header"):
        from_wire(kind, longer)


def test_a_map_of_many_names_in_a_masked_answer() -> None:
    federation = Federation()
    header, blob = split_masked(federation.mask(federation.plan(), "ash"))
    one = pb.MaskedHeader(shares={"x": b""}).SerializeToString()
    with bounded_memory(64 * LARGEST_HEADER):
        masked = join_masked(header + one * 500_000, blob)
    assert len(masked.shares) == 5, "the same name is one entry"


def test_messages_within_messages_without_an_end() -> None:
    nested = b""
    for _ in range(5000):
        nested = b"\x0a" + _varint(len(nested)) + nested
    with pytest.raises(ProtocolError):
        from_wire(TrainRequest, nested)


def _varint(number: int) -> bytes:
    made = b""
    while number > 0x7F:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


# Text


@pytest.mark.parametrize("deep", [b"[" * 10**6, b'{"a":' * 10**6, b'{"format":' * 10**5 + b"1" + b"}" * 10**5])
def test_json_without_an_end(deep: bytes, tmp_path: Any) -> None:
    (tmp_path / "roster.json").write_bytes(deep)
    with bounded_memory(64 * MEBIBYTE):
        with pytest.raises(IdentityError):
            load_roster(tmp_path / "roster.json")
        with pytest.raises(LostEpoch):
            unpack(deep)
        with pytest.raises(ValueError, match="validation error"):
            parse_work(deep)


# Models and artifacts


@pytest.mark.parametrize("length", [2**31, 2**63, 2**64 - 1])
def test_a_model_whose_header_is_longer_than_the_file(length: int) -> None:
    with bounded_memory(MEBIBYTE), pytest.raises(CheckpointError):
        _tensors(length.to_bytes(8, "little") + b"{}")


@pytest.mark.parametrize("shape", [[2**31], [2**62, 4], [2**63], [2**40, 2**40], [0, 2**63 - 1]])
def test_a_tensor_larger_than_the_file(shape: list[int]) -> None:
    header = json.dumps({"vector": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}}).encode()
    with bounded_memory(MEBIBYTE), pytest.raises(CheckpointError):
        _tensors(len(header).to_bytes(8, "little") + header + bytes(16))


def frame(claimed: int, blocks: bytes) -> bytes:
    """A Zstandard frame by hand that claims to unpack to ``claimed`` bytes (RFC 8878, section 3.1.1)."""
    return b"\x28\xb5\x2f\xfd" + bytes([0b11000000, 17 - 10 << 3]) + claimed.to_bytes(8, "little") + blocks


def runs(count: int) -> bytes:
    """``count`` blocks of 4 bytes that unpack to 128 KiB each."""
    block = (0b010 | 2**17 << 3).to_bytes(3, "little") + b"\0"
    return block * (count - 1) + (0b011 | 2**17 << 3).to_bytes(3, "little") + b"\0"


@pytest.mark.parametrize("claimed", [2**20, 2**27, 2**40, 2**63, 2**64 - 1])
def test_an_archive_of_a_gigabyte_in_32_kilobytes(claimed: int) -> None:
    with bounded_memory(16 * MEBIBYTE), pytest.raises(ArtifactError):
        archive.unpack(frame(claimed, runs(8000)))


@pytest.mark.parametrize("claimed", [2**20, 2**27, 2**40, 2**63, 2**64 - 1])
def test_a_knowledge_graph_of_a_gigabyte_in_32_kilobytes(claimed: int) -> None:
    with bounded_memory(16 * MEBIBYTE), pytest.raises(KnowledgeError):
        unpack_graph(frame(claimed, runs(8000)))


def test_an_archive_that_does_not_say_how_large_it_is() -> None:
    streamed = zstandard.ZstdCompressor().compressobj()
    content = streamed.compress(bytes(2**26)) + streamed.flush()
    with bounded_memory(MEBIBYTE), pytest.raises(ArtifactError, match="does not say how large it is"):
        archive.unpack(content)


def test_a_frame_that_wants_a_window_of_gigabytes() -> None:
    for window in range(10, 42):
        content = bytearray(frame(300, (1 | 300 << 3).to_bytes(3, "little") + bytes(300)))
        content[5] = window - 10 << 3
        with bounded_memory(MEBIBYTE), pytest.raises(ArtifactError):
            archive.unpack(bytes(content))


def headers_of(kind: bytes, size: bytes) -> bytes:
    entry = bytearray(tarfile.TarInfo(archive.MODEL).tobuf(tarfile.USTAR_FORMAT))
    entry[124:136], entry[156:157], entry[148:156] = size, kind, b" " * 8
    entry[148:156] = b"%06o\0 " % sum(entry)
    return zstandard.ZstdCompressor().compress(bytes(entry) + bytes(9728))


SIZES = {
    "below zero": b"\xff" + (2**88 - 512).to_bytes(11, "big"),
    "far below zero": b"\xff" + (2**88 - 1024).to_bytes(11, "big"),
    "minus in octal": b"-0000001000\0",
    "2^62": b"\x80" + (2**62).to_bytes(11, "big"),
    "8 GiB": b"77777777777\0",
    "no number": b"xxxxxxxxxxx\0",
    "spaces": b" " * 12,
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [b"0", b"\0", b"1", b"5", b"7", b"L", b"K", b"S", b"x", b"g"])
def test_a_tar_whose_sizes_lead_back_or_beyond(kind: bytes, size: str) -> None:
    # Sizes below zero have sent readers round and round (CVE-2025-8194).
    with bounded_memory(MEBIBYTE), pytest.raises(ArtifactError):
        archive.unpack(headers_of(kind, SIZES[size]))


@pytest.mark.parametrize("pack", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_of_another_form(pack: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=pack) as made:
        for name in sorted(archive.LIMITS):
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = 64, {"comment": "x" * 600}
            made.addfile(entry, io.BytesIO(bytes(64)))
    with pytest.raises(ArtifactError):
        archive.unpack(zstandard.ZstdCompressor().compress(buffer.getvalue()))


def test_the_bound_on_memory_can_fail() -> None:
    kept: list[bytes] = []
    act: Callable[[], None] = lambda: kept.append(b"x" * (64 * MEBIBYTE))  # noqa: E731
    with pytest.raises(AssertionError, match="MiB more than before"), bounded_memory(16 * MEBIBYTE):
        act()
