"""What one masked round asks of an institution, and the names and lengths of the counters it answers with.

A round's plan (``shared/secagg``) carries one of these as its opaque, digested body. Counters are non-negative
integers that ride in the masked vector after the control coordinates, so each is only ever seen as a sum.
Fractions (losses) are fixed-point: multiplied by :data:`FIXED_POINT` and rounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, model_validator

from shared.entity_table import LARGEST as LARGEST_TABLES
from shared.entity_table import EntityTable
from shared.frozen import Frozen
from shared.settings import DistillationSettings, KnowledgeTerms, NetworkSettings, ProxyTerms, TrainingSettings
from shared.task import Task, numeric_inputs

FIXED_POINT = 2**16
"""Counter units in 1.0 of a loss or another fraction."""
EXPONENTS = 64
"""Bins of a range pass: |x| in [2^(i-32), 2^(i-31)), bin 0 also takes zero and everything smaller."""
HISTOGRAM_BINS = 512
"""Bins of a histogram pass, equal in width over the agreed range."""
LARGEST_END = 1e30
"""The farthest end of a range: float32 holds it, and the steps of its grid."""
MOST_RANGES = 4096
"""Tensors of one student that may have a range."""
AT_THE_END = (1.0, 1.0)
"""The ``span`` of a round that learns at the last of a run's falling rates, all the way."""


class CounterField(NamedTuple):
    """A named run of counters: ``length`` consecutive integers of the masked vector."""

    name: str
    length: int


class Normalisation(Frozen):
    """Mean and standard deviation of each numeric input (tables: by column; images: by channel), from masked sums; and of a
    federation with ``[knowledge.table]``, what its public graph knows of categories. All that a student is made with and never learns.
    """

    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    tables: tuple[EntityTable, ...] = ()

    @model_validator(mode="after")
    def _tables_are_small(self) -> Normalisation:
        if (size := sum(table.size for table in self.tables)) > LARGEST_TABLES:
            raise ValueError(f"the tables of a student take {size} bytes, at most {LARGEST_TABLES} may travel")
        return self

    @property
    def of_inputs(self) -> Normalisation:
        """The same without tables: what a teacher has."""
        return Normalisation(means=self.means, deviations=self.deviations)


class StatisticsRangeWork(Frozen):
    """Pass 1 over the records: how many values each numeric column has in each power-of-two bin of |x|."""

    kind: Literal["statistics-range"] = "statistics-range"


class StatisticsMomentsWork(Frozen):
    """Pass 2: per numeric column the count, and the sums of (x / 2^e + 1) and (x / 2^e)² in fixed point, |x| < 2^e.

    The unit is 2^-32, finer than that of a loss, for a spread that is small beside its mean; images count by the means
    over their pixels (``shared/data/statistics.py``).
    """

    kind: Literal["statistics-moments"] = "statistics-moments"
    exponents: tuple[int, ...]


class EntitiesWork(Frozen):
    """Where ``[knowledge.shared]`` is set: per slot a 1 where exactly one entity of the institution's graph falls into it
    (``shared/knowledge/slots.py``). Blob and ``graph_sha256``: the public graph, as in :class:`KnowledgeWork`.
    """

    kind: Literal["entities"] = "entities"
    slots: int = Field(ge=64, le=4_194_304, multiple_of=64)
    graph_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class KnowledgeWork(KnowledgeTerms):
    """The knowledge of a federation, within a learning work: the SHA-256 of the public graph as it is attached to the blob, uint64
    ``graph`` (``shared/attached.py``, ``shared/knowledge/packed.py``), and that of ``mapping``, which says how records name its
    entities; each empty where there is none.

    With ``shared`` the blob has uint64 ``slots`` too, and its vector ends with their rows (``shared/knowledge/slots.py``);
    ``mean_records`` is what an institution weighs on average.
    """

    graph_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    mapping_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    mean_records: float = Field(default=1.0, gt=0.0)


