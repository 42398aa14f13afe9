"""What left an institution, for a data-protection officer: every field of every message, in plain words, masked or in clear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.audit.chain import Entry
from shared.audit.fields import as_text, as_whole, tables, text, whole

PLAIN: dict[str, str] = {
    # Of training and of answers to proxy records.
    "update": "how the student model should change, one number a parameter (or a proxy record's answer)",
    "weight": "how many records stand behind the update, bounded",
    "survivor-count": "the number 1, so that the sum counts institutions",
    "train_records": "how many records were trained on",
    "train_loss": "how wrong the student was on them, summed",
    "unclipped": "whether the update was within the agreed length, noised where the run has noise",
    "head_weights": "how many records there are of each of the task's questions",
    "eval_records": "how many held-out records the model was tried on",
    "eval_loss": "how wrong it was on them, summed",
    "eval_confusion": "how many held-out records of each label it took for which",
    "eval_trust": "how far the institution's labels bear out the knowledge graph",
    "eval_knowing": "whether the institution learns from a knowledge graph",
    # Of rounds that only count.
    "exponents": "how many values of each column are of which order of magnitude",
    "count": "how many values each column has",
    "sum": "the sum of each column",
    "square_sum": "the sum of each column's squares",
    "entities": "which slots of hashed entity names the institution's graph fills",
    "ranges": "how many of the model's inner values are of which order of magnitude",
    "histograms": "how the model's inner values are distributed",
    "gate_records": "how many held-out records the compressed models were tried on",
    "gate_float_right": "how many of them the uncompressed model got right",
    "gate_right": "how many each compressed model got right",
    "gate_agree": "how often each agreed with the uncompressed one",
    # Of the protocol; nothing of these is made from records.
    "mask-shares": "parts of this round's mask keys, each readable by one other institution only",
    "mask-commitments": "fingerprints of mask keys, so that wrong ones are noticed",
    "self-mask-shares": "parts of mask keys of institutions that answered, so that the sum can be read",
    "pair-mask-shares": "parts of mask keys with institutions that were lost, so that the sum can be read",
    "epoch-key": "a fresh public key",
    "survivors": "the names of the institutions that answered",
    "agreement": "a signature under who takes part",
    "signature": "this institution's signature",
    "envelope": "the message's frame: names, lengths, digests",
    "refusal": "a sentence that says why the institution does not answer",
}
"""Each field of a message in words for people who have not read the protocol."""
UNKNOWN = "a field that this release does not know; ask for the release that wrote the audit"


@dataclass(frozen=True)
class Left:
    """One field that left: when, with which message, what it is, ``masked``, ``sealed`` or ``clear``, its bytes and SHA-256."""

    time: str
    run: str
    round: int | None
    message: str
    name: str
    what: str
    form: str
    count: int
    bytes: int
    sha256: str


def what_left(entries: Iterable[Entry], run: str | None = None) -> tuple[Left, ...]:
    """Every field that left with an answer or a refusal, in order; of one run if it is named (refusals of no known run are in all).

    Raises :class:`shared.errors.AuditError` for a line that is signed and not as this release writes it.
    """
    return tuple(left for entry in entries if "left" in entry.fields and _of(entry, run) for left in _fields(entry))


def bytes_by_form(rows: Iterable[Left]) -> dict[str, int]:
    """How many bytes left in which form."""
    sums = dict.fromkeys(("masked", "sealed", "clear"), 0)
    for row in rows:
        sums[row.form] = sums.get(row.form, 0) + row.bytes
    return sums


def _of(entry: Entry, run: str | None) -> bool:
    return run is None or entry.fields.get("run", run) == run


def _fields(entry: Entry) -> Iterator[Left]:
    run = text(entry, "run") if "run" in entry.fields else ""
    number = whole(entry, "round") if "round" in entry.fields else None
    message = _message(entry)
    for item in tables(entry, "left"):
        name, form, sha256 = (as_text(entry, "left", item.get(key)) for key in ("name", "form", "sha256"))
        count, size = (as_whole(entry, "left", item.get(key)) for key in ("count", "bytes"))
        yield Left(entry.time, run, number, message, name, PLAIN.get(name, UNKNOWN), form, count, size, sha256)


def _message(entry: Entry) -> str:
    stage = text(entry, "stage")
    work = text(entry, "work") if "work" in entry.fields else ""
    again = " again" if entry.kind == "answered-again" else ""
    name = f"{stage} {work}" if stage == "train" and work and work != "train" else stage
    return f"refused {stage}" if entry.kind == "refused" else f"{name}{again}"
