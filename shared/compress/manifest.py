"""``manifest.json``: what an artifact is, what it was measured to do, where it came from, and the digest of its files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.frozen import Frozen
from shared.task import Task

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest or a raw Ed25519 public key, in hex."""


class FileEntry(Frozen):
    """A file of the artifact as it was signed."""

    sha256: Hex
    size: int = Field(ge=0)


class InputSchema(Frozen):
    """The graph's input. ``shape`` without the batch; tables: one column each of the task, in its order; texts: the most tokens.

    ``preprocessing`` is where records become the graph's numbers: inside it, or, for texts, by the tokeniser beside it.
    """

    name: Literal["inputs"] = "inputs"
    dtype: Literal["float32", "uint8", "int32"]
    shape: tuple[int, ...]
    categories: Literal["index", "none"] = "none"
    missing: Literal["NaN", "none"] = "none"
    preprocessing: Literal["inside the graph", "tokenizer.json"] = "inside the graph"


class CandidateResult(Frozen):
    """One candidate on the gate's held-out records: how often right, how often the float student's answer; its bytes, and the
    seconds that the device's cost model gives it for one record, null where there is none; ``ratios``: its time as a part of the float
    student's on each of the devices that the device stands for, by their models."""

    name: str
    right: int = Field(ge=0)
    agree: int = Field(ge=0)
    size: int = Field(ge=0)
    seconds: float | None = Field(default=None, gt=0.0)
    ratios: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)


class GateResult(Frozen):
    """The sums that the gate was decided by; ``max_drop`` is the largest loss of accuracy at which it signs. Seconds and sizes are
    as in the candidates, the float student's here; null in manifests that are older than them. ``masked`` says whether institutions
    counted and only sums left them, or whoever compressed had the records."""

    records: int = Field(ge=1)
    float_right: int = Field(ge=0)
    max_drop: float = Field(ge=0.0, le=1.0)
    candidates: tuple[CandidateResult, ...]
    winner: str
    masked: bool = True
    float_size: int | None = Field(default=None, ge=0)
    float_seconds: float | None = Field(default=None, gt=0.0)

    @property
    def won(self) -> CandidateResult:
        """The figures of the winner."""
        return next(candidate for candidate in self.candidates if candidate.name == self.winner)


class Provenance(Frozen):
    """Where a student came from. ``cohort_sizes``: survivors of each closed training round; ``epsilon`` at ``delta`` is what
    the updates have cost each institution, null without differential privacy; ``student_digest`` is the SHA-256 of the float
    student's exported graph, ``initial_digest`` that of the public weights it started from, null if those were random,
    ``proxy_digest`` that of the records on which institutions answered, null if they exchanged weights, and ``graph_digest`` that of
    the public knowledge graph that taught them, null if there was none; ``tables``: bytes that the student keeps of that graph, by the
    column whose categories they are about. ``roster_digest`` is null where no federation was held; what was cut out of the student
    and changed in it after its rounds is in ``changes``, in plain words."""

    federation: str
    run: str
    rounds: int = Field(ge=0)
    void_rounds: int = Field(ge=0)
    cohort_sizes: tuple[int, ...] = ()
    roster_digest: Hex | None = None
    train_records: int | None = Field(default=None, ge=0)
    epsilon: float | None = Field(default=None, ge=0.0)
    delta: float | None = Field(default=None, gt=0.0, lt=1.0)
    student_parameters: int = Field(ge=1)
    teacher_parameters: int | None = Field(default=None, ge=1)
    student_digest: Hex | None = None
    initial_digest: Hex | None = None
    proxy_digest: Hex | None = None
    graph_digest: Hex | None = None
    changes: tuple[str, ...] = ()
    tables: dict[str, int] = Field(default_factory=dict)


class InputsSeen(Frozen):
    """Mean and deviation of each numeric input (tables: by column, images: by channel) over the records that were learnt from.

    They are the run's normalisation, from masked sums, which the graph holds as constants anyway: nothing more leaves anybody.
    """

    means: tuple[float, ...] = ()
    deviations: tuple[Annotated[float, Field(gt=0.0)], ...] = ()


class Operators(Frozen):
    """Nodes of the graph by operator: computed in INT8, and left in float (conversions between them not counted); ``weights`` is how many
    of those in float have their weights in 8 bits in the file."""

    int8: dict[str, int] = Field(default_factory=dict)
    float: dict[str, int] = Field(default_factory=dict)
    weights: int = Field(default=0, ge=0)


class Manifest(Frozen):
    """The signed statement. ``files``, ``signer``, ``operators`` and ``inputs`` are filled in by ``write_artifact``.

    ``version`` grows with every artifact that a coordinator signs: a device does not go back behind the highest it has had. It counts
    and is no time, so that equal runs give equal bytes and no clock is trusted. 0, and what older manifests without it have: unnumbered.
    """

    format: Literal[1] = 1
    version: int = Field(default=0, ge=0)
    task: Task
    device: str
    grid: str
    gate: GateResult
    provenance: Provenance
    inputs: InputSchema | None = None
    inputs_seen: InputsSeen | None = None
    operators: Operators = Operators()
    files: dict[str, FileEntry] = Field(default_factory=dict)
    signer: Hex | None = None


def input_schema(task: Task) -> InputSchema:
    """What a task's records look like to the graph."""
    if task.family == "image":
        return InputSchema(dtype="uint8", shape=(task.size, task.size, task.channels))
    if task.family == "text":
        return InputSchema(dtype="int32", shape=(task.max_tokens,), preprocessing="tokenizer.json")
    return InputSchema(dtype="float32", shape=(len(task.columns),), categories="index", missing="NaN")