class LearningWork(Frozen):
    """What both kinds of learning say: :class:`TrainWork` and :class:`AnswerWork`.

    ``version`` counts the updates already applied to what the blob carries (0 at first). ``label_shares`` are the
    federation's, from the masked confusion counts of the last round; empty while none is known. With ``error_feedback``
    what the ring cannot say of an update stays at the institution and is added to its next one.
    ``span`` is the part, from 0 to 1, of the run's falling learning rate that the round does. ``knowledge`` is what a graph teaches.
    ``student`` is the shape of what the blob carries where it is another than every institution's own, since version ``begun``:
    what an institution keeps from round to round of a student of before is not one of this.
    """

    version: int = Field(ge=0)
    seed: int
    normalisation: Normalisation
    training: TrainingSettings
    distillation: DistillationSettings
    label_shares: tuple[float, ...] = ()
    error_feedback: bool = False
    span: tuple[Annotated[float, Field(ge=0.0, le=1.0)], Annotated[float, Field(ge=0.0, le=1.0)]] = (0.0, 1.0)
    knowledge: KnowledgeWork | None = None
    student: NetworkSettings | None = None
    begun: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _begun_before_now(self) -> LearningWork:
        if self.begun > self.version:
            raise ValueError("a student cannot have begun at a version that is yet to come")
        return self


class GridWork(Frozen):
    """The arithmetic of an INT8 file, to learn with: the ``grid`` of ``shared/compress/grids.py``, and the agreed range (low, high) of
    each tensor of the float graph."""

    grid: Annotated[str, Field(max_length=64)]
    ranges: Annotated[
        dict[str, tuple[Annotated[float, Field(le=0.0, ge=-LARGEST_END)], Annotated[float, Field(ge=0.0, le=LARGEST_END)]]],
        Field(max_length=MOST_RANGES),
    ]


class TrainWork(LearningWork):
    """Evaluate the student that the blob carries, then distil it on local records and give back the masked update.

    Blob: safetensors ``{"vector": float32 (d,)}``, the student's trainable parameters in ``shared.models.vector`` order, and behind
    them the rows of shared entities, where there are any.
    ``fragments`` maps an institution to patterns of the parameters that it trains alone; others train everything.
    ``head_owners`` maps each head to the institutions that are said to have records of it. With a ``quantised`` grid the student
    learns with that arithmetic; the update is one of its float parameters all the same.
    """

    kind: Literal["train"] = "train"
    fragments: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    head_owners: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    quantised: GridWork | None = None


class AnswerWork(LearningWork):
    """Evaluate the institution's own student, distil it on local records and from the consensus, and give back how its answers
    to the proxy records differ from the consensus (FedMD, Li & Wang 2019; FedDF, Lin et al. 2020). No weights leave.

    ``records`` proxy records have the SHA-256 ``proxy_sha256`` (``shared.answers.inputs_digest``). Blob: the consensus, and
    the records unless they are ``generated``, which both sides do by themselves, with this share of cells ``missing``
    (``shared/answers.py``, ``shared/data/proxy.py``).
    """

    kind: Literal["answer"] = "answer"
    proxy: ProxyTerms
    records: int = Field(ge=1)
    proxy_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    generated: bool = False
    missing: float = Field(default=0.0, ge=0.0, lt=1.0)


class ImportanceWork(Frozen):
    """What the parts of the trained student are worth (``shared/compress/prune/importance.py``); it is evaluated too.

    Blob as in :class:`TrainWork`. ``blocks``, ``heads`` and ``inner`` are how many of each the student has.
    """

    kind: Literal["importance"] = "importance"
    normalisation: Normalisation
    blocks: int = Field(ge=1, le=64)
    heads: int = Field(ge=0, le=64 * 64)
    inner: int = Field(ge=0, le=2**22)


class CalibrateRangeWork(Frozen):
    """Pass 1 over activations: how many values of each tensor of the float graph fall in each power-of-two bin,
    negatives and positives apart. Evaluates the final student too. Blob as in :class:`TrainWork`.

    ``student`` is its shape where it is not the shape of every institution's own.
    """

    kind: Literal["calibrate-range"] = "calibrate-range"
    normalisation: Normalisation
    tensors: tuple[str, ...]
    student: NetworkSettings | None = None


