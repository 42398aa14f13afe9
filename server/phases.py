"""The phases of a run as small objects: what a round asks, and what its sum does to the state. Neither touches a network.

    statistics-range → statistics-moments → entities → train × rounds → importance → train × healing rounds
    → calibrate-range → calibrate-histogram → gate → publish

With ``compression.quantisation_aware`` a student that is worth INT8 on its device goes back from the histograms to ``train``, for that
many rounds with the arithmetic of its INT8 file, and is calibrated again.
The first is skipped where no input column is numeric, the third where institutions share no entities. With ``[proxy]`` the
training rounds exchange answers (``server/answers.py``), and the last of them ends with the coordinator's own student, which the
phases after it go on with. ``importance`` and healing are there where ``compression.prune`` is set (``server/pruning.py``); where the gate
signs no file of the pruned student, for what they lose, the one before it is calibrated and judged.
``publish`` needs no institution and is not here (``server/toolbox.py``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from server import answers, entities, knowledge, pruning
from server.downlink import move_to
from server.learning import learning
from server.optimizer import Moments, step
from server.state import COUNT_WEIGHT_CAP, FAIR_SHARE, Facts, PhaseName, RunState, consensus_file, pruned_file, student_file, vector_blob
from server.toolbox import FLOAT, MADE_OTHERWISE, Ranges, Student, Toolbox, student_of
from shared.compress.devices import WEIGHTS_ONLY, find_profile
from shared.config import AggregationSettings, FederationConfig
from shared.errors import ArtifactError, ConfigError
from shared.heads import balanced, figures
from shared.secagg.messages import Fragment
from shared.settings import NetworkSettings
from shared.task import Task, numeric_inputs
from shared.work import (
    FIXED_POINT,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    EntitiesWork,
    GateWork,
    GridWork,
    ImportanceWork,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
    field_slices,
)

IMAGE_EXPONENT = 8
"""Pixels are below 2^8, so images need no pass to find their range."""
SMALLEST_CLIP = 1e-6
"""The least part of the settings' clip norm that it is adapted down to."""

Counters = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Asked:
    """What a round asks: its work, the blob with the file name it is kept under, and how many update words come back.

    ``delta`` is the packed way to the blob from the student one version before; empty if there is none.
    """

    work: Work
    blob: bytes = b""
    delta: bytes = b""
    blob_name: str = ""
    update_words: int = 0
    weight_cap: int = COUNT_WEIGHT_CAP
    clip_norm: float = 0.0
    fragments: Mapping[str, Fragment] = field(default_factory=dict)


@dataclass(frozen=True)
class Sums:
    """A round's decoded sum: counters by name, the sample weight over ``survivors``, and the mean update ``float64 (d,)``;
    ``blob_digest`` is the SHA-256 of what was sent along with the question, empty where nobody kept it."""

    survivors: tuple[str, ...]
    weight: int
    counters: Counters
    mean: NDArray[np.float64]
    blob_digest: bytes = b""


@dataclass(frozen=True)
class Kit:
    """What every phase may use."""

    config: FederationConfig
    toolbox: Toolbox


class Phase(Protocol):
    """One phase; both methods are functions of their arguments alone."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """What the phase's next round asks."""
        ...

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """The state after the round; ``facts.metrics`` are the round's figures, ``facts.phase`` the phase that follows."""
        ...


def first_state(config: FederationConfig) -> RunState:
    """The state of a run that has not asked anything yet.

    Raises :class:`ConfigError` where nobody says who has which head: every institution would refuse to train.
    """
    task = config.task
    if task.heads and not config.head_owners and not config.aggregation.lone_heads:
        raise ConfigError(
            "the task has heads, but head_owners does not say which institutions have records of each; add it to federation.toml, "
            "or set aggregation.lone_heads and each one's policy.lone_heads"
        )
    skips_range = task.family == "image" or not numeric_inputs(task)
    exponents = (IMAGE_EXPONENT,) * task.channels if task.family == "image" else ()
    return RunState(Facts(phase="statistics-moments" if skips_range else "statistics-range", exponents=exponents))


def end_training(state: RunState, kit: Kit) -> RunState:
    """The state after the last update, or the last before the student is pruned; a consensus becomes the student that learnt from it,
    and shared rows are left."""
    following: PhaseName = "importance" if pruning.follows(state, kit.config) else "calibrate-range"
    after = entities.settled(_after(state, following, state.facts.metrics), kit.config)
    return after if kit.config.proxy is None else answers.settled(after, kit.config, kit.toolbox)


