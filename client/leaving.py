"""An answer taken apart into what leaves the institution: each field's name, form, size and digest, as the audit has them.

The forms: ``masked`` (nothing but the sum over the cohort can be read), ``sealed`` (for another institution's eyes alone), ``clear``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.exchange import MessageKind, Refusal, Reply
from shared.rpc.codec import COUNTER_BYTES, from_wire, join_masked
from shared.secagg.encoding import control_words
from shared.secagg.messages import Agreement, EpochKey, Masked, Plan, Shares
from shared.task import Task
from shared.work import Work, counter_fields, field_slices

Form = Literal["masked", "sealed", "clear"]


@dataclass(frozen=True)
class Item:
    """One field of an answer: ``count`` values in ``bytes`` bytes. The rest of a message (names, lengths) is its ``envelope``."""

    name: str
    form: Form
    count: int
    bytes: int
    sha256: str


def items(kind: MessageKind, reply: Reply, plan: Plan | None, work: Work | None, task: Task) -> list[dict[str, Any]]:
    """Everything in ``reply``; the sizes add up to the message's own. Raises :class:`shared.errors.ProtocolError` if it is no answer."""
    found = list(_items(kind, reply, plan, work, task))
    envelope = len(reply.header) + len(reply.blob) - sum(item.bytes for item in found)
    found.append(Item("envelope", "clear", 1, envelope, hashlib.sha256(reply.header).hexdigest()))
    return [asdict(item) for item in found]


def refusal_items(refusal: Refusal) -> list[dict[str, Any]]:
    """What leaves with a refusal: its name and its sentence."""
    return [asdict(_item("refusal", "clear", 1, refusal.code.encode() + refusal.reason.encode()))]


def _items(kind: MessageKind, reply: Reply, plan: Plan | None, work: Work | None, task: Task) -> Iterator[Item]:
    match kind:
        case "open":
            key = from_wire(EpochKey, reply.header)
            yield _item("epoch-key", "clear", 1, key.public_key)
            yield _item("signature", "clear", 1, key.signature)
        case "train":
            assert plan is not None
            assert work is not None
            yield from _masked(join_masked(reply.header, reply.blob), reply.blob, plan, work, task)
        case "agree":
            agreement = from_wire(Agreement, reply.header)
            yield _item("survivors", "clear", len(agreement.survivors), b"".join(name.encode() for name in agreement.survivors))
            yield _item("signature", "clear", 1, agreement.signature)
        case "unmask":
            shares = from_wire(Shares, reply.header)
            yield _together("self-mask-shares", "clear", shares.self_shares.values())
            yield _together("pair-mask-shares", "clear", shares.pair_shares.values())
            yield _item("signature", "clear", 1, shares.signature)


def _masked(masked: Masked, blob: bytes, plan: Plan, work: Work, task: Task) -> Iterator[Item]:
    if plan.layout.update_words:
        yield _item("update", "masked", plan.layout.update_words, blob[: masked.update.nbytes])
    for name, place in _counters(plan, work, task):
        start = masked.update.nbytes + place.start * COUNTER_BYTES
        yield _item(name, "masked", place.stop - place.start, blob[start : start + (place.stop - place.start) * COUNTER_BYTES])
    yield _together("mask-shares", "sealed", _ordered(masked.shares))
    yield _together("mask-commitments", "clear", _ordered(masked.commitments))
    yield _item("agreement", "clear", 1, masked.agreement)
    yield _item("signature", "clear", 1, masked.signature)


def _counters(plan: Plan, work: Work, task: Task) -> Iterator[tuple[str, slice]]:
    control = control_words(plan)
    yield "survivor-count", slice(0, 1)
    yield "weight", slice(1, control)
    for name, place in field_slices(counter_fields(work, task)):
        yield name, slice(control + place.start, control + place.stop)


def _ordered(parts: Mapping[str, bytes]) -> list[bytes]:
    return [parts[name] for name in sorted(parts)]


def _together(name: str, form: Form, parts: Iterable[bytes]) -> Item:
    held = list(parts)
    return _item(name, form, len(held), b"".join(held))


def _item(name: str, form: Form, count: int, content: bytes) -> Item:
    return Item(name, form, count, len(content), hashlib.sha256(content).hexdigest())
