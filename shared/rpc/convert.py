"""One converter a message: typed ↔ generated. Decoding checks what the types cannot say: lengths, names, ranges."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from shared.errors import ProtocolError
from shared.rpc import secagg_pb2 as pb
from shared.secagg.messages import (
    Agreement,
    AgreeRequest,
    EpochKey,
    Fragment,
    Layout,
    Masked,
    OpenRequest,
    Plan,
    Shares,
    TrainRequest,
    UnmaskRequest,
    Words,
)

T = TypeVar("T")
F = TypeVar("F", bound=Message)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DIGEST_BYTES = 32
SIGNATURE_BYTES = 64
LONGEST_RUN = 200


class _UnfitError(ValueError):
    """A field that cannot be what it claims to be."""


@dataclass(frozen=True)
class Converter(Generic[T, F]):
    """How one message is written as its generated ``frame`` and read from it."""

    frame: type[F]
    encode: Callable[[T], F]
    decode: Callable[[F], T]


def checked(read: Callable[[], T], what: str) -> T:
    """The result of ``read``; raises :class:`ProtocolError` that names ``what`` and the field that does not fit."""
    try:
        return read()
    except _UnfitError as error:
        raise ProtocolError(f"a {what} message holds {error}") from error


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise _UnfitError("a name that no institution can have")
    return value


def _run(value: str) -> str:
    # It stands in sentences that operators read in logs and on terminals.
    if not 0 < len(value) <= LONGEST_RUN or not value.isprintable():
        raise _UnfitError(f"a run's name that is empty, longer than {LONGEST_RUN} characters or not printable")
    return value


def _sized(value: bytes, size: int, what: str) -> bytes:
    if len(value) != size:
        raise _UnfitError(f"{what} of {len(value)} bytes, not {size}")
    return bytes(value)


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(_name(value) for value in values)


def _by_name(values: Mapping[str, bytes]) -> dict[str, bytes]:
    return {_name(name): bytes(values[name]) for name in sorted(values)}


def _plan(plan: Plan) -> pb.Plan:
    layout = pb.Layout(update_words=plan.layout.update_words, counters=plan.layout.counters, width=plan.layout.width)
    return pb.Plan(
        run=plan.run,
        epoch=plan.epoch,
        round=plan.round,
        roster_digest=plan.roster_digest,
        cohort=plan.cohort,
        threshold=plan.threshold,
        collusion=plan.collusion,
        layout=layout,
        clip_norm=plan.clip_norm,
        weight_cap=plan.weight_cap,
        body=plan.body,
        blob_digest=plan.blob_digest,
        keys_digest=plan.keys_digest,
        degree=plan.degree,
        share_threshold=plan.share_threshold,
        smallest_cohort=plan.smallest_cohort,
        rotation=plan.rotation,
        noise=plan.noise,
        count_noise=plan.count_noise,
        fragments=[
            pb.Fragment(institution=name, edges=[edge for pair in plan.fragments[name] for edge in pair]) for name in sorted(plan.fragments)
        ],
    )


def _read_plan(frame: pb.Plan) -> Plan:
    if not all(map(math.isfinite, (frame.clip_norm, frame.noise, frame.count_noise))):
        raise _UnfitError("a clip norm or a noise that is no number")
    return Plan(
        run=_run(frame.run),
        epoch=frame.epoch,
        round=frame.round,
        roster_digest=_sized(frame.roster_digest, DIGEST_BYTES, "a roster digest"),
        cohort=_names(frame.cohort),
        threshold=frame.threshold,
        collusion=frame.collusion,
        layout=Layout(frame.layout.update_words, frame.layout.counters, frame.layout.width),
        clip_norm=frame.clip_norm,
        weight_cap=frame.weight_cap,
        body=bytes(frame.body),
        blob_digest=_sized(frame.blob_digest, DIGEST_BYTES, "a blob digest"),
        keys_digest=_sized(frame.keys_digest, DIGEST_BYTES, "a digest of keys"),
        degree=frame.degree,
        share_threshold=frame.share_threshold,
        smallest_cohort=frame.smallest_cohort,
        rotation=frame.rotation,
        noise=frame.noise,
        count_noise=frame.count_noise,
        fragments=_fragments(frame.fragments),
    )


def _fragments(frames: Iterable[pb.Fragment]) -> dict[str, Fragment]:
    found: dict[str, Fragment] = {}
    for frame in frames:
        if len(frame.edges) % 2 or frame.institution in found:
            raise _UnfitError("a fragment that is no list of ranges, or two for one institution")
        found[_name(frame.institution)] = tuple(zip(frame.edges[::2], frame.edges[1::2], strict=True))
    return found


def _epoch_key(key: EpochKey) -> pb.EpochKey:
    return pb.EpochKey(**key.__dict__)


def _read_epoch_key(frame: pb.EpochKey) -> EpochKey:
    return EpochKey(
        institution=_name(frame.institution),
        run=_run(frame.run),
        epoch=frame.epoch,
        roster_digest=_sized(frame.roster_digest, DIGEST_BYTES, "a roster digest"),
        public_key=_sized(frame.public_key, DIGEST_BYTES, "a public key"),
        signature=_sized(frame.signature, SIGNATURE_BYTES, "a signature"),
    )


def masked(frame: pb.MaskedHeader, update: Words, counters: NDArray[np.uint64]) -> Masked:
    """A masked answer from its header and its vectors."""
    return Masked(
        institution=_name(frame.institution),
        context=_sized(frame.context, DIGEST_BYTES, "a context"),
        update=update,
        counters=counters,
        shares=_by_name(frame.shares),
        commitments={
            peer and _name(peer): _sized(frame.commitments[peer], DIGEST_BYTES, "a commitment") for peer in sorted(frame.commitments)
        },
        agreement=_sized(frame.agreement, SIGNATURE_BYTES, "a signature") if frame.agreement else b"",
        signature=_sized(frame.signature, SIGNATURE_BYTES, "a signature"),
    )


def _commitments(values: Mapping[str, bytes]) -> dict[str, bytes]:
    # The empty name is the self-mask's.
    return {peer and _name(peer): _sized(values[peer], DIGEST_BYTES, "a commitment") for peer in sorted(values)}


def masked_header(message: Masked) -> pb.MaskedHeader:
    """A masked answer without its vectors."""
    return pb.MaskedHeader(
        institution=message.institution,
        context=message.context,
        update_words=message.update.size,
        width=8 * message.update.itemsize,
        counters=message.counters.size,
        shares=message.shares,
        commitments=message.commitments,
        agreement=message.agreement,
        signature=message.signature,
    )


def _read_agreement(frame: pb.Agreement) -> Agreement:
    return Agreement(
        institution=_name(frame.institution),
        context=_sized(frame.context, DIGEST_BYTES, "a context"),
        survivors=_names(frame.survivors),
        signature=_sized(frame.signature, SIGNATURE_BYTES, "a signature"),
    )


def _unmask_request(message: UnmaskRequest) -> pb.UnmaskRequest:
    return pb.UnmaskRequest(plan=_plan(message.plan), survivors=message.survivors, agreements=message.agreements, shares=message.shares)


def _read_unmask_request(frame: pb.UnmaskRequest) -> UnmaskRequest:
    return UnmaskRequest(_read_plan(frame.plan), _names(frame.survivors), _by_name(frame.agreements), _by_name(frame.shares))


def _shares(message: Shares) -> pb.Shares:
    pairs = [
        pb.PairShare(survivor=survivor, lost=lost, share=message.pair_shares[survivor, lost])
        for survivor, lost in sorted(message.pair_shares)
    ]
    return pb.Shares(
        institution=message.institution,
        context=message.context,
        self_shares=message.self_shares,
        pair_shares=pairs,
        signature=message.signature,
    )


def _read_shares(frame: pb.Shares) -> Shares:
    pairs = {(_name(pair.survivor), _name(pair.lost)): bytes(pair.share) for pair in frame.pair_shares}
    if len(pairs) != len(frame.pair_shares):
        raise _UnfitError("two shares for one pair")
    return Shares(
        institution=_name(frame.institution),
        context=_sized(frame.context, DIGEST_BYTES, "a context"),
        self_shares=_by_name(frame.self_shares),
        pair_shares=pairs,
        signature=_sized(frame.signature, SIGNATURE_BYTES, "a signature"),
    )


def _read_open_request(frame: pb.OpenRequest) -> OpenRequest:
    return OpenRequest(_run(frame.run), frame.epoch, _sized(frame.roster_digest, DIGEST_BYTES, "a roster digest"))


OPEN_REQUEST: Converter[OpenRequest, Any] = Converter(pb.OpenRequest, lambda m: pb.OpenRequest(**m.__dict__), _read_open_request)
EPOCH_KEY: Converter[EpochKey, Any] = Converter(pb.EpochKey, _epoch_key, _read_epoch_key)
TRAIN_REQUEST: Converter[TrainRequest, Any] = Converter(
    pb.TrainRequest,
    lambda m: pb.TrainRequest(plan=_plan(m.plan), keys=[_epoch_key(key) for key in m.keys]),
    lambda f: TrainRequest(_read_plan(f.plan), tuple(_read_epoch_key(key) for key in f.keys)),
)
AGREE_REQUEST: Converter[AgreeRequest, Any] = Converter(
    pb.AgreeRequest,
    lambda m: pb.AgreeRequest(plan=_plan(m.plan), survivors=m.survivors),
    lambda f: AgreeRequest(_read_plan(f.plan), _names(f.survivors)),
)
AGREEMENT: Converter[Agreement, Any] = Converter(pb.Agreement, lambda m: pb.Agreement(**m.__dict__), _read_agreement)
UNMASK_REQUEST: Converter[UnmaskRequest, Any] = Converter(pb.UnmaskRequest, _unmask_request, _read_unmask_request)
SHARES: Converter[Shares, Any] = Converter(pb.Shares, _shares, _read_shares)