def weight_cap(weight: int, institutions: int, settings: AggregationSettings) -> int:
    """The largest sample weight in training: :data:`FAIR_SHARE` times the mean institution's records, at least 1; 1 where all are equal.

    Known from the masked weight sum alone. A larger institution contributes as if it had this many records: the cap
    bounds its influence, and with it the noise of rounding, which grows with the cap.
    """
    return 1 if settings.weighting == "equal" else max(1, math.ceil(FAIR_SHARE * weight / institutions))


def next_clip_norm(clip_norm: float, unclipped: float, settings: AggregationSettings) -> float:
    """The clip norm of the next round: ``C exp(−η (b − γ))``, at most the settings' own; ``clip_norm`` 0 is that.

    ``b = unclipped`` is the part of the survivors whose update was within ``C``, from their masked count, ``γ`` the quantile to
    follow, ``η`` the rate (Andrew, Thakkar, McMahan, Ramaswamy 2021, "Differentially private learning with adaptive
    clipping", section 2).
    """
    before = clip_norm or settings.clip_norm
    if not settings.clip_quantile:
        return before
    within = min(1.0, max(0.0, unclipped))
    moved = before * math.exp(-settings.clip_rate * (within - settings.clip_quantile))
    return min(settings.clip_norm, max(moved, settings.clip_norm * SMALLEST_CLIP))


class StatisticsRange:
    """How large the numbers in each column are."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Counts by power of two."""
        return Asked(StatisticsRangeWork())

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Chooses each column's exponent."""
        exponents = kit.toolbox.exponents(sums.counters["exponents"])
        return _after(state, "statistics-moments", {}, exponents=exponents)


class StatisticsMoments:
    """Mean and deviation of each column or channel; the student is made with them."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Sums and sums of squares."""
        return Asked(StatisticsMomentsWork(exponents=state.facts.exponents))

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Makes the normalisation, the weight cap of training, and the student's first weights."""
        normalisation = kit.toolbox.normalisation(sums.counters, state.facts.exponents)
        after = _after(
            state,
            "train" if kit.config.knowledge is None or kit.config.knowledge.shared is None else "entities",
            {"train_records": float(sums.weight)},
            normalisation=normalisation,
            weight_cap=weight_cap(sums.weight, len(sums.survivors), kit.config.aggregation),
        )
        # Made where it is not needed yet, too: what cannot be made should fail before anyone trains.
        first = kit.toolbox.initial(normalisation)
        after = replace(after, facts=knowledge.begun(after, kit.config, kit.toolbox))
        return replace(after, vector=first) if kit.config.proxy is None else answers.begun(after, kit.config, kit.toolbox)


class Entities:
    """How many institutions know each entity, by slots of salted hashes."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Counts by slot; the public graph goes down before the student does, for its entities are counted too."""
        shared = kit.config.knowledge.shared if kit.config.knowledge is not None else None
        assert shared is not None
        graph = knowledge.public_graph(state, kit.config, kit.toolbox)
        work = EntitiesWork(slots=shared.slots, graph_sha256=state.facts.graph_sha256)
        return Asked(work, save(dict(graph)), blob_name="graph.safetensors") if graph else Asked(work)

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Keeps the slots that are known to enough, and puts their rows behind the student."""
        after = entities.counted(state, sums.counters["entities"], sums.survivors, kit.config)
        kept = len(after.facts.shared.kept) if after.facts.shared is not None else 0
        return _after(after, "train", {"shared_entities": float(kept)})


class Train:
    """One round of distillation: of the student, or with ``[proxy]`` of students that stay where they are."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Evaluate the student, then distil it."""
        return _learning(state, kit) if kit.config.proxy is None else _answering(state, kit)

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Takes the optimiser's step, as far as a delta can say it. The figures are those of the student *before* it."""
        target, moments = _stepped(state, sums, kit)
        move = move_to(target, state, kit.config.aggregation.downlink, _content(state, kit))
        version = state.facts.version + 1
        metrics = _evaluation(sums.counters, kit.config.task, state.facts.version) | _train_loss(sums.counters)
        metrics |= knowledge.metrics(sums.counters, len(sums.survivors))
        shares = _label_shares(sums.counters, kit.config.task) or state.facts.label_shares
        unclipped = float(sums.counters["unclipped"][0]) / len(sums.survivors)
        clip_norm = next_clip_norm(state.facts.clip_norm, unclipped, kit.config.aggregation)
        after = _after(state, "train", metrics, version=version, label_shares=shares, clip_norm=clip_norm)
        after = replace(after, vector=move.vector, moments=dict(moments), residual=move.residual, delta=move.delta)
        return after if version < _last_version(after, kit) else end_training(after, kit)


