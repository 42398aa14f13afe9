"""Between the typed messages of ``shared/secagg`` and their bytes on the wire. Whatever does not fit is a ProtocolError.

Sizes are checked before anything is allocated for them: a declared length is compared with the bytes that are there.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import DecodeError, Message

from shared.errors import ProtocolError
from shared.exchange import MessageKind
from shared.rpc import convert
from shared.rpc import secagg_pb2 as pb
from shared.secagg.encoding import DTYPES
from shared.secagg.messages import Agreement, AgreeRequest, EpochKey, Masked, OpenRequest, Shares, TrainRequest, UnmaskRequest
from shared.secagg.signing import pack, verify

M = TypeVar("M", OpenRequest, EpochKey, TrainRequest, AgreeRequest, Agreement, UnmaskRequest, Shares)

LARGEST_HEADER = 4 * 2**20
"""Bytes of the largest header that is looked at; the largest of 64 institutions with the longest names has 172 kB.

Reading one may take sixty times its bytes: an empty entry of a list is two bytes on the wire and a hundred in memory.
"""
COUNTER_BYTES = 8

_CONVERTERS: dict[type[Any], convert.Converter[Any, Any]] = {
    OpenRequest: convert.OPEN_REQUEST,
    EpochKey: convert.EPOCH_KEY,
    TrainRequest: convert.TRAIN_REQUEST,
    AgreeRequest: convert.AGREE_REQUEST,
    Agreement: convert.AGREEMENT,
    UnmaskRequest: convert.UNMASK_REQUEST,
    Shares: convert.SHARES,
}


def to_wire(message: OpenRequest | EpochKey | TrainRequest | AgreeRequest | Agreement | UnmaskRequest | Shares) -> bytes:
    """The bytes of any message without vectors; equal messages give equal bytes."""
    return _serialise(_CONVERTERS[type(message)].encode(message))


def from_wire(kind: type[M], content: bytes) -> M:
    """The message of ``kind`` that ``content`` holds. Raises :class:`ProtocolError` for anything else."""
    converter = _CONVERTERS[kind]
    return cast(M, _decoded(converter, content, kind.__name__))


def split_masked(masked: Masked) -> tuple[bytes, bytes]:
    """A masked answer as header and blob; the vectors are the blob."""
    blob = _little_endian(masked.update) + _little_endian(masked.counters)
    return _serialise(convert.masked_header(masked)), blob


def join_masked(header: bytes, blob: bytes) -> Masked:
    """What :func:`split_masked` took apart. Raises :class:`ProtocolError` if header and blob do not belong together."""
    frame = _parse(pb.MaskedHeader, header, "Masked")
    if frame.width not in DTYPES:
        raise ProtocolError(f"a masked answer declares words of {frame.width} bits; there are {', '.join(map(str, DTYPES))}")
    update_bytes = frame.update_words * frame.width // 8
    if update_bytes + frame.counters * COUNTER_BYTES != len(blob):
        declared = f"{frame.update_words} words and {frame.counters} counters"
        raise ProtocolError(f"a masked answer declares {declared}, which {len(blob)} bytes are not")
    dtype = np.dtype(DTYPES[frame.width])
    update = np.frombuffer(blob, dtype.newbyteorder("<"), count=frame.update_words).astype(dtype)
    counters = np.frombuffer(blob, np.dtype("<u8"), offset=update_bytes).astype(np.uint64)
    return convert.checked(lambda: convert.masked(frame, update, counters), "Masked")


def seal_request(kind: MessageKind, body: bytes, identity: Ed25519PrivateKey) -> bytes:
    """A request's header: ``body`` signed by the coordinator for this kind of message."""
    return _serialise(pb.SealedRequest(body=body, signature=identity.sign(_request_bytes(kind, body))))


def open_request(kind: MessageKind, header: bytes, coordinator: bytes) -> bytes:
    """The body of a header that ``coordinator`` (raw Ed25519 public key) signed for ``kind``.

    Raises :class:`ProtocolError` for garbage and :class:`~shared.secagg.errors.ForgedMessage` for another signer or kind.
    """
    sealed = _parse(pb.SealedRequest, header, "request")
    verify(coordinator, sealed.signature, _request_bytes(kind, sealed.body), f"the {kind} request")
    return bytes(sealed.body)


def _request_bytes(kind: MessageKind, body: bytes) -> bytes:
    return pack("fedstill/request/v1", kind, body)


def _decoded(converter: convert.Converter[Any, Any], content: bytes, what: str) -> Any:
    frame = _parse(converter.frame, content, what)
    return convert.checked(lambda: converter.decode(frame), what)


F = TypeVar("F", bound=Message)


def _parse(frame: type[F], content: bytes, what: str) -> F:
    if len(content) > LARGEST_HEADER:
        raise ProtocolError(f"a message of {len(content)} bytes is larger than the largest header of {LARGEST_HEADER}")
    try:
        return frame.FromString(content)
    except DecodeError as error:
        raise ProtocolError(f"these bytes are no {what} message; the two sides may run different releases") from error


def _serialise(frame: Message) -> bytes:
    # Deterministic: maps in order of keys, so that the same request is the same bytes after a restart.
    return frame.SerializeToString(deterministic=True)


def _little_endian(words: np.ndarray[Any, np.dtype[np.unsignedinteger[Any]]]) -> bytes:
    return words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes()
