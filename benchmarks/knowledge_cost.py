"""What knowledge costs a training step: processor time with it over that without, in one run.

    python -m benchmarks.knowledge_cost [--seeds 5]

Two students of the product on one thread, batches of 64: the ``heart`` student (a transformer over 13 columns) on its built-in graph, and a
``clinic`` student (a perceptron over 108 findings of 63 diseases; records and answers are invented, for only their shapes cost).
``plain``: milliseconds of a step without knowledge, the median of the fits. ``imagined 16``, ``imagined 64``: so many imagined records
beside each batch, in one pass with the own ones. ``embeddings``: the contrastive and prototype terms on embeddings that are cached for the
round; what they cost once a round is not in the step. ``heart.round``: seconds that its pool of 8,192 imagined records takes, once a
round.
Plain fits and the others take turns, so that what else runs on the machine meets both alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.harness import Claim, claim, parser, report
from fedstill.plan import builtin_federation
from shared.data import Records
from shared.data.heart import read_heart
from shared.distill.auxiliary import Auxiliary
from shared.distill.teacher import own_normalisation
from shared.distill.trainer import distil
from shared.knowledge.alignment import Known
from shared.knowledge.builtin import MAPPINGS, builtin_graph
from shared.knowledge.teaching import GraphTeacher
from shared.models import build
from shared.settings import DistillationSettings, EmbeddingTerms, KnowledgeTerms, NetworkSettings, TrainingSettings
from shared.task import CategoricalColumn, TabularTask, Task

GOAL, BATCH, STEPS = 1.3, 64, 60
FINDINGS, STATES, DISEASES, POOL = 108, 4, 63, 8192
EMBEDDINGS = EmbeddingTerms(record_weight=1.0, prototype_weight=1.0, epochs=5, steps=5)


@dataclass(frozen=True)
class Case:
    """A student, the records of a round, and what may be learnt beside them, by name."""

    task: Task
    student: NetworkSettings
    records: Records
    beside: Mapping[str, tuple[list[Auxiliary], Known | None]] = field(default_factory=dict)

    def milliseconds(self, name: str, seed: int) -> float:
        """Processor time of a step of a fit."""
        auxiliaries, known = self.beside[name]
        model = build(self.student, self.task, own_normalisation(self.task, self.records), seed=seed)
        training = TrainingSettings(epochs=1, batch_size=BATCH)
        started = time.process_time()
        distil(model, None, self.records, training, DistillationSettings(teacher="none"), seed=seed, auxiliaries=auxiliaries, known=known)
        return 1000 * (time.process_time() - started) / STEPS


def main() -> None:
    """Measures and reports."""
    arguments = parser(__doc__ or "", seeds=5).parse_args()
    torch.set_num_threads(1)
    claims: list[Claim] = []
    case, seconds = heart()
    claims += [*measured("heart", case, arguments.seeds), claim("heart.round", [seconds], "s")]
    claims += measured("clinic", clinic(), arguments.seeds)
    report("knowledge_cost", claims, arguments)


def measured(name: str, case: Case, seeds: int) -> list[Claim]:
    """The claims of one student."""
    case.milliseconds("plain", 0)
    found: dict[str, list[float]] = {which: [] for which in case.beside}
    for seed in range(seeds):
        for which, values in found.items():
            values.append(case.milliseconds(which, seed))
    claims = [claim(f"{name}.plain", found["plain"], "ms")]
    for which in found:
        if which != "plain":
            ratios = [one / plain for one, plain in zip(found[which], found["plain"], strict=True)]
            claims.append(claim(f"{name}.{which}", ratios, "times", goal=GOAL))
    return claims


def heart() -> tuple[Case, float]:
    """Cleveland's records, as often as a round has steps."""
    config = builtin_federation("heart")
    cleveland = read_heart()["cleveland"]
    records = cleveland.take(np.resize(np.arange(len(cleveland)), STEPS * BATCH))
    teacher = GraphTeacher(builtin_graph("heart"), MAPPINGS["heart"], config.task, records)

    def imagined(count: int) -> Auxiliary:
        found = teacher.auxiliary(KnowledgeTerms(imagined=count, pool=POOL), np.random.default_rng(0))
        assert found is not None
        return found

    seconds = timed(lambda: imagined(16))
    return Case(config.task, config.student, records, choices(imagined, teacher.known(EMBEDDINGS))), seconds


def clinic() -> Case:
    """Invented findings."""
    random = np.random.default_rng(0)
    names = tuple(str(state) for state in range(STATES))
    columns = tuple(CategoricalColumn(kind="categorical", name=f"finding {place}", categories=names) for place in range(FINDINGS))
    task = TabularTask(family="tabular", label="disease", labels=tuple(f"disease {place}" for place in range(DISEASES)), columns=columns)

    def rows(count: int) -> np.ndarray:
        return random.integers(0, STATES, (count, FINDINGS)).astype(np.float32)

    records = Records(rows(STEPS * BATCH), random.integers(0, DISEASES, STEPS * BATCH))
    table = random.normal(size=(POOL, DISEASES)).astype(np.float32)
    embedded = [random.normal(size=(count, EMBEDDINGS.width)).astype(np.float32) for count in (len(records), DISEASES)]
    known = Known(embedded[0], embedded[1], np.full((DISEASES, DISEASES), 1 / DISEASES, np.float32), EMBEDDINGS)
    made: Callable[[int], Auxiliary] = lambda count: Auxiliary("imagined", rows(POOL), table, 1.0, 1.0, batch=count)  # noqa: E731
    student = NetworkSettings(width=128, depth=1, architecture="perceptron")
    return Case(task, student, records, choices(made, known))


def choices(imagined: Callable[[int], Auxiliary], known: Known | None) -> dict[str, tuple[list[Auxiliary], Known | None]]:
    """What is compared."""
    beside: dict[str, tuple[list[Auxiliary], Known | None]] = {"plain": ([], None)}
    beside |= {f"imagined {count}": ([imagined(count)], None) for count in (16, 64)}
    return beside | {"embeddings": ([], known)}


def timed(act: Callable[[], object]) -> float:
    """Processor time in seconds."""
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    main()