class CalibrateHistogramWork(Frozen):
    """Pass 2 over activations: histograms over the agreed range of each tensor. Blob and ``student`` as in the first pass."""

    kind: Literal["calibrate-histogram"] = "calibrate-histogram"
    normalisation: Normalisation
    tensors: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    student: NetworkSettings | None = None


class GateWork(Frozen):
    """Run candidate INT8 files beside the float graph on held-out records and count how often each is right and agrees.

    Blob: safetensors ``{"float": uint8 (bytes,), "<candidate>": uint8 (bytes,)}``, ONNX files.
    """

    kind: Literal["gate"] = "gate"
    candidates: tuple[str, ...]


Work = (
    StatisticsRangeWork
    | StatisticsMomentsWork
    | EntitiesWork
    | TrainWork
    | AnswerWork
    | ImportanceWork
    | CalibrateRangeWork
    | CalibrateHistogramWork
    | GateWork
)
_WORK: TypeAdapter[Work] = TypeAdapter(Annotated[Work, Field(discriminator="kind")])


def parse_work(body: bytes) -> Work:
    """The work that a plan's body holds; raises pydantic's ``ValidationError``."""
    return _WORK.validate_json(body)


def trains(work: Work) -> bool:
    """Whether the round carries an update, of the student or of the consensus (else the vector holds counters only)."""
    return isinstance(work, LearningWork)


def evaluation_fields(task: Task) -> tuple[CounterField, ...]:
    """Held-out records counted, their summed cross-entropy (fixed point), and the confusion matrix (truth × prediction)."""
    classes = len(task.labels)
    return (
        CounterField("eval_records", 1),
        CounterField("eval_loss", 1),
        CounterField("eval_confusion", classes * classes),
    )


def field_slices(fields: Iterable[CounterField]) -> list[tuple[str, slice]]:
    """Where each named run of counters lies."""
    places, start = [], 0
    for field in fields:
        places.append((field.name, slice(start, start + field.length)))
        start += field.length
    return places


def counter_fields(work: Work, task: Task) -> tuple[CounterField, ...]:
    """The counters of one round, in the order in which they lie in the masked vector."""
    columns = numeric_inputs(task)
    match work:
        case StatisticsRangeWork():
            return (CounterField("exponents", columns * EXPONENTS),)
        case StatisticsMomentsWork():
            return (CounterField("count", columns), CounterField("sum", columns), CounterField("square_sum", columns))
        case EntitiesWork():
            return (CounterField("entities", work.slots),)
        case TrainWork() | AnswerWork():
            # "unclipped" is 1 where the update was within the clip norm (Andrew et al. 2021).
            training = (CounterField("train_records", 1), CounterField("train_loss", 1), CounterField("unclipped", 1))
            # An institution's sample weight at each head that it has records of: what that head's outputs are averaged by.
            heads = (CounterField("head_weights", len(task.heads)),) if task.heads else ()
            # The sum of how far each institution's labels bear the graph out, in fixed point, and how many learn from it.
            trust = (CounterField("eval_trust", 1), CounterField("eval_knowing", 1)) if work.knowledge is not None else ()
            return (*evaluation_fields(task), *training, *heads, *trust)
        case ImportanceWork():
            skipped = CounterField("eval_skipped_loss", work.blocks)
            estimates = (CounterField("taylor_heads", work.heads), CounterField("taylor_inner", work.inner))
            return (*evaluation_fields(task), skipped, CounterField("taylor_records", 1), *estimates)
        case CalibrateRangeWork():
            return (*evaluation_fields(task), CounterField("ranges", len(work.tensors) * 2 * EXPONENTS))
        case CalibrateHistogramWork():
            return (CounterField("histograms", len(work.tensors) * HISTOGRAM_BINS),)
        case GateWork():
            return (
                CounterField("gate_records", 1),
                CounterField("gate_float_right", 1),
                CounterField("gate_right", len(work.candidates)),
                CounterField("gate_agree", len(work.candidates)),
            )