class Importance:
    """What the parts of the student are worth; it is evaluated too, as it is before anything is removed."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Losses without each block, and estimates for heads and inner channels."""
        blocks, heads, inner = kit.toolbox.parts(_student(state, kit))
        work = ImportanceWork(normalisation=state.facts.normalisation, blocks=blocks, heads=heads, inner=inner)
        return _with_student(work, state, kit)

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Makes the smaller student."""
        metrics = _evaluation(sums.counters, kit.config.task, state.facts.version)
        settings, vector = kit.toolbox.pruned(_student(state, kit), sums.counters)
        after = pruning.pruned(state, settings, vector, kit.config)
        metrics |= {pruning.WHOLE: float(state.vector.size), pruning.KEPT: float(after.vector.size)}
        return _after(after, "train" if pruning.heals(after, kit.config) else "calibrate-range", metrics)


class CalibrateRange:
    """How large the activations of the final student are; it is evaluated too."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Counts by power of two for each tensor of the float graph."""
        tensors = kit.toolbox.tensors(_student(state, kit))
        return _with_student(
            CalibrateRangeWork(normalisation=state.facts.normalisation, tensors=tensors, student=_shape(state, kit)), state, kit
        )

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Chooses the range of each tensor's histogram."""
        tensors = kit.toolbox.tensors(_student(state, kit))
        lows, highs = kit.toolbox.choose_ranges(tensors, sums.counters["ranges"])
        metrics = _evaluation(sums.counters, kit.config.task, state.facts.version)
        return _after(state, "calibrate-histogram", metrics, tensors=tensors, lows=lows, highs=highs)


class CalibrateHistogram:
    """How the activations are distributed over the agreed ranges."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Histograms."""
        facts = state.facts
        work = CalibrateHistogramWork(
            normalisation=facts.normalisation, tensors=facts.tensors, lows=facts.lows, highs=facts.highs, student=_shape(state, kit)
        )
        return _with_student(work, state, kit)

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Clips each range where it costs least; a student that is still to learn with them goes back to training."""
        facts = state.facts
        ranges = kit.toolbox.clip_ranges(facts.tensors, facts.lows, facts.highs, sums.counters["histograms"])
        if kit.config.compression.quantisation_aware and facts.float_version is None and _has_integers(state, kit, ranges):
            return _after(state, "train", {}, ranges=ranges, float_version=facts.version)
        return _after(state, "gate", {}, ranges=ranges)


class Gate:
    """How often each INT8 candidate is right, and agrees with the float graph, on held-out records."""

    def ask(self, state: RunState, kit: Kit) -> Asked:
        """Runs the candidates."""
        files = kit.toolbox.candidates(_student(state, kit), state.facts.ranges)
        blob = save({name: np.frombuffer(content, np.uint8) for name, content in sorted(files.items())})
        names = tuple(name for name in files if name != FLOAT)
        return Asked(GateWork(candidates=names), blob, blob_name="candidates.safetensors")

    def apply(self, state: RunState, sums: Sums, kit: Kit) -> RunState:
        """Keeps the counts for the choice and the card, and which files they are of; or goes back behind pruning, which lost too much."""
        gate = {name: tuple(int(count) for count in counts) for name, counts in sums.counters.items()}
        # Counts belong to files by their place, and a question may be older than the release that hears the answer.
        if sums.blob_digest and hashlib.sha256(self.ask(state, kit).blob).digest() != sums.blob_digest:
            raise ArtifactError(MADE_OTHERWISE)
        files = kit.toolbox.candidates(_student(state, kit), state.facts.ranges)
        if state.unpruned.size and kit.toolbox.loses_too_much(_student(state, kit), state.facts.ranges, sums.counters):
            return _after(pruning.undone(state), "calibrate-range", {pruning.UNDONE: 1.0})
        judged = tuple((name, hashlib.sha256(content).hexdigest()) for name, content in files.items())
        return _after(state, "publish", {}, gate=gate, judged=judged)


PHASES: dict[PhaseName, Phase] = {
    "statistics-range": StatisticsRange(),
    "statistics-moments": StatisticsMoments(),
    "entities": Entities(),
    "train": Train(),
    "importance": Importance(),
    "calibrate-range": CalibrateRange(),
    "calibrate-histogram": CalibrateHistogram(),
    "gate": Gate(),
}


def decode_counters(work: Work, task: Task, counters: NDArray[np.uint64]) -> dict[str, NDArray[np.int64]]:
    """The counters of a sum by name."""
    return {name: counters[place].astype(np.int64) for name, place in field_slices(counter_fields(work, task))}


def _learning(state: RunState, kit: Kit) -> Asked:
    config = kit.config
    work = TrainWork(
        **dict(learning(state, config)),
        fragments=config.fragments,
        head_owners=config.head_owners,
        quantised=_quantised(state, config),
    )
    fragments = kit.toolbox.fragments(_student(state, kit)) if config.fragments else {}
    return _with_update(replace(_with_student(work, state, kit), fragments=fragments), state)


def _quantised(state: RunState, config: FederationConfig) -> GridWork | None:
    # The device's own: a file with fewer operators in INT8 has their grid too.
    if state.facts.float_version is None:
        return None
    return GridWork(grid=find_profile(config.compression.device).grids[0], ranges=state.facts.ranges)


def _has_integers(state: RunState, kit: Kit, ranges: Ranges) -> bool:
    # Whether the file that would be tried first computes anything in INT8: what does not needs no learning for it.
    names = [name for name in kit.toolbox.candidates(_student(state, kit), ranges) if name != FLOAT]
    return bool(names) and names[0] != WEIGHTS_ONLY


def _last_version(state: RunState, kit: Kit) -> int:
    before = state.facts.float_version
    return pruning.last_version(state, kit.config) if before is None else before + kit.config.compression.quantisation_aware


def _answering(state: RunState, kit: Kit) -> Asked:
    work = answers.work(state, kit.config, kit.toolbox)
    return _with_update(Asked(work, _content(state, kit)(state.vector), state.delta, consensus_file(state.facts.version)), state)


def _with_update(asked: Asked, state: RunState) -> Asked:
    return replace(asked, update_words=state.vector.size, weight_cap=state.facts.weight_cap, clip_norm=state.facts.clip_norm)


def _stepped(state: RunState, sums: Sums, kit: Kit) -> tuple[NDArray[np.float32], Moments]:
    # The optimiser's step of the student, and the shared rows' own behind it.
    size = entities.student_size(state, kit.config)
    target, moments = step(state.vector[:size], _mean(state, sums, kit)[:size], state.moments, kit.config.optimizer)
    rows = entities.moved(state, sums.mean, sums.weight, sums.survivors, kit.config)
    return np.concatenate([target, rows]), moments


def _mean(state: RunState, sums: Sums, kit: Kit) -> NDArray[np.float64]:
    if not kit.config.task.heads:
        return sums.mean
    return balanced(sums.mean, sums.weight, sums.counters["head_weights"], kit.toolbox.outputs(_student(state, kit)))


def _student(state: RunState, kit: Kit) -> Student:
    student = student_of(state)
    return replace(student, vector=student.vector[: entities.student_size(state, kit.config)])


def _shape(state: RunState, kit: Kit) -> NetworkSettings | None:
    # Institutions whose weights never travel may have students of other shapes than the coordinator's.
    return state.facts.student if kit.config.proxy is None else kit.config.student


def _with_student(work: Work, state: RunState, kit: Kit) -> Asked:
    # Where weights never travel, the student that comes of the answers is new to everyone, and nobody learns on from it.
    content = _content(state, kit) if kit.config.proxy is None else vector_blob
    name = student_file if state.facts.student is None else pruned_file
    return Asked(work, content(state.vector), state.delta, name(state.facts.version))


def _content(state: RunState, kit: Kit) -> Callable[[NDArray[np.float32]], bytes]:
    if kit.config.proxy is not None:
        return answers.content(state, kit.config, kit.toolbox)
    return partial(vector_blob, attached=knowledge.attached(state, kit.config, kit.toolbox))


def _after(state: RunState, phase: PhaseName, metrics: dict[str, float], **changed: object) -> RunState:
    facts = Facts.model_validate(state.facts.model_dump() | changed | {"phase": phase, "metrics": metrics})
    return replace(state, facts=facts)


def _evaluation(counters: Counters, task: Task, version: int) -> dict[str, float]:
    # No institution may let its evaluation leave: then there are no records and no figures.
    records = int(counters["eval_records"][0])
    if records == 0:
        return {"version": float(version)}
    confusion = counters["eval_confusion"].reshape(len(task.labels), len(task.labels))
    return {
        "version": float(version),
        "records": float(records),
        "accuracy": float(np.trace(confusion)) / records,
        "loss": float(counters["eval_loss"][0]) / FIXED_POINT / records,
        **{f"accuracy.{name}": found.accuracy for name, found in figures(confusion, task.heads).items() if found.records},
    }


def _label_shares(counters: Counters, task: Task) -> tuple[float, ...]:
    # Of the held-out records, which are held out of every label alike. One half more of each, so that none is at zero.
    labels = len(task.labels)
    counts = counters["eval_confusion"].reshape(labels, labels).sum(axis=1)
    return tuple(float(share) for share in (counts + 0.5) / (counts.sum() + labels / 2)) if counts.sum() else ()


def _train_loss(counters: Counters) -> dict[str, float]:
    records = int(counters["train_records"][0])
    return {"train_loss": float(counters["train_loss"][0]) / FIXED_POINT / records} if records else {}
